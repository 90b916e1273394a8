"""Adds biases."""

import tensorflow as tf

from awsdet.ops import affine


def add_bias(features, bias, *, relu, compiled, residual=None, trainable=True):
    """`features` [..., C] plus `bias` float32 [C], plus `residual` of the shape of the features, then ReLU if `relu`.

    `compiled`: by `ops.affine`, which sums the gradient of the bias in float32 in every precision; else by TensorFlow's
    own operations. `trainable`: the bias has a gradient.
    """
    if compiled:
        return affine.bias(features, bias, residual=residual, relu=relu, trainable=trainable)
    outputs = tf.nn.bias_add(features, tf.cast(bias, features.dtype))
    if residual is not None:
        outputs += residual
    return tf.nn.relu(outputs) if relu else outputs
