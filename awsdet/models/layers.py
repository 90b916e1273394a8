"""The layers that networks are made of: convolution with its normalisation, transposed convolution, dense.

They make their variables in the constructor, from explicit input channels, so that a detector has all its weights
before it sees a batch. A layer's name is its path in the detector ("backbone.layer2.0.conv1", the names of
mmdetection) and begins the name of each of its variables. Variables are float32 whatever the precision policy;
features are NHWC in the policy's compute dtype.
"""

import math
import zlib

import tensorflow as tf

NORM_EPSILON = 1e-5
STATISTICS_RATE = 0.1  # share of the new batch in the running statistics


class Conv(tf.keras.layers.Layer):
    """Convolution, then normalisation, then ReLU, each as asked for.

    Strided kernels are padded alike on both sides, as PyTorch does. `norm` is none (a bias instead),
    frozen_batch_norm, batch_norm or group_norm. A frozen batch norm is not folded into the kernel: on a CPU that was
    no faster in training, and it rounds otherwise than the reference.
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
        norm="none",
        affine=True,
        relu=False,
    ):
        """`affine`: gamma and beta of a frozen batch norm are trainable. `initializer` takes a shape."""
        super().__init__(name=name, dtype=dtype)
        self.kernel_size, self.strides, self.norm, self.relu = kernel_size, strides, norm, relu
        self.kernel = _weight(self, "kernel", [kernel_size, kernel_size, in_channels, filters], initializer)
        if norm == "none":
            self.bias = _weight(self, "bias", [filters], tf.zeros)
        elif norm in ("frozen_batch_norm", "batch_norm"):
            self.gamma = _weight(self, "gamma", [filters], tf.ones, trainable=affine)
            self.beta = _weight(self, "beta", [filters], tf.zeros, trainable=affine)
            self.mean = _weight(self, "mean", [filters], tf.zeros, trainable=False)
            self.variance = _weight(self, "variance", [filters], tf.ones, trainable=False)
        elif norm == "group_norm":
            self.gamma = _weight(self, "gamma", [filters], tf.ones)
            self.beta = _weight(self, "beta", [filters], tf.zeros)
        else:
            raise ValueError(f"norm is {norm!r}; it must be none, frozen_batch_norm, batch_norm or group_norm")
        self.built = True

    def call(self, features, training=False):
        """`features` [B, H, W, in_channels] -> [B, ceil(H / strides), ceil(W / strides), filters] for odd kernels."""
        kernel = tf.cast(self.kernel, self.compute_dtype)
        outputs = tf.nn.conv2d(features, kernel, self.strides, self._padding())
        if self.norm == "none":
            outputs = tf.nn.bias_add(outputs, tf.cast(self.bias, self.compute_dtype))
        elif self.norm == "group_norm":
            outputs = _group_normalized(outputs, self.gamma, self.beta)
        else:
            outputs = self._batch_normalized(outputs, self.norm == "batch_norm" and training and self.trainable)
        return tf.nn.relu(outputs) if self.relu else outputs

    def _batch_normalized(self, outputs, live):
        """With the stored statistics or, if `live`, those of this batch, a tenth of which goes into the stored ones."""
        fused = tf.compat.v1.nn.fused_batch_norm
        if not live and self.compute_dtype == "float32":
            # The same arithmetic as the reference's, to its last bit or nearly: deep networks amplify what differs.
            scale = self.gamma * tf.math.rsqrt(self.variance + NORM_EPSILON)
            return outputs * scale + (self.beta - self.mean * scale)
        if not live:  # one rounding to low precision, not two
            statistics = {"mean": self.mean, "variance": self.variance, "is_training": False}
            return fused(outputs, self.gamma, self.beta, epsilon=NORM_EPSILON, **statistics)[0]
        outputs, mean, variance = fused(outputs, self.gamma, self.beta, epsilon=NORM_EPSILON)
        self.mean.assign_add(STATISTICS_RATE * (mean - self.mean))
        self.variance.assign_add(STATISTICS_RATE * (variance - self.variance))
        return outputs

    def _padding(self):
        side = (self.kernel_size - 1) // 2
        if side == 0:
            return "VALID"
        return "SAME" if self.strides == 1 else [[0, 0], [side, side], [side, side], [0, 0]]


class Upsample(tf.keras.layers.Layer):
    """Transposed convolution with kernel 2 and stride 2, bias and ReLU: twice the size."""

    def __init__(self, in_channels, filters, *, name, dtype, initializer):
        super().__init__(name=name, dtype=dtype)
        self.filters = filters
        self.kernel = _weight(self, "kernel", [in_channels, 2, 2, filters], initializer)
        self.bias = _weight(self, "bias", [filters], tf.zeros)
        self.built = True

    def call(self, features):
        """`features` [R, H, W, in_channels] -> [R, 2H, 2W, filters]."""
        # Kernel and stride are equal, so no two inputs meet in an output: one matrix product and a shuffle.
        shape = tf.shape(features)
        kernel = tf.cast(tf.reshape(self.kernel, [self.kernel.shape[0], -1]), self.compute_dtype)
        outputs = tf.reshape(tf.matmul(features, kernel), [shape[0], shape[1], shape[2], 2, 2, self.filters])
        outputs = tf.reshape(
            tf.transpose(outputs, [0, 1, 3, 2, 4, 5]), [shape[0], shape[1] * 2, shape[2] * 2, self.filters]
        )
        return tf.nn.relu(tf.nn.bias_add(outputs, tf.cast(self.bias, self.compute_dtype)))


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

    def xavier_uniform(self, name):
        """Glorot and Bengio 2010."""
        return tf.keras.initializers.GlorotUniform(seed=self._seeded(name))


def _group_normalized(features, gamma, beta):
    """Group normalisation (Wu and He 2018) of [B, H, W, C] in up to 32 groups, statistics in float32."""
    channels = features.shape[3]
    groups = math.gcd(32, channels)
    shape = tf.shape(features)
    grouped = tf.reshape(tf.cast(features, tf.float32), [shape[0], shape[1] * shape[2], groups, channels // groups])
    mean, variance = tf.nn.moments(grouped, axes=[1, 3], keepdims=True)
    # One multiply and one add a feature: the statistics are folded into a scale and an offset for each image and
    # channel.
    scale = tf.math.rsqrt(variance + NORM_EPSILON) * tf.reshape(gamma, [1, 1, groups, -1])
    offset = tf.reshape(beta, [1, 1, groups, -1]) - mean * scale
    return tf.cast(tf.reshape(grouped * scale + offset, shape), features.dtype)


def _weight(layer, name, shape, initializer, trainable=True):
    return layer.add_weight(
        name=f"{layer.name}.{name}",
        shape=shape,
        dtype=tf.float32,
        initializer=lambda shape, dtype=None: initializer(shape),
        trainable=trainable,
        experimental_autocast=False,  # norms take float32 in every precision; kernels are cast by hand
    )
