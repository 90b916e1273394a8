"""Layers of a detector in 8 bits, for TensorFlow Lite.

TensorFlow Lite computes a layer in int8 if its inputs, its kernel and its outputs are rounded to the 256 values of a
range that is known beforehand (Jacob et al. 2018, "Quantization and Training of Neural Networks for Efficient
Integer-Arithmetic-Only Inference"). Here the roundings are put in, and the converter makes int8 of them.

The layers that give scores, deltas of boxes, masks and their IoUs stay in float32, and so does all that is computed
from them: 256 values are too few for a box of 1000 px. So do layers with a group norm.
"""

import numpy as np
import tensorflow as tf

from awsdet.models.heads.mask_iou_head import MaskIoUHead
from awsdet.models.layers import norms
from awsdet.models.layers.conv import Conv
from awsdet.models.layers.kernels import KernelLayer
from awsdet.models.layers.upsample import Upsample
from awsdet.runtime.errors import UserError

_LAST = ("logits", "deltas", "iou")  # attributes of heads: the layers that stay in float32
_LEAST = 1e-6  # width of a range
_ALMOST_ONE = float(np.nextafter(np.float32(1), np.float32(0)))


def quantize(detector, batches):
    """Changes `detector` so that it computes, in float32, with the roundings of int8.

    Batch norms are folded into the kernels before them. `batches`: what ranges are taken from, dicts as
    `Detector.detect` takes them. Returns the names of the layers that are rounded. Raises UserError without a batch.
    """
    last = {id(getattr(head, name, None)) for head in detector.submodules for name in _LAST}
    # What a mask head found goes into the head of its IoUs, and elsewhere.
    fenced = {id(head.convs[0]) for head in detector.submodules if isinstance(head, MaskIoUHead)}
    rounded = []
    for layer in [one for one in detector.submodules if isinstance(one, KernelLayer)]:
        if id(layer) in last or getattr(layer, "norm", "none") == "group_norm":
            _keep_in_float(layer)
        else:
            rounded.append(_Rounded(layer, id(layer) in fenced))
    seen = [detector.call(batch)["count"] for batch in batches]  # not traced, so that the ranges are seen
    if not seen:
        raise UserError("int8 needs images to take ranges from, and the calibration split has none; give another")
    for one in rounded:
        one.begin()
    return [one.layer.name for one in rounded]


def fence(values):
    """`values` but for the last bit of negative ones, float32; behind it nothing is int8.

    The converter takes roundings through operators that only move values, such as a reshape, up to operators that have
    no int8. It does not know of a leaky ReLU that it would only move values.
    """
    return tf.nn.leaky_relu(values, alpha=_ALMOST_ONE)


class _Rounded:
    """Takes the place of a layer's `call`. Until `begin` it rounds nothing, and notes the ranges that occur."""

    def __init__(self, layer, fenced):
        """`fenced`: nothing before the layer is int8."""
        self.layer, self._ranges, self._most, self._uses, self._computed = layer, {}, None, 0, layer.call
        self._fenced = fenced
        self._relu = isinstance(layer, Conv) and layer.relu
        if isinstance(layer, Conv):
            layer.relu = False  # it comes after the residual
            if layer.norm in norms.BATCH_NORMS:
                _fold(layer)
        layer.call, layer.compute_kernel = self, self._kernel

    def __call__(self, features, training=False, residual=None, real=None):
        del training, real
        outputs = self._computed(self._round("inputs", fence(features) if self._fenced else features))
        if residual is not None:
            outputs = self._round("sum", outputs) + residual
        outputs = self._round("outputs", tf.nn.relu(outputs) if self._relu else outputs)
        # The next layer of a mask head multiplies by the kernel of each object's class, in float32.
        return fence(outputs) if isinstance(self.layer, Upsample) else outputs

    def begin(self):
        """From now on the kernel, and all that goes in and comes out, is rounded."""
        # TensorFlow Lite has one range per output channel in convolutions, one in all in products.
        axes = (0, 1, 2) if isinstance(self.layer, Conv) else None
        self._most = np.maximum(np.abs(self.layer.kernel.numpy()).max(axis=axes), _LEAST)

    def _kernel(self):
        if self._most is None:
            return self.layer.kernel
        if not self._most.ndim:
            return tf.quantization.fake_quant_with_min_max_vars(
                self.layer.kernel, -self._most, self._most, narrow_range=True
            )
        # A head of all levels uses its kernel several times. The converter takes each rounding for one use, and would
        # make one of equal ones; so each has another channel with a range that differs in the last bit.
        most = self._most.copy()
        most[self._uses % len(most)] *= 1 + np.finfo(np.float32).eps
        self._uses += 1
        return tf.quantization.fake_quant_with_min_max_vars_per_channel(
            self.layer.kernel, -most, most, narrow_range=True
        )

    def _round(self, place, values):
        low, high = self._ranges.get(place, (0.0, _LEAST))  # with zero, which padding is made of
        if self._most is not None:
            return tf.quantization.fake_quant_with_min_max_args(values, low, high)
        if tf.size(values):
            self._ranges[place] = min(low, float(tf.reduce_min(values))), max(high, float(tf.reduce_max(values)))
        return values


def _keep_in_float(layer):
    computed = layer.call
    layer.call = lambda features, **options: computed(fence(features), **options)


def _fold(layer):
    """Makes the stored batch norm of a Conv a bias, and a factor of its kernel."""
    scale = layer.gamma.numpy() / np.sqrt(layer.variance.numpy() + norms.EPSILON)
    layer.kernel.assign(layer.kernel * scale)
    layer.bias = tf.Variable(layer.beta - layer.mean * scale, trainable=False)
    layer.norm = "none"
