"""The update of a training step against Keras' own, step by step."""

import numpy as np
import pytest
import tensorflow as tf

from awsdet.models import update
from awsdet.ops.multi_tensor import global_norm
from awsdet.training.optimizer import SGD, AdamW, build_optimizer, state_variables
from tests.training.test_optimizer import settings


def scaled_sgd(**options):
    return tf.keras.mixed_precision.LossScaleOptimizer(SGD(0.1, 0.9, 0.01), **options)


def scaled_adamw(**options):
    return tf.keras.mixed_precision.LossScaleOptimizer(AdamW(0.1, weight_decay=0.01), **options)


def step_of(optimizer, variables, clip_norm=0.0):
    """The compiled update from the gradients of a loss that is not scaled."""

    @tf.function(autograph=False)
    def step(gradients):
        scaled = [optimizer.get_scaled_loss(gradient) for gradient in gradients]
        mine, factor = update.unscaled(optimizer, scaled, variables)
        norm = factor * global_norm(mine)
        update.apply(optimizer, mine, variables, norm, factor=factor, clip_norm=clip_norm)
        return norm

    return step


@pytest.mark.parametrize("loss", [np.inf, np.nan])
def test_a_loss_that_is_not_finite_changes_nothing(loss):
    """Its gradients may be finite all the same, as of |x| at infinity."""
    optimizer, variable = SGD(0.1, 0.9), tf.Variable([1.0, 2.0])
    for value in (loss, 3.0):
        before = variable.numpy()
        update.apply(optimizer, [tf.constant([0.5, 0.5])], [variable], tf.constant(0.7), loss=tf.constant(value))
        assert np.array_equal(before, variable) == (value is loss)


def step_of_keras(optimizer, variables):
    @tf.function(autograph=False)
    def step(gradients):
        scaled = [optimizer.get_scaled_loss(gradient) for gradient in gradients]
        mine = optimizer.get_unscaled_gradients(scaled)
        optimizer.apply_gradients(zip(mine, variables), experimental_aggregate_gradients=False)
        return tf.linalg.global_norm(mine)

    return step


@pytest.mark.parametrize(
    "scaled, initial_scale",
    [*((scaled_sgd, scale) for scale in (2.0**15, 2.0, 2.0**126, 3e38, 48.0)), (scaled_adamw, 2.0**15)],
)
def test_loss_scale_is_that_of_keras(scaled, initial_scale):
    """Scale, counters, variables and their buffers after each step. Among the scales are the least one, 1, and the last
    one before infinity, which makes finite gradients overflow."""
    finite, infinite, nan = [0.5, -0.25], [np.inf, 1.0], [0.0, np.nan]
    gradients = [finite] * 4 + [infinite, finite, nan, nan] + [finite] * 7 + [infinite] * 3
    optimizers = [scaled(initial_scale=initial_scale, dynamic_growth_steps=3) for _ in range(2)]
    variables = [[tf.Variable([1.0, 2.0]), tf.Variable([[3.0]])] for _ in range(2)]
    for optimizer, own in zip(optimizers, variables):
        optimizer._create_all_weights(own)
    steps = step_of(optimizers[0], variables[0]), step_of_keras(optimizers[1], variables[1])
    scales = set()
    for number, gradient in enumerate(gradients):
        both = [step([tf.constant(gradient), tf.constant([[0.125]])]) for step in steps]
        assert np.isfinite(both[0]) == np.isfinite(both[1])
        for ours, theirs in zip(*([*own, *state_variables(o)] for o, own in zip(optimizers, variables))):
            if initial_scale == 48.0 and ours.dtype == tf.float32:  # its reciprocal is rounded
                np.testing.assert_allclose(ours, theirs, rtol=1e-6, err_msg=f"step {number}")
            else:
                np.testing.assert_array_equal(ours, theirs, f"step {number}, {theirs.name}")
        scales.add(float(optimizers[0].loss_scale))
    assert int(optimizers[0].iterations) == len(gradients) and len(scales) > 1


