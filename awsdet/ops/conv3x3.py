"""3x3 convolutions of stride 1 with a quarter of the multiplications, compiled; on CPUs with AVX-512."""

import ctypes
import functools

import tensorflow as tf

from awsdet.ops import library


@functools.cache
def pays():
    """Whether `conv3x3` is faster here than `tf.nn.conv2d`: a CPU with AVX-512, and no GPU that would do it instead."""
    library.load()
    told = ctypes.CDLL(str(library.PATH)).awsdet_conv3x3_pays
    told.restype = ctypes.c_bool
    return told() and not tf.config.list_physical_devices("GPU")


def suits(kernel):
    """Whether `conv3x3` takes this kernel: 3x3, input channels in multiples of 16 and filters in multiples of 32."""
    return tuple(kernel.shape[:2]) == (3, 3) and kernel.shape[2] % 16 == 0 and kernel.shape[3] % 32 == 0


def conv3x3(features, kernel, bias, relu=False):
    """`tf.nn.conv2d` with padding SAME, plus `bias`, by Winograd's F(4x4, 3x3) (Lavin and Gray 2016).

    Rounds otherwise than the direct convolution: with 256 channels its errors are 4e-6 of the largest result, the
    direct one's 1e-6.

    Args:
        features: float32 [B, H, W, in], in a multiple of 16.
        kernel: float32 [3, 3, in, out], out a multiple of 32.
        bias: float32 [out].
        relu: negatives become 0.

    Returns float32 [B, H, W, out]. Its gradients are those of the direct convolution. Raises
    tf.errors.InvalidArgumentError naming the argument for a wrong shape.
    """
    return library.load().awsdet_conv3x3(features=features, kernel=kernel, bias=bias, relu=relu)


@tf.RegisterGradient("AwsdetConv3x3")
def _gradients(op, upstream):
    features, kernel, _ = op.inputs
    if op.get_attr("relu"):
        upstream = tf.where(op.outputs[0] > 0, upstream, 0.0)
    options = {"out_backprop": upstream, "strides": [1, 1, 1, 1], "padding": "SAME"}
    return (
        tf.raw_ops.Conv2DBackpropInput(input_sizes=tf.shape(features), filter=kernel, **options),
        tf.raw_ops.Conv2DBackpropFilter(input=features, filter_sizes=tf.shape(kernel), **options),
        tf.reduce_sum(upstream, axis=[0, 1, 2]),
    )
