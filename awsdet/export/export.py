"""Writes a trained detector as a model for other programs, checks its numbers, and tells what it is."""

import dataclasses
import pathlib
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from awsdet.data.coco.images import load_image
from awsdet.data.coco.shapes import draw_image
from awsdet.data.reader.sizes import Canvas
from awsdet.export import card, contract, onnx_model, saved_model, tflite_model, weights_file
from awsdet.export.check import Difference, compare
from awsdet.export.exported import Exported
from awsdet.inference import checkpoint
from awsdet.models.builder import has_masks
from awsdet.runtime.errors import UserError
from awsdet.runtime.files import half_made, publish_new, write_json, write_text
from awsdet.runtime.version import __version__

_DRAWN = (320, 250, 400)  # px, long sides of the images that are drawn for the check
WRITERS = {"savedmodel": saved_model.save, "onnx": onnx_model.save, "tflite": tflite_model.save}


class Options(NamedTuple):
    """What an export is to be.

    target: one of `contract.TARGETS`. masks: one of `contract.MASKS`.
    size: (height, width) in px that images are resized into, whatever theirs; None: as in the evaluation of the run.
    max_detections: the most objects per image; None: as in the run.
    """

    target: str = "savedmodel"
    masks: str = "crop"
    size: tuple | None = None
    max_detections: int | None = None


class Done(NamedTuple):
    """folder: the numbered one; difference: of its check, None for weights alone; about: the dict of awsdet.json."""

    folder: pathlib.Path
    difference: Difference | None
    about: dict


class CheckFailed(Exception):
    """The model does not give the detector's numbers. difference: what was found."""

    def __init__(self, difference):
        super().__init__("the exported model does not give the numbers of the checkpoint")
        self.difference = difference


def export(path, output, options=None, images=()):
    """Exports the detector of a run or checkpoint, in float32 whatever it was trained in.

    Args:
      path: see `checkpoint.find`.
      output: folder of the numbered exports; made if needed.
      options: Options; None: the defaults.
      images: image files for the check; none: drawn ones.

    Returns Done. Raises UserError if there is no such checkpoint, an image cannot be read, masks are asked for of a
    detector without, or a package is missing; CheckFailed if the numbers differ, and then nothing is left of the
    export; RuntimeError if the target lacks an operator.
    """
    if checkpoint.is_run(output):
        raise UserError(f"output {output} is a run, for which its exports would be taken; give another folder")
    if (pathlib.Path(output) / contract.INFO).is_file():
        raise UserError(f"output {output} is an exported model; give the folder that holds it, or another")
    options = options or Options()
    _check(options, images)
    pixels = [load_image(image) for image in images] or _drawn()
    detector, info = checkpoint.load(path, precision="float32")
    finds_masks = has_masks(info["config"].model.detector)
    if options.masks == "full" and not finds_masks:
        raise UserError(f"{info['config'].model.detector} finds no masks; leave out --masks=full")
    _set(detector, options)
    pathlib.Path(output).mkdir(parents=True, exist_ok=True)
    about = _about(detector, info, options.target, options.masks if finds_masks else "none")
    difference = None
    with half_made(contract.next_version(output)) as aside:
        if options.target == "weights":
            weights_file.save(detector, aside, info["config"].model.to_dict())
            about["check"] = {"differs": weights_file.differs(detector, aside)}
        else:
            WRITERS[options.target](detector, aside, about)
            write_json(aside / contract.INFO, about, indent=1)
            difference = compare(detector, Exported(aside), pixels, about["score_threshold"])
            about["check"] = {**difference._asdict(), "on": "given images" if images else "drawn images"}
        if about["check"].get("differs") or not (difference is None or difference.holds()):
            raise CheckFailed(difference)
        write_json(aside / contract.INFO, about, indent=1)
        write_text(aside / contract.CARD, card.text(about))
        folder = publish_new(aside, lambda: contract.next_version(output))  # others may have exported meanwhile
    return Done(folder, difference, about)


def _check(options, images):
    """Raises UserError for what cannot be made, before the work."""
    if options.target == "onnx":
        onnx_model.check_packages()
    if options.target == "tflite" and not options.size:
        raise UserError("--target=tflite needs one size for all images; give --size=HEIGHTxWIDTH, as 320x320")
    if options.target in ("onnx", "tflite") and options.size and options.masks == "full":
        raise UserError(f"with --size, --target={options.target} does not know the image's own; leave out --masks=full")
    if options.target == "weights" and (options != Options("weights") or images):
        raise UserError("--target=weights has no graph; leave out --masks, --size, --max-detections and --images")


def _set(detector, options):
    if options.size:
        detector.input_size = Canvas(*options.size, detector.input_size.pad_multiple)
    if options.max_detections:
        owner = detector if hasattr(detector, "suppression") else detector.roi_heads
        owner.suppression = dataclasses.replace(owner.suppression, max_detections=options.max_detections)


def _drawn():
    rng = np.random.default_rng(0)
    return [draw_image(size, rng)[0] for size in _DRAWN]


def _about(detector, info, target, masks):
    suppression = getattr(detector, "suppression", None) or detector.roi_heads.suppression
    return {
        "format": contract.FORMAT,
        "target": target,
        "name": detector.name,
        "detector": info["config"].model.detector,
        "class_names": list(detector.class_names),
        "category_ids": list(info["category_ids"]),
        "size": detector.input_size._asdict(),
        "max_detections": suppression.max_detections,
        "score_threshold": suppression.score_threshold,
        "nms_iou": suppression.iou,
        "masks": masks,
        "mask_threshold": detector.mask_threshold,
        "precision": detector.precision,
        "pixels": {"mean": list(detector.pixels.mean), "std": list(detector.pixels.std), "bgr": detector.pixels.bgr},
        "source": {"step": info["step"], "metrics": info.get("metrics") or {}},
        "versions": {"awsdet": __version__, "tensorflow": tf.__version__},
    }
