"""Converts weights of other systems to ours, and exports those of a run.

    awsdet weights IN [OUT]
    awsdet weights --list
    awsdet weights --get=NAME

--list shows the pretrained weights that have names; --get fetches one of them into the cache, ~/.cache/awsdet/weights
or the folder AWSDET_WEIGHTS. A training that starts from a name fetches it by itself.

IN is such a name, a run folder, a checkpoint or a file: npz of tensorpack, h5 of Keras applications, pth of
torchvision or mmdetection, pkl of Detectron or Detectron2, npz or safetensors that this command wrote. OUT ends in
.npz or .safetensors; its arrays have mmdetection's names and layouts. Without OUT, the command only shows what IN
holds.

Prints for each array which variable of the model it goes to, and which arrays are missing, unused or of a shape that
the model does not have. If the model cannot be recognised from the file, give it with --config. To start a training
from IN or OUT, set --config.train.init_from.
"""

import contextlib

from absl import flags

from awsdet import config as config_module
from awsdet.cli.arguments import define_path
from awsdet.runtime.errors import UserError
from awsdet.runtime.paths import WEIGHTS

POSITIONAL = ("input", "output")


def define(flag_values):
    """Adds the flags of `awsdet weights`."""
    define_path("input", None, "IN: weights to read", flag_values, hint=WEIGHTS)
    define_path("output", "", "OUT: file to write", flag_values, written=True)
    define_path("config", "", "config file of the model; empty: the model is recognised from the file", flag_values)
    flags.DEFINE_bool("list", False, "list the pretrained weights that have names", flag_values=flag_values)
    flags.DEFINE_string("get", "", "name of pretrained weights to fetch into the cache", flag_values=flag_values)


def run(flag_values, overrides):
    """Converts. Returns the exit code. Raises UserError if the weights do not fit the model."""
    if flag_values.list or flag_values["get"].present:
        return _of_catalogue(flag_values, overrides)
    if not flag_values.input:
        raise UserError("the file to read is missing: awsdet weights IN OUT (see awsdet weights --help)")
    if overrides and not flag_values.config:
        raise UserError(f"--config.{overrides[0]} changes a config, but there is none; give one with --config")
    import tensorflow as tf

    from awsdet.training import transfer
    from awsdet.weights import files

    if flag_values.output:
        files.check_output(flag_values.output)

    with contextlib.suppress(RuntimeError):  # raised if TensorFlow is already in use
        tf.config.set_visible_devices([], "GPU")  # nothing is computed, and a training may be running on the GPU
    weights = transfer.read(flag_values.input)
    return _convert(weights, _model(weights, flag_values.config, overrides), flag_values.output)


def _of_catalogue(flag_values, overrides):
    """Lists the catalogue, or fetches a file of it."""
    from awsdet.weights import catalogue, download
    from awsdet.weights.cache import Cache

    given = [
        name for name in ("input", "output", "config", "get" if flag_values.list else "list") if flag_values[name].value
    ]
    if given or overrides:
        raise UserError(
            f"--{'list' if flag_values.list else 'get'} goes with nothing else; leave out {(given or ['--config'])[0]}"
        )
    cache = Cache.from_environment()
    if flag_values.list:
        print("\n".join(_table(catalogue.ENTRIES.values(), cache)))
        return 0
    entry = catalogue.ENTRIES.get(flag_values.get)
    if entry is None:
        near = catalogue.nearest(flag_values.get)
        hint = f"did you mean {', '.join(near)}?" if near else "--list shows the names"
        raise UserError(f"no pretrained weights are called {flag_values.get}; {hint}")
    print(download.fetch(entry, cache))
    return 0


def _table(entries, cache):
    """The catalogue as lines of a table."""
    rows = [("name", "MB", "licence", "checksum", "preset", "in the cache", "what", "address")]
    for entry in entries:
        size = "unknown" if entry.size is None else f"{entry.size / 1e6:.1f}"
        cached = "yes" if cache.holds(entry) else "no"
        checksum = entry.checksum or "none published"
        rows.append((entry.name, size, entry.licence, checksum, entry.preset, cached, entry.what, entry.address))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows]
    return [*lines, "", f"cache: {cache.folder}{f', mirror: {cache.mirror}' if cache.mirror else ''}"]


def _model(weights, config_file, overrides):
    """The detector that the weights are compared with."""
    from awsdet.models import builder
    from awsdet.weights import classes
    from awsdet.weights.infer import infer

    if config_file:
        config = config_module.load(config_file, overrides)
        count = classes.count(weights.arrays) or 1
    else:
        config, count = infer(weights)
    names = weights.class_names or [f"class {index}" for index in range(count)]
    return builder.build(config, names)


def _convert(weights, detector, output):
    from awsdet.weights import load, mmdet, presets

    table = mmdet.table(detector)
    if weights.backbone_only:
        table = {key: variable for key, variable in table.items() if key.startswith("backbone.")}
    sides = mmdet.windows(detector)
    shapes = {key: mmdet.to_source(key, variable.numpy(), sides).shape for key, variable in table.items()}
    matched = [key for key in table if key in weights.arrays and weights.arrays[key].shape == shapes[key]]
    for key in matched:
        print(f"{weights.sources[key]} -> {table[key].name.partition(':')[0]} {tuple(table[key].shape)}")
    faults = [f"missing {key} {shapes[key]}" for key in table if key not in weights.arrays]
    for key in sorted(set(table) & set(weights.arrays) - set(matched)):
        faults.append(f"mismatched {weights.sources[key]} {weights.arrays[key].shape}: the model has {shapes[key]}")
    unused = [f"{weights.sources[key]} {weights.arrays[key].shape}" for key in weights.arrays if key not in table]
    unused += [f"{key} {shape}" for key, shape in weights.unknown.items()]
    for line in [*faults, *(f"unused {key}" for key in unused)]:
        print(line)
    print(f"\n{weights.path}: {weights.system}, {'a backbone' if weights.backbone_only else detector.name}")
    print(f"{len(matched)} arrays matched, {len(faults)} missing or mismatched, ", end="")
    print(f"{len(unused)} unused, {len(weights.ignored)} left out (not in a detector)")
    print(presets.describe(weights.preset) if weights.preset else "the file does not say how pixels are normalised")
    if weights.preset:
        for key, wanted, ours in presets.differences(weights.preset, detector):
            print(f"the config has model.{key}={ours}, but these weights need {wanted}")
    if faults:
        raise UserError(
            f"{weights.path} does not fit the model: {faults[0]}{_more(faults)}; give the right model with --config"
        )
    if output:
        load.write(
            output,
            {key: weights.arrays[key] for key in matched},
            preset=weights.preset,
            class_names=weights.class_names,
            model=weights.model,
        )
        print(f"written: {output}")
    return 0


def _more(faults):
    return f" (and {len(faults) - 1} more, listed above)" if len(faults) > 1 else ""
