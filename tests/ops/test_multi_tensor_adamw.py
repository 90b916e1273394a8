"""The update of AdamW for all variables at once, bit for bit against its rule in NumPy and against TensorFlow's own."""

import numpy as np
import pytest
import tensorflow as tf

from awsdet.ops import library, multi_tensor
from awsdet.ops.reference import multi_tensor as plain
from tests.ops import fuzz
from tests.ops.test_multi_tensor import arrays, assert_equal, of_some_types, some_shapes, variables

RULE = {"learning_rate": 0.5, "beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-8}


def power(base, exponent):
    """By squaring, in the order of the kernel."""
    result, base = np.float64(1), np.float64(np.float32(base))
    for bit in reversed(f"{exponent:b}"):
        result, base = result * base if bit == "1" else result, base * base
    return result


def by_definition(variable, first, second, gradient, update, rule, rate_factor, decay):
    """The rule in the order that custom_ops/kernels/adamw_rule.h documents, every operation in float32."""
    beta_1, beta_2, epsilon, factor = (np.float32(rule[name]) for name in ("beta_1", "beta_2", "epsilon", "factor"))
    one, root = np.float32(1), np.sqrt(1 - power(beta_2, update))
    correction = np.float32(root / (1 - power(beta_1, update)))
    gradient = factor * gradient
    first = first + (gradient - first) * (one - beta_1)
    second = second + (gradient * gradient - second) * (one - beta_2)
    rate = np.float32(rule["learning_rate"]) * np.float32(rate_factor)
    shrunk = variable - rate * np.float32(decay) * variable
    step = first * (rate * correction) / (np.sqrt(second) + np.float32(root * np.float64(epsilon)))
    return shrunk - step, first, second


def compare_random_tensors(random):
    """Random shapes, types, rules and numbers of updates before this one."""
    shapes = some_shapes(random)
    values, firsts, gradients = (arrays(random, shapes, scale) for scale in (1, 0.1, 10))
    seconds = [np.abs(value) for value in arrays(random, shapes, random.choice([1e-6, 1.0]))]
    gradients = of_some_types(random, gradients)
    before = int(random.choice([0, 1, 9, 999, 12_345, 10**9]))
    rule = {
        "learning_rate": np.float32(random.uniform(0, 0.1)),
        "beta_1": float(random.choice([0.0, 0.9, 0.95])),
        "beta_2": float(random.choice([0.0, 0.98, 0.999])),
        "epsilon": float(random.choice([1e-8, 1e-3])),
        "factor": np.float32(random.choice([1.0, 1 / 32768, 0.3])),
    }
    own = {
        "rate_factors": [float(factor) for factor in random.choice([1.0, 0.1, 0.343, 0.0], len(shapes))],
        "weight_decays": [float(decay) for decay in random.choice([0.0, 0.05], len(shapes))],
    }
    apply = bool(random.uniform() < 0.8)
    ours, theirs = ([variables(values), variables(firsts), variables(seconds)] for _ in range(2))
    counts = [tf.Variable(before, dtype=tf.int64) for _ in range(2)]
    for module, lists, count in zip((multi_tensor, plain), (ours, theirs), counts):
        module.adamw_update(*lists, gradients, count, **rule, **own, apply=apply)
    wanted = [list(row) for row in zip(values, firsts, seconds)]
    if apply:
        floats = [tf.cast(gradient, tf.float32).numpy() for gradient in gradients]
        numbers = zip(own["rate_factors"], own["weight_decays"])
        wanted = [
            by_definition(*row, gradient, before + 1, rule, *pair)
            for row, gradient, pair in zip(wanted, floats, numbers)
        ]
    assert_equal(sum(ours, []), sum((list(column) for column in zip(*wanted)), []))
    assert_equal(sum(ours, []), sum(theirs, []))
    assert [int(count) for count in counts] == [before + apply] * 2
    return len(shapes)


def test_it_is_the_rule_for_all_of_them():
    fuzz.run(compare_random_tensors, fuzz.CASES // 2 if fuzz.CASES <= 1000 else fuzz.CASES)


def test_a_reader_keeps_what_it_read():
    """Variables, moments and the counter are copied before they change."""
    lists = [variables([np.ones(5, np.float32)]) for _ in range(3)]
    count = tf.Variable(7, dtype=tf.int64)
    read = [variable.read_value() for variable in [*sum(lists, []), count]]
    multi_tensor.adamw_update(*lists, [tf.zeros([5])], count, **RULE, rate_factors=[1.0], weight_decays=[0.5])
    assert [value.numpy().flat[0] for value in read] == [1, 1, 1, 7]
    first, second = (float(moments[0][0]) for moments in lists[1:])
    assert float(lists[0][0][0]) < 0.75 and 0.89 < first < 0.91 and 0.99 < second < 1 and int(count) == 8


def test_nothing_to_update_is_an_update():
    count = tf.Variable(3, dtype=tf.int64)
    multi_tensor.adamw_update([], [], [], [], count, **RULE, rate_factors=[], weight_decays=[])
    assert int(count) == 4


def refuse(message, error=tf.errors.InvalidArgumentError, **changes):
    """The update with some arguments changed is refused in one line, and changes nothing."""
    lists = {
        name: variables([np.ones(3, np.float32), np.ones([2, 2], np.float32)])
        for name in ("variables", "first_moments", "second_moments")
    }
    applied = tf.Variable(1, dtype=tf.int64)
    arguments = {**lists, "gradients": [tf.ones([3]), tf.ones([2, 2])], "applied": applied, **RULE}
    numbers = {"rate_factors": [1.0, 1.0], "weight_decays": [0.0, 0.0]}
    changed = {name: change(arguments) if callable(change) else change for name, change in changes.items()}
    with pytest.raises(error, match=message) as caught:
        multi_tensor.adamw_update(**{**arguments, **numbers, **changed})
    assert "\n" not in str(caught.value)
    for variable in [*sum(lists.values(), []), applied]:
        assert (variable.numpy() == 1).all()


@pytest.mark.parametrize(
    "message, changes",
    [
        (r"gradients\[1\] must be \[2,2\] like variables\[1\], not \[4\]", {"gradients": [tf.ones([3]), tf.ones([4])]}),
        (
            r"first_moments\[0\] must be \[3\] like variables\[0\], not \[2,2\]",
            {"first_moments": lambda own: own["first_moments"][::-1]},
        ),
        (
            r"second_moments\[0\] must be \[3\] like variables\[0\], not \[2,2\]",
            {"second_moments": lambda own: own["second_moments"][::-1]},
        ),
        (r"(\w+)\[(.)\] and (?!\1)\w+\[\2\] are the same", {"second_moments": lambda own: own["first_moments"]}),
        (r"applied must be a scalar, not \[2\]", {"applied": tf.Variable([1, 1], dtype=tf.int64)}),
        (r"applied must be int64, not float", {"applied": tf.Variable(1.0)}),
        (r"factor must be a scalar|must be scalars, not \[1\]", {"factor": tf.ones([1])}),
        (r"beta_1 must be 0 or more and below 1, not 1", {"beta_1": 1.0}),
        (r"beta_2 must be 0 or more and below 1, not -0.5", {"beta_2": -0.5}),
        (r"beta_2 must be 0 or more and below 1, not nan", {"beta_2": float("nan")}),
        (r"epsilon must be 0 or more, not -1", {"epsilon": -1.0}),
    ],
)
def test_wrong_input_is_named(message, changes):
    refuse(message, **changes)


@pytest.mark.parametrize("name", ["first_moments", "second_moments", "gradients", "rate_factors", "weight_decays"])
def test_lists_of_other_lengths_are_named(name):
    refuse(f"adamw_update: 2 variables but 0 {name}", ValueError, **{name: []})


def test_the_operator_checks_the_lengths_itself():
    handle = tf.Variable([1.0]).handle
    lists = {name: [handle] for name in ("variables", "first_moments", "second_moments")}
    rest = {"applied": handle, "factor": 1.0, "apply": True, **RULE}
    for numbers in ({"rate_factors": [], "weight_decays": [0.0]}, {"rate_factors": [1.0], "weight_decays": []}):
        short = next(name for name, values in numbers.items() if not values)
        with pytest.raises(tf.errors.InvalidArgumentError, match=f"adamw_update: 1 variables but 0 {short}"):
            library.load().awsdet_adamw_update(**lists, gradients=[tf.ones([1])], **rest, **numbers)
