"""Factors per variable: which variables a rule and `layer_decay` reach, and how the optimizers apply them."""

import logging

import numpy as np
import pytest
import tensorflow as tf

from awsdet.models.builder import build
from awsdet.runtime.errors import UserError
from awsdet.training import optimizer as optimizers
from awsdet.training.factors import Factor, Factors, level, report
from awsdet.training.sgd import SGD
from tests.models.small_detectors import small_config

# Detectron: biases learn twice as fast, and neither they nor norms decay.
DETECTRON = "*.bias rate=2 decay=0, *.gamma decay=0, *.beta decay=0"


@pytest.mark.parametrize(
    "rules, name, wanted",
    [
        ("", "backbone.conv1.kernel", (1.0, 1.0)),
        (DETECTRON, "rpn_head.rpn_cls.bias", (2.0, 0.0)),
        (DETECTRON, "backbone.conv1.gamma", (1.0, 0.0)),
        (DETECTRON, "backbone.conv1.kernel", (1.0, 1.0)),
        ("backbone.* rate=0.1", "backbone.layer2.0.conv1.kernel", (0.1, 1.0)),
        ("backbone.* rate=0.1", "neck.backbone.kernel", (1.0, 1.0)),  # the whole name
        ("*.BIAS decay=0", "a.bias", (1.0, 1.0)),
        # The last that gives a factor decides, each factor by itself.
        ("backbone.* rate=0.1 decay=0.5, backbone.layer4.* rate=1", "backbone.layer4.0.conv1.bias", (1.0, 0.5)),
        ("backbone.layer4.* rate=1, backbone.* rate=0.1", "backbone.layer4.0.conv1.bias", (0.1, 1.0)),
        ("backbone.layer[12].* rate=0.25", "backbone.layer2.0.conv1.bias", (0.25, 1.0)),
    ],
)
def test_the_last_rule_that_gives_a_factor_decides(rules, name, wanted):
    assert Factors(rules).of(name) == Factor(*wanted)


@pytest.mark.parametrize(
    "name, depth",
    [
        ("backbone.conv1.kernel", 0),
        ("backbone.stem.2.gamma", 0),
        ("backbone.conv2.kernel", 0),
        ("backbone.layer1.0.conv1.kernel", 1),
        ("backbone.transition1.1.0.0.kernel", 2),
        ("backbone.stage2.0.branches.0.0.conv1.kernel", 2),
        ("backbone.layer4.2.conv3.beta", 4),
        ("neck.lateral_convs.0.conv.kernel", 5),
        ("bbox_head.retina_cls.bias", 5),
    ],
)
def test_layer_decay_goes_by_stages(name, depth):
    assert level(name) == depth
    assert Factors("*.kernel rate=3", 0.5).of(name).rate == (3 if "kernel" in name else 1) * 0.5 ** (5 - depth)


def test_layer_decay_refuses_a_backbone_of_other_parts():
    with pytest.raises(
        UserError, match=r"layer_decay knows .* and backbone.block1.kernel is of none of these; leave it"
    ):
        Factors(layer_decay=0.5).of("backbone.block1.kernel")


def sgd_by_hand(values, gradients, factors, rates):
    """SGD of PyTorch, momentum 0.9 and decay 0.1, in float64."""
    buffers = [np.zeros(2) for _ in values]
    for rate in rates:
        for place, (gradient, factor) in enumerate(zip(gradients, factors)):
            buffers[place] = 0.9 * buffers[place] + gradient + 0.1 * factor[1] * values[place]
            values[place] = values[place] - rate * factor[0] * buffers[place]
    return values


