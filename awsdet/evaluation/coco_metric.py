"""The COCO metric: average precision and recall of boxes and masks by pycocotools, under fixed names, and by class.

    box_ap        mean over IoU 0.50:0.05:0.95        box_ar1 box_ar10 box_ar100    recall, so many detections an image
    box_ap50 box_ap75                                 box_ar_small …_medium …_large
    box_ap_small box_ap_medium box_ap_large           mask_… the same of the masks

A number that does not exist (no object of that size) is -1, as in COCO.
"""

import contextlib
import io

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

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
      ground_truth: dict as in a COCO annotation file: images, annotations, categories. Every image counts, also one
        without objects or without detections. It is left as it is.
      results: list of dicts as in a COCO results file: image_id, category_id, bbox [x, y, width, height], score and,
        with masks, segmentation as RLE. Among equal scores the earlier one goes first. Where there is a mask_score,
        masks are ranked by it, boxes by the score.
      with_masks: whether the masks are scored too.

    Returns:
      dict name -> float (names above), and per_class: dict class name -> {"box_ap", "mask_ap" (with masks), "objects"
      (crowd regions not counted)}, in the order of the categories.
    """
    categories = ground_truth["categories"]
    per_class = {c["name"]: {"objects": 0} for c in categories}
    names = {c["id"]: c["name"] for c in categories}
    for annotation in ground_truth["annotations"]:
        per_class[names[annotation["category_id"]]]["objects"] += not annotation.get("iscrowd", 0)
    metrics = {}
    truth = _ground_truth(ground_truth)
    for name, kind in [("box", "bbox"), ("mask", "segm")][: 2 if with_masks else 1]:
        scored = _score(truth, _of_kind(results, kind), kind)
        metrics.update({f"{name}_{number}": float(value) for number, value in zip(NUMBERS, scored.stats)})
        for index, category_id in enumerate(scored.params.catIds):
            per_class[names[category_id]][f"{name}_ap"] = _class_ap(scored, index)
    return {**metrics, "per_class": per_class}


def _ground_truth(ground_truth):
    """The COCO index, with annotations numbered from 1: COCOeval takes an object whose id is 0 for one never found."""
    truth = COCO()
    annotations = [{**a, "id": i} for i, a in enumerate(ground_truth["annotations"], start=1)]
    truth.dataset = {**ground_truth, "annotations": annotations}
    with contextlib.redirect_stdout(io.StringIO()):
        truth.createIndex()
    return truth


def _of_kind(results, kind):
    """Copies with the box alone or the mask alone, and its score: COCO takes sizes from the box where it finds one."""
    geometry, score = ("bbox", "score") if kind == "bbox" else ("segmentation", "mask_score")
    return [
        {
            "image_id": r["image_id"],
            "category_id": r["category_id"],
            "score": r.get(score, r["score"]),
            geometry: r[geometry],
        }
        for r in results
    ]


def _score(truth, results, kind):
    with contextlib.redirect_stdout(io.StringIO()):  # pycocotools prints what it does
        if results:
            found = truth.loadRes(results)
        else:  # loadRes looks at the first result
            found = COCO()
            found.dataset = {**truth.dataset, "annotations": []}
            found.createIndex()
        scored = COCOeval(truth, found, kind)
        scored.evaluate()
        scored.accumulate()
        scored.summarize()
    return scored


def _class_ap(scored, index):
    """Mean over IoU thresholds and recalls: all areas, the largest number of detections."""
    precision = scored.eval["precision"][:, :, index, 0, -1]
    precision = precision[precision > -1]
    return float(np.mean(precision)) if precision.size else ABSENT
