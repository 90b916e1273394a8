"""What a model in fewer bits costs: the AP of it and of the detector that it came from, on the same images."""

from typing import NamedTuple

from awsdet.data.records.images import image_of, spread
from awsdet.data.records.read import read_ground_truth
from awsdet.detection.found import coco_objects
from awsdet.evaluation.coco_metric import ABSENT, coco_metrics
from awsdet.runtime.errors import UserError
from awsdet.runtime.progress import Progress

KINDS = ("box", "mask")


class LostAp(NamedTuple):
    """AP from 0 to 1 of the two on `images` images, by kind, box and mask. allowed: what may be lost."""

    images: int
    checkpoint: dict[str, float]
    exported: dict[str, float]
    allowed: float

    def lost(self, kind):
        """AP that the exported model has less; negative if it has more."""
        return self.checkpoint[kind] - self.exported[kind]

    def holds(self):
        """Whether the exported model has lost no more than it may."""
        return all(self.lost(kind) <= self.allowed for kind in self.checkpoint)

    def failure(self):
        """What is wrong if it does not hold."""
        return "the exported model loses more AP than --max-ap-loss allows"

    def weakness(self):
        """Why it says little though it holds; empty if it does not."""
        if min(self.checkpoint.values()) > self.allowed:
            return ""
        cause = "the checkpoint's own AP is no more than may be lost, so little was checked"
        return f"{cause}; give --records like those of its training"


def lost_ap(detector, exported, manifest, count, allowed):
    """The LostAp on `count` images, evenly spread over the split.

    `detector`, `exported`: what has `find`, and finds the classes of the manifest. `manifest`: Manifest.
    Raises UserError if those images have no object, or a record is broken.
    """
    rows = spread(manifest, count)
    ids = set(manifest.image_id[rows].tolist())
    truth = read_ground_truth(manifest)
    for part, key in (("images", "id"), ("annotations", "image_id")):
        truth[part] = [one for one in truth[part] if one[key] in ids]
    before = _scores(detector, manifest, rows, truth, "the checkpoint")
    if before["box"] == ABSENT:
        raise UserError(
            f"{len(rows)} images of split {manifest.split} have no object, so there is no AP; give other records"
        )
    after = _scores(exported, manifest, rows, truth, "the export")
    # A model may be exported without its masks, and the images may have objects without any.
    kinds = [kind for kind in before if kind in after and before[kind] != ABSENT]
    return LostAp(len(rows), *({kind: scores[kind] for kind in kinds} for scores in (before, after)), allowed)


def _scores(finder, manifest, rows, truth, name):
    results, with_masks = [], manifest.has_masks
    with Progress(len(rows), f"AP of {name}", "images") as progress:
        for row in rows.tolist():
            found = finder.find(image_of(manifest, row))
            with_masks = with_masks and found.masks is not None
            image_id = int(manifest.image_id[row])
            results += [{"image_id": image_id, **one} for one in coco_objects(found, manifest.category_ids)]
            progress.add()
    metrics = coco_metrics(truth, results, with_masks)
    return {kind: metrics[f"{kind}_ap"] for kind in KINDS if f"{kind}_ap" in metrics}
