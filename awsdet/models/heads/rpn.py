"""Region proposal network (Ren et al. 2015): the network, its proposals, its targets, its losses.

Symbols: B images, H x W cells of a level, A anchors per cell, N anchors of all levels together, S sampled anchors per
image, K proposals per image.
"""

import dataclasses
from typing import NamedTuple

import tensorflow as tf

from awsdet.detection import boxes as box_lib
from awsdet.detection.losses import Mean, Terms, binary_cross_entropy, count, share
from awsdet.models.layers.conv import conv_maker
from awsdet.models.layers.picking import pick
from awsdet.ops.cell_windows import cell_windows
from awsdet.ops.nms import nms
from awsdet.ops.sample import Sample
from awsdet.ops.top_boxes import top_boxes


class RPNOutput(NamedTuple):
    """Per level, finest first, in the compute dtype: logits [B, H*W*A], deltas [B, H*W*A, 4]."""

    logits: list
    deltas: list


class AnchorOutput(NamedTuple):
    """The outputs at the S sampled anchors of each image."""

    logits: tf.Tensor  # float32 [B, S]
    deltas: tf.Tensor  # float32 [B, S, 4]


class RPNHead(tf.keras.layers.Layer):
    """3x3 convolutions and two 1x1 ones, shared by all levels.

    The paper has one 3x3 convolution. `trunk` makes those before the last one; `call` and `at` start from its features.
    """

    def __init__(self, in_channels, channels, anchors_per_cell, *, initializers, dtype, convs=1, name="rpn_head"):
        """`convs`: number of 3x3 convolutions, 1 or more."""
        super().__init__(name=name, dtype=dtype)
        conv = conv_maker(lambda path: initializers.normal(path, 0.01), dtype=dtype)
        self.anchors_per_cell = anchors_per_cell
        path = f"{name}.rpn_conv"
        paths = [path] if convs == 1 else [f"{path}.{index}.conv" for index in range(convs)]
        widths = [in_channels, *[channels] * (convs - 1)]
        *self.first_convs, self.conv = [
            conv(width, channels, 3, name=own, relu=True) for width, own in zip(widths, paths)
        ]
        self.logits = conv(channels, anchors_per_cell, 1, name=f"{name}.rpn_cls")
        self.deltas = conv(channels, anchors_per_cell * 4, 1, name=f"{name}.rpn_reg")
        self.built = True

    def trunk(self, pyramid, training=False):
        """List of [B, H, W, C] -> list of the features before the last 3x3 convolution; with one, the pyramid itself.

        These convolutions are computed in every cell, and so are their gradients.
        """
        features = pyramid
        with tf.name_scope(self.name):
            for conv in self.first_convs:
                features = conv.call_each(features, training=training)
        return features

    def call(self, features, training=False):
        """The list from `trunk` -> RPNOutput."""
        hidden = self.conv.call_each(features, training=training)
        batch = tf.shape(features[0])[0]
        logits = [tf.reshape(part, [batch, -1]) for part in self.logits.call_each(hidden)]
        deltas = [tf.reshape(part, [batch, -1, 4]) for part in self.deltas.call_each(hidden)]
        return RPNOutput(logits, deltas)

    def at(self, features, anchor_index):
        """The AnchorOutput at `anchor_index` int32 [B, S], counted through all levels: the outputs of `call` there.

        It is computed from S windows of 3x3 cells of the list from `trunk`. The loss needs only 256 anchors per image;
        the gradient of the last convolution over all cells would cost twice its forward pass, nearly all of it to
        multiply zeros.

        The biases are added in float32, so that their gradients, sums over all samples, are float32 sums too:
        TensorFlow adds the gradient of a bfloat16 bias in bfloat16.
        """
        with tf.name_scope("rpn_samples"):
            windows, chosen = cell_windows(features, anchor_index, self.anchors_per_cell)
            batch, samples = tf.unstack(tf.shape(windows)[:2])  # TensorFlow copies int32 to the host for its shape
            flat = tf.reshape(windows, [-1, windows.shape[2] * windows.shape[3]])
            kernel = tf.reshape(self.conv.compute_kernel(), [flat.shape[1], -1])
            hidden = tf.cast(tf.nn.relu(_affine(flat, kernel, self.conv.bias)), flat.dtype)
            outputs = tf.reshape(_affine(hidden, *self._both_outputs()), [-1, self.anchors_per_cell, 5])
            picked = pick(outputs, tf.reshape(chosen, [-1, self.anchors_per_cell, 1]))
            picked = tf.cast(tf.reshape(picked, [batch, samples, 5]), tf.float32)
            logits, deltas = tf.split(picked, [1, 4], axis=2)
            return AnchorOutput(tf.squeeze(logits, axis=2), deltas)

    def _both_outputs(self):
        """Kernel [C, A * 5] and bias [A * 5] of the logit and the 4 deltas of each anchor, for one product of both."""

        def joined(logits, deltas, *leading):
            parts = (tf.reshape(part, [*leading, self.anchors_per_cell, -1]) for part in (logits, deltas))
            return tf.reshape(tf.concat(list(parts), axis=-1), [*leading, 5 * self.anchors_per_cell])

        kernel = joined(self.logits.compute_kernel(), self.deltas.compute_kernel(), self.logits.kernel.shape[2])
        return kernel, joined(self.logits.bias, self.deltas.bias)


