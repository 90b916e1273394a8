"""Compiled bias, stored batch norm, residual and ReLU, forward and gradients, against the twin and sums in float64."""

import functools

import numpy as np
import pytest
import tensorflow as tf

from awsdet.ops import affine
from awsdet.ops.reference import affine as plain
from tests.ops import fuzz, threads

EPSILON = 1e-5
# Of float16 and bfloat16, the distance of 1 and the next number; float32 results are compared bit for bit.
LAST_BIT = {tf.float32: 0.0, tf.float16: 2.0**-10, tf.bfloat16: 2.0**-7}
DTYPES = pytest.mark.parametrize("dtype", list(LAST_BIT), ids=lambda dtype: dtype.name)


def random_case(seed, dtype, rows=None, channels=None):
    """(arguments of an operator, its options, its upstream gradient): features of any rank, a bias or a batch norm."""
    random = np.random.default_rng(seed)
    channels = channels or int(random.choice([1, 2, 3, 7, 16, 31, 64, 81, 256, 300]))
    shapes = [[], [0], [1], [5], [2, 3, 4], [3, 0, 2], [1, 9, 14], [1100]]
    leading = shapes[random.integers(len(shapes))] if rows is None else [rows]
    values = [tf.constant(random.normal(size=[*leading, channels]), dtype) for _ in range(3)]
    features, residual, upstream = values
    per_channel = [random.normal(size=channels) for _ in range(3)] + [random.uniform(0.01, 4, channels)]
    parameters = [tf.constant(value, tf.float32) for value in per_channel]
    if random.integers(2):
        arguments = (features, parameters[1])
    else:
        arguments = (features, *parameters, EPSILON)
    options = {"relu": bool(random.integers(2)), "trainable": bool(random.integers(2))}
    options["residual"] = residual if random.integers(2) else None
    return arguments, options, upstream


def results(module, arguments, options, upstream):
    """The outputs, and the gradients of features, parameters and residual; None for those without."""
    features, *parameters = arguments
    sources = [features, *parameters[:4], options["residual"]]
    watched = [source for source in sources if source is not None]
    operator = module.bias if len(parameters) == 1 else module.batch_norm
    with tf.GradientTape() as tape:
        tape.watch(watched)
        outputs = operator(*arguments, **options)
    return [outputs, *tape.gradient(outputs, watched, upstream)]


def in_float64(arguments, options, upstream, outputs):
    """What `results` gives, by NumPy; the gate of each ReLU is that of `outputs`."""
    wide = [np.asarray(tf.cast(v, tf.float64)) if tf.is_tensor(v) else v for v in arguments]
    features, *parameters = wide
    gradient = np.asarray(tf.cast(upstream, tf.float64))
    norm = len(parameters) > 1
    scale, offset = np.float64(1), parameters[0]
    if norm:
        gamma, beta, mean, variance, epsilon = parameters
        inverse = 1 / np.sqrt(variance + np.float64(np.float32(epsilon)))
        scale = gamma * inverse
        offset = beta - mean * scale
    value, residual = features * scale + offset, options["residual"]
    if residual is not None:
        value = value + np.asarray(tf.cast(residual, tf.float64))
    if options["relu"]:
        value = np.maximum(value, 0)
        gradient = np.where(np.asarray(tf.cast(outputs, tf.float64)) > 0, gradient, 0)
    axes = tuple(range(features.ndim - 1))
    sums = [gradient.sum(axis=axes)]
    if norm:
        sums = [(gradient * (features - mean)).sum(axis=axes) * inverse, *sums]
    if not options["trainable"]:
        sums = [None] * len(sums)
    return [value, gradient * scale, *sums, *[None] * (2 * norm), *([] if residual is None else [gradient])]


