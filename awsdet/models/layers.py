"""The layers that networks are made of: convolution with its normalisation, transposed convolution, dense.

They make their variables in the constructor, from explicit input channels, so that a detector has all its weights
before it sees a batch. A layer's name is its path in the detector ("backbone.layer2.0.conv1", the names of
mmdetection) and begins the name of each of its variables. Variables are float32 whatever the precision policy;
features are NHWC in the policy's compute dtype.
"""

import math
import zlib

import tensorflow as tf

from awsdet.models import norms
from awsdet.ops import conv3x3

STATISTICS_RATE = 0.1  # share of the new batch in the running statistics


class Conv(tf.keras.layers.Layer):
    """Convolution, then normalisation, then ReLU, each as asked for.

    Strided kernels are padded alike on both sides, as PyTorch does. `norm` is one of `norms.NORMS`; none is a bias
    instead. A frozen batch norm is not folded into the kernel: on a CPU that was no faster in training, and it rounds
    otherwise than the reference.

    `world` is the run that a sync_batch_norm takes its statistics from; None, as it is at first, for this process.
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
        relu=False,
    ):
        """`affine`: gamma and beta of a frozen batch norm are trainable. `groups`: each sees its own share of
        in_channels and makes its own share of filters. `initializer` takes a shape."""
        super().__init__(name=name, dtype=dtype)
        self.kernel_size, self.strides, self.norm, self.relu = kernel_size, strides, norm, relu
        self.groups, self.world = groups, None
        self.splits_groups = groups > 1 and not _groups_have_gradients(self.compute_dtype)
        self.kernel = _weight(self, "kernel", [kernel_size, kernel_size, in_channels // groups, filters], initializer)
        if norm == "none":
            self.bias = _weight(self, "bias", [filters], tf.zeros)
        elif norm in norms.BATCH_NORMS:
            self.gamma = _weight(self, "gamma", [filters], tf.ones, trainable=affine)
            self.beta = _weight(self, "beta", [filters], tf.zeros, trainable=affine)
            self.mean = _weight(self, "mean", [filters], tf.zeros, trainable=False)
            self.variance = _weight(self, "variance", [filters], tf.ones, trainable=False)
        elif norm == "group_norm":
            self.gamma = _weight(self, "gamma", [filters], tf.ones)
            self.beta = _weight(self, "beta", [filters], tf.zeros)
        else:
            raise ValueError(f"norm is {norm!r}; it must be one of {', '.join(norms.NORMS)}")
        self.built = True

    def call(self, features, training=False):
        """`features` [B, H, W, in_channels] -> [B, ceil(H / strides), ceil(W / strides), filters] for odd kernels.

        Not in training it may be `conv3x3`, where that is faster, with its rounding.
        """
        if not training and self._has_faster_twin(features):
            return conv3x3.conv3x3(features, self.kernel, self.bias, self.relu)
        outputs = self._convolved(features, tf.cast(self.kernel, self.compute_dtype))
        if self.norm == "none":
            outputs = tf.nn.bias_add(outputs, tf.cast(self.bias, self.compute_dtype))
        elif self.norm == "group_norm":
            outputs = norms.group_norm(outputs, self.gamma, self.beta)
        else:
            live = self.norm != "frozen_batch_norm" and training and self.trainable
            outputs = self._batch_normalized(outputs, live)
        return tf.nn.relu(outputs) if self.relu else outputs

    def _has_faster_twin(self, features):
        plain = self.norm == "none" and self.strides == 1 and self.groups == 1
        return plain and conv3x3.suits(features, self.kernel) and conv3x3.pays()

    def _convolved(self, features, kernel):
        padding = "SAME" if self.strides == 1 else "VALID"
        side = (self.kernel_size - 1) // 2
        if self.strides > 1 and side:
            # By hand: of explicit padding oneDNN has no gradient, nor TensorFlow one of groups; TensorFlow's own took
            # nine tenths of a whole training step in bfloat16.
            features = tf.pad(features, [[0, 0], [side, side], [side, side], [0, 0]])
        if not self.splits_groups:
            return tf.nn.conv2d(features, kernel, self.strides, padding)
        parts = zip(tf.split(features, self.groups, axis=3), tf.split(kernel, self.groups, axis=3))
        return tf.concat([tf.nn.conv2d(part, own, self.strides, padding) for part, own in parts], axis=3)

    def _batch_normalized(self, outputs, live):
        """With the stored statistics or, if `live`, those of this batch, a tenth of which goes into the stored ones."""
        if not live:
            return norms.stored_batch_norm(outputs, self.gamma, self.beta, self.mean, self.variance)
        if self.norm == "sync_batch_norm" and self.world is not None and self.world.size > 1:
            outputs, mean, variance = norms.sync_batch_norm(
                outputs, self.gamma, self.beta, tf.identity(self.mean), self.world, self.name
            )
        else:
            outputs, mean, variance = norms.batch_norm(outputs, self.gamma, self.beta)
        self.mean.assign_add(STATISTICS_RATE * (mean - self.mean))
        self.variance.assign_add(STATISTICS_RATE * (variance - self.variance))
        return outputs


class Upsample(tf.keras.layers.Layer):
    """Transposed convolution with kernel 2 and stride 2, bias and ReLU: twice the size.

    Kernel and stride are equal, so no two inputs meet in an output: it is one matrix product, and each input makes 2x2
    outputs of its own. These are left together for `interleave`, since to shuffle a thin tensor made of them costs
    little, and to shuffle all channels twice as much memory traffic as the product itself.
    """

    def __init__(self, in_channels, filters, *, name, dtype, initializer):
        super().__init__(name=name, dtype=dtype)
        self.kernel = _weight(self, "kernel", [in_channels, 2, 2, filters], initializer)
        self.bias = _weight(self, "bias", [filters], tf.zeros)
        self.built = True

    def call(self, features):
        """`features` [R, H, W, in_channels] -> [R, H, W, 2, 2, filters]: row, column of a pixel within its input."""
        in_channels, _, _, filters = self.kernel.shape
        kernel = tf.cast(tf.reshape(self.kernel, [in_channels, -1]), self.compute_dtype)
        bias = tf.cast(tf.tile(self.bias, [4]), self.compute_dtype)
        # Two axes: with more the kernel's gradient is one product a row of each image, and their sum.
        outputs = tf.nn.relu(tf.nn.bias_add(tf.matmul(tf.reshape(features, [-1, in_channels]), kernel), bias))
        return tf.reshape(outputs, tf.concat([tf.shape(features)[:3], [2, 2, filters]], axis=0))


def interleave(pixels):
    """[R, H, W, 2, 2, channels] as `Upsample` gives them -> [R, 2H, 2W, channels]."""
    shape = tf.shape(pixels)
    rows = tf.transpose(pixels, [0, 1, 3, 2, 4, 5])
    return tf.reshape(rows, [shape[0], 2 * shape[1], 2 * shape[2], pixels.shape[5]])


class Dense(tf.keras.layers.Layer):
    """Fully connected layer with bias, and ReLU if asked for."""

    def __init__(self, in_channels, units, *, name, dtype, initializer, relu=False):
        super().__init__(name=name, dtype=dtype)
        self.relu = relu
        self.kernel = _weight(self, "kernel", [in_channels, units], initializer)
        self.bias = _weight(self, "bias", [units], tf.zeros)
        self.built = True

    def call(self, features):
        """`features` [..., in_channels] -> [..., units]."""
        outputs = tf.matmul(features, tf.cast(self.kernel, self.compute_dtype))
        outputs = tf.nn.bias_add(outputs, tf.cast(self.bias, self.compute_dtype))
        return tf.nn.relu(outputs) if self.relu else outputs


class Initializers:
    """Initialisers by the names of the field, each variable with a seed of its own from one seed and the
    variable's name."""

    def __init__(self, seed):
        self._seed = seed

    def _seeded(self, name):
        return (self._seed * 1_000_003 + zlib.crc32(name.encode())) % (2**31)

    def normal(self, name, stddev):
        """Normal with mean 0."""
        return tf.keras.initializers.RandomNormal(0.0, stddev, seed=self._seeded(name))

    def kaiming_normal(self, name):
        """He et al. 2015, fan out, for ReLU: keeps the variance of the gradients."""
        return tf.keras.initializers.VarianceScaling(2.0, "fan_out", "untruncated_normal", seed=self._seeded(name))

    def kaiming_upsample(self, name):
        """`kaiming_normal` for the kernel [in, 2, 2, filters] of `Upsample`, as PyTorch takes it for a transposed
        convolution: standard deviation sqrt(2 / (4 in)). VarianceScaling would read the fans off the wrong axes."""

        def initializer(shape):
            rows, columns = shape[1:3]
            return self.normal(name, math.sqrt(2.0 / (rows * columns * shape[0])))(shape)

        return initializer

    def xavier_uniform(self, name):
        """Glorot and Bengio 2010."""
        return tf.keras.initializers.GlorotUniform(seed=self._seeded(name))


