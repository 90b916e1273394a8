"""Writes a trained detector as a model for other programs, checks its numbers, and tells what it is."""

import dataclasses
import pathlib
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from awsdet.data.coco.images import load_image
from awsdet.data.coco.shapes import draw_image
from awsdet.data.reader.sizes import Canvas
from awsdet.export import card, contract, half, onnx_model, saved_model, tflite_model, weights_file
from awsdet.export.check import compare
from awsdet.export.exported import Exported
from awsdet.inference import checkpoint
from awsdet.models.builder import has_masks
from awsdet.models.detector import batch_of
from awsdet.runtime.errors import UserError
from awsdet.runtime.files import half_made, publish_new, write_json, write_text
from awsdet.runtime.version import __version__

_DRAWN = (320, 250, 400)  # px, long sides of the images that are drawn for the check
WRITERS = {"savedmodel": saved_model.save, "onnx": onnx_model.save, "tflite": tflite_model.save}
_POLICIES = {"float16": "mixed_float16", "bfloat16": "mixed_bfloat16"}  # precision -> Keras' name
# Target and precision -> why there is no such export.
_IMPOSSIBLE = {
    ("savedmodel", "int8"): "a SavedModel computes in float; take --target=tflite",
    ("onnx", "int8"): "int8 is there with --target=tflite",
    ("onnx", "bfloat16"): "onnxruntime has no convolution in bfloat16 on a CPU, where the check runs; take float16",
    ("tflite", "bfloat16"): "TensorFlow Lite has no bfloat16; take float16 or int8",
}


class Options(NamedTuple):
    """What an export is to be.

    target: one of `contract.TARGETS`. masks: one of `contract.MASKS`.
    size: (height, width) in px that images are resized into, whatever theirs; None: as in the evaluation of the run.
    max_detections: the most objects per image; None: as in the run.
    precision: one of `contract.PRECISIONS`. operators: one of `contract.OPERATORS`.
    """

    target: str = "savedmodel"
    masks: str = "crop"
    size: tuple | None = None
    max_detections: int | None = None
    precision: str = "float32"
    operators: str = "plain"


class Judge(NamedTuple):
    """The check of an export in fewer bits than float32, on records.

    check: function of the detector in float32 and the Exported; what it returns has the methods of `check.Difference`.
    calibration: images uint8 [H, W, 3] that the ranges of int8 are taken from.
    """

    check: Callable
    calibration: Iterable = ()


class Done(NamedTuple):
    """folder: the numbered one; result: of its check, None for weights alone; about: the dict of awsdet.json."""

    folder: pathlib.Path
    result: Any
    about: dict


class CheckFailed(Exception):
    """The model does not give the detector's numbers. result: what was found, None for weights alone."""

    def __init__(self, result):
        super().__init__(result.failure() if result else "the file does not hold the weights of the checkpoint")
        self.result = result


def export(path, output, options=None, images=(), judge=None):
    """Exports the detector of a run or checkpoint, whatever precision it was trained in.

    Args:
      path: see `checkpoint.find`.
      output: folder of the numbered exports; made if needed.
      options: Options; None: the defaults.
      images: image files for the check; none: drawn ones.
      judge: Judge, for a precision other than float32.

    Returns Done. Raises UserError if there is no such checkpoint, an image cannot be read, masks are asked for of a
    detector without, or a package is missing; CheckFailed if the numbers differ, CannotConvert if the target lacks an
    operator; then nothing is left of the export.
    """
    if checkpoint.is_run(output):
        raise UserError(f"output {output} is a run, for which its exports would be taken; give another folder")
    if (pathlib.Path(output) / contract.INFO).is_file():
        raise UserError(f"output {output} is an exported model; give the folder that holds it, or another")
    options = options or Options()
    _check(options, images)
    if options.precision != "float32" and judge is None:
        raise ValueError(f"an export in {options.precision} needs a Judge: objects of fewer bits are not the same")
    pixels = [load_image(image) for image in images] or _drawn()
    detector, info = checkpoint.load(path, precision="float32")

    def load(precision):
        if options.precision == "float32":
            return detector
        return _set(checkpoint.load(info["path"], precision)[0], options)  # a run may have a newer one by now

    finds_masks = has_masks(info["config"].model.detector)
    if options.masks == "full" and not finds_masks:
        raise UserError(f"{info['config'].model.detector} finds no masks; leave out --masks=full")
    _set(detector, options)
    pathlib.Path(output).mkdir(parents=True, exist_ok=True)
    about = _about(detector, info, options, options.masks if finds_masks else "none")
    result = None
    with half_made(contract.next_version(output)) as aside:
        if options.target == "weights":
            weights_file.save(detector, aside, info["config"].model.to_dict())
            about["check"] = {"differs": weights_file.differs(detector, aside)}
        else:
            write(load, aside, about, judge.calibration if judge else ())
            write_json(aside / contract.INFO, about, indent=1)
            exported = Exported(aside)
            if judge:
                result = judge.check(detector, exported)
                about["check"] = result._asdict()
            else:
                result = compare(detector, exported, pixels)
                about["check"] = {**result._asdict(), "on": "given images" if images else "drawn images"}
        if about["check"].get("differs") or not (result is None or result.holds()):
            raise CheckFailed(result)
        write_json(aside / contract.INFO, about, indent=1)
        write_text(aside / contract.CARD, card.text(about))
        folder = publish_new(aside, lambda: contract.next_version(output))  # others may have exported meanwhile
    return Done(folder, result, about)


