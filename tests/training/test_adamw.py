"""AdamW against the rule of torch.optim.AdamW, written out in NumPy."""

import numpy as np
import pytest
import tensorflow as tf

from awsdet.training import optimizer as optimizers
from awsdet.training.adamw import AdamW
from awsdet.training.checkpoint import state_of
from awsdet.training.schedule import StepDecay
from tests.models.small_detectors import small_config


class ByHand:
    """The steps that PyTorch's documentation of AdamW lists, in float64."""

    def __init__(self, value, decay, beta_1=0.9, beta_2=0.999, epsilon=1e-8):
        self.value, self.decay, self.betas, self.epsilon = np.array(value), decay, (beta_1, beta_2), epsilon
        self.first, self.second, self.count = np.zeros_like(self.value), np.zeros_like(self.value), 0

    def step(self, gradient, rate):
        beta_1, beta_2 = self.betas
        self.count += 1
        self.value = self.value - rate * self.decay * self.value
        self.first = beta_1 * self.first + (1 - beta_1) * gradient
        self.second = beta_2 * self.second + (1 - beta_2) * gradient**2
        first, second = self.first / (1 - beta_1**self.count), self.second / (1 - beta_2**self.count)
        self.value = self.value - rate * first / (np.sqrt(second) + self.epsilon)


def apply(optimizer, pairs, graph=True):
    def step():
        optimizer.apply_gradients(pairs, experimental_aggregate_gradients=False)

    (tf.function(step) if graph else step)()


@pytest.fixture(params=["at once", "one by one"])
def way(request, monkeypatch):
    """How an update goes: with one operation for all variables, or with several for each."""
    if request.param == "one by one":
        monkeypatch.setattr(AdamW, "can_update", lambda self, variables: False)
    return request.param


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("graph", [True, False])
@pytest.mark.parametrize("changes", [{}, {"epsilon": 0.1}, {"beta_1": 0.0}, {"beta_1": 0.5, "beta_2": 0.75}], ids=str)
def test_adamw_is_that_of_pytorch(changes, graph):
    """Gradients change their sign and size, one is zero from the start; the rate falls tenfold on the way. With a large
    epsilon, its place decides: Keras' is 30 times as large in the first step."""
    start, gradients = [1.0, -2.0, 0.5], np.array([[0.3, -1e-3, 0], [-0.2, 5.0, 0], [0.3, 0.0, 0], [1e-4, 1.0, 0]])
    by_hand, variable = ByHand(start, 0.05, **changes), tf.Variable(start)
    adamw = AdamW(StepDecay(0.5, 0, 0.0, [2], 0.1), weight_decay=0.05, **changes)
    for step, gradient in enumerate(gradients):
        apply(adamw, [(tf.constant(gradient, tf.float32), variable)], graph)
        by_hand.step(gradient, 0.5 if step < 2 else 0.05)
        np.testing.assert_allclose(variable.numpy(), by_hand.value, rtol=2e-5)
    assert int(adamw.applied) == int(adamw.iterations) == 4


def test_the_first_step_is_known_by_heart():
    """m / (1 - beta_1) is the gradient and v / (1 - beta_2) its square, so the step is the rate in its direction."""
    variable, adamw = tf.Variable([10.0, 10.0, 10.0]), AdamW(0.25, weight_decay=0.1)
    apply(adamw, [(tf.constant([3.0, -1e-4, 0.0]), variable)])
    np.testing.assert_allclose(variable.numpy(), [9.75 - 0.25, 9.75 + 0.25 / 1.0001, 9.75], rtol=1e-6)


@pytest.mark.usefixtures("way")
def test_rules_change_rate_and_decay_of_a_variable():
    settings = small_config().optimizer
    settings.update(name="adamw", weight_decay=0.5, rules="*.gamma decay=0, backbone.* rate=0.25", layer_decay=0.5)
    adamw = optimizers.build_optimizer(settings, 0.1)
    factors = {"backbone.layer4.0.bn.gamma": (0.125, 0), "head.fc.kernel": (1, 1), "backbone.conv1.kernel": (2**-7, 1)}
    variables = [tf.Variable([1.0, -3.0], name=name) for name in factors]
    by_hand = [ByHand([1.0, -3.0], 0.5 * decay) for _, decay in factors.values()]
    for gradient in ([1.0, 2.0], [-3.0, 0.1]):
        apply(adamw, [(tf.constant(gradient), variable) for variable in variables])
        for rule, (rate, _) in zip(by_hand, factors.values()):
            rule.step(np.array(gradient), 0.1 * rate)
    for variable, rule in zip(variables, by_hand, strict=True):
        np.testing.assert_allclose(variable.numpy(), rule.value, rtol=1e-5)


