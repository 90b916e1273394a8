"""The training step in mixed precision: an update at once reads gradients of 16 bits as they are."""

import numpy as np
import pytest
import tensorflow as tf

from awsdet.models import update
from awsdet.runtime.world import World
from awsdet.training.optimizer import SGD
from tests.models.small_detectors import TWO_IMAGES, batch_of, small_detector


class OneOfMany(World):
    """The only process of a world that others may join, so that it exchanges its gradients."""

    elastic = True

    def average(self, gradients, half=False):
        assert {gradient.dtype for gradient in gradients} == {tf.float32}
        return super().average(gradients, half)


def trained(steps=2, precision="mixed_bfloat16", world=None, optimizer=None, **options):
    """(weights after some steps on one batch, dtypes of the gradients that the update reads)."""
    model = small_detector(f"model.precision={precision}", detector="retinanet")
    optimizer = optimizer or SGD(0.05)
    if precision == "mixed_float16":
        optimizer = tf.keras.mixed_precision.LossScaleOptimizer(optimizer, initial_scale=64)
    model.compile(optimizer, world=world, **options)
    data = batch_of(TWO_IMAGES)
    step = tf.function(model.train_step, autograph=False)
    found = set()
    graph = step.get_concrete_function(data).graph.as_graph_def(add_shapes=False)
    for nodes in (graph.node, *(function.node_def for function in graph.library.function)):
        for node in nodes:
            if node.op in ("AwsdetSgdUpdate", "AwsdetAccumulate"):
                found |= {tf.as_dtype(number) for number in node.attr["T"].list.type}
    for _ in range(steps):
        step(data)
    return [variable.numpy() for variable in model.trainable_variables], found


@pytest.mark.parametrize("precision", ["mixed_bfloat16", "mixed_float16"])
def test_an_update_reads_16_bits_and_gives_the_same_weights(precision, monkeypatch):
    weights, dtypes = trained(precision=precision)
    assert dtypes == {tf.float32, tf.as_dtype(precision.removeprefix("mixed_"))}
    monkeypatch.setattr(update, "before_widening", lambda gradient: gradient)
    expected, dtypes = trained(precision=precision)
    assert dtypes == {tf.float32}
    for ours, theirs in zip(weights, expected, strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize(
    "options, wanted",
    [
        ({"world": OneOfMany()}, {tf.float32}),
        ({"world": OneOfMany(), "accumulate_steps": 2}, {tf.float32, tf.float16}),
        ({"compression": "fp16"}, {tf.float32}),
        ({"optimizer": tf.keras.optimizers.legacy.SGD(0.05, momentum=0.9)}, set()),
    ],
    ids=["exchanged", "accumulated", "compressed", "of Keras"],
)
def test_what_is_exchanged_or_compressed_is_float32(options, wanted):
    weights, dtypes = trained(precision="mixed_float16", **options)
    assert dtypes == wanted
    assert all(np.isfinite(weight).all() for weight in weights)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_the_bits_before_a_gradient_was_widened(dtype):
    @tf.function(autograph=False)
    def traced(half, whole):
        widened = tf.cast(half, tf.float32)
        assert update.before_widening(widened) is half
        others = [whole, tf.cast(tf.cast(whole, tf.int32), tf.float32), tf.cast(half, tf.float64), widened + 1, half]
        assert all(update.before_widening(other) is other for other in others)

    half = tf.constant([1.5, 2.0], dtype)
    traced(half, tf.constant([1.0]))
    eager = tf.cast(half, tf.float32)
    assert update.before_widening(eager) is eager
