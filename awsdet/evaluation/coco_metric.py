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
from pycocotools import mask as coco_mask
from pycocotools.cocoeval import Params

from awsdet.data.coco.categories import class_labels
from awsdet.data.coco.ids import in_order
from awsdet.data.coco.rle import to_rle
from awsdet.evaluation.coco_scores import Objects, score
from awsdet.runtime.errors import UserError

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
_DECODED = 128  # masks whose decoded runs are in memory at the same time


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
      several categories have is followed by the category id.

    Raises:
      UserError: a mask of the ground truth that does not fit its image.
    """
    categories = ground_truth["categories"]
    ids = [c["id"] for c in categories]
    names = dict(zip(ids, class_labels([str(c["name"]) for c in categories], ids)))
    per_class = {name: {"objects": 0} for name in names.values()}
    for annotation in ground_truth["annotations"]:
        per_class[names[annotation["category_id"]]]["objects"] += not annotation.get("iscrowd", 0)
    place = _Places(ground_truth)
    results = [r for r in results if r["category_id"] in names]  # as COCOeval does
    metrics = {}
    for name, sides in [("box", _boxes), ("mask", _masks)][: 2 if with_masks else 1]:
        truth, crowd, found, scores = sides(place, results)
        scored = score(truth, crowd, found, scores, len(names))
        metrics.update(zip((f"{name}_{number}" for number in NUMBERS), _numbers(scored)))
        for index, category_id in enumerate(place.categories):
            per_class[names[category_id]][f"{name}_ap"] = _mean(scored.precision[:, :, index, 0])
    return {**metrics, "per_class": per_class}


class _Places:
    """The positions of images and categories when sorted by id, as COCOeval sorts them."""

    def __init__(self, ground_truth):
        self.images = in_order({image["id"] for image in ground_truth["images"]})
        self.categories = in_order({category["id"] for category in ground_truth["categories"]})
        self.sizes = {image["id"]: (image.get("height"), image.get("width")) for image in ground_truth["images"]}
        self._image = {number: i for i, number in enumerate(self.images)}
        self._category = {number: i for i, number in enumerate(self.categories)}
        self.annotations = [a for a in ground_truth["annotations"] if a["image_id"] in self._image]
        self.crowd = np.array([bool(a.get("iscrowd", 0)) for a in self.annotations], bool)
        self.areas = np.array([a["area"] for a in self.annotations], np.float64)

    def objects(self, entries, areas, shapes):
        """Makes Objects from dicts with image_id and category_id. Raises ValueError if an image does not exist."""
        unknown = {e["image_id"] for e in entries} - self._image.keys()
        if unknown:
            raise ValueError(f"results for images that the ground truth does not have: ids {sorted(unknown)[:5]}")
        images = np.array([self._image[e["image_id"]] for e in entries], np.int64)
        classes = np.array([self._category[e["category_id"]] for e in entries], np.int64)
        return Objects(images, classes, areas, shapes)


def _boxes(place, results):
    """The arguments (truth, crowd, found, scores) of `score` for boxes."""
    truth = np.array([a["bbox"] for a in place.annotations], np.float64).reshape(-1, 4)
    found = np.array([r["bbox"] for r in results], np.float64).reshape(-1, 4)
    scores = np.array([r["score"] for r in results], np.float64)
    areas = found[:, 2] * found[:, 3]
    return (
        place.objects(place.annotations, place.areas, truth),
        place.crowd,
        place.objects(results, areas, found),
        scores,
    )


def _masks(place, results):
    """The arguments (truth, crowd, found, scores) of `score` for masks."""
    truth = [_true_mask(a, place.sizes[a["image_id"]]) for a in place.annotations]
    found = [r["segmentation"] for r in results]
    scores = np.array([r.get("mask_score", r["score"]) for r in results], np.float64)
    # In parts, because decoded runs are large.
    parts = [coco_mask.area(found[i : i + _DECODED]) for i in range(0, len(found), _DECODED)]
    areas = np.concatenate([np.zeros(0), *parts])
    return (
        place.objects(place.annotations, place.areas, truth),
        place.crowd,
        place.objects(results, areas, found),
        scores,
    )


def _true_mask(annotation, size):
    try:
        return to_rle(annotation["segmentation"], size)
    except (ValueError, OverflowError) as error:
        name = f"annotation {annotation.get('id')} of image {annotation['image_id']}"
        raise UserError(f"the mask of {name} cannot be used: {error}; convert the annotations again") from None


def _numbers(scored):
    """The values of NUMBERS, in that order."""
    settings = Params("bbox")
    at = [int(np.flatnonzero(np.isclose(settings.iouThrs, iou))[0]) for iou in (0.5, 0.75)]
    precision, recall = scored.precision[..., 0], scored.recall
    return [
        _mean(precision),
        *(_mean(precision[threshold]) for threshold in at),
        *(_mean(scored.precision[..., area]) for area in (1, 2, 3)),
        *(_mean(recall[:, :, 0, limit]) for limit in (0, 1, 2)),
        *(_mean(recall[:, :, area, -1]) for area in (1, 2, 3)),
    ]


def _mean(values):
    """The mean of the values that exist."""
    values = values[values > ABSENT]
    return float(np.mean(values)) if values.size else ABSENT
