"""Compares our detectors and ops with reference files, number for number.

    python tests/parity/check.py FILE.npz ...

prints each comparison with its error and tolerance. The exit code is 1 if an error exceeds its tolerance and 2 if a
file cannot be compared. Everything is read from the file: the same code serves every model, size, number of classes and
batch.
"""

import argparse
import pathlib
import sys

if __name__ == "__main__":
    sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))

from awsdet.runtime.errors import UserError
from tests.parity import reference as reference_lib
from tests.parity.ops import compare_ops
from tests.parity.rows import GIVEN, feature_row
from tests.parity.steps import training_rows, trajectory_row


def compare(path):
    """All comparisons that the file allows, a list of Row.

    Raises UserError if the file is not a reference file, ValueError if it holds a model that we cannot build.
    """
    arrays = reference_lib.read(path)
    if "model_config" in arrays:
        return compare_model(reference_lib.from_arrays(arrays))
    return compare_ops(arrays)


def compare_model(reference):
    """Compares outputs, proposals, detections, training targets, losses, gradients and some training steps.

    What misses its tolerance is compared again from the reference's own inputs to that part, so that rounding does not
    add up. Its row says so.
    """
    detector = reference.detector
    features = detector.backbone(reference.images)
    pyramid = detector.neck(features)
    rows = _again_where_missed(
        _stage_rows(reference, features), lambda: _stage_rows(reference, reference_lib.stages_from_given(reference))
    )
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


def _heads(reference, pyramid):
    return reference.kind.forward_rows(reference, pyramid) + reference.kind.inference_rows(reference, pyramid)


def main(arguments):
    """Prints a table for each file. Returns the exit code."""
    parser = argparse.ArgumentParser(description="Compares our detectors and ops with reference files.")
    parser.add_argument("files", nargs="+", metavar="FILE.npz")
    missed = refused = 0
    for path in parser.parse_args(arguments).files:
        print(path)
        try:
            rows = compare(path)
        except (UserError, ValueError) as error:
            print(f"  cannot be compared: {error}")
            refused += 1
            continue
        for row in rows:
            print(f"  {'ok  ' if row.holds else 'MISS'} {row.name:<72} {row.error:10.3g}  tolerance {row.tolerance:g}")
            missed += not row.holds
    if missed or not refused:
        print(f"{missed} comparisons missed" if missed else "all comparisons hold")
    if refused:
        print(f"{refused} of the files could not be compared")
    return 2 if refused else min(missed, 1)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
