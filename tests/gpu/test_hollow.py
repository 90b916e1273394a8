"""The proof on a GPU that computes nothing: every comparison must fail, and the program must come to its end.

The hollow GPU of tests/gpu_counts is built by scripts/gpu_counts.sh; without it these tests are skipped.
"""

import hashlib
import json
import os
import pathlib
import shutil
import subprocess
import sys

import pytest

from tests.gpu import cases

ROOT = pathlib.Path(__file__).resolve().parents[2]
OUT = ROOT / "build" / "gpu_counts"
DIGEST = hashlib.sha256(f"{ROOT}\n".encode()).hexdigest()[:8]  # as the script names its folder
OPERATORS = OUT / f"ops-{DIGEST}" / "libawsdet_ops.so"
CACHE = os.environ.get("AWSDET_CACHE") or pathlib.Path(
    os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache", "awsdet"
)
TENSORFLOW = sorted(path.parent for path in pathlib.Path(CACHE).glob("tensorflow-gpu-*/complete"))

pytestmark = pytest.mark.skipif(
    not (OPERATORS.is_file() and TENSORFLOW), reason="no hollow GPU: scripts/gpu_counts.sh makes it, with nvcc"
)


@pytest.fixture(scope="module")
def proof(tmp_path_factory):
    """(exit code, output, JSON) of the program with small inputs. Its checkout has the operators of the GPU build."""
    folder = tmp_path_factory.mktemp("hollow")
    for name in ("awsdet", "tests"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("*.so", "fixtures", "__pycache__"))
    shutil.copy(OPERATORS, folder / "awsdet" / "ops")
    settings = {"TF_CUDNN_USE_FRONTEND": "0", "TF_CUDNN_USE_AUTOTUNE": "0", "AWSDET_HOLLOW_CAPABILITY": "90"}
    paths = {"PYTHONPATH": f"{folder}:{TENSORFLOW[-1]}", "LD_LIBRARY_PATH": str(OUT / "hollow")}
    command = [sys.executable, "-m", "tests.gpu", "--small", "--parts=operators,step,timing", "--json=gpu.json"]
    done = subprocess.run(
        command, cwd=folder, env={**os.environ, **settings, **paths}, capture_output=True, text=True, check=False
    )
    assert (folder / "gpu.json").is_file(), done.stdout + done.stderr[-3000:]
    return done.returncode, done.stdout, json.loads((folder / "gpu.json").read_text())


def test_it_ends_with_a_verdict(proof):
    code, output, found = proof
    assert code == 1 and found["verdict"] == "failed: operators, step, timing", output
    assert found["machine"]["gpus"][0]["name"].startswith("hollow")
    assert "CUDA" in found["machine"]["operators"]


def test_each_operator_fails(proof):
    part = proof[2]["parts"]["operators"]
    assert part["left_out"] == [] and len(part["figures"]) == len(cases.ALL)
    wrong = [failure["name"] for failure in part["failures"]]
    for name in part["figures"]:
        assert any(one.startswith(f"{name}, ") for one in wrong), name


def test_the_step_fails(proof):
    """By its comparisons, or because the host refuses the indices that it gets from memory that nobody wrote to."""
    part = proof[2]["parts"]["step"]
    wrong = {failure["name"]: failure["what"] for failure in part["failures"]}
    refused = wrong.get("the step on GPU:0", "")
    assert {"anchors", "gradients", "all gradients"} & wrong.keys() or refused.startswith("InvalidArgumentError: "), (
        part
    )


def test_steps_are_timed_though_there_is_no_profile(proof):
    """Losses and indices are what was in the memory before, so a step may end with an error, which is told."""
    part = proof[2]["parts"]["timing"]
    rows = {f"{row['precision']}, batch {row['batch']}": row for row in part["figures"]}
    wrong = {failure["name"]: failure["what"] for failure in part["failures"]}
    assert {*rows, *wrong} == {"mixed_bfloat16, batch 2", "mixed_float16, batch 2"}
    for name, row in rows.items():
        assert row["img_per_s"] > 0 and row["peak_gb"] > 0 and "not available" in row["profile"]
        assert wrong[name].startswith("the loss is ")
    for name in wrong.keys() - rows.keys():
        assert wrong[name].startswith("InvalidArgumentError: ") and len(wrong[name]) > 40
