"""Layers that double the size of feature maps."""

import tensorflow as tf

from awsdet.models.layers.bias import add_bias
from awsdet.models.layers.kernels import KernelLayer
from awsdet.models.layers.parameters import parameter
from awsdet.ops import affine


class Upsample(KernelLayer):
    """Transposed convolution with kernel 2, stride 2, bias and ReLU: doubles the size.

    Kernel and stride are equal, so each input makes its own 2x2 outputs, by one matrix product. The 2x2 outputs are
    returned side by side, and `interleave` is called later, on a tensor with fewer channels: with all channels it would
    take twice as much memory traffic as the product.
    """

    def __init__(self, in_channels, filters, *, name, dtype, initializer):
        super().__init__(name=name, dtype=dtype)
        self.kernel = parameter(self, "kernel", [in_channels, 2, 2, filters], initializer)
        self.bias = parameter(self, "bias", [filters], tf.zeros)
        self.compiled_bias = affine.pays_for_bias(self.compute_dtype, training=True)
        self.built = True

    def call(self, features):
        """`features` [R, H, W, in_channels] -> [R, H, W, 2, 2, filters], the 2x2 outputs of each pixel."""
        in_channels, _, _, filters = self.kernel.shape
        kernel = tf.reshape(self.compute_kernel(), [in_channels, -1])
        # Reshaped to two axes: with more, the gradient of the kernel would be a sum of one product per row and image.
        outputs, bias = tf.matmul(tf.reshape(features, [-1, in_channels]), kernel), self.bias
        if self.compiled_bias:
            outputs = tf.reshape(outputs, [-1, filters])
        else:  # of the product's width, so that TensorFlow makes one operation of product, bias and ReLU
            bias = tf.tile(bias, [4])
        outputs = add_bias(outputs, bias, relu=True, compiled=self.compiled_bias, trainable=self.trainable)
        return tf.reshape(outputs, tf.concat([tf.shape(features)[:3], [2, 2, filters]], axis=0))


def interleave(pixels):
    """[R, H, W, 2, 2, channels] as `Upsample` gives them -> [R, 2H, 2W, channels]."""
    shape = tf.shape(pixels)
    rows = tf.transpose(pixels, [0, 1, 3, 2, 4, 5])
    return tf.reshape(rows, [shape[0], 2 * shape[1], 2 * shape[2], pixels.shape[5]])


def upsample_nearest(features, factor):
    """Nearest-neighbour upsampling, [B, H, W, C] -> [B, factor * H, factor * W, C]; its gradient is a plain sum."""
    batch, height, width = tf.unstack(tf.shape(features)[:3])
    channels = features.shape[3]
    apart = tf.reshape(features, [batch, height, 1, width, 1, channels])
    wide = tf.broadcast_to(apart, [batch, height, factor, width, factor, channels])
    return tf.reshape(wide, [batch, height * factor, width * factor, channels])
