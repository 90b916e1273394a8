"""Reads all records, compares them with their manifest, decodes their images and shows what is in them.

Prints how many objects each class has, the sizes of images and objects, duplicates, class names that look like
mistakes, and what was wrong in the annotations when the records were written. The exit code is 2 if a shard is missing
or broken, or if an image cannot be decoded.

With --draw it also writes web pages that need no network: pictures with their annotations, histograms, how well the
anchors of a config fit the objects, and images that resemble one another, within a split and between splits. With
--config too, they show the first images of a run with this config as its network gets them.
"""

from absl import flags

from awsdet.cli.arguments import define_path
from awsdet.runtime.errors import UserError


def define(flag_values):
    """Adds the flags of `awsdet inspect`."""
    define_path("records", None, "folder with the records", flag_values)
    flags.DEFINE_string("split", "", "split to read; empty: all of them", flag_values=flag_values)
    define_path("draw", "", "folder for the web pages; open its index.html", flag_values, written=True)
    text = "config file whose sizes and anchors the objects are compared with and, with --draw, whose augmentation is "
    text += "shown; empty: with --draw, the anchors of Mask R-CNN R50 1x"
    define_path("config", "", text, flag_values)
    flags.DEFINE_integer(
        "seed", 1, "with --draw: of the random choice of images", flag_values=flag_values, lower_bound=0
    )


def run(flag_values, overrides):
    """Prints a report per split, and writes the pages. Returns the exit code. Raises UserError if a split is broken."""
    if not flag_values.records:
        raise UserError("--records is missing (see awsdet inspect --help)")
    if flag_values["seed"].present and not flag_values.draw:
        raise UserError("--seed chooses the images of the web pages; give --draw=FOLDER, too")
    config = _config(flag_values.config, overrides)
    from awsdet.data.records import inspection
    from awsdet.runtime import gpus
    from awsdet.survey import builder, folder, recall

    gpus.hide()  # reading needs none
    rules = builder.anchor_rules(config)
    draw = flag_values.draw
    if draw:
        folder.check(draw)
    found = inspection.inspect(flag_values.records, flag_values.split, look=bool(draw))
    reports = list(map(inspection.report, found))
    if flag_values.config or overrides:
        reports = [
            "\n    ".join([f"{text}\n  anchors", *recall.sentences(one, rules, recall.cover(one, rules))])
            for text, one in zip(reports, found)
        ]
    print("\n\n".join(reports))
    if draw:
        shown = builder.training(config) if flag_values.config or overrides else None
        _write(found, draw, rules, flag_values.seed, shown)
    faults = [fault for one in found for fault in one.faults]
    if faults:
        more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
        raise UserError(f"{faults[0]}{more}; run awsdet convert again")
    return 0


def _config(path, overrides):
    from awsdet import config as config_lib

    if path:
        return config_lib.load(path, overrides)
    config = config_lib.mask_rcnn()
    for override in overrides:
        config_lib.apply_override(config, override)
    return config


def _write(found, draw, rules, seed, training):
    from awsdet.survey.pages import write_pages

    try:
        path = write_pages(found, draw, rules, seed, training)
    except OSError as error:
        raise UserError(f"--draw={draw} cannot be written: {error.strerror or error}") from error
    print(f"\nOpen {path} in a browser.")
    if training and training.split not in [one.manifest.split for one in found]:
        print(f"It shows no image as training sees it: that is split {training.split!r} (data.train_split).")
