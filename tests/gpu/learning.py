"""Part `learning`: trains the small Mask R-CNN of `make train` on the built-in shapes, from scratch to its AP.

It goes through the commands that a user types: drawing and converting the data, training, the evaluation at the end.
"""

import json
import pathlib
import sys
import tempfile
from typing import NamedTuple

from tests.gpu.commands import call, with_path
from tests.gpu.outcome import FAILED, Outcome, failure, judged

ROOT = pathlib.Path(__file__).resolve().parents[2]
CONFIG = ROOT / "configs" / "shapes_mask_rcnn.py"
# On CPUs, box APs of 0.77 and 0.80 and mask APs of 0.79 and 0.80 were seen. A GPU adds in an order that changes from
# run to run.
LEAST_AP = 0.72
MEASURES = ("box_ap", "mask_ap")


class Plan(NamedTuple):
    """How much is trained; the defaults are those of `make train`."""

    train_images: int = 1000
    val_images: int = 200
    epochs: int = 8
    least_ap: float = LEAST_AP
    overrides: tuple = ()  # of the config, as on the command line


def run(device, clock, plan=None):
    """Trains on `device`, "GPU:0" or "CPU:0". Returns an Outcome."""
    plan = plan or Plan()
    environment = with_path(ROOT)
    if device.startswith("CPU"):
        environment["CUDA_VISIBLE_DEVICES"] = "-1"
    with tempfile.TemporaryDirectory() as folder:
        for name, command in _commands(pathlib.Path(folder), plan):
            reason = _call(name, command, environment, clock)
            if reason:
                return Outcome(FAILED, reason, {}, (failure(name, reason),))
        lines = pathlib.Path(folder, "run", "metrics.jsonl").read_text().splitlines()
    return judge([json.loads(line) for line in lines], plan)


def judge(records, plan):
    """Judges a training run by the lines of its metrics.jsonl, `records`. Returns its Outcome."""
    evaluated = [record for record in records if MEASURES[0] in record]
    if not evaluated:
        return judged({}, [failure("evaluation", "the run ended without one")])
    last = evaluated[-1]
    figures = {"steps": last["step"], "seconds": round(last["seconds"], 1)}
    figures.update({name: round(last[name], 4) for name in MEASURES})
    wrong = [
        failure(name, f"{last[name]:.3f}, less than {plan.least_ap}", least=plan.least_ap)
        for name in MEASURES
        if not last[name] >= plan.least_ap
    ]
    return judged(figures, wrong)


def _commands(folder, plan):
    images, records = folder / "shapes", folder / "records"
    sizes = [f"--train_images={plan.train_images}", f"--val_images={plan.val_images}", "--test_images=0"]
    yield "awsdet shapes", ["shapes", f"--output={images}", *sizes]
    for split in ("train", "val"):
        annotations = f"--annotations={images}/annotations/instances_{split}.json"
        pictures, shards = f"--images={images}/images/{split}", "--shards=2"
        yield "awsdet convert", ["convert", annotations, pictures, f"--output={records}", f"--split={split}", shards]
    options = {"data.train_records": records, "train.epochs": plan.epochs, "train.evaluate_every_epochs": plan.epochs}
    settings = [f"--config.{name}={value}" for name, value in options.items()]
    settings += [f"--config.{override}" for override in plan.overrides]
    yield "awsdet train", ["train", f"--config={CONFIG}", f"--output={folder}/run", *settings]


def _call(name, command, environment, clock):
    """Runs an awsdet command. Returns why it failed, in one line, or ""."""
    ended = call([sys.executable, "-m", "awsdet.cli.main", *command], clock.left(), environment)
    if ended.code is None:
        return f"{name} had not ended when {clock.limit:.0f} s were over; its last words: {ended.last_words()}"
    return f"{name} ended with code {ended.code}: {ended.last_words()}" if ended.code else ""
