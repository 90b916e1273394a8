"""Trains our network for the learning benchmark, as `awsdet train` does; may run under horovodrun.

    python benchmarks/systems/learn_awsdet.py DATA OUTPUT SEED EPOCHS [--resume] [--change=KEY=VALUE …]

OUTPUT gets steps.jsonl, results-STEP.json after each epoch and, at the end, memory.json.
"""

import argparse
import json
import pathlib
import shutil
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))

import tensorflow as tf

from awsdet import config as config_lib
from awsdet.cli.ranks import run_on_all
from awsdet.training.loop import train
from benchmarks.learn.record import Recorder, peak_megabytes
from benchmarks.systems.learn_prepare import CONFIG


class Record(tf.keras.callbacks.Callback):
    """Records each step, and keeps the detections of each evaluation. `folder`: of the run."""

    def __init__(self, folder):
        super().__init__()
        self._folder, self._recorder = folder, Recorder(folder)

    def on_epoch_begin(self, epoch, logs=None):
        """Starts the clocks after an evaluation."""
        self._recorder.start(int(self.model.step))

    def on_train_batch_end(self, batch, logs=None):
        """Writes the losses of the step."""
        losses = {name: float(value) for name, value in logs.items() if name.endswith("loss")}
        self._recorder.step(int(self.model.step), losses)

    def on_epoch_end(self, epoch, logs=None):
        """Keeps the detections."""
        if "box_ap" in (logs or {}):
            shutil.copy(self._folder / "run/results.json", self._folder / f"results-{int(self.model.step)}.json")


def main(flags):
    records = f"train_records={flags.data}/records"
    config = config_lib.load(CONFIG, [f"data.{records}", f"train.epochs={flags.epochs}", *flags.change])
    config.seed = flags.seed

    def work(world):
        callbacks = [Record(flags.output)] if world.is_chief else []
        outcome = train(config, flags.output / "run", world, flags.resume, callbacks)
        memory = world.gather_objects(peak_megabytes())
        if world.is_chief:
            (flags.output / "memory.json").write_text(json.dumps(memory) + "\n")
        return outcome.exit_code

    return run_on_all(work)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("data", type=pathlib.Path)
    parser.add_argument("output", type=pathlib.Path)
    parser.add_argument("seed", type=int)
    parser.add_argument("epochs", type=int)
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("--change", action="append", default=[], help="a setting, as in train.accumulate_steps=2")
    sys.exit(main(parser.parse_args()))
