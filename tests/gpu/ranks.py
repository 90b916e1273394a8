"""Part `ranks`: two processes, a GPU each, train together as horovodrun starts them; they exchange through NCCL.

`judge` is given what `tests.gpu.rank_program` found out.
"""

import json
import pathlib
import sys
import tempfile

from tests.gpu.commands import call, with_path
from tests.gpu.outcome import FAILED, Outcome, failure, judged

ROOT = pathlib.Path(__file__).resolve().parents[2]
RANKS = 2
# How far an update with an image per rank may be from that of one process with all of them. A GPU may choose other
# algorithms for a smaller batch; see `step` for what the last bits do to gradients.
WEIGHTS = 1e-4  # of the norm of all weights
UPDATE = 1e-3  # of the norm of the update


def run(device, clock, small=False):
    """Starts the ranks. `device`: "GPU:0" or "CPU:0", of which only the kind counts.

    Returns an Outcome.
    """
    on_gpu = device.startswith("GPU")
    with tempfile.TemporaryDirectory() as folder:
        result = pathlib.Path(folder, "result.json")
        launcher = pathlib.Path(sys.executable).with_name("horovodrun")
        program = [sys.executable, "-m", "tests.gpu.rank_program", str(result), *(["--small"] if small else [])]
        environment = with_path(ROOT)
        if not on_gpu:
            environment["CUDA_VISIBLE_DEVICES"] = "-1"
        ended = call([launcher, "-np", RANKS, *program], clock.left(), environment, ROOT, grace=30.0)
        if ended.code != 0:
            reason = f"horovodrun ended with code {ended.code}: {ended.last_words()}"
            if ended.code is None:
                reason = f"the ranks had not ended when {clock.limit:.0f} s were over"
            return Outcome(FAILED, reason, {}, (failure("ranks", reason),))
        found = json.loads(result.read_text())
    return judge(found, ("NCCL",) if on_gpu else ("Gloo", "MPI"))


def judge(found, transports):
    """Returns the Outcome, judged by what the ranks found out.

    Args:
        found: the dict that rank_program wrote.
        transports: what may carry the gradients.
    """
    failures = []
    if found["transport"] not in transports:
        meant = " or ".join(transports)
        what = f"{found['transport']} carried the gradients, not {meant}; awsdet doctor says how to build Horovod"
        failures.append(failure("transport", what))
    if len(set(found["weights"])) != 1:
        what = "differ between the ranks after three updates, each with images of its own"
        failures.append(failure("weights", what, digests=found["weights"]))
    for name, key, limit in (("weights", "weights_apart", WEIGHTS), ("update", "apart", UPDATE)):
        if not found[key] <= limit:
            what = f"differ by {found[key]:.1e} of their norm from those of one process with all images"
            failures.append(failure(name, what, tolerance=limit))
    if not found["own"] > 10 * UPDATE:
        what = f"each rank's own update is within {found['own']:.1e} of the common one, so nothing was shown"
        failures.append(failure("update", what))
    return judged(found, failures)
