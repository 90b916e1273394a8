"""The timed steps run through `fit`; what a GPU cannot do, or the time does not allow, is said."""

import pytest
import tensorflow as tf

from awsdet.runtime.gpu_fit import Gpu
from tests.gpu import timing
from tests.gpu.outcome import Clock
from tests.gpu.scene import SMALL, Scene

A10G, T4 = Gpu("A10G", (8, 6), 24 * 10**9), Gpu("T4", (7, 5), 15 * 10**9)
PLAN = timing.Plan(SMALL, ("float32",), (1, 2), warm_up=1, steps=3, profiled=1)


@pytest.fixture
def eager():
    """Tracing would take most of the time."""
    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)


def test_rows_of_a_cpu(eager):
    reported = []
    outcome = timing.run("CPU:0", None, Clock(300), PLAN, reported.append)
    assert outcome.status == "passed", outcome
    assert [(row["precision"], row["batch"]) for row in outcome.figures] == [("float32", 1), ("float32", 2)]
    for row in outcome.figures:
        assert row["img_per_s"] * row["step_ms"] == pytest.approx(1000 * row["batch"], rel=0.02)
        assert row["slowest_step_ms"] > 0 and 0.1 < row["loss"] < 20
        assert "no events of a GPU" in row["profile"]["not available"]
    # After each row it would be a failure if the process ended; during the profiles it is not.
    assert [one.status for one in reported] == ["failed", "failed", "passed"]
    assert [len(one.figures) for one in reported] == [1, 2, 2]


def test_a_loss_that_nothing_was_computed_for_fails(eager, monkeypatch):
    monkeypatch.setattr(timing, "LEAST_LOSS", 50.0)
    outcome = timing.run("CPU:0", None, Clock(300), PLAN._replace(batches=(1,)))
    assert outcome.status == "failed" and outcome.reason.startswith("float32, batch 1: the loss is ")
    assert len(outcome.figures) == 1


def test_what_does_not_suit_the_gpu_is_left_out():
    plan = timing.Plan(Scene(), ("mixed_bfloat16",))
    outcome = timing.run("GPU:0", T4, Clock(100), plan)
    assert outcome.status == "skipped"
    assert outcome.left_out == tuple(f"mixed_bfloat16, batch {b}: T4 has no tensor cores for it" for b in (2, 4, 8))


def test_what_does_not_fit_is_left_out():
    small = A10G._replace(memory=4 * 10**9)
    outcome = timing.run("GPU:0", small, Clock(100), timing.Plan(Scene(), ("mixed_float16",), (8,)))
    assert outcome.left_out == ("mixed_float16, batch 8: it needs 11.7 GB by estimate, and the GPU has 4.0",)


def test_what_the_time_did_not_allow_is_left_out():
    outcome = timing.run("CPU:0", None, Clock(0), PLAN)
    assert outcome.status == "skipped" and len(outcome.left_out) == 2
    assert outcome.left_out[0].startswith("float32, batch 1: 0 s are over")
