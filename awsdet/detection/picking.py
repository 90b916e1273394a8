"""Takes one of several outputs, without the arithmetic of a gather's indices.

TensorFlow runs arithmetic of int32 on the host, which then waits for a GPU, in the gradient of a gather too.
"""

import tensorflow as tf


@tf.custom_gradient
def picked(values, chosen):
    """Of `values` [N, A, D] those that `chosen` bool [N, A] names, one for each N at most: [N, D].

    A row without a choice is zero.
    """
    chosen = chosen[..., tf.newaxis]
    taken = tf.reduce_sum(tf.where(chosen, values, tf.zeros([], values.dtype)), axis=1)
    return taken, lambda gradient: (tf.where(chosen, gradient[:, tf.newaxis], tf.zeros([], values.dtype)), None)
