"""Kernels of layers in 16 bits, which halves the size of a model."""

import tensorflow as tf

from awsdet.models.layers.kernels import KernelLayer


def halve(detector):
    """Makes the kernels of a detector in mixed precision variables of 16 bits. It finds what it found before.

    Each layer would cast its kernel before it computes. Norms and biases stay in float32.
    """
    for layer in detector.submodules:
        if isinstance(layer, KernelLayer) and layer.compute_dtype != layer.kernel.dtype:
            layer.kernel = tf.Variable(tf.cast(layer.kernel, layer.compute_dtype), trainable=False)
