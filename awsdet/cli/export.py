"""Exports a trained detector as a model that runs without awsdet: a SavedModel of TensorFlow's own operators, an ONNX
model of standard ones, a TensorFlow Lite model of its built-in ones, or its weights alone.

    awsdet export --checkpoint=runs/mine --output=exported [--target=onnx]

writes exported/1, the next call exported/2, as TensorFlow Serving wants it. A SavedModel takes encoded images, or
pixels; it turns images upright, resizes and normalises them, and gives boxes in pixels of the original, scores, classes
with their names and ids, and masks. ONNX and TensorFlow Lite models take pixels. Then its numbers are compared with
those of the checkpoint, or, with --precision, its AP on records; if it fails, the export is removed and the exit code
is 1. docs/export.md describes what goes in and out.
"""

import pathlib
import re
import sys

from absl import flags

from awsdet.cli.arguments import define_path, define_paths
from awsdet.export.contract import MASKS, OPERATORS, PRECISIONS, TARGETS
from awsdet.runtime.errors import UserError

_SIDES = range(32, 8193)  # px, of --size
_ALLOWED = {"float16": 0.005, "bfloat16": 0.01, "int8": 0.02}  # AP that may be lost
_OF_RECORDS = ("records", "split", "record_images", "max_ap_loss")  # flags that --precision=float32 has no use for
_OF_CALIBRATION = ("calibration_split", "calibration_images")


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
    flags.DEFINE_enum(
        "precision",
        "float32",
        PRECISIONS,
        "float16, bfloat16: the network computes in 16 bits, and is half as large; int8: a quarter as large, with "
        "--target=tflite. Their AP is compared on --records",
        flag_values=flag_values,
    )
    flags.DEFINE_enum(
        "operators",
        "plain",
        OPERATORS,
        "plain: TensorFlow's own; compiled: awsdet's, faster; the program that loads the SavedModel must load "
        "libawsdet_ops.so first",
        flag_values=flag_values,
    )
    define_path("records", "", "with --precision: folder with the records on which AP is compared", flag_values)
    flags.DEFINE_string(
        "split", "", "split of the records; empty: the checkpoint's eval_split, or val", flag_values=flag_values
    )
    flags.DEFINE_integer("record_images", 500, "images that AP is compared on", lower_bound=1, flag_values=flag_values)
    flags.DEFINE_string(
        "calibration_split",
        "",
        "split of the records that the ranges of int8 are taken from; empty: the checkpoint's train_split",
        flag_values=flag_values,
    )
    flags.DEFINE_integer(
        "calibration_images",
        100,
        "images that the ranges of int8 are taken from",
        lower_bound=1,
        flag_values=flag_values,
    )
    usual = ", ".join(f"{allowed:g} ({precision})" for precision, allowed in _ALLOWED.items())
    flags.DEFINE_float(
        "max_ap_loss",
        None,
        f"AP, from 0 to 1, that --precision may cost; without it {usual}",
        lower_bound=0.0,
        upper_bound=1.0,
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
    _check_precision(flag_values)
    import tensorflow as tf

    from awsdet.export.converting import CannotConvert
    from awsdet.export.export import CheckFailed, Options, export
    from awsdet.runtime.files import check_folder
    from awsdet.runtime.shown import shown

    check_folder(flag_values.output, "output")
    tf.config.set_visible_devices([], "GPU")  # the graph is the same for both, and a training may need the GPU
    options = Options(
        flag_values.target,
        flag_values.masks,
        size,
        flag_values.max_detections,
        flag_values.precision,
        flag_values.operators,
    )
    images, judge = flag_values.images or (), None if options.precision == "float32" else _judge(flag_values)
    try:
        done = export(flag_values.checkpoint, pathlib.Path(flag_values.output), options, images, judge)
    except CheckFailed as failure:
        if failure.result:
            print("\n".join(_table(failure.result)))
        return _nothing_kept(failure)
    except CannotConvert as failure:
        return _nothing_kept(failure)
    print("\n".join(_table(done.result)))
    if done.result and done.result.weakness():
        print(done.result.weakness())
    print(f"{done.about['detector']} of step {done.about['source']['step']} -> {shown(done.folder)}")
    return 0


def _nothing_kept(failure):
    print(f"awsdet export: {failure}; nothing was kept", file=sys.stderr)
    return 1


def _check_precision(flag_values):
    """Raises UserError for flags that do nothing with this --precision, and if records are missing."""
    precision = flag_values.precision
    needless = () if precision == "int8" else _OF_CALIBRATION
    if precision == "float32":
        needless += _OF_RECORDS
    given = [name for name in needless if flag_values[name].present]
    if given:
        raise UserError(f"--{given[0].replace('_', '-')} does nothing with --precision={precision}; leave it out")
    if precision == "float32":
        return
    if not flag_values.records:
        raise UserError(
            f"--precision={precision} costs AP; give records with --records=FOLDER, on which it is measured"
        )
    if flag_values.images:
        raise UserError(f"with --precision={precision} the check is AP on --records; leave out --images")


def _judge(flag_values):
    """What compares AP, after all that can be wrong with the records."""
    import functools

    from awsdet.cli.evaluated import split_for
    from awsdet.data.records.images import spread
    from awsdet.evaluation import check_classes
    from awsdet.evaluation.lost_ap import lost_ap
    from awsdet.export.export import Judge
    from awsdet.inference import checkpoint

    info = checkpoint.read_info(checkpoint.find(flag_values.checkpoint))

    def split(name, *flag):
        manifest = split_for(info, flag_values.records, name, *flag)
        check_classes(info["class_names"], manifest, info["category_ids"])
        return manifest

    allowed = flag_values.max_ap_loss
    options = {
        "manifest": split(flag_values.split),
        "count": flag_values.record_images,
        "allowed": _ALLOWED[flag_values.precision] if allowed is None else allowed,
    }
    calibration = ()
    if flag_values.precision == "int8":
        name = flag_values.calibration_split or info["config"]["data"]["train_split"]
        own = split(name, "--calibration-split names the one to take ranges from")
        calibration = _calibration(own, spread(own, flag_values.calibration_images))
    return Judge(functools.partial(lost_ap, **options), calibration)


def _size(text):
    """(height, width), or None for any. Raises UserError for what is neither."""
    if text == "any":
        return None
    sides = re.fullmatch(r"([0-9]{1,5})x([0-9]{1,5})", text)
    if not sides or not all(int(side) in _SIDES for side in sides.groups()):
        raise UserError(f"--size={text}: give any, or HEIGHTxWIDTH of {_SIDES[0]} to {_SIDES[-1]} px each, as 800x1344")
    return tuple(int(side) for side in sides.groups())


def _calibration(manifest, rows):
    """Yields images of records, and shows how many have been used."""
    from awsdet.data.records.images import image_of
    from awsdet.runtime.progress import Progress

    with Progress(len(rows), "taking the ranges of int8", "images") as progress:
        for row in rows:
            yield image_of(manifest, row)
            progress.add()


def _table(result):
    from awsdet.export.check import BOX, MASK, SCORE, Difference

    if result is None:
        yield "compared with the checkpoint: the arrays are equal"
    elif isinstance(result, Difference):
        yield f"compared with the checkpoint: {result.objects} objects in {result.images} images"
        yield f"  boxes     differ by at most {result.boxes:.2g} px (allowed: {BOX} px)"
        yield f"  scores    differ by at most {result.scores:.2g} (allowed: {SCORE:.0e})"
        if result.masks is not None:
            yield f"  masks     have at least {result.masks:.4%} equal pixels (allowed: {MASK:.1%})"
        yield f"  unmatched {result.unmatched} (allowed: 0)"
    else:
        yield f"compared with the checkpoint in float32 on {result.images} images of the records:"
        for kind, before in result.checkpoint.items():
            after = f"{before:.4f} -> {result.exported[kind]:.4f}"
            yield f"  {kind} AP  {after}, lost {result.lost(kind):.4f} (allowed: {result.allowed:g})"
