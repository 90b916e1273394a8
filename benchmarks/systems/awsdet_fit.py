"""Measures `fit` as `awsdet train` runs it, in a process of its own; prints one line of JSON.

    python benchmarks/systems/awsdet_fit.py --model=shapes --dtype=float32

It is a real run on records of the built-in shapes, with all its logs and checkpoints. In the middle of each epoch the
run pauses and a bare loop takes its turn: it calls the same compiled step equally often, on the last batches of `fit`.
So other work on the machine affects both alike. The time of `fit` is that between two such turns, less the evaluations.
"""

import argparse
import collections
import json
import pathlib
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))

import tensorflow as tf

from awsdet import config as config_module
from awsdet.data.coco import shapes
from awsdet.data.records.convert import convert
from awsdet.inference.checkpoint import newest
from awsdet.training import loop
from benchmarks import measure
from benchmarks.systems.awsdet_step import jittered_proposals

# Config file, images per step, long side of an image in px, steps per epoch, epochs.
MODELS = {
    "shapes": ("shapes_mask_rcnn.py", 8, 128, 125, 3),
    "r50": ("mask_rcnn_r50_fpn_1x.py", 2, 256, 50, 2),
}
VAL_IMAGES = 40
HOOKS = ("on_train_batch_begin", "on_train_batch_end", "on_epoch_begin", "on_epoch_end")


class Clock:
    """Seconds by part (wall time, CPU time of the process, CPU time of its main thread), and the number of calls."""

    def __init__(self):
        self.running = False  # nothing counts before this is set
        self.wall, self.cpu, self.thread = (collections.Counter() for _ in range(3))
        self.calls, self.longest = collections.Counter(), collections.Counter()

    def add(self, part, start):
        """Adds the time since `start`, a value of `now`."""
        if self.running:
            wall, cpu, thread = (end - begin for end, begin in zip(self.now(), start))
            self.wall[part] += wall
            self.cpu[part] += cpu
            self.thread[part] += thread
            self.calls[part] += 1
            self.longest[part] = max(self.longest[part], wall)

    def timed(self, part, function):
        """`function`, wrapped so that its time is added to a part."""

        def call(*arguments, **named):
            start = self.now()
            try:
                return function(*arguments, **named)
            finally:
                self.add(part, start)

        return call

    @staticmethod
    def now():
        return time.perf_counter(), time.process_time(), time.thread_time()


class Turns(tf.keras.callbacks.Callback):
    """Gives the bare loop its turns. `steps`: the Steps of the run; `warmup`: bare steps before the first turn."""

    _supports_tf_logs = True

    def __init__(self, steps, clock, warmup=2):
        super().__init__()
        self._steps, self._clock, self._warmup = steps, clock, warmup
        self._batches = collections.deque(maxlen=steps.per_epoch)
        self._start, self.data_seconds = None, 0.0

    def on_train_begin(self, logs=None):
        """Starts to time the step within `fit` and to keep its batches."""
        compiled = self.model.train_function.compiled

        def recorded(element_spec):
            self._bare = compiled(element_spec)
            return step

        timed = self._clock.timed("step", lambda batch: self._bare(batch))

        def step(batch):
            self._batches.append(batch)
            return timed(batch)

        self.model.train_function.compiled = recorded

    def on_train_batch_end(self, batch, logs=None):
        """Gives the bare loop its turn in the middle of an epoch."""
        if self._steps.step % self._steps.per_epoch != self._steps.per_epoch // 2:
            return
        if self._start is None:
            for _ in range(self._warmup):
                self._bare(self._batches[-1])
            self.model.detect(self._batches[-1])  # traced now instead of in the first evaluation
            self._clock.running, self._data_start = True, self.model.train_function.data_seconds
        else:
            self._clock.add("fit", self._start)
        self._clock.timed("bare", self._loop)()
        # The steps after the last turn have no partner, so they do not count.
        self._clock.running = self._steps.step + self._steps.per_epoch < self._steps.total
        self.data_seconds = self.model.train_function.data_seconds - self._data_start
        self._start = self._clock.now()

    def _loop(self):
        for index in range(self._steps.per_epoch):
            logs = self._bare(self._batches[index % len(self._batches)])
        return float(logs["loss"])  # on a GPU the call itself returns before the step is done


