"""Losses, as sums and the counts to divide them by, and metrics that show how a run is doing."""

import dataclasses
from typing import NamedTuple

import tensorflow as tf

from awsdet.detection import boxes as box_lib

BOX_LOSSES = ("l1", "smooth_l1", "giou")


class Mean(NamedTuple):
    """A mean as two float32 scalars, its sum and its count, so that the means of several ranks can be combined."""

    total: tf.Tensor
    count: tf.Tensor


class Terms(NamedTuple):
    """The losses and metrics of a batch, dicts from names to Mean. Losses are minimised, metrics only reported."""

    losses: dict
    metrics: dict

    def prefixed(self, prefix):
        """The same terms, with `prefix` before each name."""
        return Terms(*({f"{prefix}{name}": mean for name, mean in part.items()} for part in self))


def merged(terms):
    """One Terms of several, in their order."""
    return Terms(
        {name: mean for part in terms for name, mean in part.losses.items()},
        {name: mean for part in terms for name, mean in part.metrics.items()},
    )


def share(marked, among):
    """The share of `among` bool [...] that is also `marked` bool [...], as a Mean."""
    return Mean(count(marked & among), count(among))


def count(marked):
    """The number of True values: float32 scalar."""
    return tf.reduce_sum(tf.cast(marked, tf.float32))


def binary_cross_entropy(is_true, logits):
    """The cross entropy of each of `logits` float32 [...] with the truth, `is_true` bool [...]: float32 [...].

    The gradient is written out: with TensorFlow's it would be some twenty operations, each of them a launch on a GPU.
    """

    @tf.custom_gradient
    def terms(logits):
        wrong = tf.where(is_true, -logits, logits)  # how far the logit lies on the wrong side

        def gradient(upstream):
            return tf.where(is_true, -upstream, upstream) * tf.sigmoid(wrong)

        return tf.nn.softplus(wrong), gradient

    return terms(logits)


@dataclasses.dataclass(frozen=True)
class BoxLoss:
    """How far predicted deltas are from their targets.

    Attributes:
        kind: l1: the absolute differences of the deltas. smooth_l1: the same, but below beta it is quadratic,
            difference^2 / (2 beta). giou: 1 - GIoU of the decoded boxes, so one term per box instead of four.
        beta: of smooth_l1.
        weight: factor of the loss.
    """

    kind: str = "l1"
    beta: float = 1.0
    weight: float = 1.0

    def __post_init__(self):
        if self.kind not in BOX_LOSSES:
            raise ValueError(f"box loss is {self.kind!r}; it must be one of {', '.join(BOX_LOSSES)}")

    def total(self, predicted, target, mask, anchors, coder):
        """The sum of the losses of deltas `predicted` [..., 4] against `target` [..., 4]: float32 scalar.

        `mask` bool [...] marks the boxes that count. `anchors` float32 [..., 4] are the boxes that the deltas move;
        `coder` is the BoxCoder that moves them.
        """
        return self._sum(predicted, target, mask, anchors, coder) * self.weight

    def _sum(self, predicted, target, mask, anchors, coder):
        predicted, target = (tf.where(mask[..., tf.newaxis], deltas, 0.0) for deltas in (predicted, target))
        if self.kind == "giou":
            predicted, target = (coder.decode(deltas, anchors) for deltas in (predicted, target))
            return tf.reduce_sum(tf.where(mask, 1.0 - box_lib.generalized_iou(predicted, target), 0.0))
        difference = tf.abs(predicted - target)
        if self.kind == "l1":
            return tf.reduce_sum(difference)
        flat = difference - 0.5 * self.beta
        return tf.reduce_sum(tf.where(difference < self.beta, 0.5 * difference**2 / self.beta, flat))


@dataclasses.dataclass(frozen=True)
class FocalLoss:
    """Focal loss (Lin et al. 2017), with a separate sigmoid for each class.

    A term is -a (1 - p)^gamma log p. For the class of an object p is the predicted probability and a is alpha; for
    every other class p is 1 minus the predicted probability and a is 1 - alpha.

    Attributes:
        alpha, gamma: see above.
        weight: factor of the loss.
    """

    alpha: float = 0.25
    gamma: float = 2.0
    weight: float = 1.0

    def total(self, logits, labels, mask):
        """The sum over the anchors that `mask` bool [...] marks, and over the C classes: float32 scalar.

        `logits` [..., C]; `labels` int32 [...], C for background.
        """
        return self._sum(logits, labels, mask) * self.weight

    def _sum(self, logits, labels, mask):
        is_class = tf.one_hot(labels, logits.shape[-1], True, False, dtype=tf.bool)
        weight = tf.where(is_class, self.alpha, 1.0 - self.alpha) * tf.cast(mask, tf.float32)[..., tf.newaxis]

        # The gradient is written out. It needs only the logits, while automatic differentiation would keep half a dozen
        # tensors of their size, and it is finite for any gamma and logit.
        @tf.custom_gradient
        def total(logits):
            def gradient(upstream):
                log_p, log_wrong = logarithms(logits)
                slope = tf.exp(self.gamma * log_wrong) * (tf.exp(log_wrong) - self.gamma * tf.exp(log_p) * log_p)
                return upstream * weight * tf.where(is_class, -slope, slope)

            log_p, log_wrong = logarithms(logits)
            return -tf.reduce_sum(weight * tf.exp(self.gamma * log_wrong) * log_p), gradient

        def logarithms(logits):
            """log p and log (1 - p)."""
            margin = tf.where(is_class, logits, -logits)
            log_p = -tf.nn.softplus(-margin)
            return log_p, log_p - margin

        return total(logits)
