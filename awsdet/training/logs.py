"""What a run reports while it trains: lines in the log, metrics.jsonl, TensorBoard, a progress bar."""

import math
import os
import resource
import time

import numpy as np
import tensorflow as tf
from absl import logging

from awsdet.runtime.progress import clock

_BAR_SECONDS = 0.5  # between two updates of the bar
# The fields of a record that are neither losses nor metrics.
_NOT_METRICS = ("step", "epoch", "gradient_norm", "learning_rate", "images_per_second", "data_wait", "memory_mb")


class Log(tf.keras.callbacks.Callback):
    """Every few steps writes to the log, metrics.jsonl and TensorBoard. For rank 0.

    The losses are means over this rank's images since the last line.

    Args:
        steps: Steps.
        every: number of steps per line.
        images: images per step, over all ranks.
        learning_rate: function that returns the present learning rate.
        write: function that takes the record (dict) for metrics.jsonl.
        writer: a tf.summary writer, or None.
        show: whether to write lines to the log (on a terminal a progress bar replaces them).
        show_metrics: whether those lines show the metrics too.
        see: function that takes the number of steps done before, and what each step since then gave, a dict of arrays.
    """

    _supports_tf_logs = True  # gets tensors; reading their values at every step would make the device wait

    def __init__(
        self,
        steps,
        every,
        images,
        learning_rate,
        write,
        writer=None,
        show=True,
        show_metrics=False,
        see=lambda done, values: None,
    ):
        super().__init__()
        self._see = see
        self._steps, self._every, self._images, self._learning_rate = steps, every, images, learning_rate
        self._write, self._writer, self._show, self._show_metrics = write, writer, show, show_metrics
        self._start = self._data_start = 0.0
        self._uncounted = 0
        self._pending = []
        self._timed_steps, self._timed_seconds = 0, 0.0
        self._first = True

    def on_epoch_begin(self, epoch, logs=None):
        """Restarts the clock, since there may have been an evaluation."""
        self._restart_clock()

    def on_train_batch_end(self, batch, logs=None):
        """Collects the losses of the step."""
        self._pending.append(logs)
        if self._first:
            self._first = False
            self._restart_clock(uncounted=1)  # the first step includes the tracing of the graph
        if self._steps.step % self._every == 0 or self._steps.at_epoch_end:
            self._flush()

    def _restart_clock(self, uncounted=0):
        self._start, self._data_start = time.perf_counter(), self.model.train_function.data_seconds
        self._uncounted = uncounted

    def _flush(self):
        steps, seconds = len(self._pending) - self._uncounted, time.perf_counter() - self._start
        names, values = self._fetched()
        means = _means(names, values)
        self._timed_steps += steps
        self._timed_seconds += seconds if steps else 0.0
        record = {
            "step": self._steps.step,
            "epoch": round(self._steps.epochs, 4),
            **means,
            "learning_rate": self._learning_rate(),
            "images_per_second": self._images * steps / seconds if steps else 0.0,
            "data_wait": (self.model.train_function.data_seconds - self._data_start) / seconds if steps else 0.0,
            "memory_mb": resident_megabytes(),
        }
        self._restart_clock()
        self._write(record)
        if self._writer is not None:
            write_scalars(self._writer, "train/", record)
        if self._show:
            logging.info("%s", self._line(record))
        self._see(self._steps.step - len(values), dict(zip(names, values.T)))

    def _fetched(self):
        """(names, values [steps, names]) of the losses and metrics since the last line."""
        names = list(self._pending[0])
        # One tensor, so that all numbers are copied from a GPU at once.
        values = tf.stack([logs[name] for logs in self._pending for name in names]).numpy()
        self._pending = []
        return names, values.reshape(-1, len(names)).astype(np.float64)

    def _line(self, record):
        steps = self._steps
        terms = ", ".join(f"{n[:-5]} {v:.3f}" for n, v in record.items() if n.endswith("_loss"))
        text = (
            f"epoch {steps.current_epoch}/{steps.last_epoch}, "
            f"step {steps.step}/{steps.total}: loss {record['loss']:.4f} ({terms}), lr {record['learning_rate']:.3g}"
        )
        if self._show_metrics:
            others = set(record) - {"loss", *_NOT_METRICS}
            metrics = [name for name in record if name in others and not name.endswith("_loss")]
            text += "".join(f", {name} {record[name]:.3g}" for name in metrics)
        if self._timed_steps:
            left = (steps.total - steps.step) * self._timed_seconds / self._timed_steps
            text += (
                f", {record['images_per_second']:.3g} img/s, data wait {record['data_wait']:.0%}, {clock(left)} left"
            )
        return text


def _means(names, values):
    """The mean over the steps of each column of `values` [steps, names]; without those that were NaN at every step."""
    seen = ~np.isnan(values)
    sums, counts = np.where(seen, values, 0.0).sum(axis=0), seen.sum(axis=0)
    return {name: float(sums[i] / counts[i]) for i, name in enumerate(names) if counts[i]}


class Bar(tf.keras.callbacks.ProgbarLogger):
    """Keras' progress bar, updated only twice per second, since reading the losses makes a GPU wait.

    It shows the means of the losses over the steps at which it was updated.
    """

    def __init__(self):
        super().__init__(count_mode="steps")
        self._shown = -math.inf

    def on_train_batch_end(self, batch, logs=None):
        """Updates the bar if it is time to. Leaves out the metrics, which would make it too long."""
        if time.perf_counter() > self._shown + _BAR_SECONDS:
            super().on_train_batch_end(batch, {name: v for name, v in logs.items() if name.endswith("loss")})
            self._shown = time.perf_counter()


def write_scalars(writer, prefix, record):
    """Writes the numbers of a record (dict with `step`) as TensorBoard points."""
    with writer.as_default(step=record["step"]):
        for name, value in record.items():
            if name != "step" and isinstance(value, (int, float)):
                tf.summary.scalar(f"{prefix}{name}", value)
    writer.flush()


def resident_megabytes():
    """Memory that this process uses, in 10^6 bytes."""
    try:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6
    except OSError:  # not Linux: the most it has ever used, in kB
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
