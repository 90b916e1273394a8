"""Writes a trained detector as a SavedModel, checks its numbers, and tells what it is."""

import pathlib
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from awsdet.data.coco.images import load_image
from awsdet.data.coco.shapes import draw_image
from awsdet.export import card, contract
from awsdet.export.check import Difference, compare
from awsdet.export.exported import Exported
from awsdet.export.module import save
from awsdet.inference import checkpoint
from awsdet.models.builder import has_masks
from awsdet.runtime.errors import UserError
from awsdet.runtime.files import half_made, publish_new, write_json, write_text
from awsdet.runtime.version import __version__

_DRAWN = (320, 250, 400)  # px, long sides of the images that are drawn for the check


class Done(NamedTuple):
    """folder: the numbered one; difference: of its check; about: the dict of awsdet.json."""

    folder: pathlib.Path
    difference: Difference
    about: dict


class CheckFailed(Exception):
    """The model does not give the detector's numbers. difference: what was found."""

    def __init__(self, difference):
        super().__init__("the exported model does not give the numbers of the checkpoint")
        self.difference = difference


def export(path, output, masks="crop", images=()):
    """Exports the detector of a run or checkpoint.

    Args:
      path: see `checkpoint.find`.
      output: folder of the numbered exports; made if needed.
      masks: one of `contract.MASKS`.
      images: image files for the check; none: drawn ones.

    Returns Done. Raises UserError if there is no such checkpoint, an image cannot be read, or masks are asked for of a
    detector without; CheckFailed if the numbers differ, and then nothing is left of the export.
    """
    if checkpoint.is_run(output):
        raise UserError(f"output {output} is a run, for which its exports would be taken; give another folder")
    if (pathlib.Path(output) / contract.INFO).is_file():
        raise UserError(f"output {output} is an exported model; give the folder that holds it, or another")
    pixels = [load_image(image) for image in images] or _drawn()
    detector, info = checkpoint.load(path)
    finds_masks = has_masks(info["config"].model.detector)
    if masks == "full" and not finds_masks:
        raise UserError(f"{info['config'].model.detector} finds no masks; leave out --masks=full")
    pathlib.Path(output).mkdir(parents=True, exist_ok=True)
    about = _about(detector, info, masks if finds_masks else "none")
    with half_made(contract.next_version(output)) as aside:
        save(detector, aside, info["category_ids"], about["masks"])
        write_json(aside / contract.INFO, about, indent=1)
        difference = compare(detector, Exported(aside), pixels, about["score_threshold"])
        about["check"] = {**difference._asdict(), "on": "given images" if images else "drawn images"}
        if not difference.holds():
            raise CheckFailed(difference)
        write_json(aside / contract.INFO, about, indent=1)
        write_text(aside / contract.CARD, card.text(about))
        folder = publish_new(aside, lambda: contract.next_version(output))  # others may have exported meanwhile
    return Done(folder, difference, about)


def _drawn():
    rng = np.random.default_rng(0)
    return [draw_image(size, rng)[0] for size in _DRAWN]


def _about(detector, info, masks):
    size = detector.input_size
    suppression = getattr(detector, "suppression", None) or detector.roi_heads.suppression
    return {
        "format": contract.FORMAT,
        "target": "savedmodel",
        "name": detector.name,
        "detector": info["config"].model.detector,
        "class_names": list(detector.class_names),
        "category_ids": list(info["category_ids"]),
        "size": size._asdict(),
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
