"""Convolution with normalisation and ReLU. Features are NHWC in the compute dtype of the precision policy."""

import tensorflow as tf

from awsdet.models.layers import norms
from awsdet.models.layers.bias import add_bias
from awsdet.models.layers.kernels import KernelLayer
from awsdet.models.layers.parameters import parameter
from awsdet.ops import affine as affine_op
from awsdet.runtime.world import World

STATISTICS_RATE = 0.1  # weight of the new batch in the running statistics


class Conv(KernelLayer):
    """Convolution, then bias or normalisation, then ReLU if asked for.

    Strided kernels are padded equally on both sides, as in PyTorch. `norm` is one of `norms.NORMS`; "none" means a
    bias. A frozen batch norm is not folded into the kernel: in training on a CPU that was no faster, and its rounding
    would differ from the reference.

    `world`: a sync_batch_norm takes its statistics from all ranks of this World; None, the initial value, means this
    process alone.
    """

    def __init__(
        self,
        in_channels,
        filters,
        kernel_size,
        *,
        name,
        dtype,
        initializer,
        strides=1,
        groups=1,
        norm="none",
        affine=True,
        initial_gamma=1.0,
        relu=False,
    ):
        """`affine`: gamma and beta of a batch norm are trainable. `groups`: each has its own share of in_channels and
        of filters. `initializer`: function of a shape. `initial_gamma`: of every gamma of the norm."""
        super().__init__(name=name, dtype=dtype)
        self.kernel_size, self.strides, self.norm, self.relu = kernel_size, strides, norm, relu
        self.groups, self.affine, self.world = groups, affine, None
        self.compiled_bias = affine_op.pays_for_bias(self.compute_dtype, training=False)
        self.splits_groups = groups > 1 and not _groups_have_gradients(self.compute_dtype)
        self.kernel = parameter(self, "kernel", [kernel_size, kernel_size, in_channels // groups, filters], initializer)
        gamma = tf.keras.initializers.Constant(initial_gamma)
        if norm == "none":
            self.bias = parameter(self, "bias", [filters], tf.zeros)
        elif norm in norms.BATCH_NORMS:
            self.gamma = parameter(self, "gamma", [filters], gamma, trainable=affine)
            self.beta = parameter(self, "beta", [filters], tf.zeros, trainable=affine)
            self.mean = parameter(self, "mean", [filters], tf.zeros, trainable=False)
            self.variance = parameter(self, "variance", [filters], tf.ones, trainable=False)
        elif norm == "group_norm":
            self.gamma = parameter(self, "gamma", [filters], gamma)
            self.beta = parameter(self, "beta", [filters], tf.zeros)
        else:
            raise ValueError(f"norm is {norm!r}; it must be one of {', '.join(norms.NORMS)}")
        self.built = True

    def call(self, features, training=False, residual=None, real=None):
        """`features` [B, H, W, in_channels] -> [B, ceil(H / strides), ceil(W / strides), filters] for odd kernels.

        `residual`: of the shape and dtype of the result; it is added before the ReLU. `real`: bool [B]; a live batch
        norm then has the statistics of these rows only, and makes the others zeros (`norms.masked_batch_norm`).
        """
        return self._outputs(features, self.compute_kernel(), training, residual, real)

    def call_each(self, maps, training=False):
        """A list with the result of `call` for each of `maps`. In mixed precision the kernel is cast only once."""
        if self.compute_dtype == self.variable_dtype:
            return [self(features, training=training) for features in maps]
        with tf.name_scope(self.name):
            kernel = self.compute_kernel()
            return [self._outputs(features, kernel, training, None) for features in maps]

    def _outputs(self, features, kernel, training, residual, real=None):
        outputs = self._convolved(features, kernel)
        if self.norm == "none":
            compiled = self.compiled_bias or affine_op.pays_for_bias(self.compute_dtype, training)
            options = {"relu": self.relu, "residual": residual, "trainable": self.trainable}
            return add_bias(outputs, self.bias, compiled=compiled, **options)
        if self.norm == "group_norm":
            outputs = norms.group_norm(outputs, self.gamma, self.beta)
        elif self.norm != "frozen_batch_norm" and training and self.trainable:
            outputs = self._live_batch_norm(outputs, real)
        else:
            parameters = (self.gamma, self.beta, self.mean, self.variance)
            options = {"relu": self.relu, "residual": residual, "trainable": self.affine and self.trainable}
            return norms.stored_batch_norm(outputs, *parameters, **options)
        if residual is not None:
            outputs += residual
        return tf.nn.relu(outputs) if self.relu else outputs

    def _convolved(self, features, kernel):
        padding = "SAME" if self.strides == 1 else "VALID"
        side = (self.kernel_size - 1) // 2
        if self.strides > 1 and side:
            # Padded by hand: oneDNN has no gradient of a convolution with explicit padding, and TensorFlow none with
            # groups as well. TensorFlow's own gradient took nine tenths of a training step in bfloat16.
            features = tf.pad(features, [[0, 0], [side, side], [side, side], [0, 0]])
        if not self.splits_groups:
            return tf.nn.conv2d(features, kernel, self.strides, padding)
        parts = zip(tf.split(features, self.groups, axis=3), tf.split(kernel, self.groups, axis=3))
        return tf.concat([tf.nn.conv2d(part, own, self.strides, padding) for part, own in parts], axis=3)

    def _live_batch_norm(self, outputs, real):
        """Normalises by the statistics of the batch, which update the stored ones."""
        exchanges = self.norm != norms.LIVE and self.world is not None and self.world.exchanges
        if real is not None:
            stored = (tf.identity(self.mean), tf.identity(self.variance))
            world = self.world if exchanges else World()
            outputs, mean, variance = norms.masked_batch_norm(
                outputs, self.gamma, self.beta, real, *stored, world, self.name
            )
        elif exchanges:
            outputs, mean, variance = norms.sync_batch_norm(
                outputs, self.gamma, self.beta, tf.identity(self.mean), self.world, self.name
            )
        else:
            outputs, mean, variance = norms.batch_norm(outputs, self.gamma, self.beta)
        self.mean.assign_add(STATISTICS_RATE * (mean - self.mean))
        self.variance.assign_add(STATISTICS_RATE * (variance - self.variance))
        return outputs


def conv_maker(initializer, **common):
    """A function (in_channels, filters, kernel_size, *, name, **options) that makes a `Conv`.

    `initializer`: function of a layer's name that returns the initializer of its kernel; `common`: options of all
    layers.
    """

    def conv(in_channels, filters, kernel_size, *, name, **options):
        options = {**common, **options}
        return Conv(in_channels, filters, kernel_size, name=name, initializer=initializer(name), **options)

    return conv


def _groups_have_gradients(dtype):
    """Whether TensorFlow has the gradient of a convolution in groups on this machine.

    It has on GPUs and with oneDNN, but not on CPUs without oneDNN (older ones, or with TF_ENABLE_ONEDNN_OPTS=0). On a
    CPU it is about twice as fast as one convolution per group.
    """
    with tf.init_scope():
        features, kernel = tf.zeros([1, 2, 2, 4], dtype), tf.zeros([1, 1, 2, 4], dtype)
        options = {"strides": [1, 1, 1, 1], "padding": "VALID"}
        try:
            tf.raw_ops.Conv2DBackpropInput(input_sizes=[1, 2, 2, 4], filter=kernel, out_backprop=features, **options)
        except (tf.errors.InvalidArgumentError, tf.errors.UnimplementedError):
            return False
    return True
