"""Times the update of Mask R-CNN R50-FPN, 168 variables with 44.2 M values, beside Keras' way, variable by variable.

Ours is the global norm, whether it is finite, and one operator for all variables. Keras' is TensorFlow's global norm
and the operations of each variable; with a loss scale each gradient is divided and checked too. Both are of SGD and of
AdamW. Times are those of the processor, of all threads together, so that other work on the machine changes them little.
"""

import time

import numpy as np
import tensorflow as tf

from awsdet.models import update
from awsdet.ops import multi_tensor
from awsdet.ops.multi_tensor import global_norm
from awsdet.ops.reference import multi_tensor as plain
from awsdet.training.gradient_sizes import MASK_RCNN_R50_FPN
from awsdet.training.optimizer import SGD, AdamW
from benchmarks.ops_measure import Row, alternate


class OneByOne:
    """An optimizer that changes one variable after the other."""

    def can_update(self, variables):
        return False


class SGDOneByOne(OneByOne, SGD):
    """SGD in Keras' way."""


class AdamWOneByOne(OneByOne, AdamW):
    """AdamW in Keras' way."""


def tensors(scale):
    random = np.random.default_rng(1)
    return [tf.constant(scale * random.normal(size=size), tf.float32) for size in MASK_RCNN_R50_FPN]


def step(kind, scaled=False):
    """The compiled update by an optimizer of class `kind` with variables of its own; `scaled`: with a loss scale."""
    optimizer = kind(2e-4)
    at_once = not isinstance(optimizer, OneByOne)
    if scaled:
        optimizer = tf.keras.mixed_precision.LossScaleOptimizer(optimizer, initial_scale=1.0)
    variables = [tf.Variable(tf.zeros([size])) for size in MASK_RCNN_R50_FPN]
    optimizer._create_all_weights(variables)

    @tf.function(autograph=False)
    def call(gradients):
        if scaled:
            optimizer.get_scaled_loss(tf.constant(1.0))  # as a training step does, or Keras warns
        gradients, factor = update.unscaled(optimizer, gradients, variables)
        norm = factor * global_norm(gradients) if at_once else tf.linalg.global_norm(gradients)
        update.apply(optimizer, gradients, variables, norm, factor=factor)
        return norm

    return call


def sums(operators):
    """The compiled sums of the gradients of two steps, and the zeros after the update, with variables of their own."""
    variables = [tf.Variable(tf.zeros([size])) for size in MASK_RCNN_R50_FPN]

    @tf.function(autograph=False)
    def add(gradients):
        operators.accumulate(variables, gradients, 0.5)

    @tf.function(autograph=False)
    def clear():
        operators.set_zero(variables)

    def call(gradients):
        add(gradients)
        add(gradients)
        clear()

    return call


def rows():
    norms = [tf.function(norm, autograph=False) for norm in (global_norm, tf.linalg.global_norm)]
    cases = {
        "update, float32": (step(SGD), step(SGDOneByOne)),
        "update, mixed_float16": (step(SGD, True), step(SGDOneByOne, True)),
        "update of AdamW, float32": (step(AdamW), step(AdamWOneByOne)),
        "update of AdamW, mixed_float16": (step(AdamW, True), step(AdamWOneByOne, True)),
        "sums of two steps, zeros": (sums(multi_tensor), sums(plain)),
        "global norm": norms,
    }
    gradients, found = tensors(1e-3), []
    for name, functions in cases.items():
        calls = [lambda f=f: f(gradients) for f in functions]
        ours, theirs = alternate(*calls, least=10, clock=time.process_time)
        found.append(Row(f"{name} (processor)", ours, "one by one", theirs))
    return found
