"""The box head with convolutions (Wu and He 2018): "4conv1fc", usually with normalisation."""

import tensorflow as tf

from awsdet.models.heads.box_head import BoxPredictor
from awsdet.models.layers import norms
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
        """`conv_channels`, `norm`: of the convolutions, norm as in `Conv`; `channels`: of the dense layer."""
        super().__init__(channels, num_classes, class_agnostic, initializers=initializers, dtype=dtype, name=name)
        self.wants_real = norm in norms.LIVE_NORMS
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

    def call(self, pooled, training=False, real=None):
        """RoI features [R, P, P, in_channels] -> BoxOutput. `real` bool [R]: see `Conv.call`; None: all are."""
        for conv in self.convs:
            pooled = conv(pooled, training=training, real=real)
        return self.predict(self.fc(tf.reshape(pooled, [-1, self.fc.kernel.shape[0]])))
