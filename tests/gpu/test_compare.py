"""Two results agree or not, and what is told of those that do not."""

import numpy as np
import pytest
import tensorflow as tf

from tests.gpu.compare import Tolerance, compare

NAN, INF = np.nan, np.inf


def agree(ours, theirs, *tolerance, dtype=np.float32):
    return compare("x", np.array(ours, dtype), np.array(theirs, dtype), Tolerance(*tolerance))[1] is None


def test_exact():
    assert agree([1, NAN, INF, -0.0], [1, NAN, INF, 0.0])
    assert not agree([1.0000001], [1])
    for wrong in (NAN, -INF, 3e38):
        assert not agree([wrong], [INF]) and not agree([wrong], [1])
    assert agree([], [])


def test_tolerances():
    assert agree([100.09, 0.09], [100, 0], 1e-3)
    assert not agree([100.11, 0], [100, 0], 1e-3)
    assert agree([100.09, 1.0009], [100, 1], 0.0, 1e-3)
    assert not agree([100, 1.0011], [100, 1], 0.0, 1e-3)
    assert not agree([NAN, 1], [0, 1], 1e9) and not agree([INF, 1], [0, 1], 1e9)
    assert agree([NAN, INF, 1.0001], [NAN, INF, 1], 1e-3)  # an infinity is not the largest number


@pytest.mark.parametrize("dtype", [np.int32, bool])
def test_integers_must_be_equal_whatever_the_tolerance(dtype):
    assert agree([1, 0], [1, 0], 1.0, 1.0, dtype=dtype)
    assert not agree([1, 0], [1, 1], 1.0, 1.0, dtype=dtype)


def test_low_precision():
    ours, theirs = (tf.constant(value, tf.bfloat16).numpy() for value in ([1.0, 256.0], [1.0, 258.0]))
    assert compare("x", ours, theirs, Tolerance(0, 2**-7))[1] is None
    assert compare("x", ours, theirs)[1] is not None


def test_other_shapes_and_dtypes():
    assert "float32 [2] instead of float32 [1]" in compare("x", np.zeros(2, "f4"), np.zeros(1, "f4"))[1]["what"]
    assert "float16 [1] instead of float32 [1]" in compare("x", np.zeros(1, "f2"), np.zeros(1, "f4"))[1]["what"]


def test_the_worst_is_shown():
    ours = np.array([[0, 1.5], [9, 4]], np.float32)
    figures, failure = compare("boxes", ours, np.array([[0, 1], [2, 4]], np.float32))
    assert failure["name"] == "boxes"
    assert failure["what"] == "2 of 4 numbers differ, at [1, 0] 9.0 instead of 2.0"
    assert figures == {"numbers": 4, "different": 2, "worst_of_largest": 7 / 4}
