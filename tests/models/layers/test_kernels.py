"""Kernels that one operation casts for a whole detector: the same numbers as when each layer casts its own."""

import contextlib
import threading

import numpy as np
import pytest
import tensorflow as tf

from awsdet.models import detector as detector_module
from awsdet.models.layers.conv import Conv
from awsdet.models.layers.dense import Dense
from awsdet.models.layers.kernels import cast_at_once
from awsdet.models.layers.upsample import Upsample
from tests.models.small_detectors import TWO_IMAGES, batch_of, keys_in_index_order, small_detector

LAYERS = {
    "conv": lambda dtype: Conv(3, 4, 3, name="conv", dtype=dtype, initializer=tf.random.normal),
    "groups": lambda dtype: Conv(6, 4, 3, groups=2, name="groups", dtype=dtype, initializer=tf.random.normal),
    "dense": lambda dtype: Dense(3, 4, name="dense", dtype=dtype, initializer=tf.random.normal),
    "upsample": lambda dtype: Upsample(3, 4, name="upsample", dtype=dtype, initializer=tf.random.normal),
}


class Net(tf.Module):
    """Some layers."""

    def __init__(self, *layers):
        super().__init__()
        self.layers = list(layers)


def features_for(layer, seed=0):
    channels = {"groups": 6}.get(layer.name, 3)
    shape = (5, channels) if layer.name == "dense" else (2, 4, 5, channels)
    return tf.cast(np.random.default_rng(seed).normal(size=shape), layer.compute_dtype)


def assert_same_bits(ours, theirs):
    for mine, wanted in zip(tf.nest.flatten(ours), tf.nest.flatten(theirs), strict=True):
        assert mine.dtype == wanted.dtype
        np.testing.assert_array_equal(mine.numpy(), wanted.numpy())


def outputs_and_gradients(layer, features, scope):
    with tf.GradientTape() as tape, scope:
        outputs = layer(features)
        total = tf.reduce_sum(tf.cast(outputs, tf.float32) ** 2)
    return outputs, tape.gradient(total, layer.trainable_variables)


def operations(function, kind):
    """How many operations of a kind a traced function has."""
    return sum(node.op == kind for node in function.get_concrete_function().graph.as_graph_def().node)


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("dtype", ["mixed_float16", "mixed_bfloat16"])
@pytest.mark.parametrize("name", LAYERS)
def test_each_layer_computes_the_same(name, dtype, compiled):
    layer = LAYERS[name](dtype)
    features = features_for(layer)

    def both():
        at_once = outputs_and_gradients(layer, features, cast_at_once(Net(layer)))
        return at_once, outputs_and_gradients(layer, features, contextlib.nullcontext())

    at_once, alone = (tf.function(both, autograph=False) if compiled else both)()
    assert_same_bits(at_once, alone)
    assert {gradient.dtype for gradient in at_once[1]} == {tf.float32}


def test_gradients_of_several_uses_are_added_in_float32():
    """4096 ones and 1: bfloat16 has no 4097."""
    layer = Dense(1, 1, name="dense", dtype="mixed_bfloat16", initializer=tf.ones)
    with tf.GradientTape() as tape, cast_at_once(Net(layer)):
        uses = [layer(tf.constant([[number]], tf.bfloat16)) for number in (4096.0, 1.0)]
        total = tf.add_n([tf.cast(use, tf.float32) for use in uses])
    assert tape.gradient(total, layer.kernel).numpy() == 4097


def test_one_operation_casts_all():
    dense, conv, whole = LAYERS["dense"]("mixed_bfloat16"), LAYERS["conv"]("mixed_bfloat16"), LAYERS["dense"]("float32")

    @tf.function(autograph=False)
    def inside():
        with cast_at_once(Net(dense, conv)):
            return dense(features_for(dense)), conv(features_for(conv)), conv(features_for(conv, 1))

    @tf.function(autograph=False)
    def in_float32():
        with cast_at_once(Net(whole)):
            return whole(features_for(whole))

    assert (operations(inside, "AwsdetCast"), operations(in_float32, "AwsdetCast")) == (1, 0)


def test_values_are_those_at_the_beginning_of_each_step():
    layer = LAYERS["dense"]("mixed_bfloat16")
    features, net = features_for(layer), Net(layer)

    @tf.function(autograph=False)
    def step():
        with cast_at_once(net):
            outputs = layer(features)
        layer.kernel.assign(layer.kernel * 2)
        return outputs

    before = layer.kernel.numpy()
    first, second = step(), step()
    assert_same_bits([first * 2], [second])  # the biases are zeros
    layer.kernel.assign(before)  # as a checkpoint that is loaded
    assert_same_bits([step()], [first])
    with cast_at_once(net):
        layer.kernel.assign(before * 4)
    assert_same_bits([layer(features)], [first * 4])  # nothing is left over


def test_other_layers_cast_their_own():
    """Layers of another model, those made later, those of another precision, and those of another thread."""
    known, other = LAYERS["dense"]("mixed_bfloat16"), LAYERS["conv"]("mixed_bfloat16")
    whole = LAYERS["upsample"]("float32")
    expected = [layer(features_for(layer)) for layer in (known, other, whole)]
    found = []
    with cast_at_once(Net(known, whole)):
        found = [layer(features_for(layer)) for layer in (known, other, whole)]
        late = Dense(3, 4, name="dense", dtype="mixed_bfloat16", initializer=lambda shape: known.kernel)
        found.append(late(features_for(late)))
        expected.append(expected[0])
        known.kernel.assign(known.kernel * 2)
        thread = threading.Thread(target=lambda: found.append(known(features_for(known))))
        thread.start()
        thread.join()
        expected.append(expected[0] * 2)
    assert_same_bits(found, expected)


def test_an_error_ends_it():
    layer = LAYERS["dense"]("mixed_bfloat16")
    with pytest.raises(KeyError), cast_at_once(Net(layer)):
        raise KeyError
    doubled = layer(features_for(layer)) * 2
    layer.kernel.assign(layer.kernel * 2)
    assert_same_bits([layer(features_for(layer))], [doubled])


@pytest.mark.parametrize(
    "family, precision",
    [("mask_rcnn", "mixed_float16"), ("mask_scoring_rcnn", "mixed_bfloat16"), ("retinanet", "mixed_bfloat16")],
)
def test_detectors_compute_the_same(family, precision, monkeypatch):
    """Losses, gradients and detections; RetinaNet uses each kernel of its head on every level."""
    data, model = batch_of(TWO_IMAGES), small_detector(f"model.precision={precision}", detector=family)

    def results():
        @tf.function(autograph=False)
        def losses_and_gradients():
            with tf.GradientTape() as tape:
                losses = model.compute_losses(data, keys_in_index_order)
                total = tf.add_n(list(losses.values()))
            return losses, tape.gradient(total, model.trainable_variables)

        @tf.function(autograph=False)
        def detections():
            return model(data)

        casts = operations(losses_and_gradients, "AwsdetCast"), operations(detections, "AwsdetCast")
        losses, gradients = losses_and_gradients()
        return casts, (losses, [tf.convert_to_tensor(gradient) for gradient in gradients], detections())

    casts, at_once = results()
    assert casts == (1, 1)
    monkeypatch.setattr(detector_module, "cast_at_once", lambda model: contextlib.nullcontext())
    casts, alone = results()
    assert casts == (0, 0)
    assert_same_bits(at_once, alone)
