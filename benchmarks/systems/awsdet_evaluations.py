"""Measures what an evaluation costs a run of `awsdet train`, in a process of its own; prints one line of JSON.

    python benchmarks/systems/awsdet_evaluations.py --model=shapes --dtype=float32 --val=400 --cycles=2

It is a real run on records of the built-in shapes. After its epochs it does three things in turn: it does not evaluate;
it evaluates and waits for the score; it evaluates and trains on while another process scores. Each counts from the end
of one epoch to the end of the next, or until the score is there if that takes longer; the seconds of detection in it,
which grow with what the detector finds, are told apart.
"""

import argparse
import collections
import json
import pathlib
import resource
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))

import tensorflow as tf

from awsdet import evaluation
from awsdet.evaluation import evaluator
from awsdet.training import loop
from awsdet.training.evaluating import Evaluating
from benchmarks.systems.awsdet_fit import MODELS, run_config

NONE, WAITS, ASIDE = "none", "waits", "aside"
PARTS = ("detect", "score_on_chief")


def now():
    """Seconds: of the clock, and of the processor with the processes that have ended."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return time.perf_counter(), sum(one.ru_utime + one.ru_stime for one in used)


class Turns(tf.keras.callbacks.Callback):
    """Chooses what is done at the end of each epoch. Must come before the callback that evaluates."""

    _supports_tf_logs = True

    def __init__(self, config, evaluating, detecting):
        """`detecting`: list that gets the seconds of each detection over all images."""
        super().__init__()
        self._train, self._evaluating, self._mode, self._start = config.train, evaluating, None, None
        self._detecting, self._detected = detecting, 0
        self.periods = {mode: [] for mode in (NONE, WAITS, ASIDE)}

    def on_epoch_end(self, epoch, logs=None):
        """Ends one period and begins the next."""
        self._evaluating.collect()
        if self._mode is not None and epoch > 1:  # in the first one, detection is traced
            spent = [end - begin for end, begin in zip(now(), self._start)]
            self.periods[self._mode].append([*spent, sum(self._detecting[self._detected :])])
        self._detected = len(self._detecting)
        last = epoch + 1 == self._train.epochs
        self._mode = NONE if last else (NONE, WAITS, ASIDE)[(epoch - 1) % 3] if epoch else WAITS
        self._train.evaluate_every_epochs = int(self._mode != NONE)
        self._train.score_aside_from = int(self._mode == ASIDE)
        self._start = now()


def main(flags, folder):
    """Trains. Returns a dict of figures, in seconds."""
    config = run_config(flags, folder, flags.val)
    config.train.update(epochs=2 + 3 * flags.cycles, keep_last=1)
    parts, fit, made = collections.defaultdict(list), loop._fit, []

    def timed(name, function):
        def call(*arguments):
            start = time.perf_counter()
            result = function(*arguments)
            parts[name].append(time.perf_counter() - start)
            return result

        return call

    def fit_in_turns(run, batches, callbacks):
        evaluating = next(one for one in callbacks if isinstance(one, Evaluating))
        made.append(Turns(config, evaluating, parts["detect"]))
        steps, *others = callbacks
        fit(run, batches, [steps, made[0], *others])

    for name in PARTS:
        wrapped = timed(name, getattr(evaluator, name))
        setattr(evaluator, name, wrapped)
        setattr(evaluation, name, wrapped)
    loop._fit = fit_in_turns
    if loop.train(config, folder / "run").exit_code:
        sys.exit("the run failed")
    return {
        "images": flags.val,
        "steps_per_epoch": flags.steps or MODELS[flags.model][3],
        "periods": made[0].periods,
        "parts": {name: values[1:] for name, values in parts.items()},
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", choices=list(MODELS), default="shapes")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--size", type=int)
    parser.add_argument("--batch", type=int)
    parser.add_argument("--steps", type=int, help="steps per epoch")
    parser.add_argument("--val", type=int, default=400, help="images to evaluate on")
    parser.add_argument("--cycles", type=int, default=2)
    with tempfile.TemporaryDirectory() as made_there:
        print(json.dumps(main(parser.parse_args(), pathlib.Path(made_there))))