def test_gradients_are_clipped_as_by_tensorflow():
    gradients = [tf.constant([30.0, -40.0]), tf.constant([[120.0]])]
    for clip_norm in (13.0, 200.0):
        variables = [tf.Variable([1.0, 2.0]), tf.Variable([[3.0]])]
        theirs = [tf.Variable(v) for v in variables]
        norm = global_norm(gradients)
        update.apply(SGD(0.1), gradients, variables, norm, clip_norm=clip_norm)
        clipped, _ = tf.clip_by_global_norm(gradients, clip_norm)
        SGD(0.1).apply_gradients(zip(clipped, theirs))
        for mine, wanted in zip(variables, theirs):
            np.testing.assert_allclose(mine, wanted, rtol=1e-6)


@pytest.mark.parametrize("kind", [SGD, AdamW])
@pytest.mark.parametrize("odd", [np.inf, np.nan])
@pytest.mark.parametrize("clip_norm", [0.0, 1.0])
def test_what_is_not_finite_reaches_no_variable(odd, clip_norm, kind):
    optimizer, variables = kind(0.1), [tf.Variable([1.0, 2.0]), tf.Variable([3.0])]
    gradients = [tf.constant([0.5, 0.5]), tf.constant([odd])]
    update.apply(optimizer, gradients, variables, global_norm(gradients), clip_norm=clip_norm)
    assert variables[0].numpy().tolist() == [1.0, 2.0] and variables[1].numpy().tolist() == [3.0]
    counter, *others = optimizer.weights
    assert int(counter) == 1 and others and not any(weight.numpy().any() for weight in others)


def test_which_optimizers_change_all_variables_at_once():
    plain = [tf.Variable([1.0]), tf.Variable([2.0])]
    bounded = tf.Variable([1.0], constraint=tf.keras.constraints.NonNeg())
    assert update.at_once(SGD(), plain) and update.at_once(scaled_sgd(), plain)
    assert update.at_once(AdamW(), plain) and update.at_once(scaled_adamw(), plain)
    assert update.at_once(build_optimizer(settings(), 0.1), plain)
    assert update.at_once(build_optimizer(settings(ema_decay=0.9), 0.1, "mixed_float16"), plain)
    others = [
        SGD(clipnorm=1.0),
        AdamW(clipvalue=1.0),
        scaled_sgd(dynamic=False, initial_scale=8.0),
        scaled_adamw(dynamic=False, initial_scale=8.0),
        tf.keras.optimizers.Adam(),
        tf.keras.optimizers.legacy.SGD(),
        build_optimizer(settings(name="lamb"), 0.1, "mixed_float16"),
        build_optimizer(settings(name="novograd", ema_decay=0.9), 0.1),
    ]
    assert not any(update.at_once(optimizer, plain) for optimizer in others)
    assert not update.at_once(SGD(), [*plain, bounded])
    assert not update.at_once(SGD(), [tf.Variable([1.0], dtype=tf.float64)])


@pytest.mark.parametrize("name", ["sgd", "lamb"])
def test_an_optimizer_that_changes_one_variable_after_the_other(name):
    """With averages or as another optimizer, with a loss scale and clipped."""
    ours, theirs = (build_optimizer(settings(name=name, ema_decay=0.9), 0.1, "mixed_float16") for _ in range(2))
    variables, copies = ([tf.Variable([1.0, 2.0])] for _ in range(2))
    for optimizer, own in ((ours, variables), (theirs, copies)):
        optimizer._create_all_weights(own)
    step, of_keras = step_of(ours, variables, clip_norm=0.5), step_of_keras(theirs, copies)
    step([tf.constant([3.0, 4.0])])
    of_keras([tf.constant([0.3, 0.4])])
    np.testing.assert_allclose(variables[0], copies[0], rtol=1e-6)
    before = variables[0].numpy()
    step([tf.constant([np.inf, 4.0])])
    np.testing.assert_array_equal(variables[0], before)
    assert float(ours.loss_scale) == 2.0**14
