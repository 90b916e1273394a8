"""The feature pyramid of HRNetV2p (Sun et al. 2019): all branches are joined at the finest size, then averaged down."""

import tensorflow as tf

from awsdet.models.layers.conv import conv_maker


class HRFPN(tf.keras.layers.Layer):
    """Bilinear upsampling, concatenation, a 1x1 convolution; then average pooling and a 3x3 convolution per level."""

    def __init__(self, in_channels, channels, *, norm, initializers, dtype, num_outs=5, start_level=0, name="neck"):
        """`in_channels`: of the branches; `channels`: of each of the `num_outs` levels; `norm`: see `Conv`;
        `start_level`: 1 for levels from stride 8 on, which the 3x3 convolutions reach by a stride of 2."""
        super().__init__(name=name, dtype=dtype)
        # mmdetection names Caffe2's Xavier for all, but its ConvModule draws a direct part of the neck again.
        reduction = conv_maker(initializers.kaiming_normal, norm=norm, dtype=dtype)
        self.reduction = reduction(sum(in_channels), channels, 1, name=f"{name}.reduction_conv.conv")
        conv = conv_maker(initializers.caffe2_xavier, norm=norm, dtype=dtype)
        self.output_convs = [
            conv(channels, channels, 3, name=f"{name}.fpn_convs.{i}.conv", strides=2**start_level)
            for i in range(num_outs)
        ]
        self.built = True

    def call(self, features, training=False):
        """Features at strides 4, 8, 16, 32, each exactly half the size of the one before (H and W of the image are
        multiples of 32) -> num_outs levels. The next level leaves out an odd last row or column, but none is empty."""
        size = tf.shape(features[0])[1:3]
        joined = [features[0], *(tf.cast(tf.image.resize(f, size), f.dtype) for f in features[1:])]
        level = self.reduction(tf.concat(joined, axis=3), training=training)
        outputs = []
        for conv in self.output_convs:
            if outputs:
                level = _halved(level)
            outputs.append(conv(level, training=training))
        return outputs


def _halved(features):
    """The mean of each 2x2; a single row or column is doubled first."""
    height, width = tf.unstack(tf.shape(features)[1:3])
    spare = [[0, 0], [0, tf.maximum(2 - height, 0)], [0, tf.maximum(2 - width, 0)], [0, 0]]
    return tf.nn.avg_pool2d(tf.pad(features, spare, "SYMMETRIC"), 2, 2, "VALID")
