"""A budget is broken by one launch, copy or wait too many, and by nothing less."""

from tests.gpu_counts import budgets


def step(**changes):
    """A training step that uses up every budget, but for the changed parts."""
    parts = {
        "rpn targets": {"launch": [10, 100]},
        "roi targets": {"launch": [4, 100], "memset": [2, 64]},
        "rpn head, proposals": {"launch": [30, 100], "library": [15, 0]},
        "layer2": {"launch": [310, 100]},
        "update": {"launch": [8, 100]},
        "other": {"launch": [421, 100], "d2h": [3, 32768]},
    }
    return {"parts": {**parts, **changes}, "waits": ["one", "two"], "moved": []}


def broken(result, precision="mixed_bfloat16"):
    return [text.partition(":")[0] for text, holds in budgets.check("train", precision, result) if not holds]


def test_a_step_within_all_budgets():
    assert broken(step()) == []


def test_one_launch_too_many():
    assert broken(step(**{"update": {"launch": [9, 100]}})) == ["launches and library calls", "update"]
    assert broken(step(**{"update": {"launch": [9, 100]}}), "mixed_float16") == ["launches and library calls"]


def test_copies_and_waits_too_many():
    assert broken({**step(), "waits": ["one", "two", "three"]}) == ["waits one after the other"]
    assert broken({**step(), "moved": ["a shape:Prod"]}) == ["copies to the host"]
    targets = {"launch": [10, 100], "d2h": [1, 8]}
    assert broken(step(**{"rpn targets": targets})) == [
        "copies to the host",
        "bytes copied to the host",
        "copies to the host in rpn targets",
    ]


def test_detection():
    result = {"parts": {"neck": {"launch": [budgets.DETECT_ALL["retinanet"], 1]}}, "waits": ["one", "two", "three"]}
    assert [holds for _, holds in budgets.check("detect", "float32", result, "retinanet")] == [True, False]
    assert [holds for _, holds in budgets.check("detect", "float32", result)] == [False, False]
