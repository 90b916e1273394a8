"""Feature Pyramid Network (Lin et al. 2017): C2 to C5 in, P2 to P6 of equal width out."""

import tensorflow as tf

from awsdet.models.layers import Conv


class FPN(tf.keras.layers.Layer):
    """Lateral 1x1 convolutions, a top-down path of nearest-neighbour upsampling, 3x3 convolutions; P6 subsamples P5."""

    def __init__(self, in_channels, channels, *, norm, initializers, dtype, name="neck"):
        """`in_channels`: of C2 to C5; `channels`: of every output; `norm`: none, batch_norm or group_norm."""
        super().__init__(name=name, dtype=dtype)

        def conv(filters_in, size, path):
            return Conv(
                filters_in,
                channels,
                size,
                norm=norm,
                initializer=initializers.xavier_uniform(path),
                name=path,
                dtype=dtype,
            )

        self.lateral = [conv(c, 1, f"{name}.lateral_convs.{i}.conv") for i, c in enumerate(in_channels)]
        self.output_convs = [conv(channels, 3, f"{name}.fpn_convs.{i}.conv") for i in range(len(in_channels))]
        self.built = True

    def call(self, features, training=False):
        """Features at strides 4, 8, 16, 32, each level exactly half the size of the one before (H and W multiples
        of 32)."""
        merged = [lateral(f, training=training) for lateral, f in zip(self.lateral, features)]
        for level in reversed(range(len(merged) - 1)):
            merged[level] += _double(merged[level + 1])
        outputs = [conv(m, training=training) for conv, m in zip(self.output_convs, merged)]
        return [*outputs, outputs[-1][:, ::2, ::2]]


def _double(features):
    """Nearest-neighbour upsampling by 2, [B, H, W, C] -> [B, 2H, 2W, C]; its gradient is a plain sum."""
    batch, height, width = tf.unstack(tf.shape(features)[:3])
    channels = features.shape[3]
    wide = tf.broadcast_to(features[:, :, tf.newaxis, :, tf.newaxis], [batch, height, 2, width, 2, channels])
    return tf.reshape(wide, [batch, height * 2, width * 2, channels])
