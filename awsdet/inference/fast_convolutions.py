"""Lets a detector find objects with the compiled 3x3 convolution, on CPUs where that is faster."""

from awsdet.models.layers.conv import Conv
from awsdet.ops import conv3x3


def use_fast_convolutions(detector):
    """Makes each convolution of pyramid and heads use `ops.conv3x3` if it can; call this before `detect`.

    The detector's scores change in their last digits. Its weights do not change, nor does training, which uses the
    layers as before. Does nothing on CPUs where `conv3x3` is not faster. Returns the number of changed convolutions.
    """
    layers = [layer for layer in detector.submodules if isinstance(layer, Conv) and _suits(layer)]
    if not layers or not conv3x3.pays():
        return 0
    for layer in layers:
        layer.call = _fast_call(layer, layer.call)
    return len(layers)


def _suits(layer):
    plain = layer.norm == "none" and layer.strides == 1 and layer.groups == 1
    return plain and layer.compute_dtype == "float32" and conv3x3.suits(layer.kernel)


def _fast_call(layer, plain_call):
    def call(features, training=False, residual=None, real=None):
        if training or residual is not None:
            return plain_call(features, training=training, residual=residual, real=real)
        return conv3x3.conv3x3(features, layer.kernel, layer.bias, layer.relu)

    return call
