"""Initial values of weights."""

import math
import zlib

import tensorflow as tf


class Initializers:
    """Initialisers under their usual names. The seed of each variable comes from `seed` and the variable's name."""

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
        """`kaiming_normal` for the kernel [in, 2, 2, filters] of `Upsample`, as PyTorch defines it for a transposed
        convolution: standard deviation sqrt(2 / (4 in)). VarianceScaling would take the fans from the wrong axes."""

        def initializer(shape):
            rows, columns = shape[1:3]
            return self.normal(name, math.sqrt(2.0 / (rows * columns * shape[0])))(shape)

        return initializer

    def xavier_uniform(self, name):
        """Glorot and Bengio 2010."""
        return tf.keras.initializers.GlorotUniform(seed=self._seeded(name))

    def caffe2_xavier(self, name):
        """What Caffe2 calls Xavier: uniform within sqrt(3 / fan in), whatever the fan out."""
        return tf.keras.initializers.VarianceScaling(1.0, "fan_in", "uniform", seed=self._seeded(name))
