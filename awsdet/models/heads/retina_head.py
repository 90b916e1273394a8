"""RetinaNet's head (Lin et al. 2017): the network, the targets of every anchor, the losses, the detections.

Symbols: B images, H x W cells of a level, A anchors per cell, N anchors of all levels together, C classes.
"""

import math
from typing import NamedTuple

import tensorflow as tf

from awsdet.detection import boxes as box_lib
from awsdet.detection.losses import Mean, Terms, count, share
from awsdet.models.layers.conv import conv_maker
from awsdet.ops.top_boxes import top_boxes

PRIOR = 0.01  # initial probability of each class, so that the many background anchors do not dominate at the start


class RetinaOutput(NamedTuple):
    """Per level, finest first: logits float32 [B, H*W*A, C], deltas float32 [B, H*W*A, 4]."""

    logits: list
    deltas: list


class RetinaHead(tf.keras.layers.Layer):
    """Two towers of 3x3 convolutions, for classes and for boxes, shared by all levels."""

    def __init__(
        self, in_channels, convs, channels, anchors_per_cell, num_classes, *, initializers, dtype, name="bbox_head"
    ):
        super().__init__(name=name, dtype=dtype)
        self.num_classes = num_classes

        conv = conv_maker(lambda path: initializers.normal(path, 0.01), dtype=dtype)

        def tower(path):
            widths = [in_channels, *[channels] * convs]
            return [conv(widths[i], channels, 3, name=f"{path}.{i}.conv", relu=True) for i in range(convs)]

        width = channels if convs else in_channels
        self.class_tower, self.box_tower = tower(f"{name}.cls_convs"), tower(f"{name}.reg_convs")
        self.logits = conv(width, anchors_per_cell * num_classes, 3, name=f"{name}.retina_cls")
        self.deltas = conv(width, anchors_per_cell * 4, 3, name=f"{name}.retina_reg")
        self.logits.bias.assign(tf.fill(self.logits.bias.shape, math.log(PRIOR / (1 - PRIOR))))
        self.built = True

    def call(self, pyramid, training=False):
        """List of [B, H, W, C] -> RetinaOutput."""
        logits, deltas = [], []
        for features in pyramid:
            by_class = by_box = features
            for class_conv, box_conv in zip(self.class_tower, self.box_tower):
                by_class = class_conv(by_class, training=training)
                by_box = box_conv(by_box, training=training)
            batch = tf.shape(features)[0]
            by_class = tf.reshape(self.logits(by_class, training=training), [batch, -1, self.num_classes])
            logits.append(tf.cast(by_class, tf.float32))
            deltas.append(tf.cast(tf.reshape(self.deltas(by_box, training=training), [batch, -1, 4]), tf.float32))
        return RetinaOutput(logits, deltas)


class RetinaTargets(NamedTuple):
    """The targets of all anchors."""

    positive: tf.Tensor  # bool [B, N]
    valid: tf.Tensor  # bool [B, N]: positive or negative
    labels: tf.Tensor  # int32 [B, N], class of positives, C (background) elsewhere
    deltas: tf.Tensor  # float32 [B, N, 4], meaningful for positives
    anchors: tf.Tensor  # float32 [N, 4]
    normalizer: tf.Tensor  # float32 scalar: positives over the batch


def retina_targets(anchors, valid, truth, num_classes, matcher, coder):
    """Matches all anchors, without sampling.

    `anchors` float32 [N, 4]; `valid` bool [B, N]: anchors that take part; `truth` GroundTruth.
    """
    matched = matcher.match(anchors, truth, valid)
    positive = matched.positive
    labels = tf.where(positive, tf.gather(truth.classes, matched.index, batch_dims=1), num_classes)
    deltas = coder.encode(tf.gather(truth.boxes, matched.index, batch_dims=1), anchors)
    # The reference counts at least one positive per image (mmdetection, SamplingResult).
    counts = tf.maximum(tf.reduce_sum(tf.cast(positive, tf.float32), axis=1), 1.0)
    return RetinaTargets(positive, positive | matched.negative, labels, deltas, anchors, tf.reduce_sum(counts))


def retina_terms(output, targets, normalizer, focal_loss, box_loss, coder):
    """Losses and metrics of a RetinaOutput against RetinaTargets. Returns Terms.

    class_loss: focal loss of the valid anchors; box_loss: box loss of the positives; both divided by `normalizer`.
    positives: positive anchors per image; foreground_accuracy: share of the positives whose class has the highest logit
    and a probability above 1/2.
    """
    logits, deltas = tf.concat(output.logits, axis=1), tf.concat(output.deltas, axis=1)
    class_total = focal_loss.total(logits, targets.labels, targets.valid)
    # Positives are few: their deltas and logits are gathered first.
    slots = tf.where(targets.positive)
    every = tf.ones(tf.shape(slots)[:1], tf.bool)
    anchors = tf.gather(targets.anchors, slots[:, 1])
    predicted, wanted = tf.gather_nd(deltas, slots), tf.gather_nd(targets.deltas, slots)
    box_total = box_loss.total(predicted, wanted, every, anchors, coder)
    own = tf.gather_nd(logits, slots)
    # Classes are compared as int64: TensorFlow compares int32 on the host.
    found = tf.where(tf.reduce_max(own, axis=1) > 0, tf.argmax(own, axis=1), -1)
    right = found == tf.cast(tf.gather_nd(targets.labels, slots), tf.int64)
    images = tf.cast(tf.shape(targets.positive)[0], tf.float32)
    return Terms(
        {"class_loss": Mean(class_total, normalizer), "box_loss": Mean(box_total, normalizer)},
        {
            "positives": Mean(count(targets.positive), images),
            "foreground_accuracy": share(right, every),
        },
    )


def retina_detections(output, anchors, image_size, coder, suppression, pre_nms=1000, min_size=0.0):
    """The objects in a RetinaOutput. Returns Detections.

    `anchors` float32 [N, 4]; `image_size` int32 [B, 2]. `suppression` gets the best `pre_nms` pairs of anchor and class
    of each level, without boxes whose width or height is at most `min_size` px.
    """
    top = top_boxes(
        output.logits,
        output.deltas,
        anchors,
        image_size,
        limit=pre_nms,
        min_size=min_size,
        stds=coder.stds,
        max_log_ratio=box_lib.MAX_LOG_RATIO,
    )
    # The logit of a box that is too small is minus infinity.
    return suppression.suppress(top.boxes, tf.sigmoid(top.logits), top.classes)
