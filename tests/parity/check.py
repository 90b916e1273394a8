"""Compares our detectors and ops with reference files, number for number.

    python tests/parity/check.py FILE.npz ...

prints what was compared, the error and the tolerance, and exits with 1 if any is missed. Everything is read from the
file: the same code serves every model, size, class count and batch.
"""

import pathlib
import sys

import numpy as np

if __name__ == "__main__":
    sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))

from tests.parity import reference as reference_lib
from tests.parity.ops import compare_ops
from tests.parity.rows import GIVEN, feature_row
from tests.parity.steps import training_rows, trajectory_row


def compare(path):
    """All comparisons that the file allows, a list of Row."""
    with np.load(path) as file:
        is_model = "model_config" in file.files
        ops = {} if is_model else {key: file[key] for key in file.files}
    return compare_model(reference_lib.load(path)) if is_model else compare_ops(ops)


def compare_model(reference):
    """Outputs, proposals, detections, training targets, losses, gradients and some steps of training.

    What misses is compared again from the reference's own inputs to that part, so that rounding does not add up; its
    row says so.
    """
    detector = reference.detector
    features = detector.backbone(reference.images)
    pyramid = detector.neck(features)
    rows = _again_where_missed(_stage_rows(reference, features), lambda: _stage_rows(reference, _stages(reference)))
    given = reference_lib.given_features
    rows += _again_where_missed(
        _level_rows(reference, pyramid), lambda: _level_rows(reference, detector.neck(given(reference, "C")))
    )
    rows += _again_where_missed(_heads(reference, pyramid), lambda: _heads(reference, given(reference, "P")))
    return [*rows, *training_rows(reference), trajectory_row(reference)]


def _again_where_missed(rows, again):
    if all(row.holds for row in rows):
        return rows
    return [row if row.holds else other._replace(name=f"{row.name}{GIVEN}") for row, other in zip(rows, again())]


def _stage_rows(reference, features):
    return [feature_row(reference.arrays, f"C{level}", value) for level, value in enumerate(features, start=2)]


def _level_rows(reference, pyramid):
    first = reference.detector.neck.start_level + 2
    return [feature_row(reference.arrays, f"P{level}", value) for level, value in enumerate(pyramid, first)]


def _stages(reference):
    """C2 as the backbone gives it, C3 to C5 each from the reference's feature before it."""
    backbone = reference.detector.backbone
    outputs = backbone(reference.images)[:1]
    for stage, features in zip(backbone.stages[1:], reference_lib.given_features(reference, "C")):
        for block in stage:
            features = block(features)
        outputs.append(features)
    return outputs


def _heads(reference, pyramid):
    return reference.kind.forward_rows(reference, pyramid) + reference.kind.inference_rows(reference, pyramid)


def main(paths):
    """Prints a table for each file. Returns the exit code."""
    missed = 0
    for path in paths:
        print(path)
        for row in compare(path):
            print(f"  {'ok  ' if row.holds else 'MISS'} {row.name:<72} {row.error:10.3g}  tolerance {row.tolerance:g}")
            missed += not row.holds
    print(f"{missed} comparisons missed" if missed else "all comparisons hold")
    return 1 if missed or not paths else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
