"""Mask head (He et al. 2017): the network, its targets, its loss. P positives, M = 28 mask size, C classes."""

from typing import NamedTuple

import tensorflow as tf

from awsdet.models.layers.conv import Conv
from awsdet.models.layers.upsample import Upsample, interleave
from awsdet.ops.mask_targets import polygon_targets, rle_targets

# The positives of a batch are filled up to a multiple of this. Their number changes from step to step, and a GPU tunes
# each convolution anew for every size that it has not seen; half of this, on average, is computed for nobody.
ROUNDED = 8


class MaskHead(tf.keras.layers.Layer):
    """3x3 convolutions, a transposed one that doubles the size, and a 1x1 predictor for the class asked for only."""

    def __init__(
        self,
        in_channels,
        convs,
        channels,
        num_classes,
        class_agnostic,
        *,
        norm="none",
        initializers,
        dtype,
        name="roi_head.mask_head",
    ):
        super().__init__(name=name, dtype=dtype)
        self.class_agnostic = class_agnostic
        kaiming = initializers.kaiming_normal
        self.convs = []
        for index in range(convs):
            path = f"{name}.convs.{index}.conv"
            width = in_channels if index == 0 else channels
            self.convs.append(
                Conv(width, channels, 3, norm=norm, relu=True, initializer=kaiming(path), name=path, dtype=dtype)
            )
        path = f"{name}.upsample"
        self.upsample = Upsample(
            channels, channels, initializer=initializers.kaiming_upsample(path), name=path, dtype=dtype
        )
        self.logits = Conv(
            channels,
            1 if class_agnostic else num_classes,
            1,
            initializer=kaiming(f"{name}.conv_logits"),
            name=f"{name}.conv_logits",
            dtype=dtype,
        )
        self.built = True

    def call(self, pooled, classes, training=False):
        """RoI features [P, 14, 14, channels] and the class of each RoI, int32 [P] -> logits float32 [P, 28, 28]."""
        features = pooled
        for conv in self.convs:
            features = conv(features, training=training)
        pixels = self.upsample(features)
        channel = tf.zeros_like(classes) if self.class_agnostic else classes
        # The kernel column of each RoI's own class: the other C - 1 masks are wanted by nobody.
        kernel = tf.gather(tf.transpose(self.logits.kernel[0, 0]), channel)
        kernel = tf.cast(kernel, pixels.dtype)[:, :, tf.newaxis]
        flat = tf.reshape(pixels, [-1, 4 * pooled.shape[1] * pooled.shape[2], pixels.shape[5]])
        logits = tf.cast(tf.matmul(flat, kernel), tf.float32)[..., 0]
        logits += tf.gather(self.logits.bias, channel)[:, tf.newaxis]
        logits = tf.reshape(logits, [-1, pooled.shape[1], pooled.shape[2], 2, 2, 1])
        return interleave(logits)[..., 0]


class PositiveRoIs(NamedTuple):
    """The P positives of a batch, then RoIs of nothing: Q in all, which is 8 or 16 or …"""

    boxes: tf.Tensor  # float32 [Q, 4]
    image_index: tf.Tensor  # int32
    truth: tf.Tensor  # int32, the object of its image that each stands for
    labels: tf.Tensor  # int32, its class
    count: tf.Tensor  # int32 scalar, P: who goes on cuts off the rest


def positive_rois(rois):
    """PositiveRoIs of a `box_head.RoISample`."""
    slots = tf.cast(tf.where(rois.positive), tf.int32)
    parts = [tf.gather_nd(rois.rois, slots), slots[:, 0]]
    parts += [tf.gather_nd(part, slots) for part in (rois.truth, rois.labels)]
    count = tf.shape(slots)[0]
    # At least one where there is none: oneDNN has no filter gradient of an empty batch.
    spare = tf.maximum(-(-count // ROUNDED) * ROUNDED, ROUNDED) - count
    return PositiveRoIs(*(tf.pad(part, [[0, spare]] + [[0, 0]] * (part.shape.rank - 1)) for part in parts), count)


def mask_targets(masks, image_size, rois, image_index, truth, size):
    """Targets float32 [P, size, size] of the positives.

    `masks`: the batch's dict of ragged polygons and rles; `image_size` int32 [B, 2]; `rois` float32 [P, 4];
    `image_index`, `truth` int32 [P]: the image and the object in it that each RoI stands for.
    """
    polygons, rles = masks["polygons"], masks["rles"]
    objects = tf.gather(tf.cast(polygons.row_starts(), tf.int32), image_index) + truth
    from_polygons = polygon_targets(polygons.values, objects, rois, size)
    object_size = tf.gather(image_size, rles.value_rowids())
    from_rles = rle_targets(rles.values, objects, object_size, rois, size)
    return tf.maximum(from_polygons, from_rles)


def mask_loss(logits, targets):
    """Sum over pixels of the binary cross entropy of logits and targets [P, M, M]."""
    return tf.reduce_sum(tf.nn.sigmoid_cross_entropy_with_logits(targets, logits))
