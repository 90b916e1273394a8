"""Bias or stored batch norm, then a residual, then ReLU, compiled; awsdet/ops/reference/affine.py is its plain twin.

One operator goes once over the features where TensorFlow's own go up to four times, and on a GPU it is one launch. The
gradients of all parameters are sums in float32 in a fixed order, also those of low-precision features.
"""

import tensorflow as tf

from awsdet.ops import library

DTYPES = (tf.float32, tf.float16, tf.bfloat16)


def pays_for_bias(dtype, training):
    """Whether `bias` is better here than TensorFlow's own operations for features of `dtype`.

    It is on a GPU, where TensorFlow has launches of their own for bias and ReLU. On a CPU it makes one pass of
    convolution, bias and ReLU; but it sums the gradient of a bfloat16 bias in bfloat16, which has 8 bits: the sum of
    4096 ones is 256. So in training that is left to `bias` too.
    """
    dtype = tf.as_dtype(dtype)
    gpu = dtype in DTYPES and bool(tf.config.list_physical_devices("GPU"))
    return gpu or (training and dtype == tf.bfloat16)


def bias(features, bias, *, residual=None, relu=False, trainable=True):
    """features + bias + residual, then ReLU, of `features` [..., C] that are float32, float16 or bfloat16.

    Args:
        bias: float32 [C].
        residual: of the shape and dtype of the features; None: nothing is added.
        relu: negatives become 0; NaN stays.
        trainable: the bias has a gradient. Without one the backward pass need not sum.

    Returns the shape and dtype of the features, from float32 arithmetic that is rounded once. The same bits on any
    number of threads, as are the gradients.
    Raises ValueError or InvalidArgumentError, which name the argument, for wrong dtypes and shapes.
    """
    return _affine(features, {"bias": bias}, residual, relu, trainable, 0.0)


def batch_norm(features, gamma, beta, mean, variance, epsilon, *, residual=None, relu=False, trainable=True):
    """Batch norm with stored statistics, plus residual, then ReLU: like `bias`, but for what belongs to the channels.

    Args:
        gamma, beta, mean, variance: float32 [C]; features * scale + (beta - mean * scale), where scale is
            gamma / sqrt(variance + epsilon).
        epsilon: a Python number.
        trainable: gamma and beta have gradients; mean and variance never have.
    """
    parameters = {"gamma": gamma, "beta": beta, "mean": mean, "variance": variance}
    return _affine(features, parameters, residual, relu, trainable, epsilon)


def _affine(features, parameters, residual, relu, trainable, epsilon):
    features = tf.convert_to_tensor(features)
    if features.dtype not in DTYPES:
        raise ValueError(f"affine: features must be float32, float16 or bfloat16, not {features.dtype.name}")
    parameters = {name: tf.convert_to_tensor(value) for name, value in parameters.items()}
    for name, value in parameters.items():
        if value.dtype != tf.float32:
            raise ValueError(f"affine: {name} must be float32, not {value.dtype.name}")
    residuals = [] if residual is None else [tf.convert_to_tensor(residual)]
    for value in residuals:
        if value.dtype != features.dtype:
            raise ValueError(f"affine: residual must be {features.dtype.name} like features, not {value.dtype.name}")
    return library.load().awsdet_affine(
        features=features,
        parameters=list(parameters.values()),
        residual=residuals,
        epsilon=epsilon,
        relu=relu,
        trainable=trainable,
    )


@tf.RegisterGradient("AwsdetAffine")
def _gradient(op, upstream):
    count, residuals = op.get_attr("num_parameters"), op.get_attr("num_residuals")
    relu, trainable = op.get_attr("relu"), op.get_attr("trainable")
    norm = count > 1
    if not (norm or relu or trainable):
        return [upstream, *[None] * count, *[upstream] * residuals]
    # Elsewhere the residual's gradient is that of the result, or that of the features.
    own_residual = residuals > 0 and norm and relu
    found = library.load().awsdet_affine_grad(
        upstream=upstream,
        outputs=[op.outputs[0]] if relu else [],
        features=[op.inputs[0]] if norm and trainable else [],
        parameters=op.inputs[1 : 1 + count],
        epsilon=op.get_attr("epsilon"),
        num_residuals=int(own_residual),
        num_sums=min(count, 2) if trainable else 0,
    )
    sums = [*found.sums, *[None] * (count - len(found.sums))]
    if own_residual:
        return [found.features_gradient, *sums, *found.residual_gradient]
    return [found.features_gradient, *sums, *[found.features_gradient if relu else upstream] * residuals]
