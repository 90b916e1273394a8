"""Times the update of Mask R-CNN R50-FPN, 168 variables with 44.2 M values, beside Keras' way, variable by variable.

Ours is the global norm, whether it is finite, and one operator for all variables. Keras' is TensorFlow's global norm
and the operations of each variable; with a loss scale each gradient is divided and checked too.
"""

import numpy as np
import tensorflow as tf

from awsdet.models import update
from awsdet.ops.multi_tensor import accumulate, global_norm, set_zero
from awsdet.ops.reference import multi_tensor as plain
from awsdet.training.gradient_sizes import MASK_RCNN_R50_FPN
from awsdet.training.optimizer import SGD
from benchmarks.ops_measure import Row, alternate

VALUES = sum(MASK_RCNN_R50_FPN)


class OneByOne(SGD):
    """SGD that changes one variable after the other."""

    def can_update(self, variables):
        return False


def tensors(scale):
    random = np.random.default_rng(1)
    return [tf.constant(scale * random.normal(size=size), tf.float32) for size in MASK_RCNN_R50_FPN]


def step(kind, scaled):
    """The compiled update by an optimizer of class `kind` with variables of its own; `scaled`: with a loss scale."""
    optimizer = kind(0.02, 0.9, 1e-4)
    if scaled:
        optimizer = tf.keras.mixed_precision.LossScaleOptimizer(optimizer, initial_scale=1.0)
    variables = [tf.Variable(tf.zeros([size])) for size in MASK_RCNN_R50_FPN]
    optimizer._create_all_weights(variables)

    @tf.function(autograph=False)
    def call(gradients):
        if scaled:
            optimizer.get_scaled_loss(tf.constant(1.0))  # as a training step does, or Keras warns
        gradients, factor = update.unscaled(optimizer, gradients, variables)
        norm = factor * global_norm(gradients) if kind is SGD else tf.linalg.global_norm(gradients)
        update.apply(optimizer, gradients, variables, norm, factor=factor)
        return norm

    return call


def rows():
    gradients, found = tensors(1e-3), []
    for name, scaled in (("float32", False), ("mixed_float16", True)):
        steps = [step(SGD, scaled), step(OneByOne, scaled)]
        times = alternate(*(lambda f=f: f(gradients).numpy() for f in steps), seconds=4.0)
        found.append(Row(f"update, {name}", times[0], "one by one", times[1], bytes_moved=24 * VALUES))
    norms = [tf.function(f, autograph=False) for f in (global_norm, tf.linalg.global_norm)]
    times = alternate(*(lambda f=f: f(gradients).numpy() for f in norms))
    found.append(Row("global norm", times[0], "tf.linalg.global_norm", times[1], bytes_moved=4 * VALUES))
    sums = [tf.Variable(tf.zeros([size])) for size in MASK_RCNN_R50_FPN]
    ours = tf.function(lambda g: [accumulate(sums, g, 0.5), tf.zeros([])][1], autograph=False)
    theirs = tf.function(lambda g: [plain.accumulate(sums, g, 0.5), tf.zeros([])][1], autograph=False)
    times = alternate(lambda: ours(gradients), lambda: theirs(gradients))
    found.append(Row("accumulate", times[0], "one by one", times[1], bytes_moved=12 * VALUES))
    zero = [tf.function(lambda f=f: [f(sums), tf.zeros([])][1], autograph=False) for f in (set_zero, plain.set_zero)]
    times = alternate(*zero)
    return [*found, Row("set_zero", times[0], "one by one", times[1], bytes_moved=4 * VALUES)]
