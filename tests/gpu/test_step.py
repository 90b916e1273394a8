"""The comparison of a training step and a detection: with a CPU on both sides, with other rounding, with faults."""

import numpy as np
import pytest
import tensorflow as tf

from tests.gpu import step
from tests.gpu.outcome import Clock
from tests.gpu.scene import SMALL

CPUS = ("CPU:0", "CPU:0")


@pytest.fixture(scope="module")
def result():
    """Of one device. Eager, since tracing would take most of the time."""
    tf.config.run_functions_eagerly(True)
    try:
        yield step.compute(SMALL.detector(), "CPU:0", SMALL.batch(2))
    finally:
        tf.config.run_functions_eagerly(False)


def names(ours, theirs):
    return [failure["name"] for failure in step.judge(ours, theirs)[1]]


def test_the_scene_has_what_is_to_be_compared(result):
    assert np.isin(result.decisions["labels"], range(80)).sum() > 10  # positive RoIs
    assert 0.05 < result.decisions["mask targets"].mean() < 0.95
    assert result.decisions["positive anchors"].sum() > 1
    assert all(0.001 < loss < 10 for loss in result.losses.values())
    assert (result.found["count"] > 5).all() and result.proposals["valid"].all()
    assert names(result, result) == []


def test_other_rounding_passes(result):
    """Two devices with equal weights; those of one are then changed in their last bits."""

    def change(detector, number):
        random = np.random.default_rng(number)
        for variable in detector.variables if number == 0 else ():
            if variable.dtype == tf.float32:
                variable.assign(variable * (1 + 1e-7 * random.standard_normal(variable.shape).astype(np.float32)))

    outcome = step.run(CPUS, Clock(300), SMALL, change=change)
    assert outcome.status == "passed", outcome
    assert 0 < outcome.figures["gradients"]["all, of their norm"] < step.ALL_GRADIENTS


def test_other_weights_fail(result):
    def change(detector, number):
        kernel = detector.neck.trainable_variables[0]
        kernel.assign(kernel * (1 + 0.02 * number))

    outcome = step.run(CPUS, Clock(300), SMALL, change=change)
    assert outcome.status == "failed" and "all gradients" in [failure["name"] for failure in outcome.failures]


def test_each_fault_is_named(result):
    one = next(iter(result.gradients))
    labels = result.decisions["labels"].copy()
    labels.flat[3] += 1
    assert names(result._replace(decisions={**result.decisions, "labels": labels}), result) == ["labels"]
    losses = {**result.losses, "mask_loss": result.losses["mask_loss"] * np.float32(1.0002)}
    assert names(result._replace(losses=losses), result) == ["mask_loss"]
    for factor in (1.02, np.nan):
        gradients = {**result.gradients, one: result.gradients[one] * np.float32(factor)}
        assert f"gradient of {one}" in names(result._replace(gradients=gradients), result)
    zeros = {name: 0 * value for name, value in result.gradients.items()}
    assert names(result, result._replace(gradients=zeros)) == ["gradients"]


@pytest.mark.parametrize(
    ("name", "change"), [("boxes", 0.2), ("scores", 0.002), ("classes", 1), ("masks", 0.002), ("count", -3)]
)
def test_other_detections_fail(result, name, change):
    found = {**result.found, name: result.found[name] + np.array(change, result.found[name].dtype)}
    failures = names(result._replace(found=found), result)
    assert failures == ["detections"]


def test_few_without_a_partner_are_allowed(result):
    valid = result.proposals["valid"].copy()
    valid[0, 0] = False
    assert names(result._replace(proposals={**result.proposals, "valid": valid}), result) == []
    valid[0, 1:5] = False
    assert names(result._replace(proposals={**result.proposals, "valid": valid}), result) == ["proposals"]


def test_nothing_found_is_no_agreement(result):
    none = result._replace(found={**result.found, "count": 0 * result.found["count"]})
    assert names(none, none) == ["detections"]


def test_an_error_of_a_device_is_told(result, monkeypatch):
    def broken(*_):
        raise tf.errors.InternalError(None, None, "CUDA failed: out of luck")

    monkeypatch.setattr(step, "compute", broken)
    assert step.run(CPUS, Clock(9), SMALL).reason == "the step on CPU:0: InternalError: CUDA failed: out of luck"


def test_what_the_time_did_not_allow_is_said():
    outcome = step.run(CPUS, Clock(0), SMALL)
    assert outcome.status == "skipped" and outcome.left_out == ("the step on CPU:0, since 0 s were over",)
