"""Weights made from their names, so that separate programs give a network the same weights."""

import zlib

import numpy as np

IMAGE = (1, 72, 90, 3)  # odd at strides 4 and 16: borders count
PYRAMID_IMAGE = (1, 64, 128, 3)  # HRNet needs multiples of 32


def array_named(name, shape):
    """float32 array for the PyTorch parameter `name` of `shape`; its scale keeps deep networks in range."""
    # RandomState, unlike the newer generators, gives the same numbers in every version of NumPy.
    random = np.random.RandomState(zlib.crc32(name.encode()))
    if name.endswith("running_var"):
        return random.uniform(0.5, 1.5, shape).astype(np.float32)
    if len(shape) == 1:
        low, high = (0.4, 0.8) if name.endswith("weight") else (-0.2, 0.2)
        return random.uniform(low, high, shape).astype(np.float32)
    reach = np.sqrt(6.0 / np.prod(shape[1:]))  # He et al. 2015
    return random.uniform(-reach, reach, shape).astype(np.float32)


def random_image(shape):
    """A float32 picture [1, H, W, 3]."""
    return np.random.RandomState(5).normal(size=shape).astype(np.float32)


def every_16th_channel(array):
    """What a fixture keeps of features [B, H, W, C]: every 16th channel."""
    return np.ascontiguousarray(array[..., ::16])
