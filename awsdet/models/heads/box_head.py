"""Box head (Girshick 2015): the network, the RoIs it trains on, its losses, refined boxes, detections.

Symbols: B images, G objects per image, S sampled RoIs per image, R = B * S RoIs of a batch, K proposals per image, C
classes, P side of the pooled features.
"""

from typing import NamedTuple

import tensorflow as tf

from awsdet.detection import boxes as box_lib
from awsdet.detection.losses import Mean, Terms, count, share
from awsdet.models.layers.dense import Dense
from awsdet.models.layers.picking import pick
from awsdet.ops.decode_boxes import decode_boxes


class BoxOutput(NamedTuple):
    logits: tf.Tensor  # float32 [R, C + 1], background last
    deltas: tf.Tensor  # float32 [R, C, 4], or [R, 1, 4] if class-agnostic


class BoxPredictor(tf.keras.layers.Layer):
    """Class logits and box deltas from one vector per RoI: the last part of each box head, which makes that vector.

    Attributes:
        wants_real: in training, `call` is given `real`, bool [R], the RoIs that are not empty slots: for a batch norm.
    """

    wants_real = False

    def __init__(self, channels, num_classes, class_agnostic, *, initializers, dtype, name):
        super().__init__(name=name, dtype=dtype)
        self.num_classes, self.box_classes = num_classes, 1 if class_agnostic else num_classes

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

        def dense(units_in, path, key, **options):
            initializer = initializers.xavier_uniform(f"{name}.{key}")
            return Dense(units_in, channels, initializer=initializer, name=path, dtype=dtype, relu=True, **options)

        self.fc1 = dense(in_channels * pool_size**2, f"{name}.shared_fcs.0", "fc1", window=pool_size)
        self.fc2 = dense(channels, f"{name}.shared_fcs.1", "fc2")

    def call(self, pooled, training=False):
        """RoI features [R, P, P, channels] -> BoxOutput."""
        return self.predict(self.fc2(self.fc1(tf.reshape(pooled, [-1, self.fc1.kernel.shape[0]]))))


# ------------------------------------------------------------------------------------------------------------- sampling


class Candidates(NamedTuple):
    boxes: tf.Tensor  # float32 [B, K, 4]
    valid: tf.Tensor  # bool [B, K]


class RoISample(NamedTuple):
    rois: tf.Tensor  # float32 [B, S, 4], positives first, zeros in unused slots
    positive: tf.Tensor  # bool [B, S]
    valid: tf.Tensor  # bool [B, S]
    truth: tf.Tensor  # int32 [B, S], index of the object that each positive was matched to
    labels: tf.Tensor  # int32 [B, S], class of positives, C (background) elsewhere
    deltas: tf.Tensor  # float32 [B, S, 4], box targets of positives
    is_object: tf.Tensor  # bool [B, S], RoIs that are the annotated box of an object, not a candidate


def sample_rois(candidates, truth, keys, num_classes, matcher, sampler, coder):
    """Chooses the RoIs to train on from the ground truth and the candidates, which are proposals or refined boxes.

    `candidates` Candidates; `truth` GroundTruth; `keys` float32 [B, G + K], ground truth first. Returns RoISample.
    """
    # Every object is a candidate too, matched to itself, so that each has a positive.
    matched = matcher.match(candidates.boxes, truth, candidates.valid, with_truth=True)
    chosen = sampler.sample(matched, keys, candidates.boxes, truth, coder, background=num_classes, with_truth=True)
    return RoISample(
        rois=chosen.boxes,
        positive=chosen.positive,
        valid=chosen.valid,
        truth=chosen.truth,
        labels=chosen.labels,
        deltas=chosen.deltas,
        is_object=chosen.is_object,
    )


