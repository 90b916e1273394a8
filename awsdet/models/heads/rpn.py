"""Region proposal network (Ren et al. 2015): the network, its proposals, its losses.

Symbols: B images, N anchors of all levels together, A anchors a cell, K proposals.
"""

from typing import NamedTuple

import tensorflow as tf

from awsdet.detection import anchors as anchor_lib
from awsdet.detection import boxes as box_lib
from awsdet.detection import losses
from awsdet.detection.matching import match
from awsdet.detection.sampling import sample
from awsdet.models.layers.conv import Conv
from awsdet.ops.nms import nms


class RPNOutput(NamedTuple):
    """Per level, finest first: logits float32 [B, H*W*A], deltas float32 [B, H*W*A, 4]."""

    logits: list
    deltas: list


class AnchorOutput(NamedTuple):
    """Of the S sampled anchors of each image."""

    logits: tf.Tensor  # float32 [B, S]
    deltas: tf.Tensor  # float32 [B, S, 4]


class Proposals(NamedTuple):
    boxes: tf.Tensor  # float32 [B, K, 4], image pixels, zeros where there are fewer
    scores: tf.Tensor  # float32 [B, K], probabilities by falling value
    count: tf.Tensor  # int32 [B]


class RPNHead(tf.keras.layers.Layer):
    """A 3x3 convolution and two 1x1 ones, shared by all levels."""

    def __init__(self, in_channels, channels, anchors_per_cell, *, initializers, dtype, name="rpn_head"):
        super().__init__(name=name, dtype=dtype)

        def conv(filters_in, filters, size, path, **options):
            initializer = initializers.normal(path, 0.01)
            return Conv(filters_in, filters, size, initializer=initializer, name=path, dtype=dtype, **options)

        self.anchors_per_cell = anchors_per_cell
        self.conv = conv(in_channels, channels, 3, f"{name}.rpn_conv", relu=True)
        self.logits = conv(channels, anchors_per_cell, 1, f"{name}.rpn_cls")
        self.deltas = conv(channels, anchors_per_cell * 4, 1, f"{name}.rpn_reg")
        self.built = True

    def call(self, pyramid, training=False):
        """List of [B, H, W, C] -> RPNOutput."""
        logits, deltas = [], []
        for features in pyramid:
            hidden = self.conv(features, training=training)
            batch = tf.shape(features)[0]
            logits.append(tf.cast(tf.reshape(self.logits(hidden), [batch, -1]), tf.float32))
            deltas.append(tf.cast(tf.reshape(self.deltas(hidden), [batch, -1, 4]), tf.float32))
        return RPNOutput(logits, deltas)

    def at(self, pyramid, anchor_index):
        """AnchorOutput of the anchors `anchor_index` int32 [B, S], counted through all levels: what `call` gives there.

        Computed in S windows of 3x3 cells. The loss looks at 256 anchors an image; the gradient of the convolution
        over every cell would cost twice its forward pass, nearly all of it to multiply zeros.
        """
        with tf.name_scope(self.name):
            batch, samples = tf.unstack(tf.shape(anchor_index))
            windows = cell_windows(pyramid, anchor_index // self.anchors_per_cell)
            flat = tf.reshape(windows, [-1, windows.shape[2] * windows.shape[3]])
            kernel = tf.cast(tf.reshape(self.conv.kernel, [flat.shape[1], -1]), flat.dtype)
            hidden = tf.nn.relu(tf.nn.bias_add(tf.matmul(flat, kernel), tf.cast(self.conv.bias, flat.dtype)))
            hidden = hidden[:, tf.newaxis, tf.newaxis]
            anchor = tf.reshape(anchor_index % self.anchors_per_cell, [-1])
            logits = tf.reshape(self.logits(hidden), [-1, self.anchors_per_cell])
            deltas = tf.reshape(self.deltas(hidden), [-1, self.anchors_per_cell, 4])
            logits, deltas = (tf.cast(tf.gather(part, anchor, batch_dims=1), tf.float32) for part in (logits, deltas))
            return AnchorOutput(tf.reshape(logits, [batch, samples]), tf.reshape(deltas, [batch, samples, 4]))


def cell_windows(pyramid, cells):
    """The 3x3 cells around each of `cells`, zeros beyond the border of its level.

    `pyramid`: list of [B, H, W, C]; `cells` int32 [B, S], numbered through all levels, row by row, as anchors are.
    Returns [B, S, 9, C].
    """
    offset = tf.stack(tf.meshgrid(tf.range(-1, 2), tf.range(-1, 2), indexing="ij"), axis=-1)
    offset = tf.reshape(offset, [9, 2])
    windows, first = 0, 0
    for features in pyramid:
        batch, height, width = tf.unstack(tf.shape(features)[:3])
        own = (cells >= first) & (cells < first + height * width)
        place = tf.where(own, cells - first, 0)
        row = place[..., tf.newaxis] // width + offset[:, 0]
        column = place[..., tf.newaxis] % width + offset[:, 1]
        inside = own[..., tf.newaxis] & (row >= 0) & (row < height) & (column >= 0) & (column < width)
        flat = tf.reshape(features, [-1, features.shape[3]])
        image = tf.range(batch)[:, tf.newaxis, tf.newaxis] * (height * width)
        taken = tf.gather(flat, tf.where(inside, image + row * width + column, 0))
        windows += tf.where(inside[..., tf.newaxis], taken, tf.zeros([], taken.dtype))
        first += height * width
    return windows


def level_anchors(pyramid, strides, settings):
    """Anchors of each level, a list of float32 [H*W*A, 4]; `settings` has scales and ratios."""
    return [
        anchor_lib.level_anchors(tf.unstack(tf.shape(features)[1:3]), stride, settings.scales, settings.ratios)
        for features, stride in zip(pyramid, strides)
    ]


def valid_anchors(pyramid, strides, image_size, settings):
    """Which anchors take part in the loss: bool [B, N]. `image_size` int32 [B, 2].

    An image smaller than its batch has anchors in the batch's padding; those beyond its own padding take no part.
    """
    padded = (image_size + 31) // 32 * 32
    cells = [
        anchor_lib.valid_cells(tf.unstack(tf.shape(features)[1:3]), stride, padded)
        for features, stride in zip(pyramid, strides)
    ]
    return tf.repeat(tf.concat(cells, axis=1), len(settings.scales) * len(settings.ratios), axis=1)


def propose(output, anchors, image_size, rule, training):
    """The best boxes of the RPN, as Proposals that carry no gradient.

    The best pre_nms of each level are decoded, clipped to the image (`image_size` int32 [B, 2], height and width),
    and put through NMS level by level; the best post_nms of all levels together remain. `rule` is config.model.rpn.
    """
    pre_nms = rule.pre_nms_train if training else rule.pre_nms_test
    post_nms = rule.post_nms_train if training else rule.post_nms_test
    scores, boxes, levels = [], [], []
    for level, (logits, deltas, level_anchor) in enumerate(zip(output.logits, output.deltas, anchors)):
        top = tf.math.top_k(tf.sigmoid(tf.stop_gradient(logits)), tf.minimum(pre_nms, tf.shape(logits)[1]))
        chosen = tf.gather(tf.stop_gradient(deltas), top.indices, batch_dims=1)
        decoded = box_lib.decode(chosen, tf.gather(level_anchor, top.indices), rule.box_stds)
        scores.append(top.values)
        boxes.append(box_lib.clip(decoded, image_size))
        levels.append(tf.fill(tf.shape(top.values), level))
    scores, boxes, levels = (tf.concat(parts, axis=1) for parts in (scores, boxes, levels))
    large = (boxes[..., 2] - boxes[..., 0] > rule.min_size) & (boxes[..., 3] - boxes[..., 1] > rule.min_size)
    kept = nms(
        boxes,
        tf.where(large, scores, -1.0),
        levels,
        iou_threshold=rule.nms_iou,
        score_threshold=-0.5,  # all but the boxes that are too small
        max_output=post_nms,
    )
    valid = tf.sequence_mask(kept.count, post_nms)
    kept_boxes = tf.where(valid[..., tf.newaxis], tf.gather(boxes, kept.indices, batch_dims=1), 0.0)
    return Proposals(kept_boxes, kept.scores, kept.count)


class RPNTargets(NamedTuple):
    """Of the S sampled anchors of each image."""

    sample: tf.Tensor  # sampling.Sample
    deltas: tf.Tensor  # float32 [B, S, 4], meaningful for positives
    anchors: tf.Tensor  # float32 [B, S, 4]
    normalizer: tf.Tensor  # float32 scalar: positives + negatives over the batch


def rpn_targets(anchors, cell_valid, batch, keys, rule):
    """Matches and samples anchors.

    `anchors` float32 [N, 4], `cell_valid` bool [B, N], `keys` float32 [B, N]; see matching.
    """
    is_target = (batch["classes"] >= 0) & ~batch["is_crowd"]
    is_crowd = (batch["classes"] >= 0) & batch["is_crowd"]
    candidates = tf.broadcast_to(anchors, [tf.shape(keys)[0], tf.shape(anchors)[0], 4])
    matched = match(candidates, batch["boxes"], is_target, is_crowd, rule=rule, candidate_valid=cell_valid)
    chosen = sample(matched.state, keys, rule.sample_size, rule.positive_fraction)
    truth = tf.gather(matched.index, chosen.index, batch_dims=1)
    boxes = tf.gather(batch["boxes"], truth, batch_dims=1)
    anchors = tf.gather(anchors, chosen.index)
    deltas = box_lib.encode(boxes, anchors, rule.box_stds)
    # The reference counts at least one positive and one negative an image (mmdetection, SamplingResult).
    positives = tf.reduce_sum(tf.cast(chosen.positive, tf.float32), axis=1)
    negatives = tf.reduce_sum(tf.cast(chosen.valid & ~chosen.positive, tf.float32), axis=1)
    normalizer = tf.reduce_sum(tf.maximum(positives, 1.0) + tf.maximum(negatives, 1.0))
    return RPNTargets(chosen, deltas, anchors, normalizer)


def rpn_losses(output, targets, rule):
    """Summed, unnormalised losses: binary cross entropy of the samples, box loss of the positives.

    `output` AnchorOutput and `targets` RPNTargets of the same anchors. Returns two scalars.
    """
    chosen = targets.sample
    cross_entropy = tf.nn.sigmoid_cross_entropy_with_logits(tf.cast(chosen.positive, tf.float32), output.logits)
    class_loss = tf.reduce_sum(tf.where(chosen.valid, cross_entropy, 0.0))
    box_loss = losses.box_loss(output.deltas, targets.deltas, chosen.positive, rule, targets.anchors)
    return class_loss * rule.class_loss_weight, box_loss * rule.box_loss_weight
