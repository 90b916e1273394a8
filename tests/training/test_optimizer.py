"""Optimizers against hand-written rules."""

import numpy as np
import pytest
import tensorflow as tf

from awsdet import config as base
from awsdet.runtime.errors import UserError
from awsdet.training import optimizer as optimizers
from awsdet.training.failure import non_finite_report
from awsdet.training.schedule import StepDecay


def settings(**changes):
    config = base.mask_rcnn()
    config.optimizer.update(**changes)
    return config.optimizer


def apply(optimizer, variables, gradients, graph=True):
    def step():
        optimizer.apply_gradients(zip(gradients, variables), experimental_aggregate_gradients=False)

    (tf.function(step) if graph else step)()


@pytest.mark.parametrize("graph", [True, False])
def test_sgd_is_that_of_pytorch(graph):
    """The rule written out in NumPy. The rate falls tenfold on the way, at which Keras' own SGD would differ."""
    variable = tf.Variable([1.0, -2.0])
    sgd = optimizers.SGD(StepDecay(0.5, 0, 0.0, [2], 0.1), momentum=0.9, weight_decay=0.01)
    value, buffer = np.array([1.0, -2.0]), np.zeros(2)
    gradient = np.array([0.3, 0.1])
    for step in range(4):
        apply(sgd, [variable], [tf.constant(gradient, tf.float32)], graph)
        buffer = 0.9 * buffer + gradient + 0.01 * value
        value = value - (0.5 if step < 2 else 0.05) * buffer
        np.testing.assert_allclose(variable.numpy(), value, rtol=1e-5)


def test_sparse_gradients_move_every_row():
    variable = tf.Variable([[1.0], [1.0]])
    sgd = optimizers.SGD(1.0, momentum=0.5, weight_decay=0.1)
    sgd.apply_gradients([(tf.IndexedSlices(tf.constant([[2.0]]), tf.constant([1]), tf.constant([2, 1])), variable)])
    np.testing.assert_allclose(variable.numpy(), [[0.9], [1.0 - 2.1]], rtol=1e-6)


def one_by_one(monkeypatch):
    """Has SGD change one variable after the other, as it does if it cannot change all at once."""
    monkeypatch.setattr(optimizers.SGD, "can_update", lambda self, variables: False)


