"""Turns a detector's padded outputs for a batch into the objects of each image, in pixels of the original image."""

import itertools

import numpy as np

from awsdet.detection.found import Found
from awsdet.ops.paste_masks import paste_masks


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