class Measured:
    """Stands for the function by which `train` calls Keras' fit, and times its callbacks."""

    def __init__(self, load):
        self.clock, self.turns, self._load, self._fit = Clock(), None, load, loop._fit

    def __call__(self, run, batches, callbacks):
        if self._load == "trained":
            jittered_proposals(run.detector, tf.random.Generator.from_seed(1))
        for callback in callbacks:
            part = type(callback).__name__
            for hook in set(HOOKS) & set(vars(type(callback))):
                setattr(callback, hook, self.clock.timed(part, getattr(callback, hook)))
        self.turns = Turns(run.steps, self.clock)
        steps, *others = callbacks  # Steps comes first: it counts for all others
        self._fit(run, batches, [steps, self.turns, *others])


def measured(flags, folder):
    """Runs `fit`. Returns a dict of figures; times are in ms per step, as Clock divides them."""
    config = run_config(flags, folder, VAL_IMAGES)
    loop._fit = measured_fit = Measured(flags.load)
    outcome = loop.train(config, folder / "run")
    if outcome.exit_code:
        sys.exit("the run failed")
    clock, steps = measured_fit.clock, measured_fit.turns._steps
    turns = clock.calls["fit"]
    figures = {}
    for kind, times in (("wall", clock.wall), ("cpu", clock.cpu), ("thread", clock.thread)):
        each = {part: times[part] * 1e3 / (turns * steps.per_epoch) for part in times}
        each["bare"] = times["bare"] * 1e3 / (clock.calls["bare"] * steps.per_epoch)
        each["fit"] -= each["Evaluating"]
        figures[kind] = each
    figures["data"] = measured_fit.turns.data_seconds * 1e3 / (turns * steps.per_epoch)
    saved = newest(folder / "run" / "checkpoints")
    return {
        **figures,
        "batch": config.data.batch_size,
        "steps_per_epoch": steps.per_epoch,
        "log_every": config.train.log_every_steps,
        "evaluation_ms": figures["wall"]["Evaluating"] * steps.per_epoch / VAL_IMAGES,
        "line_ms": figures["wall"]["Log"] * min(config.train.log_every_steps, steps.per_epoch),
        "save_ms": figures["wall"]["Saving"] * steps.per_epoch,
        "longest_save_ms": clock.longest["Saving"] * 1e3,
        "checkpoint_bytes": sum(file.stat().st_size for file in saved.iterdir()),
        "traces": measured_fit.turns._bare.experimental_get_tracing_count(),
    }


def run_config(flags, folder, val_images):
    """Makes the records. Returns the ConfigDict of the run."""
    file, batch, size, steps, epochs = MODELS[flags.model]
    batch, size, steps = flags.batch or batch, flags.size or size, flags.steps or steps
    shapes.generate(folder, train_images=batch * steps, val_images=val_images, test_images=0, image_size=size)
    for split in ("train", "val"):
        truth, images = folder / "annotations" / f"instances_{split}.json", folder / "images" / split
        convert(truth, images, folder / "records", split, shards=1, workers=1)
    config = config_module.load(measure.ROOT / "configs" / file)
    config.data.update(train_records=str(folder / "records"), batch_size=batch)
    config.data.update(short_sides=(size * 3 // 4,), eval_short_side=size * 3 // 4, max_long_side=size)
    config.model.precision = "mixed_bfloat16" if flags.dtype == "bfloat16" else "float32"
    config.train.update(epochs=epochs, pictures=0, init_from="", allow_random_frozen=True)  # only time counts here
    config.optimizer.update(learning_rate=1e-6)  # tiny, since the bare steps train too, on the same few batches
    return config


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", choices=list(MODELS), default="shapes")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--load", default="fresh")
    parser.add_argument("--size", type=int)
    parser.add_argument("--batch", type=int)
    parser.add_argument("--steps", type=int, help="steps per epoch")
    with tempfile.TemporaryDirectory() as made:
        print(json.dumps(measured(parser.parse_args(), pathlib.Path(made))))