def write(load, folder, about, calibration=()):
    """Writes the model of a detector to `folder`, made if needed.

    Args:
        load: function of Keras' name of a precision policy that returns the detector, which may be changed unless
            the precision is float32.
        about: the dict of awsdet.json; target, precision and operators say what is written.
        calibration: images uint8 [H, W, 3], one at least, that the ranges of int8 are taken from.
    """
    save, precision = WRITERS[about["target"]], about["precision"]
    if about["target"] == "tflite":
        detector = load("float32")
        batches = (batch_of(image, detector.input_size) for image in calibration)
        save(detector, folder, about, *([batches] if precision == "int8" else []))
        return
    detector = load(_POLICIES.get(precision, "float32"))
    half.halve(detector)
    save(detector, folder, about)


def _check(options, images):
    """Raises UserError for what cannot be made, before the work."""
    if reason := _IMPOSSIBLE.get((options.target, options.precision)):
        raise UserError(f"--target={options.target} has no --precision={options.precision}: {reason}")
    if options.operators == "compiled" and options.target != "savedmodel":
        raise UserError(f"--target={options.target} cannot call compiled operators; leave out --operators")
    if options.target == "onnx":
        onnx_model.check_packages()
    if options.target == "tflite" and not options.size:
        raise UserError("--target=tflite needs one size for all images; give --size=HEIGHTxWIDTH, as 320x320")
    if options.target in ("onnx", "tflite") and options.size and options.masks == "full":
        raise UserError(f"with --size, --target={options.target} does not know the image's own; leave out --masks=full")
    if options.target == "weights" and (options != Options("weights") or images):
        raise UserError(
            "--target=weights has no graph, and float32 arrays; leave out --masks, --size, --max-detections, "
            "--precision, --operators and --images"
        )


def _set(detector, options):
    if options.size:
        detector.input_size = Canvas(*options.size, detector.input_size.pad_multiple)
    if options.max_detections:
        detector.suppression = dataclasses.replace(detector.suppression, max_detections=options.max_detections)
    return detector


def _drawn():
    rng = np.random.default_rng(0)
    return [draw_image(size, rng)[0] for size in _DRAWN]


def _about(detector, info, options, masks):
    return {
        "format": contract.FORMAT,
        "target": options.target,
        "name": detector.name,
        "detector": info["config"].model.detector,
        "class_names": list(detector.class_names),
        "category_ids": list(info["category_ids"]),
        "size": detector.input_size._asdict(),
        "max_detections": detector.suppression.max_detections,
        "score_threshold": detector.suppression.least_score,
        "nms_iou": detector.suppression.iou,
        "masks": masks,
        "mask_threshold": detector.mask_threshold,
        "precision": options.precision,
        "operators": options.operators,
        "pixels": {"mean": list(detector.pixels.mean), "std": list(detector.pixels.std), "bgr": detector.pixels.bgr},
        "source": {"step": info["step"], "metrics": info.get("metrics") or {}},
        "versions": {"awsdet": __version__, "tensorflow": tf.__version__},
    }
