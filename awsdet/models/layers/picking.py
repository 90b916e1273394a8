"""One of several outputs per row, without arithmetic of indices."""

import tensorflow as tf


@tf.custom_gradient
def pick(outputs, chosen):
    """Of `outputs` [N, A, D] those that `chosen` bool [N, A, 1] marks, once in each row: [N, D].

    A gather would do, but TensorFlow computes its indices and the shapes of its gradient on the host, for which it
    waits for the GPU. The outputs that are not chosen do not matter, even if they are not finite.
    """
    picked = tf.reduce_sum(tf.where(chosen, outputs, 0.0), axis=1)
    return picked, lambda gradient: (tf.where(chosen, gradient[:, tf.newaxis], 0.0), None)
