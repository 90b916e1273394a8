"""The parts of the proof, and how each is run in a process of its own."""

import json
import pathlib
import signal
import sys
import tempfile
import time
from typing import NamedTuple

from tests.gpu.commands import call, with_path
from tests.gpu.machine import scrubbed
from tests.gpu.outcome import FAILED, PASSED, Outcome

ROOT = pathlib.Path(__file__).resolve().parents[2]
GRACE = 60.0  # seconds after its time until a part that has not noticed is ended


class Part(NamedTuple):
    """A part. does: what, for the user; seconds: what it may take on a machine of four cores with an A10G."""

    name: str
    does: str
    seconds: float
    float32: bool = False  # products in full float32 instead of TF32


PARTS = (
    Part("harness", "the CUDA launchers beside the CPU's kernels, without TensorFlow", 120),
    Part("operators", "every operator on the GPU and on the CPU", 90, True),
    Part("step", "a training step and a detection in float32 on the GPU and on the CPU", 120, True),
    Part("timing", "steps of 800 x 1344 in 16 bits", 240),
    Part("learning", "the built-in shapes, trained to their AP", 240),
    Part("ranks", "two GPUs train together", 180, True),
)


def run_part(part, flags, seconds):
    """Runs a Part. Returns what goes into the JSON: a dict with its Outcome and the seconds that it took."""
    request = {"device": flags.device, "against": flags.against, "seconds": seconds, "small": flags.small}
    start = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        result = pathlib.Path(folder, "result.json")
        command = [sys.executable, "-m", "tests.gpu.part", part.name, json.dumps(request), result]
        ended = call(command, seconds + GRACE, _environment(part))
        row = json.loads(result.read_text()) if result.is_file() else Outcome(FAILED)._asdict()
    if ended.code != 0 and row["status"] == PASSED:  # it had come to its verdict
        row["left_out"].append(f"what it was to add at its end: {_why(ended, seconds + GRACE)}")
    elif ended.code != 0:
        row["status"], row["reason"] = FAILED, _why(ended, seconds + GRACE)
    row["seconds"] = round(time.monotonic() - start, 1)
    return json.loads(scrubbed(json.dumps(row)))


def _environment(part):
    environment = {**with_path(ROOT), "TF_CPP_MIN_LOG_LEVEL": "2"}
    return {**environment, "NVIDIA_TF32_OVERRIDE": "0"} if part.float32 else environment


def _why(ended, seconds):
    if ended.code is None:
        return f"it did not come to an end, and was ended after {seconds:.0f} s"
    if ended.code < 0:
        return f"its process was ended by {signal.Signals(-ended.code).name}; its last words: {ended.last_words()}"
    return f"its process ended with code {ended.code}: {ended.last_words()}"
