"""The COCO metrics by pycocotools' own COCOeval, for results that must be scored by nothing else (MLPerf)."""

import contextlib
import io

from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from awsdet.evaluation.coco_metric import NUMBERS

TOLERANCE = 1e-12


def official_metrics(ground_truth, results, with_masks):
    """The numbers of `coco_metrics` but for those per class, by COCOeval. The arguments are those of `coco_metrics`."""
    known = {category["id"] for category in ground_truth["categories"]}
    results = [result for result in results if result["category_id"] in known]
    metrics = {}
    with contextlib.redirect_stdout(io.StringIO()):  # it prints its progress
        truth = _coco({**ground_truth, "annotations": _renumbered(ground_truth["annotations"])})
        for name, kind, own in [("box", "bbox", _boxes), ("mask", "segm", _masks)][: 2 if with_masks else 1]:
            found = (
                truth.loadRes([own(result) for result in results])
                if results
                else _coco(dict(truth.dataset, annotations=[]))
            )
            scored = COCOeval(truth, found, kind)
            scored.evaluate()
            scored.accumulate()
            scored.summarize()
            metrics.update(zip((f"{name}_{number}" for number in NUMBERS), map(float, scored.stats)))
    return metrics


def check(metrics, ground_truth, results, with_masks):
    """Raises RuntimeError if a number of `metrics` differs from that of COCOeval by more than TOLERANCE."""
    for name, wanted in official_metrics(ground_truth, results, with_masks).items():
        if not abs(metrics[name] - wanted) <= TOLERANCE:
            raise RuntimeError(
                f"{name} is {metrics[name]!r}, and pycocotools has {wanted!r}: please report this, "
                "with the annotations and results.json"
            )


def _coco(dataset):
    coco = COCO()
    coco.dataset = dataset
    coco.createIndex()
    return coco


def _renumbered(annotations):
    """With ids from 1 on: COCOeval takes the id 0 for no object. Copies, since it adds keys to them."""
    return [{**annotation, "id": number} for number, annotation in enumerate(annotations, 1)]


def _boxes(result):
    return {key: result[key] for key in ("image_id", "category_id", "bbox", "score")}


def _masks(result):
    """Without a box, whose area would be taken for that of the mask."""
    score = result.get("mask_score", result["score"])
    return {**{key: result[key] for key in ("image_id", "category_id", "segmentation")}, "score": score}
