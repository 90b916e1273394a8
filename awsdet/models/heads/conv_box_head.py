"""The box head with convolutions (Wu and He 2018): "4conv1fc", usually with group normalisation."""

import tensorflow as tf

from awsdet.models.heads.box_head import BoxHead, BoxPredictor
from awsdet.models.layers.conv import Conv
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
        """`conv_channels`: of the convolutions; `norm`: theirs, none or group_norm; `channels`: of the dense layer."""
        super().__init__(channels, num_classes, class_agnostic, initializers=initializers, dtype=dtype, name=name)
        self.convs = []
        for index in range(convs):
            path = f"{name}.shared_convs.{index}.conv"
            options = {"norm": norm, "initializer": initializers.kaiming_normal(path), "name": path, "dtype": dtype}
            width = conv_channels if index else in_channels
            self.convs.append(Conv(width, conv_channels, 3, relu=True, **options))
        self.fc = Dense(
            (conv_channels if convs else in_channels) * pool_size**2,
            channels,
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


def build_box_head(settings, num_classes, *, initializers, dtype, name="roi_head.bbox_head"):
    """The box head of `settings`, config.model: two dense layers, or convolutions and one if box_head.convs asks."""
    head = settings.box_head
    common = {"initializers": initializers, "dtype": dtype, "name": name}
    last = (head.channels, num_classes, head.class_agnostic)
    if head.convs:
        convs = (head.convs, head.conv_channels, head.norm)
        return ConvBoxHead(settings.fpn.channels, head.pool_size, *convs, *last, **common)
    return BoxHead(settings.fpn.channels, head.pool_size, *last, **common)