def _affine(features, kernel, bias):
    """`features` [N, C] and `kernel` [C, D] of one dtype, `bias` [D] in float32 -> [N, D], float32 if those have 16
    bits."""
    product = tf.matmul(features, kernel)
    product = tf.cast(product, tf.float32) if product.dtype.size < 4 else product
    return tf.nn.bias_add(product, tf.cast(bias, product.dtype))


# ---------------------------------------------------------------------------------------------------------- proposals


class Proposals(NamedTuple):
    boxes: tf.Tensor  # float32 [B, K, 4], image pixels, zeros if there are fewer than K
    scores: tf.Tensor  # float32 [B, K], probabilities, highest first, zeros if there are fewer than K
    count: tf.Tensor  # int32 [B], number of proposals
    valid: tf.Tensor  # bool [B, K], the places that hold a proposal


@dataclasses.dataclass(frozen=True)
class ProposalRule:
    """Which boxes of the RPN become proposals.

    Attributes:
        pre_nms: number of best boxes of each level that go through NMS, which treats each level separately.
        post_nms: K, number of best boxes of all levels together that remain.
        nms_iou: a box whose IoU with a better one of its level is above this is dropped.
        min_size: boxes must be wider and higher than this, in px.
        batch: number of best boxes of all images together that remain; 0: all. Detectron counts so in training; the
            paper and mmdetection count per image.
    """

    pre_nms: int
    post_nms: int
    nms_iou: float = 0.7
    min_size: float = 0.0
    batch: int = 0

    def propose(self, output, anchors, image_size, coder):
        """The Proposals from an RPNOutput, without gradient.

        `anchors`: float32 [N, 4]; `image_size` int32 [B, 2], height and width; boxes are clipped to it. Boxes are
        ranked by their logits: probabilities of confident boxes would be equal in float32.
        """
        top = top_boxes(
            [logits[..., tf.newaxis] for logits in output.logits],
            output.deltas,
            anchors,
            image_size,
            limit=self.pre_nms,
            min_size=self.min_size,
            stds=coder.stds,
            max_log_ratio=box_lib.MAX_LOG_RATIO,
        )
        kept = nms(
            top.boxes,
            top.logits,
            top.levels,
            iou_threshold=self.nms_iou,
            score_threshold=float("-inf"),  # which boxes that are too small have
            max_output=self.post_nms,
            in_order=True,
        )
        if self.batch:
            kept = best_of_batch(kept, self.batch)
        scores = tf.where(kept.valid, tf.sigmoid(kept.scores), 0.0)
        return Proposals(kept.boxes, scores, kept.count, kept.valid)


def best_of_batch(kept, limit):
    """What `nms` kept, without the boxes that are not among the `limit` best of all images together.

    The boxes of an image are ordered by score, so each image keeps its first ones. Of equal scores, that of the earlier
    image is better.
    """
    images, places = tf.unstack(tf.shape(kept.scores))
    scores = tf.reshape(tf.where(kept.valid, kept.scores, float("-inf")), [-1])
    best = tf.math.top_k(scores, tf.minimum(limit, images * places))
    # In float32, which is exact here: TensorFlow computes with int32 on the host, for which a GPU waits.
    owner = tf.floor(tf.cast(best.indices, tf.float32) / tf.cast(places, tf.float32))
    owner = tf.where(best.values > float("-inf"), owner, -1.0)
    counts = tf.reduce_sum(tf.cast(owner == tf.range(tf.cast(images, tf.float32))[:, tf.newaxis], tf.float32), axis=1)
    valid = tf.range(tf.cast(places, tf.float32)) < counts[:, tf.newaxis]
    return kept._replace(
        boxes=tf.where(valid[..., tf.newaxis], kept.boxes, 0.0), count=tf.cast(counts, tf.int32), valid=valid
    )


# -------------------------------------------------------------------------------------------------- targets and losses


class RPNTargets(NamedTuple):
    """The targets of the S sampled anchors of each image."""

    sample: Sample
    normalizer: tf.Tensor  # float32 scalar: positives + negatives over the batch


