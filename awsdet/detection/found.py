"""The objects found in one image, and how COCO's results format says them. Needs no TensorFlow."""

from typing import NamedTuple

import numpy as np
from pycocotools import mask as coco_mask


class Found(NamedTuple):
    """The N objects found in one image, best score first."""

    boxes: np.ndarray  # float32 [N, 4] x1 y1 x2 y2, pixels of the original image, clipped to it
    scores: np.ndarray  # float32 [N]
    classes: np.ndarray  # int32 [N], 0 … C-1
    masks: list | None  # N COCO RLE {"size", "counts": bytes} of the original image; None: a detector without masks
    iou_scores: np.ndarray | None = None  # float32 [N], IoU that each mask is expected to have; None: not predicted
    names: list | None = None  # N class names, if `Detector.find` made it

    def bitmaps(self):
        """The masks as bool [N, H, W]; None for a detector without masks."""
        if self.masks is None:
            return None
        if not self.masks:
            return np.zeros((0, 0, 0), bool)
        return coco_mask.decode(self.masks).transpose(2, 0, 1).astype(bool)


def coco_objects(found, category_ids):
    """The objects as dicts of a COCO results file, without the image id: bbox, score, category_id, segmentation.

    `score` is that of the box. With Mask Scoring R-CNN there are also iou_score and mask_score = score * iou_score.

    Args:
      found: Found.
      category_ids: the COCO category id of each class.
    """
    x1, y1, x2, y2 = found.boxes.astype(np.float64).T
    boxes = np.stack([x1, y1, x2 - x1, y2 - y1], axis=1).tolist()
    objects = [
        {"bbox": box, "score": score, "category_id": category_ids[label]}
        for box, score, label in zip(boxes, found.scores.tolist(), found.classes.tolist())
    ]
    for entry, mask in zip(objects, found.masks or ()):
        entry["segmentation"] = {"size": mask["size"], "counts": mask["counts"].decode("ascii")}
    for entry, iou_score in zip(objects, () if found.iou_scores is None else found.iou_scores.tolist()):
        entry.update(iou_score=iou_score, mask_score=entry["score"] * iou_score)
    return objects