def assert_is_right(case, dtype, found=None):
    """Equal to the twin, bit for bit but for sums; gradients equal to sums in float64 up to rounding.

    `found`: the results of operator and twin; by default they are computed here.
    """
    arguments, options, upstream = case
    ours, theirs = found or (results(module, *case) for module in (affine, plain))
    exact = in_float64(*case, ours[0])
    description = f"{arguments[0].shape} {dtype.name} {len(arguments)} {options['relu']} {options['trainable']}"
    np.testing.assert_array_equal(*(tf.cast(part[0], tf.float32) for part in (ours, theirs)), description)
    assert len(ours) == len(exact) == len(theirs)
    norm, rows = len(arguments) > 2, max(1, np.prod(arguments[0].shape[:-1], dtype=np.int64))
    for place, (found, expected) in enumerate(zip(ours, exact)):
        if expected is None:
            assert found is None, (place, description)
            continue
        is_sum = 2 <= place < len(arguments) + (1 - norm)
        assert found.dtype == (tf.float32 if is_sum else dtype), (place, description)
        found = np.asarray(tf.cast(found, tf.float64))
        assert found.shape == expected.shape, (place, description)
        # The terms of a sum may cancel each other, but not their rounding errors.
        error = 1e-6 * np.abs(expected).max(initial=1.0) * np.sqrt(rows if is_sum else 1)
        error = error + (0 if is_sum else LAST_BIT[dtype] * np.abs(expected))
        assert np.all(np.abs(found - expected) <= error), (place, description)


@DTYPES
@pytest.mark.parametrize("seed", range(40))
def test_equals_the_twin(seed, dtype):
    assert_is_right(random_case(seed, dtype), dtype)


