"""The operators on many tensors against TensorFlow's own, one tensor at a time, bit for bit."""

import threading

import numpy as np
import pytest
import tensorflow as tf

from awsdet.ops import library, multi_tensor
from awsdet.ops.reference import multi_tensor as plain
from tests.ops import fuzz

CHUNK, LANES = 8192, 128  # as in custom_ops/kernels/multi_tensor.h
SHAPES = [(), (0,), (1,), (3, 0, 2), (7,), (129,), (3, 3, 4, 5), (CHUNK,), (CHUNK + 1,), (3 * CHUNK + 131,)]


def arrays(random, shapes, scale=1.0):
    return [(scale * random.normal(size=shape)).astype(np.float32) for shape in shapes]


def of_some_types(random, tensors):
    """The tensors rounded to random types: mixed precision gives gradients of 16 bits beside those of float32."""
    return [tf.cast(tensor, random.choice(["float32", "float16", "bfloat16"])) for tensor in tensors]


def variables(values):
    return [tf.Variable(value) for value in values]


def assert_equal(ours, theirs):
    for mine, wanted in zip(ours, theirs, strict=True):
        mine, wanted = tf.convert_to_tensor(mine), tf.convert_to_tensor(wanted)
        assert mine.dtype == wanted.dtype
        np.testing.assert_array_equal(mine.numpy(), wanted.numpy())


def some_shapes(random):
    count = random.choice([0, 1, 5, 200], p=[0.1, 0.3, 0.4, 0.2])
    return [SHAPES[i] for i in random.integers(0, len(SHAPES) - (3 if count == 200 else 0), count)]


