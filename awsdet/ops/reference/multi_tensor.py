"""Many tensors in one call, in plain TensorFlow: one or more operations per tensor. Arguments and results are those of
`awsdet.ops.multi_tensor`."""

import numpy as np
import tensorflow as tf


def sgd_update(variables, momenta, gradients, *, learning_rate, momentum, weight_decay, factor=1.0, apply=True):
    """One update of all variables by SGD with momentum as PyTorch defines it."""

    def update():
        for variable, buffer, gradient in zip(variables, momenta, gradients):
            tf.raw_ops.ResourceApplyMomentum(
                var=variable.handle,
                accum=buffer.handle,
                lr=learning_rate,
                grad=factor * tf.cast(gradient, tf.float32) + weight_decay * variable,
                momentum=momentum,
            )
        return tf.no_op()

    return tf.cond(tf.convert_to_tensor(apply), update, tf.no_op)


def adamw_update(
    variables,
    first_moments,
    second_moments,
    gradients,
    applied,
    *,
    learning_rate,
    beta_1,
    beta_2,
    epsilon,
    rate_factors,
    weight_decays,
    factor=1.0,
    apply=True,
):
    """One update of all variables by AdamW as PyTorch defines it, and `applied` + 1."""

    def update():
        count = tf.cast(applied.assign_add(1), tf.float64)
        first, second = (1.0 - tf.pow(np.float64(np.float32(beta)), count) for beta in (beta_1, beta_2))
        root = tf.sqrt(second)
        # first / (1 - beta_1^t) / (sqrt(second / (1 - beta_2^t)) + epsilon), with the corrections in front
        rate_correction = tf.cast(root / first, tf.float32)
        corrected_epsilon = tf.cast(root * np.float64(np.float32(epsilon)), tf.float32)
        moments = zip(first_moments, second_moments)
        for variable, (m, v), gradient, rate_factor, decay in zip(
            variables, moments, gradients, rate_factors, weight_decays
        ):
            rate = tf.convert_to_tensor(learning_rate, tf.float32) * rate_factor
            variable.assign_sub(rate * decay * variable)
            tf.raw_ops.ResourceApplyAdam(
                var=variable.handle,
                m=m.handle,
                v=v.handle,
                beta1_power=0.0,
                beta2_power=0.0,
                lr=rate * rate_correction,
                beta1=beta_1,
                beta2=beta_2,
                epsilon=corrected_epsilon,
                grad=factor * tf.cast(gradient, tf.float32),
            )
        return tf.no_op()

    return tf.cond(tf.convert_to_tensor(apply), update, tf.no_op)


def global_norm(tensors):
    """The L2 norm of all elements; sums are float64, in whatever order TensorFlow takes."""
    squares = [tf.reduce_sum(tf.square(tf.cast(tensor, tf.float64))) for tensor in tensors]
    return tf.cast(tf.sqrt(tf.add_n([tf.zeros([], tf.float64), *squares])), tf.float32)


def accumulate(sums, tensors, factor=1.0):
    """sum += factor * tensor."""
    return tf.group([total.assign_add(factor * tf.cast(tensor, tf.float32)) for total, tensor in zip(sums, tensors)])


def moving_average(averages, values, decay, apply=True):
    """average -= (average - value) * (1 - decay)."""

    def update():
        for average, value in zip(averages, values):
            tf.keras.backend.moving_average_update(average, value, decay)
        return tf.no_op()

    return tf.cond(tf.convert_to_tensor(apply), update, tf.no_op)


def set_zero(variables):
    """Sets all elements to zero."""
    return tf.group([variable.assign(tf.zeros_like(variable)) for variable in variables])


def cast(tensors, dtype):
    """Each tensor in another dtype."""
    return [tf.cast(tensor, dtype) for tensor in tensors]
