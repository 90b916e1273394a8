"""The comparison of gradients forgives the float32 rounding of units at 0, and nothing else."""

import pathlib

import numpy as np
import pytest
import tensorflow as tf

from awsdet.models.layers import norms
from tests.parity import precise, reference
from tests.parity.gradients import TOLERANCE, Expected, exact_errors, gradient_rows
from tests.parity.training_step import reference_batch, step

FIXTURES = pathlib.Path(__file__).parents[1] / "fixtures" / "parity"


@pytest.fixture(scope="module")
def retinanet():
    return reference.load(FIXTURES / "retinanet.npz")


@pytest.mark.parametrize("wrong", ["roi_head.mask_iou_head.convs.1.weight", "backbone.layer2.0.bn3.bias"])
def test_an_error_of_two_thousandths_is_seen(wrong):
    """Even in a model whose plain run misses because of its units at 0, and in parameters next to such units."""
    theirs = reference.load(FIXTURES / "mask_scoring_rcnn.npz")
    theirs.arrays[f"grads/{wrong}"] = theirs.arrays[f"grads/{wrong}"] * np.float32(1.002)
    batch = reference_batch(theirs)
    row = gradient_rows(theirs, batch, step(theirs, batch)[2])[-1]
    assert not row.holds and row.error == pytest.approx(2e-3, rel=0.1)
    assert wrong in row.name and "in float64, from the reference's features" in row.name


def test_a_unit_at_0_may_be_on_or_off(retinanet):
    """A reference whose rounding put one unit on the other side of 0 is accepted."""
    with precise.in_float64(retinanet) as exact, reference.features_given(exact):
        gradients = step(exact, exact.batch)[2]
        unit, change = next(precise.units_at_zero(exact, exact.batch))
    expected = Expected([a + b for a, b in zip(map(tf.convert_to_tensor, gradients), change)])
    assert expected.errors(gradients).max() > TOLERANCE
    errors, how = exact_errors(retinanet, retinanet.batch, expected)
    assert errors.max() < 1e-5 and ", 1 of " in how

    worst = int(np.argmax([np.linalg.norm(c) / norm for c, norm in zip(change, expected.norms)]))
    expected.values[worst] *= 1.002
    errors, _ = exact_errors(retinanet, retinanet.batch, expected)
    assert errors.argmax() == worst and errors.max() == pytest.approx(2e-3, rel=0.1)


def test_flipped_units_pass_the_other_gradient_on():
    values = tf.constant([[1.0, -2.0], [0.0, 3.0]])
    relu = precise.ReLUs([precise.Unit(1, 1), precise.Unit(1, 3)])
    for expected in ([[1, 0], [0, 1]], [[1, 1], [0, 0]], [[1, 0], [0, 1]]):
        with tf.GradientTape() as tape:
            tape.watch(values)
            outputs = relu(values)
        assert tape.gradient(outputs, values).numpy().tolist() == expected
    assert len(relu.inputs) == 3


@pytest.mark.parametrize("norm", ["stored_batch_norm", "batch_norm", "group_norm"])
def test_norms_in_float64_are_the_same_but_for_rounding(retinanet, norm):
    random = np.random.default_rng(1)
    features = random.normal(0.5, 2.0, [2, 5, 7, 64])
    parameters = [tf.constant(v, tf.float32) for v in (*random.normal(size=[3, 64]), random.uniform(0.5, 2.0, 64))]
    parameters = parameters if norm == "stored_batch_norm" else parameters[:2]
    single = getattr(norms, norm)(tf.constant(features, tf.float32), *parameters)
    with precise.in_float64(retinanet):
        double = getattr(norms, norm)(tf.constant(features), *parameters)
    for a, b in zip(tf.nest.flatten(single), tf.nest.flatten(double)):
        np.testing.assert_allclose(a, b, rtol=2e-5, atol=2e-5)
    assert tf.nest.flatten(double)[0].dtype == tf.float64
