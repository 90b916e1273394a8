"""The COCO metrics: average precision (AP) and recall (AR) of boxes and masks, and AP of each class.

The numbers are those of pycocotools, under these names:

    box_ap                                    AP, the mean over IoU 0.50, 0.55, … 0.95
    box_ap50 box_ap75                         AP at IoU 0.50 and 0.75
    box_ap_small box_ap_medium box_ap_large   AP of objects of this size
    box_ar1 box_ar10 box_ar100                AR with at most 1, 10 or 100 detections per image
    box_ar_small box_ar_medium box_ar_large   AR of objects of this size
    mask_ap …                                 the same for masks

A number that does not exist, because there is no object of that size, is -1, as in COCO.
"""

import numpy as np
from pycocotools.cocoeval import Params

from awsdet.data.coco.categories import class_labels
from awsdet.evaluation.coco_scores import score
from awsdet.evaluation.sides import Places, box_sides, mask_sides

# In the order of COCOeval.stats.
NUMBERS = (
    "ap",
    "ap50",
    "ap75",
    "ap_small",
    "ap_medium",
    "ap_large",
    "ar1",
    "ar10",
    "ar100",
    "ar_small",
    "ar_medium",
    "ar_large",
)
ABSENT = -1.0


def coco_metrics(ground_truth, results, with_masks):
    """Scores COCO results against COCO ground truth.

    Args:
      ground_truth: dict as in a COCO annotation file: images, annotations, categories. Every image counts, even if it
        has no objects or no detections. The dict is not changed.
      results: list of dicts as in a COCO results file: image_id, category_id, bbox [x, y, width, height], score and,
        with masks, segmentation as RLE. Of equal scores the earlier one ranks first. If there is a mask_score, it
        ranks the masks; the score ranks the boxes.
      with_masks: whether to score masks too.

    Returns:
      dict of name -> float, with the names above. Its key per_class has a dict of class name -> {"box_ap", "mask_ap"
      (with masks), "objects" (their number, without crowd regions)}, in the order of the categories. A name that
      several categories have is followed by the category id. Its key curves has a dict of "box_ap50", "box_ap75" and,
      with masks, "mask_ap50", "mask_ap75" -> the 101 precisions, to four digits, at recall 0, 0.01, … 1, the mean over
      the classes that have objects; their mean is the number of that name. It is empty if no class has an object.

    Raises:
      UserError: a mask of the ground truth that does not fit its image.
    """
    categories = ground_truth["categories"]
    ids = [c["id"] for c in categories]
    names = dict(zip(ids, class_labels([str(c["name"]) for c in categories], ids)))
    per_class = {name: {"objects": 0} for name in names.values()}
    for annotation in ground_truth["annotations"]:
        per_class[names[annotation["category_id"]]]["objects"] += not annotation.get("iscrowd", 0)
    place = Places(ground_truth)
    results = [r for r in results if r["category_id"] in names]  # as COCOeval does
    metrics, curves = {}, {}
    for name, sides in [("box", box_sides), ("mask", mask_sides)][: 2 if with_masks else 1]:
        scored = score(*sides(place, results), len(names))
        metrics.update(zip((f"{name}_{number}" for number in NUMBERS), _numbers(scored)))
        curves.update(_curves(name, scored))
        for index, category_id in enumerate(place.categories):
            per_class[names[category_id]][f"{name}_ap"] = _mean(scored.precision[:, :, index, 0])
    return {**metrics, "per_class": per_class, "curves": curves}


def _numbers(scored):
    """The values of NUMBERS, in that order."""
    precision, recall = scored.precision[..., 0], scored.recall
    return [
        _mean(precision),
        *(_mean(precision[threshold]) for threshold in _thresholds().values()),
        *(_mean(scored.precision[..., area]) for area in (1, 2, 3)),
        *(_mean(recall[:, :, 0, limit]) for limit in (0, 1, 2)),
        *(_mean(recall[:, :, area, -1]) for area in (1, 2, 3)),
    ]


def _thresholds():
    """Name of an AP at one IoU -> the number of this IoU."""
    ious = Params("bbox").iouThrs
    return {name: int(np.flatnonzero(np.isclose(ious, iou))[0]) for name, iou in (("ap50", 0.5), ("ap75", 0.75))}


def _curves(kind, scored):
    """The curves of `coco_metrics`."""
    found = {}
    for name, threshold in _thresholds().items():
        precision = scored.precision[threshold, :, :, 0]
        there = precision[:, precision[0] > ABSENT]  # a class without objects has none at any recall
        if there.size:
            found[f"{kind}_{name}"] = there.mean(axis=1).round(4).tolist()
    return found


def _mean(values):
    """The mean of the values that exist."""
    values = values[values > ABSENT]
    return float(np.mean(values)) if values.size else ABSENT
