"""The layers that networks are made of: convolution with its normalisation, transposed convolution, dense.

They make their variables in the constructor, from explicit input channels, so that a detector has all its weights
before it sees a batch. A layer's name is its path in the detector ("backbone.layer2.0.conv1", the names of
mmdetection) and begins the name of each of its variables. Variables are float32 whatever the precision policy;
features are NHWC in the policy's compute dtype.
"""

import tensorflow as tf


def parameter(layer, name, shape, initializer, trainable=True):
    return layer.add_weight(
        name=f"{layer.name}.{name}",
        shape=shape,
        dtype=tf.float32,
        initializer=lambda shape, dtype=None: initializer(shape),
        trainable=trainable,
        experimental_autocast=False,  # norms take float32 in every precision; kernels are cast by hand
    )
