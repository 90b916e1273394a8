"""Turns a detector's padded outputs for a batch into the objects of each image, in pixels of the original image."""

import itertools
from typing import NamedTuple

import numpy as np
from pycocotools import mask as coco_mask

from awsdet.ops.paste_masks import paste_masks


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


def batch_results(outputs, image_size, original_size, mask_threshold, score_threshold=0.0):
    """The objects of each image of a batch. All masks are pasted in one call, by all threads.

    Args:
      outputs: dict of arrays as `Detector.detect` returns: boxes [B, D, 4] in pixels of the resized image, scores
        [B, D], classes [B, D], count [B]; if it finds masks, masks [B, D, M, M], probabilities; if it predicts them,
        iou_scores [B, D]. B images, D detections per image, M side of a mask.
      image_size: [B, 2], height and width of each resized image without padding.
      original_size: [B, 2], height and width of each source image.
      mask_threshold: a pixel belongs to the object if its probability is at least this.
      score_threshold: objects below it are left out.

    Returns a list of B Found.
    """
    kept = [
        np.flatnonzero(scores[:count] >= score_threshold) for scores, count in zip(outputs["scores"], outputs["count"])
    ]
    boxes = [
        _original_boxes(boxes[rows], resized, original)
        for boxes, rows, resized, original in zip(outputs["boxes"], kept, image_size, original_size)
    ]
    masks = [None] * len(kept)
    if "masks" in outputs:
        counts = [len(rows) for rows in kept]
        probabilities = np.concatenate([masks[rows] for masks, rows in zip(outputs["masks"], kept)])
        sizes = np.repeat(np.asarray(original_size, np.int32), counts, axis=0)
        pasted = iter(paste_masks(probabilities, np.concatenate(boxes), sizes, mask_threshold))
        masks = [list(itertools.islice(pasted, count)) for count in counts]
    ious = outputs.get("iou_scores", [None] * len(kept))
    return [
        Found(
            boxes[i],
            outputs["scores"][i][rows],
            outputs["classes"][i][rows],
            masks[i],
            None if ious[i] is None else ious[i][rows],
        )
        for i, rows in enumerate(kept)
    ]


def _original_boxes(boxes, resized, original):
    """Boxes [N, 4] in pixels of the original image, clipped to it; both sizes are (height, width)."""
    height, width = (int(side) for side in original)
    # Height and width were rounded to whole pixels separately, so each has its own scale.
    scale = np.array([width, height, width, height], np.float32) / np.asarray(resized, np.float32)[[1, 0, 1, 0]]
    return np.clip(boxes * scale, 0, np.array([width, height, width, height], np.float32))


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
