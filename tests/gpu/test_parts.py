"""The other parts: the harness' words, learning, the ranks. What runs on a GPU there runs here on CPUs."""

import pytest

from tests.gpu import harness, learning, part, ranks
from tests.gpu.outcome import Clock


def test_learning_goes_through_the_commands_of_a_user():
    outcome = learning.run("CPU:0", Clock(200), part.SMALL_LEARNING._replace(least_ap=0.5))
    assert outcome.status == "failed"  # 2 steps cannot reach it
    assert outcome.figures["steps"] == 2 and 0 <= outcome.figures["box_ap"] < 0.5
    assert [failure["name"] for failure in outcome.failures] == ["box_ap", "mask_ap"]


@pytest.mark.parametrize(
    ("box", "mask", "wrong"), [(0.72, 0.8, []), (0.7199, 0.8, ["box_ap"]), (0.8, float("nan"), ["mask_ap"])]
)
def test_least_ap(box, mask, wrong):
    records = [{"step": 1, "loss": 2.0}, {"step": 9, "seconds": 1.0, "box_ap": 0.1, "mask_ap": 0.1}]
    records.append({"step": 10, "seconds": 2.0, "box_ap": box, "mask_ap": mask})
    outcome = learning.judge(records, learning.Plan())
    assert [failure["name"] for failure in outcome.failures] == wrong
    assert outcome.figures["steps"] == 10


def test_a_run_without_an_evaluation_fails():
    assert learning.judge([{"step": 1, "loss": 2.0}], learning.Plan()).reason == "evaluation: the run ended without one"


def test_learning_that_does_not_end_fails():
    outcome = learning.run("CPU:0", Clock(0.2))
    assert outcome.status == "failed" and outcome.reason.startswith("awsdet shapes had not ended when 0 s were over")


def test_two_ranks_on_cpus():
    outcome = ranks.run("CPU:0", Clock(240), small=True)
    assert outcome.status == "passed", outcome
    assert outcome.figures["transport"] in ("Gloo", "MPI") and outcome.figures["ranks"] == 2
    assert 0 < outcome.figures["apart"] < 1e-5 and outcome.figures["own"] > 0.1


GOOD = {"transport": "NCCL", "ranks": 2, "weights": ["a", "a"], "apart": 1e-6, "weights_apart": 1e-8, "own": 0.3}


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({}, None),
        ({"transport": "Gloo"}, "transport"),
        ({"weights": ["a", "b"]}, "weights"),
        ({"apart": 2e-3}, "update"),
        ({"weights_apart": 2e-4}, "weights"),
        ({"apart": float("nan")}, "update"),
        ({"own": 1e-3}, "update"),
    ],
)
def test_what_ranks_must_hold_to(change, name):
    outcome = ranks.judge({**GOOD, **change}, ("NCCL",))
    assert [failure["name"] for failure in outcome.failures] == ([name] if name else [])


def test_the_words_of_the_harness():
    good = "NVIDIA A10G, compute capability 8.6\n900 checks, 0 failed\n"
    assert harness.judge(0, good, "")[:3] == ("passed", "", {"checks": 900, "failed": 0})
    bad = harness.judge(1, "A10G\nFAILED: nms method 0 B2\n900 checks, 1 failed\n", "")
    assert bad.status == "failed" and bad.reason == "nms method 0 B2: differs"
    assert harness.judge(0, "no nvcc: nothing was compiled; install a CUDA toolkit\n", "").status == "skipped"
    # Called only where there is a GPU, so these are faults.
    assert harness.judge(0, "no GPU: nothing was run (driver too old)\n", "").status == "failed"
    assert "error: x" in harness.judge(1, "nvcc for sm_80\n", "a.cu(3): error: x\n").reason
    assert harness.judge(139, "A10G\n9 checks, 0 failed\n", "Segmentation fault").status == "failed"
    assert harness.run("CPU:0", Clock(9)).status == "skipped"
