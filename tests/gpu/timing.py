"""Part `timing`: training steps of a Mask R-CNN R50-FPN at 800 x 1344, as `fit` runs them.

Each image has as many positives as late in training, see `scene`. Images are read ahead and sent to the GPU while the
step before runs, as in a real run. After the timed steps, a few more run under TensorFlow's profiler.
"""

import itertools
import math
import time
from typing import NamedTuple

import tensorflow as tf

from awsdet.runtime import gpu_fit
from awsdet.training.optimizer import SGD
from tests.gpu import profile
from tests.gpu.outcome import error_text, failure, judged, unfinished
from tests.gpu.scene import Scene, repeated

WARM_UP, STEPS, PROFILED = 5, 30, 5
PRECISIONS = ("mixed_bfloat16", "mixed_float16")
BATCHES = (2, 4, 8)  # images per step
LEARNING_RATE = 1e-4
LEAST_LOSS = 0.1  # less than the losses of random weights can be: then the GPU has computed something else
_FITS = 0.92  # of a GPU's memory, which TensorFlow cannot have as a whole


class Plan(NamedTuple):
    """What is timed."""

    scene: Scene = Scene()
    precisions: tuple = PRECISIONS
    batches: tuple = BATCHES
    warm_up: int = WARM_UP
    steps: int = STEPS
    profiled: int = PROFILED


class _Stamps(tf.keras.callbacks.Callback):
    """When each step of `fit` returned, in seconds."""

    _supports_tf_logs = True  # gets tensors, so that nobody waits for their values

    def __init__(self):
        super().__init__()
        self.at = []

    def on_train_batch_end(self, batch, logs=None):
        self.at.append(time.perf_counter())


def run(device, gpu, clock, plan=None, report=lambda outcome: None):
    """Times the steps on `device`, such as "GPU:0". Returns an Outcome, whose figures are a list of rows.

    Args:
        gpu: gpu_fit.Gpu, by which it is decided what it can do; None for a CPU.
        clock: Clock; what it leaves no time for is named in the Outcome.
        report: gets an Outcome after each row, which stands if the process does not survive the next. The profiles
            come last, since a profiler that does not fit the driver may end the process.
    """
    plan, rows, runners = plan or Plan(), [], []
    failures, left_out, slowest = [], [], 0.0
    for precision, images in itertools.product(plan.precisions, plan.batches):
        name = f"{precision}, batch {images}"
        reason = _unsuited(gpu, precision) or _too_large(gpu, precision, images, plan.scene)
        if not reason and clock.over(slowest):
            reason = f"{clock.limit:.0f} s are over, or too few of them are left"
        if reason:
            left_out.append(f"{name}: {reason}")
            continue
        start = time.monotonic()
        try:
            if not runners or runners[-1].precision != precision:
                runners.append(_Runner(plan.scene, precision, device))
            row = {"precision": precision, "batch": images, **runners[-1].measure(images, plan)}
            rows.append({**row, "profile": {"not available": "its turn did not come"}})
            if not (isinstance(row["loss"], float) and row["loss"] >= LEAST_LOSS):
                failures.append(failure(name, f"the loss is {row['loss']}, of random weights"))
        except tf.errors.OpError as error:
            failures.append(failure(name, error_text(error)))
            runners.append(_Runner(plan.scene, precision, device))  # weights may be those of half a step
        slowest = max(slowest, time.monotonic() - start)
        report(unfinished(list(rows)))
    report(judged(list(rows), failures, left_out))
    for row in rows:
        runner = next(one for one in reversed(runners) if one.precision == row["precision"])
        if not clock.over():
            row["profile"] = runner.profile(row["batch"], plan)
    return judged(rows, failures, left_out)


def _unsuited(gpu, precision):
    if gpu and precision == "mixed_bfloat16" and gpu_fit.best_precision(gpu.capability) != precision:
        return f"{gpu.name} has no tensor cores for it"
    return ""


def _too_large(gpu, precision, images, scene):
    needed = gpu_fit.memory_needed(precision, images, scene.height, scene.width)
    if gpu and gpu.memory and needed * 1e9 > _FITS * gpu.memory:
        return f"it needs {needed:.1f} GB by estimate, and the GPU has {gpu.memory / 1e9:.1f}"
    return ""


class _Runner:
    """A detector of one precision, and its steps."""

    def __init__(self, scene, precision, device):
        self.precision, self._scene, self._device = precision, scene, device
        with tf.device(device):
            self._detector = scene.detector(precision)
            optimizer = SGD(LEARNING_RATE, momentum=0.9, weight_decay=1e-4)
            if precision == "mixed_float16":
                optimizer = tf.keras.mixed_precision.LossScaleOptimizer(optimizer)
            self._detector.compile(optimizer)

    def measure(self, images, plan):
        """The figures of a batch of so many images: a dict."""
        batches = repeated(self._scene.batch(images))
        begin, _, end, _ = self._fit(batches, 1)
        row = {"first_step_s": round(end - begin, 2)}
        self._fit(batches, plan.warm_up)
        on_gpu = self._device.startswith("GPU")
        if on_gpu:
            tf.config.experimental.reset_memory_stats(self._device)
        begin, stamps, end, loss = self._fit(batches, plan.steps)
        row["img_per_s"] = round(plan.steps * images / (end - begin), 2)
        row["step_ms"] = round(1000 * (end - begin) / plan.steps, 2)
        row["slowest_step_ms"] = round(1000 * max(b - a for a, b in zip([begin, *stamps], stamps)), 2)
        row["loss"] = float(loss) if math.isfinite(loss) else str(loss)
        if on_gpu:
            row["peak_gb"] = round(tf.config.experimental.get_memory_info(self._device)["peak"] / 1e9, 3)
        return row

    def profile(self, images, plan):
        """What the GPU does in a step with so many images: a dict."""
        batches = repeated(self._scene.batch(images))
        self._fit(batches, 1)
        found, reason = profile.trace(lambda: self._fit(batches, plan.profiled))
        return profile.summary(found, plan.profiled) if found else {"not available": reason}

    def _fit(self, batches, steps):
        """Runs steps to their end. Returns (seconds when they began, when each returned, when all were done, loss)."""
        stamps, begin = _Stamps(), time.perf_counter()
        history = self._detector.fit(batches, steps_per_epoch=steps, epochs=1, verbose=0, callbacks=[stamps])
        return begin, stamps.at, time.perf_counter(), history.history["loss"][-1]
