"""Each kind of extra level of the feature pyramid against its convolutions, written out."""

import numpy as np
import pytest
import tensorflow as tf

from awsdet.models.layers.initializers import Initializers
from awsdet.models.necks.fpn import FPN

WIDTHS = (3, 4, 5, 6)


def features(height=7, width=9):
    """C2 to C5 of an image of 32 * height x 32 * width."""
    random = np.random.default_rng(0)
    shapes = [(2, height << k, width << k, channels) for k, channels in zip((3, 2, 1, 0), WIDTHS)]
    return [tf.constant(random.normal(size=shape), tf.float32) for shape in shapes]


def fpn(**options):
    return FPN(WIDTHS, 8, norm="none", initializers=Initializers(1), dtype="float32", **options)


def convolved(layer, source):
    padded = tf.pad(source, [[0, 0], [1, 1], [1, 1], [0, 0]])
    return tf.nn.conv2d(padded, layer.kernel, 2, "VALID") + layer.bias


def test_five_levels_without_extra_convolutions():
    levels = fpn()(features())
    assert [tuple(level.shape[1:3]) for level in levels] == [(56, 72), (28, 36), (14, 18), (7, 9), (4, 5)]
    np.testing.assert_array_equal(levels[4], levels[3][:, ::2, ::2])


@pytest.mark.parametrize("kind", ["on_input", "on_lateral", "on_output"])
@pytest.mark.parametrize("relu", [False, True])
def test_p6_and_p7_are_convolutions_of_what_was_asked_for(kind, relu):
    neck = fpn(start_level=1, num_outs=5, extra_convs=kind, relu_before_extra_convs=relu)
    inputs = features()
    levels = neck(inputs)
    assert [tuple(level.shape[1:3]) for level in levels] == [(28, 36), (14, 18), (7, 9), (4, 5), (2, 3)]
    source = {"on_input": inputs[3], "on_lateral": neck.lateral[2](inputs[3]), "on_output": levels[2]}[kind]
    np.testing.assert_allclose(levels[3], convolved(neck.coarser[0], source), atol=1e-5)
    again = tf.nn.relu(levels[3]) if relu else levels[3]
    np.testing.assert_allclose(levels[4], convolved(neck.coarser[1], again), atol=1e-5)
    names = {variable.name for variable in neck.variables}
    assert {"neck.lateral_convs.0.conv.kernel:0", "neck.fpn_convs.4.conv.kernel:0"} <= names
    assert "neck.lateral_convs.3.conv.kernel:0" not in names


def test_unknown_kind_is_refused():
    with pytest.raises(ValueError, match="extra_convs is 'on_c5'; it must be one of none, on_input"):
        fpn(extra_convs="on_c5")


def test_levels_of_odd_size_take_the_nearest_of_the_coarser():
    """As PyTorch's interpolation to a given size: index floor(i * coarse / fine)."""
    sizes = [(25, 35), (13, 18), (7, 9), (4, 5)]
    random = np.random.default_rng(1)
    inputs = [tf.constant(random.normal(size=(1, *size, c)), tf.float32) for size, c in zip(sizes, WIDTHS)]
    neck = fpn()
    merged = None
    for level in (3, 2, 1, 0):
        lateral = neck.lateral[level](inputs[level]).numpy()
        if merged is not None:
            rows, columns = (np.arange(f) * c // f for f, c in zip(sizes[level], sizes[level + 1]))
            lateral += merged[:, rows][:, :, columns]
        merged = lateral
        np.testing.assert_allclose(neck(inputs)[level], neck.output_convs[level](merged), atol=1e-5)
