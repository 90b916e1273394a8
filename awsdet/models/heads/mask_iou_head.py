"""Mask IoU head (Huang et al. 2019, "Mask Scoring R-CNN"): how good a mask is. P positives, C classes, M = 28."""

import tensorflow as tf

from awsdet.models.layers.conv import Conv
from awsdet.models.layers.dense import Dense

_TINY = 1e-7


class MaskIoUHead(tf.keras.layers.Layer):
    """3x3 convolutions, the last of stride 2, of RoI features and mask; dense layers; an IoU for each class."""

    def __init__(
        self,
        in_channels,
        pool_size,
        num_classes,
        settings,
        *,
        initializers,
        dtype,
        name="roi_head.mask_iou_head",
    ):
        """`in_channels`, `pool_size`: of the RoI features; `settings`: config.model.mask_iou_head."""
        super().__init__(name=name, dtype=dtype)
        self.convs, self.dense = [], []
        width = in_channels + 1
        for index in range(settings.convs):
            path = f"{name}.convs.{index}"
            strides = 2 if index == settings.convs - 1 else 1
            initializer = initializers.kaiming_normal(path)
            options = {"strides": strides, "relu": True, "initializer": initializer, "name": path, "dtype": dtype}
            self.convs.append(Conv(width, settings.channels, 3, **options))
            width = settings.channels
        width *= ((pool_size + 1) // 2) ** 2
        for index in range(settings.fc_layers):
            path = f"{name}.fcs.{index}"
            initializer = initializers.xavier_uniform(path)
            options = {"relu": True, "initializer": initializer, "name": path, "dtype": dtype}
            self.dense.append(Dense(width, settings.fc_channels, **options))
            width = settings.fc_channels
        path = f"{name}.fc_mask_iou"
        self.iou = Dense(width, num_classes, initializer=initializers.normal(path, 0.01), name=path, dtype=dtype)
        self.built = True

    def call(self, pooled, mask_logits, classes, training=False):
        """The IoU that the mask of each RoI is expected to have with its object: float32 [P].

        `pooled` [P, 14, 14, channels], what the mask head was given; `mask_logits` float32 [P, 28, 28], what it made
        of it; `classes` int32 [P].
        """
        masks = tf.cast(tf.sigmoid(mask_logits), pooled.dtype)[..., tf.newaxis]
        hidden = tf.concat([pooled, tf.nn.max_pool2d(masks, 2, 2, "VALID")], axis=-1)
        for conv in self.convs:
            hidden = conv(hidden, training=training)
        hidden = tf.reshape(hidden, [-1, hidden.shape[1] * hidden.shape[2] * hidden.shape[3]])
        for dense in self.dense:
            hidden = dense(hidden)
        return tf.gather(tf.cast(self.iou(hidden), tf.float32), classes, batch_dims=1)


def mask_iou_targets(mask_logits, mask_targets, shares, logit_threshold):
    """The IoU of each mask with its whole object: float32 [P], 0 where there is neither.

    `mask_logits`, `mask_targets` float32 [P, M, M]; `shares` float32 [P]: how much of its object lies in the RoI, by
    which the object's area in pixels of the mask is known.
    """
    masks = tf.cast(mask_logits > logit_threshold, tf.float32)
    overlap = tf.reduce_sum(masks * mask_targets, axis=[1, 2])
    whole = tf.reduce_sum(mask_targets, axis=[1, 2]) / (shares + _TINY)
    return tf.math.divide_no_nan(overlap, tf.reduce_sum(masks, axis=[1, 2]) + whole - overlap)


def mask_iou_loss(predicted, targets):
    """Sum of the squared errors of masks that meet their object at all, and their number: two scalars.

    `predicted`, `targets` float32 [P].
    """
    meets = targets > 0
    return tf.reduce_sum(tf.where(meets, (predicted - targets) ** 2, 0.0)), tf.reduce_sum(tf.cast(meets, tf.float32))