def test_all_variables_at_once_are_one_after_the_other_bit_for_bit(monkeypatch):
    def run():
        random = np.random.default_rng(1)
        shapes = [(), (3,), (0, 4), (3, 3, 8, 9), (9001,)]
        variables = [tf.Variable(random.normal(size=shape).astype(np.float32)) for shape in shapes]
        sgd = optimizers.build_optimizer(settings(), StepDecay(0.02, 3, 0.001, [4], 0.1))
        for _ in range(6):
            apply(sgd, variables, [tf.constant(random.normal(size=shape).astype(np.float32)) for shape in shapes])
        return [v.numpy() for v in [*variables, *optimizers.state_variables(sgd)]]

    at_once = run()
    one_by_one(monkeypatch)
    for ours, theirs in zip(at_once, run(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_a_factor_and_updates_that_are_left_out():
    """Those are counted, as Keras' LossScaleOptimizer counts them."""
    variable, sgd = tf.Variable([1.0, 1.0]), optimizers.SGD(1.0, momentum=0.0, weight_decay=0.5)
    sgd.update([tf.constant([4.0, 8.0])], [variable], factor=0.25)
    assert variable.numpy().tolist() == [1.0 - 1.5, 1.0 - 2.5]
    sgd.update([tf.constant([np.inf, np.nan])], [variable], apply=tf.constant(False))
    assert variable.numpy().tolist() == [-0.5, -1.5] and int(sgd.iterations) == 2


def test_what_keras_does_to_gradients_and_variables_is_done():
    """A constraint, a clipped gradient, and variables of two types in one call."""
    bounded = tf.Variable([1.0, 1.0], constraint=tf.keras.constraints.NonNeg())
    double = tf.Variable([1.0], dtype=tf.float64)
    sgd = optimizers.SGD(1.0, momentum=0.0, weight_decay=0.0, clipvalue=3.0)
    gradients = [tf.constant([5.0, -5.0]), tf.constant([5.0], tf.float64)]
    for graph in (True, False):
        apply(sgd, [bounded, double], gradients, graph)
    assert bounded.numpy().tolist() == [0.0, 7.0] and double.numpy().tolist() == [-5.0]


def test_the_rate_may_be_changed_while_a_run_goes_on():
    variable, sgd = tf.Variable([0.0]), optimizers.SGD(1.0, momentum=0.0, weight_decay=0.0)

    @tf.function
    def step():
        sgd.apply_gradients([(tf.constant([-1.0]), variable)])

    step()
    sgd.learning_rate = 0.5
    step()
    assert variable.numpy() == [1.5]


def test_sgd_survives_its_config():
    sgd = optimizers.SGD(StepDecay(0.5, 0, 0.0, [2], 0.1), momentum=0.8, weight_decay=0.01, average_decay=0.9)
    sgd = optimizers.SGD.from_config({**sgd.get_config(), "rules": "*.bias rate=2", "layer_decay": 0.7})
    assert sgd.get_config()["rules"] == "*.bias rate=2" and sgd.get_config()["layer_decay"] == 0.7
    again = tf.keras.optimizers.deserialize(tf.keras.optimizers.serialize(sgd))
    assert type(again) is optimizers.SGD and again.get_config() == sgd.get_config()


@pytest.mark.parametrize("name", ["sgd", "adamw", "novograd", "lamb"])
@pytest.mark.parametrize("precision", ["float32", "mixed_float16"])
def test_each_optimizer_descends(name, precision):
    optimizer = optimizers.build_optimizer(settings(name=name, ema_decay=0.9), 0.05, precision)
    assert isinstance(optimizer, tf.keras.mixed_precision.LossScaleOptimizer) == (precision == "mixed_float16")
    variable = tf.Variable([3.0, -4.0], name="kernel")
    optimizers.create_slots(optimizer, [variable])

    @tf.function
    def step():
        optimizer.apply_gradients([(2 * variable, variable)], experimental_aggregate_gradients=False)

    for _ in range(10):
        step()
    assert np.linalg.norm(variable.numpy()) < 5 and int(optimizer.iterations) == 10


@pytest.mark.parametrize(
    "changes, beta_2",
    [
        ({"name": "lamb"}, 0.999),
        ({"name": "adamw"}, 0.999),
        ({"name": "novograd"}, 0.98),
        ({"name": "lamb", "beta_2": 0.9}, 0.9),
        ({"name": "novograd", "beta_2": 0.5}, 0.5),
    ],
)
def test_beta_2_is_the_share_of_the_second_moment_that_stays(changes, beta_2):
    """Checks the slot after two steps against the rules of NovoGrad and LAMB; that of NovoGrad is one number."""
    optimizer = optimizers.build_optimizer(settings(weight_decay=0.0, **changes), 0.1)
    variable = tf.Variable([1.0, 2.0])
    for gradient in ([3.0, 4.0], [0.0, 0.0]):
        apply(optimizer, [variable], [tf.constant(gradient)])
    # LAMB and AdamW begin with (1 - beta 2) g^2; NovoGrad, whose average does not start from zero, with |g|^2.
    wanted = beta_2 * 25.0 if changes["name"] == "novograd" else beta_2 * (1 - beta_2) * np.array([9.0, 16.0])
    np.testing.assert_allclose(np.squeeze(optimizer.get_slot(variable, "v").numpy()), wanted, rtol=1e-4)


def test_lamb_decays_kernels_alone():
    optimizer = optimizers.build_optimizer(settings(name="lamb", weight_decay=0.5), 0.1)
    kernel, bias = tf.Variable([1.0], name="head.kernel"), tf.Variable([1.0], name="head.bias")
    optimizer.apply_gradients([(tf.constant([0.0]), kernel), (tf.constant([0.0]), bias)])
    assert kernel.numpy() < 1.0 and bias.numpy() == 1.0


def test_averages_follow_the_weights_and_give_them_back():
    optimizer = optimizers.build_optimizer(settings(ema_decay=0.9, momentum=0.0, weight_decay=0.0), 1.0)
    variable = tf.Variable([0.0])
    optimizers.create_slots(optimizer, [variable])
    average, value = 0.0, 0.0
    for step in range(20):
        apply(optimizer, [variable], [tf.constant([-1.0])])
        value += 1.0
        decay = min(0.9, (1 + step) / (10 + step))
        average = decay * average + (1 - decay) * value
    with optimizers.averaged_weights(optimizer, [variable]):
        np.testing.assert_allclose(variable.numpy(), [average], rtol=1e-5)
    assert variable.numpy() == [20.0]


@pytest.mark.parametrize("precision", ["float32", "mixed_float16"])
def test_averages_are_those_of_tensorflow_addons(precision):
    """Bit for bit and under the same names, so that runs of earlier versions go on. All at once and one by one."""

    def of_addons():
        inner = optimizers.SGD(StepDecay(0.1, 0, 0.0, [9], 0.1))
        outer = optimizers._addons().MovingAverage(inner, average_decay=0.5, dynamic_decay=True)
        return tf.keras.mixed_precision.LossScaleOptimizer(outer) if precision == "mixed_float16" else outer

    def ours():
        return optimizers.build_optimizer(settings(ema_decay=0.5), StepDecay(0.1, 0, 0.0, [9], 0.1), precision)

    states = []
    for optimizer in (of_addons(), ours()):
        variables = [tf.Variable([1.0, -2.0], name="a.kernel"), tf.Variable([[0.3]], name="a.bias")]
        optimizers.create_slots(optimizer, variables)
        for step in range(15):
            gradients = [tf.constant([0.7 - step, 0.1]), tf.constant([[np.inf if step == 12 else 0.3 * step]])]
            if step < 12 or precision == "mixed_float16":
                apply(optimizer, variables, gradients, graph=step % 2 == 0)
        states.append({v.name: v.numpy() for v in [*variables, *optimizers.state_variables(optimizer)]})
    theirs, ours = states
    assert ours.keys() == theirs.keys() and "a.kernel/average:0" in ours
    for name, value in theirs.items():
        np.testing.assert_array_equal(ours[name], value, name)
    assert np.any(ours["a.kernel/average:0"] != ours["a.kernel:0"])


def test_averages_of_variables_that_are_not_updated_at_once():
    variables = [tf.Variable([1.0, 2.0], constraint=tf.keras.constraints.NonNeg()), tf.Variable([1.0, 2.0])]
    sgds = [optimizers.SGD(0.1, average_decay=0.5) for _ in variables]
    for sgd, variable in zip(sgds, variables):
        for _ in range(3):
            apply(sgd, [variable], [tf.constant([0.5, 0.25])])
    assert not sgds[0].can_update(variables[:1]) and sgds[1].can_update(variables[1:])
    one, other = (sgd.get_slot(variable, "average").numpy() for sgd, variable in zip(sgds, variables))
    np.testing.assert_array_equal(one, other)


def test_without_averages_the_weights_stay():
    optimizer, variable = optimizers.build_optimizer(settings(), 1.0), tf.Variable([1.0])
    with optimizers.averaged_weights(optimizer, [variable]):
        assert variable.numpy() == [1.0]


def test_infinite_gradients_lower_the_loss_scale_and_change_nothing():
    optimizer = optimizers.build_optimizer(settings(), 1.0, "mixed_float16")
    variable, before = tf.Variable([1.0]), float(optimizer.loss_scale)
    apply(optimizer, [variable], [tf.constant([np.inf])])
    assert variable.numpy() == [1.0] and float(optimizer.loss_scale) == before / 2


def test_learning_rate_is_scaled_to_the_real_batch():
    assert optimizers.scaled_learning_rate(settings(), 2, 8, 1) == pytest.approx(0.02)
    assert optimizers.scaled_learning_rate(settings(), 2, 1, 1) == pytest.approx(0.0025)
    assert optimizers.scaled_learning_rate(settings(), 2, 1, 4) == pytest.approx(0.01)
    assert optimizers.scaled_learning_rate(settings(scale_learning_rate=False), 2, 1, 1) == 0.02


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"name": "adam"}, "optimizer.name is 'adam'; it must be one of sgd, adamw, novograd, lamb"),
        ({"learning_rate": 0.0}, "optimizer.learning_rate is 0.0"),
        ({"momentum": 1.0}, "optimizer.momentum is 1.0"),
        ({"ema_decay": -0.1}, "optimizer.ema_decay is -0.1"),
        ({"clip_norm": -1.0}, "optimizer.clip_norm is -1.0"),
        ({"compression": "bf16"}, "must be none or fp16, since Horovod 0.28.1 cannot add bfloat16"),
        ({"compression": "half"}, "optimizer.compression is 'half'; it must be none or fp16$"),
        ({"learning_rate": float("nan")}, "optimizer.learning_rate is nan"),
        ({"name": "lamb", "beta_2": 1.0}, "optimizer.beta_2 is 1.0"),
        ({"beta_2": 0.9}, "optimizer.beta_2 is 0.9, but sgd has none"),
    ],
)
def test_settings_that_cannot_be(changes, message):
    with pytest.raises(UserError, match=message):
        optimizers.build_optimizer(settings(**changes), 0.1)


@pytest.mark.parametrize("scale, wanted", [(True, 0.08), (False, 0.02)])
def test_a_broken_run_is_told_the_rate_that_it_had(scale, wanted):
    config = base.mask_rcnn()
    config.optimizer.update(learning_rate=0.02, base_batch=16, scale_learning_rate=scale)
    config.data.batch_size, config.train.accumulate_steps = 4, 2
    rate = optimizers.scaled_learning_rate(config.optimizer, 4, world_size=8, accumulate_steps=2)
    assert rate == pytest.approx(wanted)
    report = non_finite_report("non-finite loss [rank=] [0]", config, images=64)
    assert f"peak learning rate {wanted:g} for 64 images" in report


def test_a_broken_run_names_images_by_their_own_ids():
    class Records:
        image_ids = {8: "frame 1"}

        def own_image_id(self, number):
            return self.image_ids.get(number, number)

    text = "non-finite loss [rank=] [0] [step=] [3] [image_id=] [8 12]"
    config = base.mask_rcnn()
    assert "image ids frame 1 12\n" in non_finite_report(text, config, 2, Records())
    assert "image ids 8 12\n" in non_finite_report(text, config, 2)
