"""Translates a YAML config of MindSpore's Mask Scoring R-CNN, and shows what became of each of its keys.

    awsdet config IN.yaml [OUT.py]
    awsdet config IN --get=KEY

The table says of each key whether it was translated, is as awsdet has it without being told, has no meaning here (and
why), or is not supported. If a key is not supported, the exit code is 2 and nothing is written, unless
--allow-unsupported is given, which leaves such keys out. Configs of Mask R-CNN by the same authors have the same keys.

--get prints one setting, as in --get=model.detector, of a config of MindSpore or of awsdet.
"""

import pathlib
import shlex

from absl import flags

from awsdet.cli.arguments import define_path
from awsdet.runtime.errors import UserError

POSITIONAL = ("input", "output")
_WIDEST = 32  # characters of a value in the table
_YAML = (".yaml", ".yml")


def define(flag_values):
    """Adds the flags of `awsdet config`."""
    define_path("input", None, "IN: YAML file of MindSpore; with --get also a config file of awsdet", flag_values)
    define_path("output", "", "OUT: config file to write, .py; its folder is made if needed", flag_values, written=True)
    flags.DEFINE_bool(
        "allow_unsupported", False, "write OUT without the keys that are not supported", flag_values=flag_values
    )
    flags.DEFINE_string("get", "", "setting to print, and nothing else", flag_values=flag_values)


def run(flag_values, overrides):
    """Translates, or prints a setting. Returns the exit code."""
    del overrides
    if not flag_values.input:
        raise UserError("the file to read is missing: awsdet config IN.yaml OUT.py (see awsdet config --help)")
    source = pathlib.Path(flag_values.input)
    is_yaml = source.suffix.lower() in _YAML
    if flag_values["get"].present:
        return _print_setting(flag_values, source, is_yaml)
    if not is_yaml:
        raise UserError(f"{source} is no YAML file (its name must end in .yaml or .yml); only those are translated")
    return _translate(flag_values, source)


def _print_setting(flag_values, source, is_yaml):
    from awsdet import config as config_module
    from awsdet.config import mindspore

    for name in ("output", "allow_unsupported"):
        if flag_values[name].value:
            raise UserError(f"--get only prints a setting, so --{name} does nothing; leave one of the two out")
    config = mindspore.translate(source).config if is_yaml else config_module.load(source)
    print(config_module.setting(config, flag_values.get))
    return 0


def _translate(flag_values, source):
    from awsdet.config import mindspore
    from awsdet.runtime.files import check_writable, write_text

    output = pathlib.Path(flag_values.output) if flag_values.output else None
    if output is not None:
        if output.suffix != ".py":
            raise UserError(f"--output={output} is no config file of awsdet: its name must end in .py")
        check_writable(output, "output")
    found = mindspore.translate(source)
    print(_table(found))
    unsupported = [row.key for row in found.of_kind(mindspore.Kind.UNSUPPORTED)]
    if unsupported and not flag_values.allow_unsupported:
        written = ", so nothing was written" if output is not None else ""
        raise UserError(
            f"{source}: not supported{written}: {', '.join(unsupported)}; change that, or leave it out with "
            "--allow-unsupported"
        )
    if output is not None:
        output.parent.mkdir(parents=True, exist_ok=True)
        write_text(output, mindspore.as_python(found, source.name))
        print(f"{source} -> {output}")
    return 0


def _table(found):
    """The rows by kind, and what to do about the data."""
    from awsdet.config.mindspore import Kind

    lines = []
    for kind in Kind:
        rows = [(row.key, _short(row.value), row.text) for row in found.of_kind(kind)]
        if rows:
            widths = [max(len(row[column]) for row in rows) for column in (0, 1)]
            lines.append(f"{kind.value} ({len(rows)})")
            lines += [f"  {key:<{widths[0]}}  {value:<{widths[1]}}  {text}" for key, value, text in rows]
            lines.append("")
    counts = ", ".join(f"{len(found.of_kind(kind))} {kind.value}" for kind in Kind)
    lines.append(f"{len(found.rows)} keys: {counts}")
    if found.more:
        lines.append(f"not read: {found.more} more YAML documents of the file, which describe the keys")
    for key, split in (("train_dataset", "train"), ("val_dataset", "val")):
        if key in found.datasets:
            lines.append(f"{key} becomes records by {_conversion(pathlib.Path(found.datasets[key]), split)}")
    return "\n".join(lines)


def _conversion(folder, split):
    annotations, images = (shlex.quote(str(folder / name)) for name in ("labels.json", "data"))
    return f"awsdet convert --annotations={annotations} --images={images} --output=RECORDS --split={split}"


def _short(value):
    from awsdet.runtime.shown import shown

    text = shown(value)
    return text if len(text) <= _WIDEST else f"{text[: _WIDEST - 1]}…"