def test_whatever_the_rules_there_is_one_operation():
    variables = [tf.Variable([1.0], name=f"a{number}.kernel") for number in range(3)]
    adamw = AdamW(0.1, rules="a1.* rate=2, a2.* decay=0")
    pairs = [(tf.constant([1.0]), variable) for variable in variables]
    step = tf.function(lambda: apply(adamw, pairs, graph=False))
    found = [op.type for op in step.get_concrete_function().graph.get_operations()]
    assert found.count("AwsdetAdamwUpdate") == 1 and not {"ResourceApplyAdam", "Pow", "Mul"} & set(found)


def test_both_ways_give_the_same_bits(monkeypatch):
    """The gradients are small, so that epsilon matters."""

    def run():
        random = np.random.default_rng(1)
        shapes = [(), (3,), (0, 4), (3, 3, 8, 9), (9001,)]
        values = [random.normal(size=shape).astype(np.float32) for shape in shapes]
        variables = [tf.Variable(value, name=f"a{value.ndim}") for value in values]
        adamw = AdamW(StepDecay(0.02, 3, 0.001, [4], 0.1), average_decay=0.9, rules="a1 rate=0.1 decay=0")
        for _ in range(6):
            gradients = [tf.constant(1e-6 * random.normal(size=shape), tf.float32) for shape in shapes]
            apply(adamw, list(zip(gradients, variables)))
        return [v.numpy() for v in [*variables, *optimizers.state_variables(adamw)]]

    at_once = run()
    monkeypatch.setattr(AdamW, "can_update", lambda self, variables: False)
    for ours, theirs in zip(at_once, run(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.usefixtures("way")
def test_an_update_that_a_loss_scale_leaves_out_does_not_count():
    """Otherwise the corrections of the first updates, of which float16 leaves out many, would be too weak."""
    settings = small_config().optimizer
    settings.update(name="adamw", weight_decay=0.05, ema_decay=0.5)
    adamw = optimizers.build_optimizer(settings, 0.1, "mixed_float16")
    variable, by_hand = tf.Variable([1.0], name="a.kernel"), ByHand([1.0], 0.05)
    optimizers.create_slots(adamw, [variable])
    scale = float(adamw.loss_scale)
    for gradient in (np.inf, np.nan, 0.5, -0.25):
        apply(adamw, [(tf.constant([gradient * float(adamw.loss_scale)], tf.float32), variable)])
        if np.isfinite(gradient):
            by_hand.step(np.array([gradient]), 0.1)
    np.testing.assert_allclose(variable.numpy(), by_hand.value, rtol=1e-5)
    assert float(adamw.loss_scale) == scale / 4
    assert int(adamw.inner_optimizer.applied) == 2 and int(adamw.iterations) == 4


@pytest.mark.usefixtures("way")
def test_averages_follow_the_weights():
    settings = small_config().optimizer
    settings.update(name="adamw", ema_decay=0.9)
    adamw, variable = optimizers.build_optimizer(settings, 0.1), tf.Variable([0.0])
    optimizers.create_slots(adamw, [variable])
    average = 0.0
    for step in range(12):
        apply(adamw, [(tf.constant([-1.0]), variable)], graph=step % 2 == 0)
        decay = min(0.9, (1 + step) / (10 + step))
        average = decay * average + (1 - decay) * float(variable[0])
    with optimizers.averaged_weights(adamw, [variable]):
        np.testing.assert_allclose(variable.numpy(), [average], rtol=1e-5)


def test_its_state_is_all_that_it_needs_to_go_on():
    """As a checkpoint and an elastic run carry it; the number of applied updates is a part of it."""

    class Model:
        def __init__(self):
            self.variables = [tf.Variable([1.0, -1.0], name="a.kernel")]

    def made():
        model, adamw = Model(), AdamW(0.1, average_decay=0.5)
        adamw.iterations  # noqa: B018 -- as build_optimizer does
        optimizers.create_slots(adamw, model.variables)
        return model, adamw, state_of(model, adamw)

    (first, adamw, state), gradients = made(), [(1.0, 2.0), (-3.0, 0.5), (0.1, 0.2)]
    assert set(state) == {"a.kernel", "iter", "applied", *(f"a.kernel/{slot}" for slot in ("m", "v", "average"))}
    for gradient in gradients[:2]:
        apply(adamw, [(tf.constant(gradient), first.variables[0])])
    second, other, state_2 = made()
    for name, variable in state_2.items():
        variable.assign(state[name])
    for model, optimizer in ((first, adamw), (second, other)):
        apply(optimizer, [(tf.constant(gradients[2]), model.variables[0])])
    for name, variable in state.items():
        np.testing.assert_array_equal(variable.numpy(), state_2[name].numpy(), name)


def test_adamw_survives_its_config():
    adamw = AdamW(StepDecay(0.5, 0, 0.0, [2], 0.1), 0.8, 0.99, 0.01, 1e-6, 0.9, rules="*.bias rate=2", layer_decay=0.7)
    again = tf.keras.optimizers.deserialize(tf.keras.optimizers.serialize(adamw))
    assert type(again) is AdamW and again.get_config() == adamw.get_config()
    assert adamw.get_config()["epsilon"] == 1e-6 and adamw.get_config()["beta_2"] == 0.99
