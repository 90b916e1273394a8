"""Losses: plain functions of float32 tensors that return sums; who calls them divides by the normaliser."""

import tensorflow as tf


def box_loss(predicted, target, mask, rule):
    """Sum over the boxes that `mask` bool [...] marks of the L1 or smooth L1 loss of deltas [..., 4].

    `rule` has box_loss (l1 or smooth_l1) and smooth_l1_beta: below beta the loss is quadratic, difference^2 / (2 beta).
    """
    difference = tf.abs(tf.where(mask[..., tf.newaxis], predicted - target, 0.0))
    if rule.box_loss == "l1":
        return tf.reduce_sum(difference)
    if rule.box_loss == "smooth_l1":
        beta = rule.smooth_l1_beta
        return tf.reduce_sum(tf.where(difference < beta, 0.5 * difference**2 / beta, difference - 0.5 * beta))
    raise ValueError(f"box_loss is {rule.box_loss!r}; it must be l1 or smooth_l1")
