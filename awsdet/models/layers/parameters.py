"""Makes the variables of layers.

Layers make their variables in the constructor, from explicit input channels, so that a detector has all its weights
before its first batch. The name of a layer is its path in the detector ("backbone.layer2.0.conv1", as in mmdetection)
and the beginning of the name of each of its variables. Variables are float32 in every precision policy; features are
NHWC in the compute dtype of the policy.
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
