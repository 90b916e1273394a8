"""Box head (Girshick 2015): the network, the RoI sample it trains on, its losses, refined boxes, detections.

Symbols: B images, S sampled RoIs an image, R = B * S, K proposals, C classes, D detections.
"""

from typing import NamedTuple

import tensorflow as tf

from awsdet.detection import boxes as box_lib
from awsdet.detection import losses
from awsdet.detection.matching import NEGATIVE, POSITIVE, match
from awsdet.detection.sampling import sample
from awsdet.detection.suppression import suppress
from awsdet.models.layers.dense import Dense


class BoxOutput(NamedTuple):
    logits: tf.Tensor  # float32 [R, C + 1], background last
    deltas: tf.Tensor  # float32 [R, C, 4], or [R, 1, 4] if class-agnostic


class BoxPredictor(tf.keras.layers.Layer):
    """Class logits and box deltas of a vector a RoI: what the box heads, which make that vector, have in common."""

    def __init__(self, channels, num_classes, class_agnostic, *, initializers, dtype, name):
        super().__init__(name=name, dtype=dtype)
        self.box_classes = 1 if class_agnostic else num_classes

        def dense(units, path, initializer):
            return Dense(channels, units, initializer=initializer, name=path, dtype=dtype)

        self.logits = dense(num_classes + 1, f"{name}.fc_cls", initializers.normal(f"{name}.cls", 0.01))
        self.deltas = dense(self.box_classes * 4, f"{name}.fc_reg", initializers.normal(f"{name}.reg", 0.001))
        self.built = True

    def predict(self, hidden):
        """[R, channels] -> BoxOutput."""
        deltas = tf.reshape(tf.cast(self.deltas(hidden), tf.float32), [-1, self.box_classes, 4])
        return BoxOutput(tf.cast(self.logits(hidden), tf.float32), deltas)


class BoxHead(BoxPredictor):
    """Two shared fully connected layers, then class logits and box deltas."""

    def __init__(
        self,
        in_channels,
        pool_size,
        channels,
        num_classes,
        class_agnostic,
        *,
        initializers,
        dtype,
        name="roi_head.bbox_head",
    ):
        super().__init__(channels, num_classes, class_agnostic, initializers=initializers, dtype=dtype, name=name)

        def dense(units_in, path, key):
            initializer = initializers.xavier_uniform(f"{name}.{key}")
            return Dense(units_in, channels, initializer=initializer, name=path, dtype=dtype, relu=True)

        self.fc1 = dense(in_channels * pool_size**2, f"{name}.shared_fcs.0", "fc1")
        self.fc2 = dense(channels, f"{name}.shared_fcs.1", "fc2")

    def call(self, pooled, training=False):
        """RoI features [R, P, P, channels] -> BoxOutput."""
        return self.predict(self.fc2(self.fc1(tf.reshape(pooled, [-1, self.fc1.kernel.shape[0]]))))


class Candidates(NamedTuple):
    boxes: tf.Tensor  # float32 [B, K, 4]
    valid: tf.Tensor  # bool [B, K]


class RoISample(NamedTuple):
    rois: tf.Tensor  # float32 [B, S, 4], positives first, zeros in unused slots
    positive: tf.Tensor  # bool [B, S]
    valid: tf.Tensor  # bool [B, S]
    truth: tf.Tensor  # int32 [B, S], ground-truth index of positives
    labels: tf.Tensor  # int32 [B, S], class of positives, C (background) elsewhere
    deltas: tf.Tensor  # float32 [B, S, 4], box targets of positives
    is_object: tf.Tensor  # bool [B, S], RoIs that are the very box of an object, not a candidate


