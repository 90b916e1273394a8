"""Many tensors in one call: the updates of SGD and AdamW, the global norm, sums, averages, casts to 16 bits, compiled.

TensorFlow does each of these with one or more operations per tensor. A detector has some 170 variables, most of them
small, so a GPU would spend its time on starting kernels.
"""

import tensorflow as tf

from awsdet.ops import library

tf.no_gradient("AwsdetGlobalNorm")


def sgd_update(variables, momenta, gradients, *, learning_rate, momentum, weight_decay, factor=1.0, apply=True):
    """One update of all variables by SGD with momentum as PyTorch defines it.

    buffer = momentum * buffer + (factor * gradient + weight_decay * variable); variable -= learning_rate * buffer. On
    the CPU the results are those of TensorFlow's `ResourceApplyMomentum`, bit for bit.

    Args:
        variables, momenta: lists of N float32 `tf.Variable` on one device, all different: the variables and their
            buffers.
        gradients: list of N tensors, each of the shape of its variable and float32, float16 or bfloat16. Those of 16
            bits count as the float32 numbers of the same value.
        learning_rate, factor: float32 scalars; factor divides by a loss scale, say, or clips.
        momentum, weight_decay: Python floats.
        apply: bool scalar; nothing changes if it is false. On a GPU the host does not wait for it.

    Returns what `tf.control_dependencies` takes, or None if it runs eagerly. Nothing changes if an error is raised.

    Raises tf.errors.InvalidArgumentError naming the argument for a wrong shape or dtype,
    tf.errors.FailedPreconditionError for a variable without a value, ValueError for lists of different lengths.
    """
    _check_lengths("sgd_update", variables=variables, momenta=momenta, gradients=gradients)
    return library.load().awsdet_sgd_update(
        variables=[variable.handle for variable in variables],
        momenta=[variable.handle for variable in momenta],
        gradients=_floats("sgd_update", "gradients", gradients),
        learning_rate=learning_rate,
        factor=factor,
        apply=apply,
        momentum=momentum,
        weight_decay=weight_decay,
    )


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
    """One update of all variables by AdamW as PyTorch defines it, and `applied` + 1.

    With t = applied + 1, rate = learning_rate * rate_factor and g = factor * gradient:

        variable -= rate * weight_decay * variable
        first += (g - first) * (1 - beta_1)
        second += (g^2 - second) * (1 - beta_2)
        variable -= rate * (first / (1 - beta_1^t)) / (sqrt(second / (1 - beta_2^t)) + epsilon)

    Args:
        variables, first_moments, second_moments: lists of N float32 `tf.Variable` on one device, all different.
        gradients: as those of `sgd_update`.
        applied: int64 scalar `tf.Variable` on the same device, the number of updates so far.
        learning_rate, factor, apply: as those of `sgd_update`.
        beta_1, beta_2: Python floats, 0 or more and below 1.
        epsilon: Python float, 0 or more.
        rate_factors, weight_decays: lists of N Python floats, for each variable its own.

    Returns and raises what `sgd_update` does, and tf.errors.InvalidArgumentError for a beta or epsilon out of range.
    """
    lists = {"variables": variables, "first_moments": first_moments, "second_moments": second_moments}
    numbers = {"rate_factors": rate_factors, "weight_decays": weight_decays}
    _check_lengths("adamw_update", **lists, gradients=gradients, **numbers)
    return library.load().awsdet_adamw_update(
        **{name: [variable.handle for variable in values] for name, values in lists.items()},
        gradients=_floats("adamw_update", "gradients", gradients),
        applied=applied.handle,
        learning_rate=learning_rate,
        factor=factor,
        apply=apply,
        beta_1=beta_1,
        beta_2=beta_2,
        epsilon=epsilon,
        **numbers,
    )


def global_norm(tensors):
    """The L2 norm of all elements of a list of float32, float16 or bfloat16 tensors, a float32 scalar; 0 for an empty
    list.

    It is infinite or NaN if an element is, so it also tells whether all are finite. Sums are float64 in a fixed order:
    the result is the same for any number of threads, and on a GPU. No gradient.

    Raises tf.errors.InvalidArgumentError for another dtype.
    """
    return library.load().awsdet_global_norm(tensors=_floats("global_norm", "tensors", tensors))


def accumulate(sums, tensors, factor=1.0):
    """sum += factor * tensor, for lists of N float32 `tf.Variable` on one device, all different, and N tensors.

    The tensors are float32, float16 or bfloat16, as the gradients of `sgd_update`.

    Returns and raises what `sgd_update` does.
    """
    _check_lengths("accumulate", sums=sums, tensors=tensors)
    return library.load().awsdet_accumulate(
        sums=[variable.handle for variable in sums],
        tensors=_floats("accumulate", "tensors", tensors),
        factor=factor,
    )


def moving_average(averages, values, decay, apply=True):
    """average -= (average - value) * (1 - decay): exponential moving averages, in the order of Keras' own.

    Args:
        averages: list of N float32 `tf.Variable` on one device, all different.
        values: list of N float32 tensors, each of the shape of its average.
        decay: float32 scalar.
        apply: bool scalar; nothing changes if it is false. On a GPU the host does not wait for it.

    Returns and raises what `sgd_update` does.
    """
    _check_lengths("moving_average", averages=averages, values=values)
    return library.load().awsdet_moving_average(
        averages=[variable.handle for variable in averages],
        values=_floats("moving_average", "values", values, (tf.float32,)),
        decay=decay,
        apply=apply,
    )


def set_zero(variables):
    """Sets all elements of float32 `tf.Variable` on one device, all different, to zero. Returns and raises what
    `sgd_update` does."""
    return library.load().awsdet_set_zero(variables=[variable.handle for variable in variables])


def cast(tensors, dtype):
    """Each of a list of float32 tensors or variables in `dtype`, float16 or bfloat16, as tf.cast gives it: a list.

    Raises tf.errors.InvalidArgumentError for another dtype of a tensor, ValueError for another `dtype`.
    """
    dtype = tf.as_dtype(dtype)
    if dtype not in (tf.float16, tf.bfloat16):
        raise ValueError(f"cast: dtype must be float16 or bfloat16, not {dtype.name}")
    tensors = _floats("cast", "tensors", tensors, (tf.float32,))
    return list(library.load().awsdet_cast(values=tensors, T=dtype)) if tensors else []


@tf.RegisterGradient("AwsdetCast")
def _cast_gradient(op, *upstream):
    return [tf.cast(gradient, tf.float32) for gradient in upstream]


def _check_lengths(op, **lists):
    (first, wanted), *others = lists.items()
    for name, values in others:
        if len(values) != len(wanted):
            raise ValueError(f"{op}: {len(wanted)} {first} but {len(values)} {name}")


def _floats(op, name, tensors, dtypes=(tf.float32, tf.float16, tf.bfloat16)):
    tensors = [tf.convert_to_tensor(tensor) for tensor in tensors]
    for i, tensor in enumerate(tensors):
        if tensor.dtype not in dtypes:
            wanted = " or ".join(dtype.name for dtype in dtypes)
            raise tf.errors.InvalidArgumentError(
                None, None, f"{op}: {name}[{i}] must be {wanted}, not {tensor.dtype.name}"
            )
    return tensors
