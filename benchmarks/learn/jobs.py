"""The runs of the learning benchmark: which there are, running one, reading a finished one.

A finished run has figures.json in its folder and is never run again; one that was cut off begins anew.
"""

import json
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import time
from typing import NamedTuple

from awsdet.runtime.errors import UserError
from awsdet.runtime.progress import Progress
from benchmarks import measure
from benchmarks.learn.curves import Run
from benchmarks.learn.record import read_lines

PROGRAMS = measure.ROOT / "benchmarks/systems"
TORCH = measure.ROOT / ".venv-torch"  # made by `make benchmark-torch`
POLL = 0.5  # seconds between two looks at a run
# Norms of fixed statistics, with a rate at which they learn: an image's gradient does not depend on the others then.
_FIXED = [
    "model.backbone.norm=frozen_batch_norm",
    "model.fpn.norm=none",
    "train.allow_random_frozen=true",
    "optimizer.learning_rate=0.02",
]
_HALVES = ["data.batch_size=4", "train.accumulate_steps=2"]
_SYNCED = ["model.backbone.norm=sync_batch_norm", "model.fpn.norm=sync_batch_norm", "train.loss_normalizer=global"]


class Variant(NamedTuple):
    """A way to run ours. `changes`: settings; `stops`: how often the run is stopped and resumed."""

    changes: tuple = ()
    processes: int = 1
    accumulate: int = 1
    stops: int = 0


VARIANTS = {
    "bfloat16": Variant(("model.precision=mixed_bfloat16",)),
    "float16": Variant(("model.precision=mixed_float16",)),
    "2 processes": Variant(("data.batch_size=4", *_SYNCED), processes=2),
    "4 processes": Variant(("data.batch_size=2", *_SYNCED), processes=4),
    "accumulation of 2": Variant((*_HALVES,), accumulate=2),
    "fixed norms": Variant((*_FIXED,)),
    "fixed norms, accumulation of 2": Variant((*_FIXED, *_HALVES), accumulate=2),
    "averaged weights": Variant(("optimizer.ema_decay=0.99",)),
    "resumed twice": Variant(stops=2),
}


class Job(NamedTuple):
    """One run. `commands`: of its start and of its resumption; `steps`: how many it makes, over all stops."""

    name: str
    folder: pathlib.Path
    commands: tuple
    steps: int
    batch: int  # images per update
    accumulate: int = 1
    stops: int = 0


def torch_python():
    """The interpreter of torchvision's environment. Raises UserError if it is missing."""
    python = TORCH / "bin/python"
    if not python.exists():
        raise UserError("torchvision is not installed; install it with  make benchmark-torch  or give --only=ours")
    return str(python)


def ours(output, seed, epochs, updates, batch, variant=None):
    """The Job of our run with a seed. `variant`: a name in VARIANTS; `updates`: of the whole run."""
    kind = VARIANTS.get(variant, Variant())
    name = f"ours {variant or ''}".strip()
    folder = output / "runs" / f"{name.replace(' ', '-')}-seed-{seed}"
    command = [sys.executable, str(PROGRAMS / "learn_awsdet.py"), output / "data", folder, seed, epochs]
    command += [f"--change={change}" for change in kind.changes]
    if kind.processes > 1:
        command = [pathlib.Path(sys.executable).parent / "horovodrun", "-np", kind.processes, *command]
    commands = (command, [*command, "--resume"])
    return Job(f"{name}, seed {seed}", folder, commands, updates * kind.accumulate, batch, kind.accumulate, kind.stops)


def theirs(output, seed, epochs, updates, batch, unshifted):
    """The Job of torchvision's run with a seed."""
    name = "torchvision" + (", unshifted targets" if unshifted else "")
    folder = output / "runs" / f"torchvision{'-unshifted' if unshifted else ''}-seed-{seed}"
    program = str(PROGRAMS / "learn_torchvision.py")
    command = [torch_python(), program, output / "data", output, folder, seed, epochs]
    command += ["--unshifted"] if unshifted else []
    return Job(f"{name}, seed {seed}", folder, (command, None), updates, batch)


