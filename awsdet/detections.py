"""From a detector's padded outputs for a batch to the objects of one image, in pixels of the original image."""

from typing import NamedTuple, Optional

import numpy as np

from awsdet.ops.paste_masks import paste_masks


class Detections(NamedTuple):
    """The N objects found in one image, in the detector's order: best score first."""

    boxes: np.ndarray  # float32 [N, 4] x1 y1 x2 y2, pixels of the original image, clipped to it
    scores: np.ndarray  # float32 [N]
    classes: np.ndarray  # int32 [N], 0 … C-1
    masks: Optional[list]  # N COCO RLE {"size", "counts": bytes} of the original image; None: a detector without masks


def image_detections(outputs, index, image_size, original_size, mask_threshold, score_threshold=0.0):
    """The objects of image `index` of a batch.

    Args:
      outputs: dict of arrays as `Detector.detect` returns: boxes [B, D, 4] in pixels of the resized image, scores
        [B, D], classes [B, D], count [B] and, with masks, masks [B, D, M, M] probabilities.
      index: which image of the batch.
      image_size: (height, width) of the resized image without padding.
      original_size: (height, width) of the source image.
      mask_threshold: probability from which on a pixel belongs to the object.
      score_threshold: objects below it are left out.
    """
    kept = np.arange(int(outputs["count"][index]))
    kept = kept[outputs["scores"][index][kept] >= score_threshold]
    height, width = int(original_size[0]), int(original_size[1])
    # The two axes were rounded to whole pixels each for itself, so each has its own scale.
    scale = np.array([width, height, width, height], np.float32) / np.asarray(image_size, np.float32)[[1, 0, 1, 0]]
    boxes = np.clip(outputs["boxes"][index][kept] * scale, 0, np.array([width, height, width, height], np.float32))
    masks = None
    if "masks" in outputs:
        masks = paste_masks(outputs["masks"][index][kept], boxes, (height, width), mask_threshold)
    return Detections(boxes, outputs["scores"][index][kept], outputs["classes"][index][kept], masks)


def coco_objects(detections, category_ids):
    """The objects as dicts of a COCO results file, without the image id: bbox, score, category_id, segmentation.

    Args:
      detections: Detections.
      category_ids: the COCO category id of each class.
    """
    x1, y1, x2, y2 = detections.boxes.astype(np.float64).T
    boxes = np.stack([x1, y1, x2 - x1, y2 - y1], axis=1).tolist()
    objects = [
        {"bbox": box, "score": score, "category_id": category_ids[label]}
        for box, score, label in zip(boxes, detections.scores.tolist(), detections.classes.tolist())
    ]
    for entry, mask in zip(objects, detections.masks or ()):
        entry["segmentation"] = {"size": mask["size"], "counts": mask["counts"].decode("ascii")}
    return objects