def rpn_targets(anchors, valid, truth, keys, matcher, sampler, coder):
    """Matches and samples anchors.

    `anchors` float32 [N, 4]; `valid` bool [B, N]: anchors that take part; `truth` GroundTruth; `keys` float32 [B, N].
    """
    matched = matcher.match(anchors, truth, valid)
    chosen = sampler.sample(matched, keys, anchors, truth, coder)
    # The reference counts at least one positive and one negative per image (mmdetection, SamplingResult).
    return RPNTargets(chosen, tf.reduce_sum(tf.maximum(chosen.counts, 1.0)))


def rpn_terms(output, targets, class_loss_weight, box_loss, coder):
    """Losses and metrics of an AnchorOutput and the RPNTargets of the same anchors. Returns Terms.

    rpn_class_loss: binary cross entropy of the samples; rpn_box_loss: box loss of the positives; rpn_positives: share
    of the samples that are positive; rpn_recall: share of the positives with a probability above 1/2.
    """
    chosen = targets.sample
    cross_entropy = binary_cross_entropy(chosen.positive, output.logits)
    class_loss = tf.reduce_sum(tf.where(chosen.valid, cross_entropy, 0.0)) * class_loss_weight
    box_total = box_loss.total(output.deltas, chosen.deltas, chosen.positive, chosen.boxes, coder)
    return Terms(
        {
            "rpn_class_loss": Mean(class_loss, targets.normalizer),
            "rpn_box_loss": Mean(box_total, targets.normalizer),
        },
        {
            "rpn_positives": Mean(count(chosen.positive), count(chosen.valid)),
            "rpn_recall": share(output.logits > 0, chosen.positive),
        },
    )


# ------------------------------------------------------------------------------------------------------- the whole RPN


class RPNStep(NamedTuple):
    """The results of a training step in the RPN."""

    targets: RPNTargets
    output: AnchorOutput  # of the sampled anchors
    terms: Terms


class RPN(tf.keras.layers.Layer):
    """The region proposal network with its settings.

    Args:
        head: RPNHead.
        strides: image pixels per cell of each level of the pyramid.
        anchors: Anchors.
        matcher: Matcher. sampler: Sampler. coder: BoxCoder. box_loss: BoxLoss.
        class_loss_weight: factor of the class loss.
        training_proposals, test_proposals: ProposalRule.
        allowed_border: px; anchors that reach further out of the image take no part; negative: all take part.
        pad_multiple: images are padded to multiples of this, px.
    """

    def __init__(
        self,
        head,
        *,
        strides,
        anchors,
        matcher,
        sampler,
        coder,
        box_loss,
        training_proposals,
        test_proposals,
        class_loss_weight=1.0,
        allowed_border=-1.0,
        pad_multiple=32,
    ):
        super().__init__(name="rpn")
        self.head, self.strides, self.anchors = head, strides, anchors
        self.matcher, self.sampler, self.coder, self.box_loss = matcher, sampler, coder, box_loss
        self.class_loss_weight = class_loss_weight
        self.training_proposals, self.test_proposals = training_proposals, test_proposals
        self.allowed_border, self.pad_multiple = allowed_border, pad_multiple
        self.built = True

    def propose(self, pyramid, image_size):
        """The Proposals for finding objects."""
        with tf.name_scope("anchors"):
            anchors = self.anchors.of_pyramid(pyramid, self.strides)
        return self.test_proposals.propose(self.head(self.head.trunk(pyramid)), anchors, image_size, self.coder)

    def training_step(self, pyramid, truth, image_size, keys, training=True):
        """(Proposals to train on, RPNStep). `keys(name, shape)` returns the sampling keys [B, N]; the name is "rpn"."""
        anchors, valid = self._anchors(pyramid, image_size)
        # Proposals have no gradient. The RPN learns from the sampled anchors, at which it is computed a second time.
        features = self.head.trunk(pyramid, training=training)
        output = self.head(features, training=training)
        with tf.name_scope("proposals"):
            proposals = self.training_proposals.propose(output, anchors, image_size, self.coder)
        with tf.name_scope("rpn_targets"):
            drawn = keys("rpn", tf.shape(valid))
            targets = rpn_targets(anchors, valid, truth, drawn, self.matcher, self.sampler, self.coder)
        sampled = self.head.at(features, targets.sample.index)
        with tf.name_scope("rpn_losses"):
            terms = rpn_terms(sampled, targets, self.class_loss_weight, self.box_loss, self.coder)
        return proposals, RPNStep(targets, sampled, terms)

    def _anchors(self, pyramid, image_size):
        """The anchors of all levels, and which of them take part in the loss."""
        rules = (self.pad_multiple, self.allowed_border)
        with tf.name_scope("anchors"):
            return self.anchors.with_valid(pyramid, self.strides, image_size, *rules)