def refine(output, rois, labels, image_size, coder):
    """Moves each RoI by the deltas of its class and clips it to its image.

    `output` BoxOutput; `rois` float32 [B, S, 4]; `labels` int32 [B, S], where C (background) stands for
    the class of the highest logit. Returns float32 [B, S, 4] without gradient.
    """
    deltas = output.deltas
    classes = deltas.shape[1]
    if classes > 1:
        # As int64: TensorFlow compares int32 on the host.
        own = tf.reshape(tf.cast(labels, tf.int64), [-1])
        own = tf.where(own == classes, tf.argmax(output.logits[:, :classes], axis=1), own)
        deltas = pick(deltas, tf.one_hot(own, classes, True, False, dtype=tf.bool)[..., tf.newaxis])
    batch, per_image = tf.unstack(tf.shape(rois)[:2])
    moved = decode_boxes(
        tf.reshape(tf.stop_gradient(deltas), [batch, per_image, 1, 4]),
        rois,
        image_size,
        num_classes=1,
        stds=coder.stds,
        max_log_ratio=box_lib.MAX_LOG_RATIO,
    )
    return tf.stop_gradient(moved.boxes)


# --------------------------------------------------------------------------------------------------------------- losses


def box_terms(output, sampled, class_loss_weight, box_loss, coder):
    """Losses and metrics of the BoxOutput of a RoISample. Returns Terms.

    class_loss: softmax cross entropy of the valid RoIs; box_loss: box loss of the positives; both divided by the number
    of valid RoIs. roi_positives: share of the RoIs that are positive; accuracy: share of the RoIs whose class is right;
    foreground_accuracy: share of the positives whose class is right; false_negatives: share of the positives that are
    classified as background.
    """
    # Labels stay [B, S], and are compared as int64: TensorFlow reshapes and compares int32 on the host.
    classes = output.logits.shape[1]
    own = tf.reshape(tf.one_hot(sampled.labels, classes, True, False, dtype=tf.bool), [-1, classes])
    valid, positive = tf.reshape(sampled.valid, [-1]), tf.reshape(sampled.positive, [-1])
    cross_entropy = tf.nn.softmax_cross_entropy_with_logits(tf.cast(own, tf.float32), output.logits)
    class_total = tf.reduce_sum(tf.where(valid, cross_entropy, 0.0)) * class_loss_weight
    if output.deltas.shape[1] > 1:
        predicted = pick(output.deltas, own[:, :-1, tf.newaxis])
    else:
        predicted = output.deltas[:, 0]
    targets, rois = tf.reshape(sampled.deltas, [-1, 4]), tf.reshape(sampled.rois, [-1, 4])
    box_total = box_loss.total(predicted, targets, positive, rois, coder)
    rois = count(valid)
    found = tf.argmax(output.logits, axis=1)
    right = tf.reshape(tf.reshape(found, tf.shape(sampled.valid)) == tf.cast(sampled.labels, tf.int64), [-1])
    return Terms(
        {"class_loss": Mean(class_total, rois), "box_loss": Mean(box_total, rois)},
        {
            "roi_positives": Mean(count(positive), rois),
            "accuracy": share(right, valid),
            "foreground_accuracy": share(right, positive),
            "false_negatives": share(found == classes - 1, positive),
        },
    )


# ----------------------------------------------------------------------------------------------------------- detections


def box_detections(output, proposals, image_size, coder, suppression):
    """The objects found in Proposals: `suppression` gets every class of every box. Returns Detections."""
    batch, per_image = tf.unstack(tf.shape(proposals.boxes)[:2])
    num_classes = output.logits.shape[1] - 1
    probabilities = tf.reshape(tf.nn.softmax(output.logits), [batch, per_image, num_classes + 1])[..., :num_classes]
    probabilities = tf.where(proposals.valid[..., tf.newaxis], probabilities, 0.0)
    found = decode_boxes(
        tf.reshape(output.deltas, [batch, per_image, -1, 4]),
        proposals.boxes,
        image_size,
        num_classes=num_classes,
        stds=coder.stds,
        max_log_ratio=box_lib.MAX_LOG_RATIO,
    )
    return suppression.suppress(found.boxes, tf.reshape(probabilities, [batch, -1]), found.classes)