def norm_by_definition(tensors):
    """In the order that the kernel documents, in NumPy."""

    def by_halves(numbers):
        lanes = np.zeros(LANES)
        for row in np.split(np.pad(numbers, (0, -len(numbers) % LANES)), max(-(-len(numbers) // LANES), 1)):
            lanes[: len(row)] += row
        while len(lanes) > 1:
            lanes = lanes[: len(lanes) // 2] + lanes[len(lanes) // 2 :]
        return lanes[0]

    flat = [tensor.reshape(-1).astype(np.float64) ** 2 for tensor in tensors]
    sums = [by_halves(values[i : i + CHUNK]) for values in flat for i in range(0, len(values), CHUNK)]
    return np.float32(np.sqrt(by_halves(np.array(sums))))


def compare_random_tensors(random):
    """Random shapes, factors and rates."""
    shapes = some_shapes(random)
    values, momenta, gradients = (arrays(random, shapes, scale) for scale in (1, 0.1, 10))
    gradients = of_some_types(random, gradients)
    ours, theirs = ([variables(values), variables(momenta)] for _ in range(2))
    options = {
        "learning_rate": np.float32(random.uniform(0, 0.1)),
        "factor": np.float32(random.choice([1.0, 1 / 32768, 0.3])),
        "momentum": float(random.choice([0.0, 0.9])),
        "weight_decay": float(random.choice([0.0, 1e-4])),
        "apply": bool(random.uniform() < 0.8),
    }
    multi_tensor.sgd_update(*ours, gradients, **options)
    plain.sgd_update(*theirs, gradients, **options)
    assert_equal(sum(ours, []), sum(theirs, []))
    multi_tensor.accumulate(ours[0], gradients, options["factor"])
    plain.accumulate(theirs[0], gradients, options["factor"])
    assert_equal(ours[0], theirs[0])
    decay = {"decay": np.float32(random.choice([0.0, 0.1, 0.999])), "apply": options["apply"]}
    multi_tensor.moving_average(ours[1], values, **decay)
    plain.moving_average(theirs[1], values, **decay)
    assert_equal(ours[1], theirs[1])
    norm = multi_tensor.global_norm(gradients).numpy()
    assert norm == norm_by_definition([tf.cast(gradient, tf.float32).numpy() for gradient in gradients])
    np.testing.assert_allclose(norm, plain.global_norm(gradients), rtol=1e-6)
    dtype = str(random.choice(["float16", "bfloat16"]))
    assert_equal(multi_tensor.cast(values, dtype), plain.cast(values, dtype))
    multi_tensor.set_zero(ours[0])
    assert_equal(ours[0], [np.zeros(shape, np.float32) for shape in shapes])
    return len(shapes)


def test_all_are_what_tensorflow_computes_one_by_one():
    fuzz.run(compare_random_tensors)


def test_without_a_factor_it_is_resource_apply_momentum():
    """What SGD computed before this operator, written out: old checkpoints go on bit for bit."""
    random = np.random.default_rng(3)
    values, momenta, gradients = (arrays(random, SHAPES) for _ in range(3))
    ours, theirs = ([variables(values), variables(momenta)] for _ in range(2))

    @tf.function(autograph=False)
    def step(rate):
        multi_tensor.sgd_update(*ours, gradients, learning_rate=rate, momentum=0.9, weight_decay=1e-4)
        for variable, buffer, gradient in zip(*theirs, gradients):
            tf.raw_ops.ResourceApplyMomentum(
                var=variable.handle, accum=buffer.handle, lr=rate, grad=gradient + 1e-4 * variable, momentum=0.9
            )

    for rate in (0.02, 0.02, 0.002):
        step(tf.constant(rate))
    assert_equal(sum(ours, []), sum(theirs, []))
    assert np.any(ours[0][-1].numpy() != values[-1])


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize("odd", [np.inf, -np.inf, np.nan])
@pytest.mark.parametrize("place", [0, CHUNK - 1, CHUNK])
def test_the_norm_tells_what_is_not_finite(odd, place, dtype):
    values = np.zeros(CHUNK + 1, np.float32)
    values[place] = odd
    assert not np.isfinite(multi_tensor.global_norm([tf.ones([3]), tf.cast(values, dtype), tf.ones([2])]))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_casts_of_every_kind_of_number(dtype):
    """Random bits: large and small numbers, subnormal ones, infinities, NaN; and what lies between two results."""
    random = np.random.default_rng(5)
    bits = random.integers(0, 2**32, 3 * CHUNK, dtype=np.uint32)
    results = np.arange(2**16, dtype=np.uint16)
    floats = tf.cast(tf.bitcast(results, dtype), tf.float32).numpy()
    finite = floats[np.isfinite(floats)]
    ties = finite[:-1] + (finite[1:] - finite[:-1]) / 2
    edges = [np.nextafter(ties, np.float32(-np.inf)), ties, np.nextafter(ties, np.float32(np.inf))]
    values = [bits.view(np.float32), floats, *edges, np.float32([65519.996, 65520, 3.4e38, np.inf, -np.inf, -0.0])]
    for ours, theirs in zip(multi_tensor.cast(values, dtype), plain.cast(values, dtype), strict=True):
        assert ours.dtype == dtype
        real = ~tf.math.is_nan(theirs).numpy()
        ours_bits, theirs_bits = (tf.bitcast(each, tf.uint16).numpy() for each in (ours, theirs))
        np.testing.assert_array_equal(ours_bits[real], theirs_bits[real])
        assert tf.math.is_nan(ours).numpy()[~real].all()


def test_casts_have_shapes_and_gradients():
    values = variables(arrays(np.random.default_rng(2), SHAPES))

    @tf.function(autograph=False)
    def casts_and_gradients():
        with tf.GradientTape() as tape:
            casts = multi_tensor.cast(values, tf.bfloat16)
            total = tf.add_n([tf.reduce_sum(tf.cast(cast, tf.float32) * 3) for cast in casts])
        assert [cast.shape for cast in casts] == [value.shape for value in values]
        return tape.gradient(total, values)

    gradients = casts_and_gradients()
    assert {gradient.dtype for gradient in gradients} == {tf.float32}
    assert_equal(gradients, [np.full(shape, 3, np.float32) for shape in SHAPES])
    assert multi_tensor.cast([], tf.float16) == []


def test_averages_that_begin_as_the_variables_themselves():
    """Both share one buffer then. The average moves, the variable stays."""
    variable = tf.Variable(np.ones(5, np.float32))
    average = tf.Variable(variable.read_value())
    multi_tensor.moving_average([average], [variable.read_value() + 1], 0.5)
    assert average.numpy().tolist() == [1.5] * 5 and variable.numpy().tolist() == [1.0] * 5
    multi_tensor.moving_average([average], [variable], 0.5)
    multi_tensor.moving_average([average], [variable], 0.5, apply=False)
    assert average.numpy().tolist() == [1.25] * 5


def test_wrong_averages_are_named():
    averages = variables([np.ones(3, np.float32)])
    with pytest.raises(
        tf.errors.InvalidArgumentError, match=r"values\[0\] must be \[3\] like averages\[0\], not \[2\]"
    ):
        multi_tensor.moving_average(averages, [tf.ones([2])], 0.5)
    with pytest.raises(tf.errors.InvalidArgumentError, match="must be a scalar|must be scalars"):
        multi_tensor.moving_average(averages, [tf.ones([3])], tf.ones([2]))
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"values\[0\] must be float32, not float16"):
        multi_tensor.moving_average(averages, [tf.ones([3], tf.float16)], 0.5)
    with pytest.raises(ValueError, match="1 averages but 2 values"):
        multi_tensor.moving_average(averages, [tf.ones([3])] * 2, 0.5)
    assert averages[0].numpy().tolist() == [1.0] * 3


def test_wrong_casts_are_named():
    with pytest.raises(ValueError, match="dtype must be float16 or bfloat16, not float32"):
        multi_tensor.cast([tf.ones([2])], tf.float32)
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"cast: tensors\[1\] must be float32, not float16"):
        multi_tensor.cast([tf.ones([2]), tf.ones([2], tf.float16)], tf.bfloat16)


def test_the_norm_of_large_and_small_numbers():
    """Their squares are no float32: TensorFlow's own norm would be infinite, or 0."""
    large, small = np.full(4, 1e30, np.float32), np.full(4, 1e-30, np.float32)
    np.testing.assert_allclose(multi_tensor.global_norm([large]), 2e30, rtol=1e-6)
    np.testing.assert_allclose(multi_tensor.global_norm([small]), 2e-30, rtol=1e-6)
    assert multi_tensor.global_norm([]) == 0 and multi_tensor.global_norm([tf.zeros([0])]) == 0


def test_a_reader_keeps_the_value_that_it_read():
    variable, buffer = variables([np.ones(5, np.float32), np.ones(5, np.float32)])
    before = variable.read_value()
    options = {"learning_rate": 1.0, "momentum": 0.5, "weight_decay": 0.0}

    @tf.function(autograph=False)
    def two_steps():
        multi_tensor.sgd_update([variable], [buffer], [tf.ones([5])], **options)
        between = variable.read_value()
        multi_tensor.sgd_update([variable], [buffer], [tf.ones([5])], **options)
        multi_tensor.accumulate([buffer], [between])
        total = buffer.read_value()
        multi_tensor.set_zero([buffer])
        return between, total, variable.read_value()

    between, total, after = two_steps()
    assert before.numpy().tolist() == [1.0] * 5
    assert between.numpy().tolist() == [-0.5] * 5  # buffer 1.5
    assert after.numpy().tolist() == [-2.25] * 5 and total.numpy().tolist() == [1.25] * 5  # buffer 1.75, then - 0.5
    assert not buffer.numpy().any()


def test_a_variable_that_was_written_in_parts():
    """TensorFlow then copies it whenever it is read."""
    variable, buffer = variables([np.ones(3, np.float32), np.zeros(3, np.float32)])
    variable.scatter_update(tf.IndexedSlices([5.0], [1]))
    multi_tensor.sgd_update([variable], [buffer], [tf.ones([3])], learning_rate=1.0, momentum=0.0, weight_decay=0.0)
    assert variable.numpy().tolist() == [0.0, 4.0, 0.0]
    multi_tensor.set_zero([variable])
    assert not variable.numpy().any()


def test_many_threads_lock_in_one_order():
    """Each thread names the variables in another order. None waits for ever, and no addition is lost."""
    sums = variables([np.zeros(20, np.float32) for _ in range(8)])

    def work(seed):
        random = np.random.default_rng(seed)
        for _ in range(50):
            multi_tensor.accumulate([sums[i] for i in random.permutation(8)], [tf.ones([20])] * 8)

    threads = [threading.Thread(target=work, args=(seed,), daemon=True) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=120)
    assert not any(thread.is_alive() for thread in threads)
    assert_equal(sums, [np.full(20, 200, np.float32)] * 8)


def refuse(message, error=tf.errors.InvalidArgumentError, **changes):
    """The update with some arguments changed is refused in one line, and changes nothing."""
    values = variables([np.ones(3, np.float32), np.ones([2, 2], np.float32)])
    momenta = variables([np.ones(3, np.float32), np.ones([2, 2], np.float32)])
    arguments = {"variables": values, "momenta": momenta, "gradients": [tf.ones([3]), tf.ones([2, 2])]}
    scalars = {"learning_rate": 1.0, "momentum": 0.9, "weight_decay": 0.0, "factor": 1.0}
    changed = {name: change(arguments) if callable(change) else change for name, change in changes.items()}
    with pytest.raises(error, match=message) as caught:
        multi_tensor.sgd_update(**{**arguments, **scalars, **changed})
    assert "\n" not in str(caught.value)
    for variable in [*values, *momenta]:
        assert (variable.numpy() == 1).all()


class Missing:
    """A variable that nobody has given a value."""

    def __init__(self):
        self.handle = tf.raw_ops.VarHandleOp(dtype=tf.float32, shape=[2, 2], shared_name="nobody made it")


def test_wrong_input_is_named():
    refuse(r"gradients\[1\] must be \[2,2\] like variables\[1\], not \[4\]", gradients=[tf.ones([3]), tf.ones([4])])
    refuse(r"momenta\[0\] must be \[3\] like variables\[0\]", momenta=lambda own: own["momenta"][::-1])
    refuse(
        r"gradients\[0\] must be float32 or float16 or bfloat16, not float64",
        gradients=[tf.ones([3], tf.float64), tf.ones([2, 2])],
    )
    refuse(r"learning_rate must be a scalar, not \[2\]|must be scalars, not \[2\]", learning_rate=tf.ones([2]))
    refuse(r"factor must be a scalar|must be scalars, not \[1\]", factor=tf.ones([1]))
    refuse(r"(\w+)\[(.)\] and (?!\1)\w+\[\2\] are the same variable", momenta=lambda own: own["variables"])
    refuse(r"2 variables but 1 gradients", ValueError, gradients=[tf.ones([3])])
    refuse(
        r"variables\[1\] is not initialised",
        tf.errors.FailedPreconditionError,
        variables=lambda own: [own["variables"][0], Missing()],
    )
    whole = tf.Variable([1, 2, 3])
    refuse(r"variables\[0\] must be float32, not int32", variables=lambda own: [whole, own["variables"][1]])


def test_wrong_sums_are_named():
    sums = variables([np.ones(3, np.float32)])
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"tensors\[0\] must be \[3\] like sums\[0\], not \[2\]"):
        multi_tensor.accumulate(sums, [tf.ones([2])])
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"variables\[0\] and variables\[1\] are the same"):
        multi_tensor.set_zero(sums * 2)
    with pytest.raises(ValueError, match="1 sums but 2 tensors"):
        multi_tensor.accumulate(sums, [tf.ones([3])] * 2)
    raw = library.load().awsdet_accumulate
    with pytest.raises(tf.errors.InvalidArgumentError, match="1 sums but 2 tensors"):
        raw(sums=[sums[0].handle], tensors=[tf.ones([3])] * 2, factor=1.0)
    assert sums[0].numpy().tolist() == [1.0] * 3
