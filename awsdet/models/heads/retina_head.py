"""RetinaNet's head (Lin et al. 2017): the network, the targets of every anchor, the losses, the detections.

Symbols: B images, N anchors of all levels together, A anchors a cell, C classes, D detections.
"""

import math
from typing import NamedTuple

import tensorflow as tf

from awsdet.detection import boxes as box_lib
from awsdet.detection import losses
from awsdet.detection.matching import IGNORED, POSITIVE, match
from awsdet.detection.suppression import suppress
from awsdet.models.layers.conv import Conv

PRIOR = 0.01  # what the untrained head gives each class, so that the many background anchors do not swamp the start


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

        def conv(filters_in, filters, path, **options):
            initializer = initializers.normal(path, 0.01)
            return Conv(filters_in, filters, 3, initializer=initializer, name=path, dtype=dtype, **options)

        def tower(path):
            widths = [in_channels, *[channels] * convs]
            return [conv(widths[i], channels, f"{path}.{i}.conv", relu=True) for i in range(convs)]

        width = channels if convs else in_channels
        self.class_tower, self.box_tower = tower(f"{name}.cls_convs"), tower(f"{name}.reg_convs")
        self.logits = conv(width, anchors_per_cell * num_classes, f"{name}.retina_cls")
        self.deltas = conv(width, anchors_per_cell * 4, f"{name}.retina_reg")
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
            by_class = tf.reshape(self.logits(by_class), [batch, -1, self.num_classes])
            logits.append(tf.cast(by_class, tf.float32))
            deltas.append(tf.cast(tf.reshape(self.deltas(by_box), [batch, -1, 4]), tf.float32))
        return RetinaOutput(logits, deltas)


class RetinaTargets(NamedTuple):
    """Of every anchor."""

    positive: tf.Tensor  # bool [B, N]
    valid: tf.Tensor  # bool [B, N]: positive or negative
    labels: tf.Tensor  # int32 [B, N], class of positives, C (background) elsewhere
    deltas: tf.Tensor  # float32 [B, N, 4], meaningful for positives
    anchors: tf.Tensor  # float32 [N, 4]
    normalizer: tf.Tensor  # float32 scalar: positives over the batch


def retina_targets(anchors, anchor_valid, batch, num_classes, rule):
    """Matches all anchors; none is sampled. `anchors` float32 [N, 4], `anchor_valid` bool [B, N]; see matching."""
    is_object = batch["classes"] >= 0
    is_target, is_crowd = is_object & ~batch["is_crowd"], is_object & batch["is_crowd"]
    candidates = tf.broadcast_to(anchors, [*tf.unstack(tf.shape(anchor_valid)), 4])
    matched = match(candidates, batch["boxes"], is_target, is_crowd, rule=rule, candidate_valid=anchor_valid)
    positive = matched.state == POSITIVE
    labels = tf.where(positive, tf.gather(batch["classes"], matched.index, batch_dims=1), num_classes)
    deltas = box_lib.encode(tf.gather(batch["boxes"], matched.index, batch_dims=1), anchors, rule.box_stds)
    # The reference counts at least one positive an image (mmdetection, SamplingResult).
    counts = tf.maximum(tf.reduce_sum(tf.cast(positive, tf.float32), axis=1), 1.0)
    return RetinaTargets(positive, matched.state != IGNORED, labels, deltas, anchors, tf.reduce_sum(counts))


def retina_losses(output, targets, rule):
    """Summed, unnormalised losses: focal loss of the valid anchors, box loss of the positives. Two scalars."""
    logits, deltas = tf.concat(output.logits, axis=1), tf.concat(output.deltas, axis=1)
    class_loss = losses.focal_loss(logits, targets.labels, targets.valid, rule.focal_alpha, rule.focal_gamma)
    # Positives are few: their deltas are gathered first.
    slots = tf.where(targets.positive)
    box_loss = losses.box_loss(
        tf.gather_nd(deltas, slots),
        tf.gather_nd(targets.deltas, slots),
        tf.ones(tf.shape(slots)[:1], tf.bool),
        rule,
        tf.gather(targets.anchors, slots[:, 1]),
    )
    return class_loss * rule.class_loss_weight, box_loss * rule.box_loss_weight


def retina_detections(output, anchors, image_size, rule):
    """Classes of anchors above the score threshold, the best pre_nms of each level, after class-wise NMS.

    `anchors`: per level float32 [H*W*A, 4]; `image_size` int32 [B, 2]; `rule` is config.model.retina_head. Returns
    Detections, at most max_detections an image.
    """
    boxes, scores, classes = [], [], []
    for logits, deltas, level_anchors in zip(output.logits, output.deltas, anchors):
        top, anchor, label = _best_pairs(logits, rule.pre_nms)
        decoded = box_lib.decode(
            tf.gather(deltas, anchor, batch_dims=1), tf.gather(level_anchors, anchor), rule.box_stds
        )
        boxes.append(box_lib.clip(decoded, image_size))
        scores.append(tf.sigmoid(top))
        classes.append(label)
    boxes, scores, classes = (tf.concat(parts, axis=1) for parts in (boxes, scores, classes))
    large = (boxes[..., 2] - boxes[..., 0] > rule.min_size) & (boxes[..., 3] - boxes[..., 1] > rule.min_size)
    return suppress(boxes, tf.where(large, scores, 0.0), classes, rule)


def _best_pairs(logits, limit):
    """The best pairs of anchor and class of `logits` [B, N, C]: their logits, anchors and classes, each [B, K].

    K is `limit` or all there are. A pair among the best K has an anchor among those of the best K by their best
    class, so the long sort is over N and not N * C.
    """
    anchors, classes = tf.shape(logits)[1], logits.shape[2]
    best = tf.math.top_k(tf.reduce_max(logits, axis=2), tf.minimum(limit, anchors))
    # In index order, so that equal scores keep the order of the anchors.
    candidates = tf.sort(best.indices, axis=1)
    flat = tf.reshape(tf.gather(logits, candidates, batch_dims=1), [tf.shape(logits)[0], -1])
    top = tf.math.top_k(flat, tf.minimum(limit, tf.shape(flat)[1]))
    return top.values, tf.gather(candidates, top.indices // classes, batch_dims=1), top.indices % classes
