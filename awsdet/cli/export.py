"""Exports a trained detector as a model that runs without awsdet: a SavedModel of TensorFlow's own operators, an ONNX
model of standard ones, a TensorFlow Lite model of its built-in ones, or its weights alone.

    awsdet export --checkpoint=runs/mine --output=exported [--target=onnx]

writes exported/1, the next call exported/2, as TensorFlow Serving wants it. A SavedModel takes encoded images, or
pixels; it turns images upright, resizes and normalises them, and gives boxes in pixels of the original, scores, classes
with their names and ids, and masks. ONNX and TensorFlow Lite models take pixels. Then its numbers are compared with
those of the checkpoint; if they differ, the export is removed and the exit code is 1. docs/export.md describes what
goes in and out.
"""

import pathlib
import re
import sys

from absl import flags

from awsdet.cli.arguments import define_path, define_paths
from awsdet.export.contract import MASKS, TARGETS
from awsdet.runtime.errors import UserError

_SIDES = range(32, 8193)  # px, of --size


def define(flag_values):
    """Adds the flags of `awsdet export`."""
    define_path("checkpoint", None, "a checkpoint, or a run folder: its best checkpoint, or its newest", flag_values)
    define_path("output", None, "folder of the numbered exports; made if needed", flag_values, written=True)
    flags.DEFINE_enum(
        "target",
        "savedmodel",
        TARGETS,
        "savedmodel: for TensorFlow; onnx: for onnxruntime, in standard operators; tflite: for TensorFlow Lite, in its "
        "own operators, with --size; weights: arrays alone, no graph",
        flag_values=flag_values,
    )
    flags.DEFINE_enum(
        "masks",
        "crop",
        MASKS,
        "crop: the probabilities inside each box, 28 x 28; full: pasted into the image, which is large; none",
        flag_values=flag_values,
    )
    flags.DEFINE_string(
        "size",
        "any",
        "any: as in the evaluation of the run; HEIGHTxWIDTH: every image is resized into it, and padded to multiples "
        "of 32",
        flag_values=flag_values,
    )
    flags.DEFINE_integer(
        "max_detections",
        None,
        "the most objects per image; without it, that of the run",
        lower_bound=1,
        upper_bound=10_000,
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
    size = _size(flag_values.size)
    import tensorflow as tf

    from awsdet.export.export import CheckFailed, Options, export
    from awsdet.runtime.files import check_folder
    from awsdet.runtime.shown import shown

    check_folder(flag_values.output, "output")
    tf.config.set_visible_devices([], "GPU")  # the graph is the same for both, and a training may need the GPU
    options = Options(flag_values.target, flag_values.masks, size, flag_values.max_detections)
    try:
        done = export(flag_values.checkpoint, pathlib.Path(flag_values.output), options, flag_values.images or ())
    except CheckFailed as failure:
        if failure.difference:
            print("\n".join(_table(failure.difference)))
        print(f"awsdet export: {failure}; nothing was kept", file=sys.stderr)
        return 1
    print("\n".join(_table(done.difference)))
    if done.difference and not done.difference.objects:
        print("no object was found in the images, so little was compared; give images of your data with --images=FILE")
    print(f"{done.about['detector']} of step {done.about['source']['step']} -> {shown(done.folder)}")
    return 0


def _size(text):
    """(height, width), or None for any. Raises UserError for what is neither."""
    if text == "any":
        return None
    sides = re.fullmatch(r"([0-9]{1,5})x([0-9]{1,5})", text)
    if not sides or not all(int(side) in _SIDES for side in sides.groups()):
        raise UserError(f"--size={text}: give any, or HEIGHTxWIDTH of {_SIDES[0]} to {_SIDES[-1]} px each, as 800x1344")
    return tuple(int(side) for side in sides.groups())


def _table(difference):
    from awsdet.export.check import BOX, MASK, SCORE

    if difference is None:
        yield "compared with the checkpoint: the arrays are equal"
        return
    yield f"compared with the checkpoint: {difference.objects} objects in {difference.images} images"
    yield f"  boxes     differ by at most {difference.boxes:.2g} px (allowed: {BOX} px)"
    yield f"  scores    differ by at most {difference.scores:.2g} (allowed: {SCORE:.0e})"
    if difference.masks is not None:
        yield f"  masks     have at least {difference.masks:.4%} equal pixels (allowed: {MASK:.1%})"
    yield f"  unmatched {difference.unmatched} (allowed: 0)"
