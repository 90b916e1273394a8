"""Scores detections against the ground truth of a split. Needs no TensorFlow, so a small process can do it."""

import os
import pathlib
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from absl import logging

from awsdet.detection.found import Found, coco_objects
from awsdet.evaluation import official_metric
from awsdet.evaluation.coco_metric import coco_metrics
from awsdet.runtime.files import write_json


class Truth(NamedTuple):
    """The ground truth of a split.

    Attributes:
        coco: a COCO annotation dict, with the numbers of the images in the records; categories in the order of classes.
        has_masks: whether any object has a mask.
        own_ids: number of an image -> its id in the annotation file, if that is another one.
    """

    coco: dict[str, Any]
    has_masks: bool
    own_ids: Mapping[int, int | str]


def score(
    images: Iterable[tuple[int, Found]], truth: Truth, output: str | os.PathLike | None, official: bool
) -> dict[str, Any]:
    """The dict of `coco_metrics`. It has no mask metrics if the detections or the ground truth have no masks.

    Args:
        images: (image id, Found) of each image of the split, in any order.
        truth: Truth.
        output: path of a JSON file in COCO's results format to write, with the ids of the annotation file; None: none.
        official: whether to score with pycocotools too; see `official_metric.check`.

    Raises UserError for a true mask that does not fit its image, RuntimeError if pycocotools has another score, and
    OSError if the file cannot be written.
    """
    images = sorted(images, key=lambda image: image[0])
    category_ids = [category["id"] for category in truth.coco["categories"]]
    results = [
        {"image_id": image_id, **entry} for image_id, found in images for entry in coco_objects(found, category_ids)
    ]
    if output:
        pathlib.Path(output).parent.mkdir(parents=True, exist_ok=True)
        write_json(output, [{**r, "image_id": truth.own_ids.get(r["image_id"], r["image_id"])} for r in results])
        logging.info("wrote %d detections to %s", len(results), output)
    with_masks = truth.has_masks and any(found.masks is not None for _, found in images)
    metrics = coco_metrics(truth.coco, results, with_masks)
    if official:
        official_metric.check(metrics, truth.coco, results, with_masks)
        logging.info("pycocotools gives the same numbers")
    return metrics
