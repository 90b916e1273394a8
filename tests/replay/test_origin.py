"""The way back from a result that is not finite to where it comes from."""

import numpy as np
import pytest
import tensorflow as tf

from awsdet.replay.origin import Sizes, origins, part_of


def traced(function, variables, *inputs):
    """(sizes, numbers of the results) of a function that returns a list of tensors."""
    made = []

    @tf.function(autograph=False)
    def work(*tensors):
        made.append(Sizes(function(*tensors), variables))
        return made[-1].measured

    measured = work(*map(tf.constant, inputs))
    return made[-1].known(measured), made[-1].numbers


def test_infinities_that_a_mask_takes_out_are_not_on_the_way():
    def function(values):
        with tf.name_scope("masked"):
            kept = tf.where(values > 0, tf.math.log(values), 0.0)  # log(0) is -inf, and is not taken
        with tf.name_scope("model.head"):
            return [tf.reduce_sum(kept), tf.reduce_sum(tf.exp(kept * 100))]

    sizes, (first, second) = traced(function, [], np.float32([0, 1, 5]))
    assert sizes[first].finite and not sizes[second].finite
    assert any(not size.finite for size in sizes if size.part == "masked")
    (source,) = origins(sizes, [first, second])
    assert (sizes[source].kind, sizes[source].part) == ("Exp", "model.head")
    (before,) = sizes[source].inputs
    assert sizes[before].finite and sizes[before].largest == pytest.approx(100 * np.log(5), rel=1e-6)


@pytest.mark.parametrize("value, dtype", [(np.nan, tf.float32), (np.inf, tf.float32), (1e30, tf.float16)])
def test_a_variable_and_an_overflow_in_a_cast(value, dtype):
    weights = tf.Variable([1.0, value], name="head.kernel")
    sizes, numbers = traced(lambda x: [tf.cast(weights, dtype) * tf.cast(x, dtype)], [weights], np.float32([1, 2]))
    (source,) = origins(sizes, numbers)
    if dtype == tf.float32:
        assert sizes[source].variable == "head.kernel"
    else:
        assert (sizes[source].kind, sizes[source].dtype) == ("Cast", "float16")


def test_a_gradient_that_is_not_finite_while_the_loss_is():
    weight = tf.Variable([0.0, 4.0], name="head.kernel")

    def function(x):
        with tf.GradientTape() as tape:
            with tf.name_scope("head.norm"):
                loss = tf.reduce_sum(tf.sqrt(weight * x))
        return [loss, tape.gradient(loss, weight)]

    sizes, (loss, gradient) = traced(function, [weight], np.float32([1, 1]))
    assert sizes[loss].finite and not sizes[gradient].finite
    (source,) = origins(sizes, [loss, gradient])
    assert sizes[source].kind == "SqrtGrad" and sizes[source].part == "gradient of head.norm"


def test_tensors_without_elements_are_finite():
    sizes, numbers = traced(lambda x: [x + 1.0], [], np.zeros([0, 4], np.float32))
    assert [(sizes[number].finite, sizes[number].largest) for number in numbers] == [(True, 0.0)]


@pytest.mark.parametrize(
    "name, part",
    [
        ("backbone/chain/backbone.layer1.0/backbone.layer1.0.conv1/Conv2D", "backbone.layer1.0.conv1"),
        ("gradient_tape/neck/neck.fpn_convs.0.conv/Conv2D/Conv2DBackpropInput", "neck.fpn_convs.0.conv"),
        ("rpn_losses_1/Sum", "rpn_losses"),
        ("AddN", "outside of the layers"),
    ],
)
def test_parts_of_the_model(name, part):
    assert part_of(name) == part
