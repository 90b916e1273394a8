"""Part `harness`: the CUDA launchers beside the CPU's kernels, without TensorFlow: `scripts/test_cuda.sh`."""

import pathlib
import re

from tests.gpu.commands import call
from tests.gpu.outcome import FAILED, SKIPPED, Outcome, failure, judged

ROOT = pathlib.Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "scripts" / "test_cuda.sh"


def run(device, clock, cases=100):
    """Builds the harness with nvcc and runs it on a GPU, the only `device` that it knows. Returns an Outcome."""
    if not device.startswith("GPU"):
        return Outcome(SKIPPED, f"it needs a GPU, and {device} is to be proved")
    ended = call([SCRIPT, cases], clock.left())
    if ended.code is None:
        reason = f"it was not built and run within {clock.limit:.0f} s; make test-cuda does the same without a limit"
        return Outcome(SKIPPED, reason)
    return judge(ended.code, ended.output, ended.errors)


def judge(code, output, errors):
    """Returns the Outcome: what the exit code of the script means."""
    counted = re.search(r"(\d+) checks, (\d+) failed", output)
    if code == 0 and "no nvcc" in output:
        return Outcome(SKIPPED, output.strip().splitlines()[-1])
    if not counted:  # also if there is a GPU that CUDA cannot use
        said = [line for line in f"{output}\n{errors}".splitlines() if line.strip()] or ["it said nothing"]
        return Outcome(FAILED, f"scripts/test_cuda.sh ended with code {code}: {said[-1]}")
    checks, failed = map(int, counted.groups())
    wrong = [failure(line.partition(":")[2].strip(), "differs") for line in output.splitlines() if "FAILED:" in line]
    if failed and not wrong or code and not failed:
        wrong.append(failure("harness", f"{failed} of {checks} checks failed, exit code {code}"))
    return judged({"checks": checks, "failed": failed}, wrong)
