"""pycocotools' COCOeval for one class, with objects of other classes that are ignored, as COCO's analysis wants it."""

import contextlib
import copy
import io

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval


class Ignoring(COCOeval):
    """COCOeval that keeps the sign `ignore` of annotations, as the MATLAB version does."""

    def _prepare(self):
        super()._prepare()
        for entries in self._gts.values():
            for entry in entries:
                entry["ignore"] = entry["iscrowd"] or entry.get("other", 0)


def scored(truth, results, threshold, k, groups=None):
    """COCOeval of class number k, evaluated and accumulated; None if nothing of the class was detected.

    groups: number of each class; objects of other classes of its group count as its own, and are ignored.
    """
    truth = copy.deepcopy(truth)
    numbers = {category["id"]: index for index, category in enumerate(truth["categories"])}
    wanted = truth["categories"][k]["id"]
    for one in truth["annotations"]:
        other = numbers[one["category_id"]]
        if groups is not None and other != k and groups[other] == groups[k]:
            one.update(category_id=wanted, other=1)
    entries = [{**one, "row": row} for row, one in enumerate(results) if one["category_id"] == wanted]
    if not entries:
        return None
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO()
        coco.dataset = truth
        coco.createIndex()
        found = Ignoring(coco, coco.loadRes(entries), "bbox")
        found.params.iouThrs, found.params.catIds = np.array([threshold]), [wanted]
        found.params.areaRng, found.params.areaRngLbl = [[0, 1e10]], ["all"]
        found.params.maxDets = [100]
        found.evaluate()
        found.accumulate()
    return found


def matches_of_class(truth, results, threshold, k, groups=None):
    """Result number -> (object id, ignored) of the matched detections of class number k."""
    by_coco, found = scored(truth, results, threshold, k, groups), {}
    for image in filter(None, by_coco.evalImgs if by_coco else ()):
        for number, matched, ignored in zip(image["dtIds"], image["dtMatches"][0], image["dtIgnore"][0]):
            if matched:
                found[by_coco.cocoDt.anns[number]["row"]] = (int(matched), bool(ignored))
    return found
