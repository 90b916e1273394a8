"""Bias or stored batch norm, then a residual, then ReLU, in operators that TensorFlow and others join with the
convolution before them."""

import tensorflow as tf

from awsdet.ops.reference import affine


def awsdet_affine(*, features, parameters, residual, epsilon, relu, trainable):
    """See `awsdet.ops.affine`."""
    if features.dtype != tf.float32:
        # TensorFlow's own would round to 16 bits after each step.
        options = {"residual": residual[0] if residual else None, "relu": relu, "trainable": trainable}
        if len(parameters) == 1:
            return affine.bias(features, *parameters, **options)
        return affine.batch_norm(features, *parameters, epsilon, **options)
    if len(parameters) == 1:
        outputs = tf.nn.bias_add(features, parameters[0])
    else:
        gamma, beta, mean, variance = parameters
        outputs, _, _ = tf.compat.v1.nn.fused_batch_norm(
            features, gamma, beta, mean, variance, epsilon, is_training=False
        )
    outputs = outputs + residual[0] if residual else outputs
    return tf.nn.relu(outputs) if relu else outputs
