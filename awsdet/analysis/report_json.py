"""The figures of a report as JSON."""

from awsdet.analysis.breakdown import CURVES, areas, over_all
from awsdet.analysis.faults import SUSPECTS
from awsdet.analysis.precision import ABSENT
from awsdet.analysis.report_page import reason
from awsdet.analysis.tide import NONE

FORMAT = "awsdet analysis 1"
_LISTED = 1000  # images and suspects of each kind


def report_json(report, manifest, source: str) -> dict:
    """The JSON-ready dict of a report; image ids and category ids are those of the annotation file.

    AP and gains are 0 to 1; -1 is what does not exist, as in COCO.
    """
    return {
        "format": FORMAT,
        "source": source,
        "records": str(manifest.directory),
        "split": manifest.split,
        "classes": list(report.labels),
        "metrics": report.metrics,
        **{kind.name: _kind(kind, report, manifest) for kind in report.kinds},
    }


def _kind(kind, report, manifest):
    own = [manifest.own_image_id(number) for number in report.image_ids]
    return {
        "score": kind.score,
        "tide": {
            "ap": kind.tide.ap,
            "gains": kind.tide.gains,
            "counts": kind.tide.counts,
            "missed_gains": kind.tide.missed_gains,
        },
        "areas": dict(zip(CURVES, _areas(over_all(kind.curves)[:, None])[:, 0])),
        "areas_per_class": {
            label: dict(zip(CURVES, column))
            for label, column in zip(report.labels, areas(kind.curves).T.round(6).tolist())
            if column[0] > ABSENT
        },
        "best_score": kind.best._asdict() if kind.best else None,
        "calibration": _calibration(kind.calibration),
        "confusion": _confusion(kind.confusion, report.labels),
        "by_size": [row._asdict() for row in kind.by_size],
        "by_objects_in_image": [row._asdict() for row in kind.by_crowding],
        "worst_images": [{"image_id": own[one.image], "errors": one.counts} for one in kind.worst[:_LISTED]],
        "images_with_errors": len(kind.worst),
        "suspects": {name: _suspects(kind.suspects[name], kind, report, own) for name in SUSPECTS},
    }


def _areas(curves):
    return areas(curves).round(6)


def _calibration(found):
    if found is None:
        return None
    bins = {name: getattr(found, name).round(6).tolist() for name in ("counts", "confidence", "accuracy")}
    return {**bins, "ece": found.ece, "mce": found.mce}


def _confusion(found, labels):
    """Only what is not zero: for 1,200 classes the whole matrix has 1.4 million cells."""
    names = [*labels, None]
    rows, columns = found.matrix.nonzero()
    return {
        "score": found.score,
        "iou": found.iou,
        "cells": [
            {"true": names[row], "detected": names[column], "count": int(found.matrix[row, column])}
            for row, column in zip(rows.tolist(), columns.tolist())
        ],
    }


def _suspects(found, kind, report, own):
    listed = [
        {
            "image_id": own[one.image],
            "why": reason(one, kind, report),
            **({"annotation_id": _annotation(one, kind, report)} if one.object != NONE else {}),
            **({"bbox": _box(one, kind, report), "score": one.score} if one.detection != NONE else {}),
        }
        for one in found[:_LISTED]
    ]
    return {"count": len(found), "listed": listed}


def _annotation(suspect, kind, report):
    return report.ground_truth["annotations"][int(kind.pairs.truth_rows[suspect.object])]["id"]


def _box(suspect, kind, report):
    return report.results[int(kind.pairs.found_rows[suspect.detection])]["bbox"]