def sample_rois(candidates, batch, keys, num_classes, rule):
    """Chooses the RoIs to train on among the ground truth and the candidates, which are proposals or refined boxes.

    `candidates` Candidates; `keys` float32 [B, G + K], ground truth first; `rule` is config.model.box_head.
    """
    is_target = (batch["classes"] >= 0) & ~batch["is_crowd"]
    is_crowd = (batch["classes"] >= 0) & batch["is_crowd"]
    matched = match(candidates.boxes, batch["boxes"], is_target, is_crowd, rule=rule, candidate_valid=candidates.valid)
    # Every object is also a candidate, matched to itself, so that none goes without a positive.
    slots = tf.broadcast_to(tf.range(tf.shape(batch["classes"])[1]), tf.shape(batch["classes"]))
    state = tf.concat([tf.where(is_target, POSITIVE, NEGATIVE - 1), matched.state], axis=1)
    truth = tf.concat([slots, matched.index], axis=1)
    boxes = tf.concat([batch["boxes"], candidates.boxes], axis=1)

    chosen = sample(state, keys, rule.sample_size, rule.positive_fraction)
    truth = tf.gather(truth, chosen.index, batch_dims=1)
    rois = tf.where(chosen.valid[..., tf.newaxis], tf.gather(boxes, chosen.index, batch_dims=1), 0.0)
    labels = tf.where(chosen.positive, tf.gather(batch["classes"], truth, batch_dims=1), num_classes)
    deltas = box_lib.encode(tf.gather(batch["boxes"], truth, batch_dims=1), rois, rule.box_stds)
    is_object = chosen.valid & (chosen.index < tf.shape(batch["classes"])[1])
    return RoISample(rois, chosen.positive, chosen.valid, truth, labels, deltas, is_object)


def refine(output, rois, labels, image_size, rule):
    """Moves each RoI by the deltas of its class, and clips it to its image.

    `output` BoxOutput; `rois` float32 [B, S, 4]; `labels` int32 [B, S], C for background: there the best class
    counts. Returns float32 [B, S, 4], which carry no gradient.
    """
    logits, deltas = tf.stop_gradient(output.logits), tf.stop_gradient(output.deltas)
    num_classes = logits.shape[1] - 1
    best = tf.argmax(logits[:, :num_classes], axis=1, output_type=tf.int32)
    flat = tf.reshape(labels, [-1])
    channel = tf.where(flat == num_classes, best, flat)
    channel = channel if deltas.shape[1] > 1 else tf.zeros_like(flat)
    deltas = tf.reshape(tf.gather(deltas, channel, batch_dims=1), tf.shape(rois))
    return box_lib.clip(box_lib.decode(deltas, rois, rule.box_stds), image_size)


def box_head_losses(output, roi_sample, rule):
    """Summed, unnormalised losses: softmax cross entropy of the valid RoIs, box loss of the positives. Two scalars."""
    labels = tf.reshape(roi_sample.labels, [-1])
    valid, positive = tf.reshape(roi_sample.valid, [-1]), tf.reshape(roi_sample.positive, [-1])
    cross_entropy = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, output.logits)
    class_loss = tf.reduce_sum(tf.where(valid, cross_entropy, 0.0))
    box_classes = output.deltas.shape[1]
    channel = tf.where(positive, labels, 0) if box_classes > 1 else tf.zeros_like(labels)
    predicted = tf.gather(output.deltas, channel, batch_dims=1)
    targets, rois = tf.reshape(roi_sample.deltas, [-1, 4]), tf.reshape(roi_sample.rois, [-1, 4])
    box_loss = losses.box_loss(predicted, targets, positive, rule, rois)
    return class_loss * rule.class_loss_weight, box_loss * rule.box_loss_weight


def detections(output, proposals, image_size, rule):
    """Class-wise boxes above the score threshold, after class-wise NMS, at most max_detections an image."""
    batch, count = tf.unstack(tf.shape(proposals.boxes)[:2])
    num_classes = output.logits.shape[1] - 1
    probabilities = tf.reshape(tf.nn.softmax(output.logits), [batch, count, num_classes + 1])[..., :num_classes]
    valid = tf.sequence_mask(proposals.count, count)
    probabilities = tf.where(valid[..., tf.newaxis], probabilities, 0.0)
    deltas = tf.reshape(output.deltas, [batch, count, -1, 4])
    boxes = box_lib.decode(deltas, proposals.boxes[:, :, tf.newaxis], rule.box_stds)
    boxes = tf.broadcast_to(boxes, [batch, count, num_classes, 4])
    boxes = box_lib.clip(tf.reshape(boxes, [batch, -1, 4]), image_size)
    classes = tf.tile(tf.range(num_classes)[tf.newaxis], [batch, count])
    scores = tf.reshape(probabilities, [batch, -1])
    return suppress(boxes, scores, classes, rule)