@DTYPES
@pytest.mark.parametrize("channels", [1, 17, 64, 2048])
def test_many_rows(channels, dtype):
    """More than one chunk of parallel work, and remainders."""
    for seed in range(4):
        assert_is_right(random_case(seed, dtype, rows=300_001 // channels, channels=channels), dtype)


def test_sums_of_low_precision_are_exact_beyond_what_it_counts():
    """A bfloat16 that counts in ones stops at 256."""
    bias = tf.zeros([8])
    with tf.GradientTape() as tape:
        tape.watch(bias)
        outputs = affine.bias(tf.ones([5000, 8], tf.bfloat16), bias)
    np.testing.assert_array_equal(tape.gradient(outputs, bias), np.full(8, 5000.0))


@DTYPES
def test_results_are_the_same_in_a_graph_and_do_not_overwrite_what_is_needed(dtype):
    """The operator may write over its inputs only if nobody else reads them."""
    for seed in range(12):
        arguments, options, upstream = random_case(seed, dtype, rows=40)

        def doubled_results(features, residual, arguments=arguments, options=options, upstream=upstream):
            """Of sums that are made in the graph, so that their memory is free once nobody reads them any more."""
            doubled = [features + features, None if residual is None else residual + residual]
            own = {**options, "residual": doubled[1]}
            return results(affine, (doubled[0], *arguments[1:]), own, upstream), doubled

        found, doubled = tf.function(doubled_results)(arguments[0], options["residual"])
        for value, source in zip(doubled, (arguments[0], options["residual"])):
            if source is not None:
                np.testing.assert_array_equal(*(tf.cast(part, tf.float32) for part in (value, source + source)))
        own = {**options, "residual": None if options["residual"] is None else options["residual"] * 2}
        for value, eager in zip(found, results(affine, (arguments[0] * 2, *arguments[1:]), own, upstream)):
            assert (value is None) == (eager is None)
            if value is not None:
                np.testing.assert_array_equal(*(tf.cast(part, tf.float32) for part in (value, eager)))


def test_not_a_number_stays():
    features = tf.constant([[np.nan, -1.0, np.inf], [1.0, -np.inf, 0.0]])
    found = affine.bias(features, tf.zeros([3]), relu=True).numpy()
    np.testing.assert_array_equal(found, [[np.nan, 0, np.inf], [1, 0, 0]])


def test_shapes_in_a_graph():
    @tf.function(input_signature=[tf.TensorSpec([None, None, None, 16])])
    def normed(features):
        result = affine.bias(features, tf.zeros([16]), relu=True)
        assert result.shape.as_list() == [None, None, None, 16]
        assert tf.gradients(result, features)[0].shape.as_list() == [None, None, None, 16]
        return result

    assert normed(tf.zeros([2, 6, 5, 16])).shape == (2, 6, 5, 16)


def test_wrong_arguments_are_named():
    features, four = tf.zeros([2, 3, 4]), [tf.ones([4])] * 4
    refused = tf.errors.InvalidArgumentError
    with pytest.raises(refused, match=r"affine: bias must be \[4\], got shape \[3\]"):
        affine.bias(features, tf.zeros([3]))
    for place, name in enumerate(("gamma", "beta", "mean", "variance")):
        wrong = [*four[:place], tf.ones([4, 1]), *four[place + 1 :]]
        with pytest.raises(refused, match=rf"affine: {name} must be \[4\], got shape \[4,1\]"):
            affine.batch_norm(features, *wrong, EPSILON)
        with pytest.raises(ValueError, match=f"affine: {name} must be float32, not float64"):
            affine.batch_norm(features, *four[:place], tf.ones([4], tf.float64), *four[place + 1 :], EPSILON)
    with pytest.raises(refused, match=r"affine: residual \[2,4\] must have the shape of features, \[2,3,4\]"):
        affine.bias(features, four[0], residual=tf.zeros([2, 4]))
    with pytest.raises(ValueError, match="affine: residual must be float32 like features, not float16"):
        affine.bias(features, four[0], residual=tf.zeros([2, 3, 4], tf.float16))
    with pytest.raises(ValueError, match="affine: features must be float32, float16 or bfloat16, not float64"):
        affine.bias(tf.zeros([2], tf.float64), tf.zeros([2]))
    with pytest.raises(refused, match=r"affine: features must be \[..., C\], got a scalar"):
        affine.bias(tf.zeros([]), tf.zeros([1]))


def digests():
    """For some large cases, a digest of all results."""
    found = []
    for seed, dtype in enumerate([tf.float32, tf.float16, tf.bfloat16] * 3):
        parts = results(affine, *random_case(seed, dtype, rows=20_000, channels=60))
        found.append(threads.digest(part.numpy() for part in parts if part is not None))
    return found


def test_any_number_of_threads_gives_the_same_bits():
    assert threads.change_no_bit(digests)


def both_operators(dtype, parameters, residuals, relu, trainable):
    """A graph that takes every size, because thousands of eager calls would take long."""
    some = tf.TensorSpec(None, dtype)
    signature = [some, [tf.TensorSpec([None])] * parameters, [some] * residuals, some]

    def both(features, numbers, residual, upstream):
        arguments = (features, *numbers, *([EPSILON] if parameters > 1 else []))
        options = {"relu": relu, "trainable": trainable, "residual": residual[0] if residual else None}
        return [results(module, arguments, options, upstream) for module in (affine, plain)]

    return tf.function(both, input_signature=signature, autograph=False)


def compare_random_case(random, graphs):
    dtype = list(LAST_BIT)[random.integers(3)]
    case = random_case(random.integers(2**32), dtype)
    (features, *parameters), options, upstream = case
    residual = [part for part in [options["residual"]] if part is not None]
    sources = (features, parameters[:4], residual, upstream)
    graph = graphs(dtype, len(sources[1]), len(residual), options["relu"], options["trainable"])
    assert_is_right(case, dtype, graph(*sources))
    return 1


def test_random_cases():
    # TensorFlow would change the order of the twin's operations, so that last bits differ.
    tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})
    try:
        fuzz.run(functools.partial(compare_random_case, graphs=functools.cache(both_operators)))
    finally:
        tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": False})
