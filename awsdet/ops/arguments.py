"""Arguments of the compiled operators."""

import tensorflow as tf


def tensor(name, value, dtype):
    """`value` as a tensor of `dtype`. Raises tf.errors.InvalidArgumentError, which says `name`, for another dtype."""
    value = tf.convert_to_tensor(value, dtype_hint=dtype)
    if value.dtype != dtype:
        raise tf.errors.InvalidArgumentError(None, None, f"{name} must be {dtype.name}, not {value.dtype.name}")
    return value
