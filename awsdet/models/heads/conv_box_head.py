"""The box head with convolutions (Wu and He 2018): "4conv1fc", usually with group normalisation."""

import tensorflow as tf

from awsdet.models.heads.box_head import BoxPredictor
from awsdet.models.layers.conv import conv_maker
from awsdet.models.layers.dense import Dense


class ConvBoxHead(BoxPredictor):
    """3x3 convolutions, a shared fully connected layer, then class logits and box deltas."""

    def __init__(
        self,
        in_channels,
        pool_size,
        convs,
        conv_channels,
        norm,
        channels,
        num_classes,
        class_agnostic,
        *,
        initializers,
        dtype,
        name="roi_head.bbox_head",
    ):
        """`conv_channels`, `norm`: of the convolutions, norm none or group_norm; `channels`: of the dense layer."""
        super().__init__(channels, num_classes, class_agnostic, initializers=initializers, dtype=dtype, name=name)
        conv = conv_maker(initializers.kaiming_normal, norm=norm, relu=True, dtype=dtype)
        widths = [in_channels, *[conv_channels] * convs]
        self.convs = [
            conv(widths[index], conv_channels, 3, name=f"{name}.shared_convs.{index}.conv") for index in range(convs)
        ]
        self.fc = Dense(
            widths[-1] * pool_size**2,
            channels,
            window=pool_size,
            relu=True,
            initializer=initializers.xavier_uniform(f"{name}.fc1"),
            name=f"{name}.shared_fcs.0",
            dtype=dtype,
        )

    def call(self, pooled, training=False):
        """RoI features [R, P, P, in_channels] -> BoxOutput."""
        for conv in self.convs:
            pooled = conv(pooled, training=training)
        return self.predict(self.fc(tf.reshape(pooled, [-1, self.fc.kernel.shape[0]])))
