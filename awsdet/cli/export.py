"""Exports a trained detector as a model that runs without awsdet: a SavedModel of TensorFlow's own operators.

    awsdet export --checkpoint=runs/mine --output=exported

writes exported/1, the next call exported/2, as TensorFlow Serving wants it. The model takes encoded images, or pixels;
it turns images upright, resizes and normalises them, and gives boxes in pixels of the original, scores, classes with
their names and ids, and masks. Then its numbers are compared with those of the checkpoint; if they differ, the export
is removed and the exit code is 1. docs/export.md describes the signatures.
"""

import pathlib
import sys

from absl import flags

from awsdet.cli.arguments import define_path, define_paths
from awsdet.export.contract import MASKS
from awsdet.runtime.errors import UserError


def define(flag_values):
    """Adds the flags of `awsdet export`."""
    define_path("checkpoint", None, "a checkpoint, or a run folder: its best checkpoint, or its newest", flag_values)
    define_path("output", None, "folder of the numbered exports; made if needed", flag_values, written=True)
    flags.DEFINE_enum(
        "masks",
        "crop",
        MASKS,
        "crop: the probabilities inside each box, 28 x 28; full: pasted into the image, which is large; none",
        flag_values=flag_values,
    )
    define_paths(
        "images", "an image that the check compares; may be given several times; none: drawn ones", flag_values
    )


def run(flag_values, overrides):
    """Exports and prints the table of the check. Returns the exit code."""
    del overrides
    for name in ("checkpoint", "output"):
        if not flag_values[name].value:
            raise UserError(f"--{name} is missing (see awsdet export --help)")
    import tensorflow as tf

    from awsdet.export.export import CheckFailed, export
    from awsdet.runtime.files import check_folder
    from awsdet.runtime.shown import shown

    check_folder(flag_values.output, "output")
    tf.config.set_visible_devices([], "GPU")  # the graph is the same for both, and a training may need the GPU
    try:
        done = export(
            flag_values.checkpoint, pathlib.Path(flag_values.output), flag_values.masks, flag_values.images or ()
        )
    except CheckFailed as failure:
        print("\n".join(_table(failure.difference)))
        print(f"awsdet export: {failure}; nothing was kept", file=sys.stderr)
        return 1
    print("\n".join(_table(done.difference)))
    if not done.difference.objects:
        print("no object was found in the images, so little was compared; give images of your data with --images=FILE")
    print(f"{done.about['detector']} of step {done.about['source']['step']} -> {shown(done.folder)}")
    return 0


def _table(difference):
    from awsdet.export.check import BOX, MASK, SCORE

    yield f"compared with the checkpoint: {difference.objects} objects in {difference.images} images"
    yield f"  boxes     differ by at most {difference.boxes:.2g} px (allowed: {BOX} px)"
    yield f"  scores    differ by at most {difference.scores:.2g} (allowed: {SCORE:.0e})"
    if difference.masks is not None:
        yield f"  masks     have at least {difference.masks:.4%} equal pixels (allowed: {MASK:.1%})"
    yield f"  unmatched {difference.unmatched} (allowed: 0)"
