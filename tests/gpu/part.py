"""Runs one part in this process, and writes its Outcome as JSON: `python -m tests.gpu.part NAME REQUEST RESULT`.

Each part has a process of its own, since a fault on a GPU makes it useless for the process, and may end it.
"""

import json
import pathlib
import sys
from typing import NamedTuple

import tensorflow as tf

from awsdet.runtime import gpu_fit, gpus
from awsdet.runtime.files import write_json
from tests.gpu import harness, inputs, learning, operators, ranks, scene, step, timing
from tests.gpu.outcome import SKIPPED, Clock, Outcome

SMALL_TIMING = timing.Plan(scene.SMALL, batches=(2,), warm_up=1, steps=2, profiled=1)
# With SGD, whose update is traced faster than LAMB's.
SMALL_LEARNING = learning.Plan(16, 4, epochs=1, least_ap=-1.0, overrides=("optimizer.name=sgd",))


class Request(NamedTuple):
    """How a part is to run. seconds: what it may take; small: on inputs that are made for tests of the proof."""

    device: str = "GPU:0"
    against: str = "CPU:0"
    seconds: float = 600.0
    small: bool = False


def run(name, request, report):
    """Runs the part `name` and returns its Outcome. `report` is given what is known so far, for the case of a crash."""
    clock, pair, small = Clock(request.seconds), (request.device, request.against), request.small
    if name == "harness":
        return harness.run(request.device, clock, cases=1 if small else 100)
    if name == "operators":
        return operators.run(pair, clock, inputs.SMALL if small else None, report=report)
    if name == "step":
        return step.run(pair, clock, scene.SMALL if small else step.SCENE)
    if name == "timing":
        return timing.run(request.device, _gpu(request.device), clock, SMALL_TIMING if small else None, report)
    if name == "learning":
        return learning.run(request.device, clock, SMALL_LEARNING if small else None)
    visible = len(tf.config.list_physical_devices("GPU"))
    if request.device.startswith("GPU") and visible < ranks.RANKS:
        return Outcome(SKIPPED, f"it needs {ranks.RANKS} GPUs, and this machine shows {visible}")
    return ranks.run(request.device, clock, small)


def _gpu(device):
    """The gpu_fit.Gpu of a device such as "GPU:0"; None for a CPU."""
    kind, _, number = device.partition(":")
    if kind != "GPU":
        return None
    physical = tf.config.list_physical_devices("GPU")[int(number)]
    return gpu_fit.details(tf.config.experimental.get_device_details(physical), gpus.memory(int(number)))


def main(name, request, result):
    request, path = Request(**json.loads(request)), pathlib.Path(result)
    for gpu in tf.config.list_physical_devices("GPU"):
        tf.config.experimental.set_memory_growth(gpu, True)

    def keep(outcome):
        write_json(path, outcome._asdict())

    keep(run(name, request, keep))


if __name__ == "__main__":
    main(*sys.argv[1:])
