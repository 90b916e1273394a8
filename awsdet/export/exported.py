"""An exported model in Python, which is used as a detector is."""

import pathlib
from typing import Any

import numpy as np
from pycocotools import mask as coco_mask

from awsdet.data.coco.images import as_array
from awsdet.detection.found import Found
from awsdet.detection.results import batch_results
from awsdet.export import contract, onnx_model, saved_model, tflite_model
from awsdet.models.detector import batch_of
from awsdet.ops.paste_masks import paste_masks
from awsdet.runtime.errors import UserError

_RUNNERS = {"savedmodel": saved_model.Runner, "onnx": onnx_model.Runner, "tflite": tflite_model.Runner}


class Exported:
    """A loaded model: `find` as a detector has it.

    Attributes:
        info: dict of the model's awsdet.json.
        class_names, category_ids: of each class.
        mask_threshold: a pixel belongs to an object if its probability is at least this.
        signatures: name -> function, of tensors (SavedModel) or of arrays, see `contract`.

    Raises UserError if there is no exported model in `path`, see `contract.find`, or it cannot be loaded.
    """

    def __init__(self, path: str | pathlib.Path):
        folder = contract.find_whole(path)
        self.info = contract.read_info(folder)
        self.class_names, self.category_ids = tuple(self.info["class_names"]), list(self.info["category_ids"])
        self.mask_threshold = self.info["mask_threshold"]
        target = self.info["target"]
        if target not in _RUNNERS:
            raise UserError(f"{folder} holds {contract.FILES[target]} alone; load that file, or export a model")
        self._runner = _RUNNERS[target](folder)
        self.signatures = self._runner.signatures

    def find(self, image: Any, score_threshold: float = 0.0) -> Found:
        """Finds objects in one image; arguments, result and errors are those of `Detector.find`."""
        if not 0 <= score_threshold <= 1:
            raise ValueError(f"score_threshold is {score_threshold}; it must lie between 0 and 1")
        pixels = as_array(image)
        found = self._in_pixels if contract.PIXELS in self.signatures else self._in_canvas
        found = found(pixels, score_threshold)
        return found._replace(names=[self.class_names[label] for label in found.classes])

    def _in_pixels(self, pixels, score_threshold):
        outputs = self._runner.detect(pixels)
        rows = np.flatnonzero(outputs["scores"][: outputs["count"]] >= score_threshold)
        boxes, classes = outputs["boxes"][rows], outputs["classes"][rows]
        masks = self._encoded(outputs["masks"][rows], boxes, pixels.shape[:2]) if "masks" in outputs else None
        ious = outputs["iou_scores"][rows] if "iou_scores" in outputs else None
        return Found(boxes, outputs["scores"][rows], classes, masks, ious)

    def _in_canvas(self, pixels, score_threshold):
        batch = {name: np.asarray(value) for name, value in batch_of(pixels, contract.input_size(self.info)).items()}
        outputs = {name: np.asarray(value) for name, value in self.signatures[contract.RESIZED](**batch).items()}
        sizes = batch["image_size"], [pixels.shape[:2]]
        return batch_results(outputs, *sizes, self.mask_threshold, score_threshold)[0]

    def _encoded(self, masks, boxes, size):
        """COCO RLE of the masks of one image."""
        if self.info["masks"] == "crop":
            return paste_masks(masks, boxes, size, self.mask_threshold)
        return [coco_mask.encode(np.asfortranarray(mask)) for mask in masks]