def run(job, data):
    """Runs a Job unless it is finished, and scores it. Raises UserError if it fails."""
    if (job.folder / "figures.json").exists():
        print(f"{job.name}: finished earlier", flush=True)
        return
    shutil.rmtree(job.folder, ignore_errors=True)
    job.folder.mkdir(parents=True)
    stops = sorted(random.Random(job.folder.name).sample(range(1, job.steps), job.stops))
    begin, cpu = time.monotonic(), 0.0
    with Progress(job.steps, job.name, "steps") as progress:
        for number, stop in enumerate([*stops, None]):
            cpu += _segment(job, job.commands[number > 0], stop, progress)
    wall = time.monotonic() - begin
    score = [sys.executable, str(PROGRAMS / "learn_score.py"), str(data), str(job.folder)]
    checked(subprocess.run(score, **options(job)).returncode, job)
    shutil.rmtree(job.folder / "run", ignore_errors=True)
    figures = {"wall": wall, "cpu": cpu, "stops": stops}
    (job.folder / "figures.json").write_text(json.dumps(figures, indent=2) + "\n")
    print(f"{job.name}: {wall:.0f} s", flush=True)


def options(job):
    """Arguments of subprocess for a process of a Job: its output goes to the log in `job.folder`."""
    environment = {**os.environ, **measure.ENVIRONMENT, "PYTHONPATH": str(measure.ROOT)}
    log = (job.folder / "log.txt").open("ab")
    return {"cwd": measure.ROOT, "env": environment, "stdout": log, "stderr": subprocess.STDOUT}


def _segment(job, command, stop, progress):
    """Runs a process, to step `stop` if it is given. Returns its processor seconds, with those of its children."""
    process = subprocess.Popen([str(part) for part in command], **options(job))
    done = 0
    try:
        while True:
            pid, status, usage = os.wait4(process.pid, os.WNOHANG)
            lines = read_lines(job.folder / "steps.jsonl")
            step = lines[-1]["step"] if lines else 0
            progress.add(max(step - done, 0))
            done = max(step, done)
            if pid:
                process.returncode = os.waitstatus_to_exitcode(status)
                break
            if stop is not None and step >= stop:
                process.send_signal(signal.SIGTERM)
                stop = None
            time.sleep(POLL)
    finally:
        if process.returncode is None:
            process.terminate()
    checked(process.returncode, job)
    return usage.ru_utime + usage.ru_stime


def checked(code, job):
    """Raises UserError, with the end of the log, if an exit code is not 0."""
    if code:
        lines = (job.folder / "log.txt").read_text(errors="replace").strip().splitlines()
        raise UserError(f"{job.name} failed with exit code {code}; {job.folder}/log.txt ends with: {lines[-1:]}")


def read(job):
    """The Run of a finished Job; steps are updates."""
    figures = json.loads((job.folder / "figures.json").read_text())
    steps = by_update(read_lines(job.folder / "steps.jsonl"), job.accumulate)
    scores = json.loads((job.folder / "scores.json").read_text())
    scores = [{**score, "step": score["step"] // job.accumulate} for score in scores]
    memory = json.loads((job.folder / "memory.json").read_text())
    return Run(steps, scores, memory, figures["wall"], figures["cpu"], job.batch)


def by_update(lines, accumulate):
    """The lines of steps as lines of updates, of `accumulate` steps each, with the means of their losses."""
    updates = []
    for first in range(0, len(lines) - accumulate + 1, accumulate):
        group = lines[first : first + accumulate]
        losses = {name: sum(line["losses"][name] for line in group) / accumulate for name in group[0]["losses"]}
        updates.append({**group[-1], "step": first // accumulate + 1, "losses": losses})
    return updates