@pytest.mark.parametrize("at_once", [True, False])
def test_sgd_applies_factors(at_once, monkeypatch):
    """Variables of one factor are not neighbours, so that the groups must not mix them up."""
    if not at_once:
        monkeypatch.setattr(SGD, "can_update", lambda self, variables: False)
    names = ("backbone.conv1.kernel", "head.fc.bias", "head.fc.kernel", "backbone.conv1.bias", "other.kernel")
    factors = ((0.5, 1), (2, 0), (1, 1), (2, 0), (1, 1))
    start = [np.array([place + 1.0, -place]) for place in range(5)]
    gradients = [np.array([0.5, place]) for place in range(5)]
    variables = [tf.Variable(tf.constant(value, tf.float32), name=name) for value, name in zip(start, names)]
    settings = small_config().optimizer
    settings.update(weight_decay=0.1, rules="backbone.* rate=0.5, *.bias rate=2 decay=0", ema_decay=0.5)
    sgd = optimizers.build_optimizer(settings, 0.1)

    @tf.function
    def step():
        pairs = [(tf.constant(g, tf.float32), v) for g, v in zip(gradients, variables)]
        sgd.apply_gradients(pairs, experimental_aggregate_gradients=False)

    for _ in range(3):
        step()
    for variable, wanted in zip(variables, sgd_by_hand(start, gradients, factors, [0.1] * 3), strict=True):
        np.testing.assert_allclose(variable.numpy(), wanted, rtol=1e-5, atol=1e-6)
    means = optimizers.averages(sgd, variables)
    assert all(np.any(mean.numpy() != variable.numpy()) for mean, variable in zip(means, variables))
    assert int(sgd.iterations) == 3


def test_an_update_left_out_leaves_all_groups_as_they_are():
    variables = [tf.Variable([1.0], name="a.kernel"), tf.Variable([1.0], name="a.bias")]
    sgd = SGD(0.1, rules="*.bias rate=2")
    sgd.update([tf.constant([np.inf])] * 2, variables, apply=tf.constant(False))
    assert [variable.numpy() for variable in variables] == [1.0, 1.0]


def test_without_factors_there_is_one_operation():
    """The graph of a run without rules is the one of before."""
    variables = [tf.Variable([1.0], name=f"a{number}.kernel") for number in range(3)]

    def operations(sgd):
        def step():
            sgd.apply_gradients([(tf.constant([1.0]), v) for v in variables], experimental_aggregate_gradients=False)

        found = [op.type for op in tf.function(step).get_concrete_function().graph.get_operations()]
        return found.count("AwsdetSgdUpdate"), found.count("Mul")

    assert operations(SGD(0.1)) == (1, 0) and operations(SGD(0.1, rules="a1.* rate=2, a2.* rate=2"))[0] == 2


@pytest.fixture(scope="module")
def detector():
    """Without stage 1, and without trainable norms."""
    return build(small_config("model.backbone.norm_affine_trainable=false", detector="faster_rcnn"), ["a"])


def test_what_the_rules_reach_is_logged(detector, caplog):
    settings = small_config().optimizer
    settings.update(rules="*.bias decay=0, *.gamma decay=0", layer_decay=0.5)
    caplog.set_level(logging.INFO, logger="absl")
    report(settings, detector)
    names = [variable.name for variable in detector.trainable_variables]
    biases = sum(name.endswith(".bias:0") for name in names)
    assert f"optimizer.rules: *.bias decay=0 applies to {biases} of {len(names)} trained variables" in caplog.text
    (idle,) = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert idle.endswith(f"*.gamma decay=0 applies to 0 of {len(names)} trained variables; what it matches is frozen")
    stage = sum(name.startswith("backbone.layer4.") for name in names)
    assert "from the stem on: " in caplog.text and f"{stage} x 0.5, " in caplog.text and " x 1\n" in caplog.text


def test_a_rule_for_nothing_is_a_mistake(detector):
    settings = small_config().optimizer
    settings.rules = "*.bias decay=0, backbon.* rate=0.1"
    with pytest.raises(UserError, match=r"^optimizer.rules has 'backbon.\* rate=0.1', which matches no variable of"):
        report(settings, detector)
