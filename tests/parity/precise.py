"""A reference's detector in float64, and the ReLU units whose input differs from 0 only by float32 rounding."""

import contextlib
from typing import NamedTuple
from unittest import mock

import numpy as np
import tensorflow as tf
from ml_collections import ConfigDict

from awsdet.detection import pooling
from awsdet.models.builder import assemble
from awsdet.models.heads import rpn
from awsdet.models.layers import norms
from awsdet.ops.reference.cell_windows import cell_windows
from awsdet.ops.roi_align import roi_align
from awsdet.ops.top_boxes import top_boxes
from tests.parity.training_step import forward

# Of the root mean square of a layer's inputs to its ReLU. Between float32 and float64, from the same features before
# the stage, the largest difference in any unit of the files' models is 1e-6 to 2e-5 of it, layer by layer.
ROUNDING = 1e-5
MOST_UNITS = 200


@contextlib.contextmanager
def in_float64(reference):
    """The Reference with its detector in float64: the same classes and weights, with every network layer in float64.

    Within this context, the norms, which are written for float32, are replaced by others of the same formula, and the
    windows of the RPN, whose operator has no float64, are those of its twin. RoIAlign and top_boxes, which compute in
    float32, get their input converted. The losses stay in float32.
    """
    detector = reference.detector
    config = ConfigDict(reference.config.to_dict())
    config.model.precision = "float64"
    twin = assemble(config, detector.class_names)
    for variable, value in zip(twin.variables, detector.variables):
        variable.assign(value)
    changed = {"stored_batch_norm": _stored_batch_norm, "batch_norm": _batch_norm, "group_norm": _group_norm}
    with (
        mock.patch.multiple(norms, **changed),
        mock.patch.object(rpn, "cell_windows", cell_windows),
        mock.patch.object(rpn, "top_boxes", _top_boxes),
        mock.patch.object(pooling, "roi_align", _roi_align),
    ):
        yield reference._replace(detector=twin, images=tf.cast(reference.images, tf.float64))


def _roi_align(pyramid, *args, **options):
    return tf.cast(roi_align([tf.cast(level, tf.float32) for level in pyramid], *args, **options), pyramid[0].dtype)


def _top_boxes(logits, deltas, *args, **options):
    logits, deltas = ([tf.cast(part, tf.float32) for part in parts] for parts in (logits, deltas))
    return top_boxes(logits, deltas, *args, **options)


def _stored_batch_norm(features, gamma, beta, mean, variance, *, residual=None, relu=False, trainable=True):
    del trainable  # gradients that nobody asks for are not computed anyway
    gamma, beta, mean, variance = (tf.cast(v, features.dtype) for v in (gamma, beta, mean, variance))
    outputs = tf.nn.batch_normalization(features, mean, variance, beta, gamma, norms.EPSILON)
    if residual is not None:
        outputs += residual
    return tf.nn.relu(outputs) if relu else outputs


def _batch_norm(features, gamma, beta):
    mean, variance = tf.nn.moments(features, [0, 1, 2])
    count = tf.cast(tf.size(features) // features.shape[3], features.dtype)
    outputs = _stored_batch_norm(features, gamma, beta, mean, variance)
    return outputs, tf.cast(mean, tf.float32), tf.cast(variance * count / (count - 1), tf.float32)


def _group_norm(features, gamma, beta):
    groups = int(np.gcd(norms.GROUPS, features.shape[3]))
    grouped = tf.reshape(features, [*features.shape[:3], groups, -1])
    mean, variance = tf.nn.moments(grouped, [1, 2, 4], keepdims=True)
    standard = tf.reshape((grouped - mean) * tf.math.rsqrt(variance + norms.EPSILON), features.shape)
    return standard * tf.cast(gamma, features.dtype) + tf.cast(beta, features.dtype)


class Unit(NamedTuple):
    """One output value of one ReLU."""

    layer: int  # the position of its ReLU in the order of calls
    index: int  # in the flattened input of that ReLU


class ReLUs:
    """Replaces `tf.nn.relu`: remembers inputs and outputs, and inverts the gates of the units `flipped`.

    An inverted gate passes the gradient on if a ReLU would stop it, and stops it if a ReLU would pass it on.
    """

    def __init__(self, flipped=()):
        self.inputs, self.outputs = [], []
        self._flipped = {}
        for unit in flipped:
            self._flipped.setdefault(unit.layer, []).append(unit.index)

    def __call__(self, features):
        gates = tf.cast(features > 0, features.dtype)
        indices = self._flipped.get(len(self.inputs))
        if indices:
            gates = tf.reshape(gates, [-1])
            places = tf.constant(indices, tf.int64)[:, tf.newaxis]
            gates = tf.tensor_scatter_nd_update(gates, places, 1 - tf.gather_nd(gates, places))
            gates = tf.reshape(gates, tf.shape(features))
        self.inputs.append(features)
        self.outputs.append(features * tf.stop_gradient(gates))
        return self.outputs[-1]


def units_at_zero(reference, batch):
    """Yields (Unit, the change of the gradients if its gate were inverted, a list in order of `trainable_variables`).

    The units are those whose input lies within float32 rounding of 0 and whose output affects the loss, at most 200,
    those with the largest derivatives first.
    """
    variables, relus = reference.detector.trainable_variables, ReLUs()
    with tf.GradientTape(persistent=True) as tape, mock.patch.object(tf.nn, "relu", relus):
        _, _, total = forward(reference, batch)
    upstream = tape.gradient(total, relus.outputs)
    found = []
    for layer, (values, derivative) in enumerate(zip(relus.inputs, upstream)):
        if derivative is None:
            continue
        values, derivative = (np.ravel(tf.convert_to_tensor(value)) for value in (values, derivative))
        near = np.abs(values) <= ROUNDING * np.sqrt(np.mean(values**2))
        found += [(derivative[i], values[i] > 0, Unit(layer, i)) for i in np.flatnonzero(near & (derivative != 0))]
    found.sort(key=lambda entry: -abs(entry[0]))
    for derivative, active, unit in found[:MOST_UNITS]:
        values = relus.inputs[unit.layer]
        seed = tf.scatter_nd([[unit.index]], [-derivative if active else derivative], [tf.size(values, tf.int64)])
        change = tape.gradient(values, variables, tf.reshape(seed, tf.shape(values)), unconnected_gradients="zero")
        yield unit, change
