"""Pictures for the report: the true objects of an image, and what was detected in it, coloured by what is wrong."""

import base64
from typing import NamedTuple

import numpy as np
from PIL import ImageColor

from awsdet.analysis.charts import KIND_COLORS
from awsdet.analysis.faults import Suspect, lost_objects
from awsdet.analysis.tide import KINDS, NONE
from awsdet.data.coco.rle import to_rle
from awsdet.inference.drawing import DrawnObject, draw_objects
from awsdet.survey.pictures import jpeg, read_picture, window

RIGHT = "#2e9e4f"  # a true positive, or an object that was found
TRUTH = "#1f6fe5"  # a true object beside a suspect detection
_SIDE, _LEAST_SIDE = 480, 320  # px, long side of a picture
_QUALITY = 80
_MOST_LABELS = 20


class Picture(NamedTuple):
    """A JPEG as a data URI, its size (width, height), and why the image itself cannot be seen; empty if it can."""

    address: str
    size: tuple
    problem: str


class Painter:
    """Draws images of records with what a report says of them.

    Args:
        report: Report; image ids are those of the records.
        manifest: Manifest.
    """

    def __init__(self, report, manifest):
        self._report, self._manifest = report, manifest
        self._rows = {number: row for row, number in enumerate(manifest.image_id.tolist())}

    def pair(self, kind, image) -> tuple:
        """(Picture of the true objects, Picture of the detections that count) of an image, by its number in Pairs."""
        pixels, problem = self._read(image)
        missed, later = lost_objects(kind.pairs, kind.matches, kind.tide, kind.score)
        truth = np.flatnonzero(kind.pairs.truth.images == image).tolist()
        found = np.flatnonzero((kind.pairs.found.images == image) & (kind.pairs.scores >= kind.score)).tolist()
        marked = missed | later
        left = [self._true(kind, g, KIND_COLORS["Miss"] if marked[g] else RIGHT) for g in truth]
        order = sorted(found, key=lambda d: kind.tide.kind[d] == NONE)  # errors on top
        right = [self._detected(kind, d) for d in order]
        return self._picture(pixels, left, problem), self._picture(pixels, right, problem)

    def suspect(self, kind, suspect: Suspect) -> Picture:
        """The surroundings of a suspect: the detection in the colour of its kind, true objects in blue."""
        pixels, problem = self._read(suspect.image)
        truth = np.flatnonzero(kind.pairs.truth.images == suspect.image).tolist()
        truth = sorted(truth, key=lambda g: g != suspect.object)
        colors = [KIND_COLORS["Miss"] if g == suspect.object and suspect.detection == NONE else TRUTH for g in truth]
        objects = [self._true(kind, g, color, masks=False) for g, color in zip(truth, colors)]
        if suspect.detection != NONE:
            objects.insert(0, self._detected(kind, suspect.detection, masks=False))
        part, moved = window(pixels, objects)
        return self._picture(part, moved, problem, labelled=1)

    def _read(self, image):
        row = self._rows[self._report.image_ids[image]]
        _, pixels, problem = read_picture(self._manifest, row)
        return pixels, problem

    def _true(self, kind, g, color, masks=True):
        annotation = self._report.ground_truth["annotations"][int(kind.pairs.truth_rows[g])]
        label = self._report.labels[int(kind.pairs.truth.classes[g])]
        crowd = bool(kind.pairs.crowd[g])
        mask = self._mask(annotation) if masks and kind.name == "mask" else None
        return _drawn(annotation["bbox"], f"{label} (crowd)" if crowd else label, color, mask, dashed=crowd)

    def _detected(self, kind, d, masks=True):
        result = self._report.results[int(kind.pairs.found_rows[d])]
        label, error = self._report.labels[int(kind.pairs.found.classes[d])], int(kind.tide.kind[d])
        name = KINDS[error] if error != NONE else ""
        mask = result.get("segmentation") if masks and kind.name == "mask" else None
        text = f"{f'{name}: ' if name else ''}{label} {kind.pairs.scores[d]:.2f}"
        ignored = bool(kind.matches.ignored[d])
        return _drawn(result["bbox"], text, KIND_COLORS.get(name, RIGHT), mask, dashed=ignored)

    def _mask(self, annotation):
        row = self._rows[annotation["image_id"]]
        return to_rle(annotation["segmentation"], (self._manifest.height[row], self._manifest.width[row]))

    def _picture(self, pixels, objects, problem, labelled=0):
        """labelled: how many objects keep their label even if there are too many for all to have one."""
        if len(objects) > _MOST_LABELS:
            objects = [*objects[:labelled], *(item._replace(label="") for item in objects[labelled:])]
        side = max(pixels.shape[:2])
        drawn = draw_objects(pixels, objects, min(_SIDE, max(side, _LEAST_SIDE)) / side)
        code = base64.b64encode(jpeg(drawn, _QUALITY)).decode()
        return Picture(f"data:image/jpeg;base64,{code}", drawn.size, problem)


def _drawn(box, label, color, mask, dashed):
    x, y, width, height = np.clip(box, -1e6, 1e6).tolist()  # Pillow takes no numbers beyond
    outline = "dashed" if dashed else "solid"
    return DrawnObject((x, y, x + width, y + height), label, 0, mask, outline, color=ImageColor.getrgb(color))
