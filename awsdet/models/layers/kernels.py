"""The kernels of layers in the compute dtype of the precision policy.

Kernels are float32 variables. In mixed precision each layer would cast its own before it computes: 80 small operations
in a detection, each of which a GPU launches by itself. Inside `cast_at_once`, one operation casts all kernels of a
detector, and each layer takes its own from there. Outside, a layer casts its kernel itself, with the same result.
"""

import contextlib
import contextvars

import tensorflow as tf

from awsdet.ops import multi_tensor

# The reference of a variable -> its value in the compute dtype, while a `cast_at_once` is active in this thread.
_CASTS = contextvars.ContextVar("casts")


class KernelLayer(tf.keras.layers.Layer):
    """A layer with a variable `kernel`."""

    def compute_kernel(self):
        """The kernel as a tensor in the compute dtype. Its gradient is that of tf.cast."""
        cast = _CASTS.get({}).get(self.kernel.ref())
        if cast is None or cast.dtype != self.compute_dtype:
            return tf.cast(self.kernel, self.compute_dtype)
        return _instead_of(self.kernel, cast)


@contextlib.contextmanager
def cast_at_once(model):
    """A context in which the kernels of all layers of `model`, a tf.Module, are cast already, by one operation.

    The kernels are read at its beginning. So enter it in each step, inside the traced function, and change no kernel
    before it ends.
    """
    by_dtype = {}
    for layer in model.submodules:
        if isinstance(layer, KernelLayer) and layer.compute_dtype != layer.kernel.dtype:
            by_dtype.setdefault(layer.compute_dtype, []).append(layer.kernel)
    casts = {}
    for dtype, kernels in by_dtype.items():
        with tf.name_scope("kernels"):
            casts.update(zip((kernel.ref() for kernel in kernels), multi_tensor.cast(kernels, dtype)))
    token = _CASTS.set(casts)
    try:
        yield
    finally:
        _CASTS.reset(token)


@tf.custom_gradient
def _instead_of(kernel, cast):
    """`cast`, with a gradient for `kernel`.

    Each use of a kernel casts its own gradient to float32, so that the gradients of several uses are added in float32,
    and each is there as soon as it can be. The gradient of the one operation would add them in 16 bits.
    """
    return tf.identity(cast), lambda upstream: (tf.cast(upstream, kernel.dtype), None)