def upsample_nearest(features, factor):
    """Nearest-neighbour upsampling, [B, H, W, C] -> [B, factor * H, factor * W, C]; its gradient is a plain sum."""
    batch, height, width = tf.unstack(tf.shape(features)[:3])
    channels = features.shape[3]
    wide = tf.broadcast_to(features[:, :, tf.newaxis, :, tf.newaxis], [batch, height, factor, width, factor, channels])
    return tf.reshape(wide, [batch, height * factor, width * factor, channels])


def _groups_have_gradients(dtype):
    """Whether TensorFlow can differentiate a convolution in groups here: on GPUs and with oneDNN it can, a CPU
    without oneDNN (an older one, or TF_ENABLE_ONEDNN_OPTS=0) runs it forward only.

    Where it can, that is about twice as fast on a CPU as a convolution for each group.
    """
    with tf.init_scope():
        features, kernel = tf.zeros([1, 2, 2, 4], dtype), tf.zeros([1, 1, 2, 4], dtype)
        options = {"strides": [1, 1, 1, 1], "padding": "VALID"}
        try:
            tf.raw_ops.Conv2DBackpropInput(input_sizes=[1, 2, 2, 4], filter=kernel, out_backprop=features, **options)
        except (tf.errors.InvalidArgumentError, tf.errors.UnimplementedError):
            return False
    return True


def _weight(layer, name, shape, initializer, trainable=True):
    return layer.add_weight(
        name=f"{layer.name}.{name}",
        shape=shape,
        dtype=tf.float32,
        initializer=lambda shape, dtype=None: initializer(shape),
        trainable=trainable,
        experimental_autocast=False,  # norms take float32 in every precision; kernels are cast by hand
    )
