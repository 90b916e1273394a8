"""Losses: plain functions of float32 tensors that return sums; who calls them divides by the normaliser."""

import tensorflow as tf

from awsdet.detection import boxes as box_lib

BOX_LOSSES = ("l1", "smooth_l1", "giou")


def box_loss(predicted, target, mask, rule, anchors):
    """Sum over the boxes that `mask` bool [...] marks of the loss of deltas `predicted` against `target` [..., 4].

    `anchors` float32 [..., 4]: the boxes that the deltas move. `rule` has box_loss and, for some, smooth_l1_beta and
    box_stds:
        l1: absolute differences of the deltas.
        smooth_l1: the same, but quadratic, difference^2 / (2 beta), below beta.
        giou: 1 - GIoU of the decoded boxes, one term a box where the others have four.
    """
    predicted, target = (tf.where(mask[..., tf.newaxis], deltas, 0.0) for deltas in (predicted, target))
    if rule.box_loss == "giou":
        predicted, target = (box_lib.decode(deltas, anchors, rule.box_stds) for deltas in (predicted, target))
        return tf.reduce_sum(tf.where(mask, 1.0 - box_lib.generalized_iou(predicted, target), 0.0))
    difference = tf.abs(predicted - target)
    if rule.box_loss == "l1":
        return tf.reduce_sum(difference)
    if rule.box_loss == "smooth_l1":
        beta = rule.smooth_l1_beta
        return tf.reduce_sum(tf.where(difference < beta, 0.5 * difference**2 / beta, difference - 0.5 * beta))
    raise ValueError(f"box_loss is {rule.box_loss!r}; it must be one of {', '.join(BOX_LOSSES)}")


def focal_loss(logits, labels, mask, alpha, gamma):
    """Sum over the anchors that `mask` bool [...] marks, and the C classes, of the focal loss (Lin et al. 2017).

    `logits` [..., C], each class a sigmoid of its own; `labels` int32 [...], C for background. With p the probability
    that was given to what is so, a term is -a (1 - p)^gamma log p; a is `alpha` for the class of an object, else
    1 - alpha.
    """
    is_class = tf.one_hot(labels, logits.shape[-1], True, False, dtype=tf.bool)
    weight = tf.where(is_class, alpha, 1.0 - alpha) * tf.cast(mask, tf.float32)[..., tf.newaxis]

    # The gradient is written out: it needs the logits only, where the chain rule would keep half a dozen tensors as
    # large, and it is finite for any gamma and logit.
    @tf.custom_gradient
    def total(logits):
        def gradient(upstream):
            log_p, log_wrong = logarithms(logits)
            slope = tf.exp(gamma * log_wrong) * (tf.exp(log_wrong) - gamma * tf.exp(log_p) * log_p)
            return upstream * weight * tf.where(is_class, -slope, slope)

        log_p, log_wrong = logarithms(logits)
        return -tf.reduce_sum(weight * tf.exp(gamma * log_wrong) * log_p), gradient

    def logarithms(logits):
        """Of p and of 1 - p."""
        margin = tf.where(is_class, logits, -logits)
        log_p = -tf.nn.softplus(-margin)
        return log_p, log_p - margin

    return total(logits)
