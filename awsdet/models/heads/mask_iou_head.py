"""Mask IoU head (Huang et al. 2019, "Mask Scoring R-CNN"): predicts how good a mask is.

Symbols: P RoIs, C classes, M = 28 side of a mask.
"""

import tensorflow as tf

from awsdet.detection.losses import Mean, Terms, count
from awsdet.models.layers.conv import conv_maker
from awsdet.models.layers.dense import Dense
from awsdet.models.layers.picking import pick

_TINY = 1e-7


class MaskIoUHead(tf.keras.layers.Layer):
    """3x3 convolutions over RoI features and mask, the last of stride 2; dense layers; one IoU per class."""

    def __init__(
        self,
        in_channels,
        pool_size,
        num_classes,
        convs,
        channels,
        fc_layers,
        fc_channels,
        *,
        initializers,
        dtype,
        name="roi_head.mask_iou_head",
    ):
        """`in_channels`, `pool_size`: of the RoI features; `channels`: of the `convs` convolutions; `fc_channels`: of
        the `fc_layers` dense layers."""
        super().__init__(name=name, dtype=dtype)
        conv = conv_maker(initializers.kaiming_normal, relu=True, dtype=dtype)
        widths = [in_channels + 1, *[channels] * convs]
        self.convs = [
            conv(widths[index], channels, 3, strides=2 if index == convs - 1 else 1, name=f"{name}.convs.{index}")
            for index in range(convs)
        ]
        self.dense, side = [], (pool_size + 1) // 2
        width, window = widths[-1] * side**2, side
        for index in range(fc_layers):
            path = f"{name}.fcs.{index}"
            options = {"relu": True, "initializer": initializers.caffe2_xavier(path), "name": path, "dtype": dtype}
            self.dense.append(Dense(width, fc_channels, window=window, **options))
            width, window = fc_channels, None
        path = f"{name}.fc_mask_iou"
        options = {"initializer": initializers.normal(path, 0.01), "name": path, "dtype": dtype}
        self.iou = Dense(width, num_classes, window=window, **options)
        self.built = True

    def call(self, pooled, mask_logits, classes, training=False):
        """The IoU that the mask of each RoI is expected to have with its object: float32 [P].

        `pooled` [P, 14, 14, channels]: the input of the mask head; `mask_logits` float32 [P, 28, 28]: its output;
        `classes` int32 [P].
        """
        masks = tf.cast(tf.sigmoid(mask_logits), pooled.dtype)[..., tf.newaxis]
        hidden = tf.concat([pooled, tf.nn.max_pool2d(masks, 2, 2, "VALID")], axis=-1)
        for conv in self.convs:
            hidden = conv(hidden, training=training)
        hidden = tf.reshape(hidden, [-1, hidden.shape[1] * hidden.shape[2] * hidden.shape[3]])
        for dense in self.dense:
            hidden = dense(hidden)
        ious = tf.cast(self.iou(hidden), tf.float32)[..., tf.newaxis]
        chosen = tf.one_hot(classes, ious.shape[1], on_value=True, off_value=False)
        return pick(ious, chosen[..., tf.newaxis])[:, 0]


def mask_iou_targets(mask_logits, mask_targets, shares, logit_threshold):
    """The IoU of each mask with its whole object: float32 [P], 0 if both are empty.

    `mask_logits`, `mask_targets` float32 [P, M, M]; `shares` float32 [P]: the share of the object that lies in the
    RoI, which gives the area of the whole object in pixels of the mask.
    """
    masks = tf.cast(mask_logits > logit_threshold, tf.float32)
    overlap = tf.reduce_sum(masks * mask_targets, axis=[1, 2])
    whole = tf.reduce_sum(mask_targets, axis=[1, 2]) / (shares + _TINY)
    return tf.math.divide_no_nan(overlap, tf.reduce_sum(masks, axis=[1, 2]) + whole - overlap)


def mask_iou_terms(predicted, targets, loss_weight):
    """Loss of predicted IoUs against targets, both float32 [P]. Returns Terms.

    mask_iou_loss: mean squared error over the masks that overlap their object.
    """
    meets = targets > 0
    total = tf.reduce_sum(tf.where(meets, (predicted - targets) ** 2, 0.0))
    return Terms({"mask_iou_loss": Mean(total * loss_weight, count(meets))}, {})
