"""Fully connected layer."""

import tensorflow as tf

from awsdet.models.layers.bias import add_bias
from awsdet.models.layers.kernels import KernelLayer
from awsdet.models.layers.parameters import parameter
from awsdet.ops import affine


class Dense(KernelLayer):
    """Fully connected layer with bias, and ReLU if asked for.

    `window`: P if the input is flattened RoI features [P, P, channels]. Other systems flatten them in another order, so
    P is needed to read and write their weights.
    """

    def __init__(self, in_channels, units, *, name, dtype, initializer, relu=False, window=None):
        super().__init__(name=name, dtype=dtype)
        self.window = window
        self.relu = relu
        self.compiled_bias = affine.pays_for_bias(self.compute_dtype, training=True)
        self.kernel = parameter(self, "kernel", [in_channels, units], initializer)
        self.bias = parameter(self, "bias", [units], tf.zeros)
        self.built = True

    def call(self, features):
        """`features` [..., in_channels] -> [..., units]."""
        outputs = tf.matmul(features, self.compute_kernel())
        return add_bias(outputs, self.bias, relu=self.relu, compiled=self.compiled_bias, trainable=self.trainable)
