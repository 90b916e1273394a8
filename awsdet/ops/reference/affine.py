"""Bias or stored batch norm, then a residual, then ReLU, in plain TensorFlow: the oracle of `awsdet.ops.affine`."""

import tensorflow as tf


def bias(features, bias, *, residual=None, relu=False, trainable=True):
    """See `awsdet.ops.affine.bias`."""
    bias = bias if trainable else tf.stop_gradient(bias)
    return _finished(tf.cast(features, tf.float32) + bias, features.dtype, residual, relu)


def batch_norm(features, gamma, beta, mean, variance, epsilon, *, residual=None, relu=False, trainable=True):
    """See `awsdet.ops.affine.batch_norm`."""
    gamma, beta = (gamma, beta) if trainable else (tf.stop_gradient(gamma), tf.stop_gradient(beta))
    scale = gamma * (1.0 / tf.sqrt(tf.stop_gradient(variance) + epsilon))
    offset = beta - tf.stop_gradient(mean) * scale
    return _finished(tf.cast(features, tf.float32) * scale + offset, features.dtype, residual, relu)


def _finished(values, dtype, residual, relu):
    if residual is not None:
        values += tf.cast(residual, tf.float32)
    return tf.cast(tf.nn.relu(values) if relu else values, dtype)
