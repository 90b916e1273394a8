"""An exported model in Python, with the face of a detector."""

import pathlib
from typing import Any

import numpy as np
import tensorflow as tf
from pycocotools import mask as coco_mask

from awsdet.data.coco.images import as_array
from awsdet.detection.found import Found
from awsdet.export import contract
from awsdet.export.graph import load_graph
from awsdet.ops.paste_masks import paste_masks


class Exported:
    """A loaded model: `find` as a detector has it.

    Attributes:
        info: dict of the model's awsdet.json.
        class_names, category_ids: of each class.
        mask_threshold: a pixel belongs to an object if its probability is at least this.
        signatures: name -> function of tensors, see `contract`.

    Raises UserError if there is no exported model in `path`, see `contract.find`, or TensorFlow cannot load it.
    """

    def __init__(self, path: str | pathlib.Path):
        folder = contract.find_whole(path)
        self.info = contract.read_info(folder)
        self.class_names, self.category_ids = tuple(self.info["class_names"]), list(self.info["category_ids"])
        self.mask_threshold = self.info["mask_threshold"]
        self._model = load_graph(folder)
        self.signatures = dict(self._model.signatures)

    def find(self, image: Any, score_threshold: float = 0.0) -> Found:
        """Finds objects in one image; arguments, result and errors are those of `Detector.find`."""
        if not 0 <= score_threshold <= 1:
            raise ValueError(f"score_threshold is {score_threshold}; it must lie between 0 and 1")
        pixels = as_array(image)
        outputs = self.signatures[contract.PIXELS](image=tf.constant(pixels[np.newaxis]))
        outputs = {name: value[0].numpy() for name, value in outputs.items()}
        rows = np.flatnonzero(outputs["scores"][: outputs["count"]] >= score_threshold)
        boxes, classes = outputs["boxes"][rows], outputs["classes"][rows]
        masks = self._encoded(outputs["masks"][rows], boxes, pixels.shape[:2]) if "masks" in outputs else None
        ious = outputs["iou_scores"][rows] if "iou_scores" in outputs else None
        names = [self.class_names[label] for label in classes]
        return Found(boxes, outputs["scores"][rows], classes, masks, ious, names)

    def _encoded(self, masks, boxes, size):
        """COCO RLE of the masks of one image."""
        if self.info["masks"] == "crop":
            return paste_masks(masks, boxes, size, self.mask_threshold)
        return [coco_mask.encode(np.asfortranarray(mask)) for mask in masks]
