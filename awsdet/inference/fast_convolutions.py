"""Lets a detector find objects with the compiled 3x3 convolution, on CPUs that are faster with it."""

from awsdet.models.layers.conv import Conv
from awsdet.ops import conv3x3


def use_fast_convolutions(detector):
    """Replaces the call of each convolution of pyramid and heads that `ops.conv3x3` can do; call it before `detect`.

    The detector's scores change in their last digits, its weights and its training do not: that calls the layers as
    they were. Does nothing where `conv3x3` does not pay. Returns the number of convolutions.
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
    def call(features, training=False):
        if training:
            return plain_call(features, training=True)
        return conv3x3.conv3x3(features, layer.kernel, layer.bias, layer.relu)

    return call
