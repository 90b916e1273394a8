"""What happens around the steps of `fit`: logs, checkpoints, evaluations. Each is a Keras callback.

They share a `Steps`, which counts the steps of the run (Keras counts those of an epoch) and times the waits for data.
"""

import math
import os
import resource
import time

import numpy as np
import tensorflow as tf
from absl import logging

from awsdet.runtime.progress import clock

_BAR_SECONDS = 0.5  # from one look at the losses to the next


class Steps:
    """Where the run is.

    Attributes: step (training steps done), per_epoch, total (where the run ends), data_seconds (waited for data),
    compiled (the training step as `fit` calls it with each batch; one trace serves all).
    """

    def __init__(self, step, per_epoch, total):
        self.step, self.per_epoch, self.total = step, per_epoch, total
        self.data_seconds = 0.0
        self.compiled = None

    @property
    def epoch(self):
        """Whole epochs done."""
        return self.step // self.per_epoch

    @property
    def at_epoch_end(self):
        """Whether the last step completed an epoch or the run."""
        return self.step % self.per_epoch == 0 or self.step == self.total

    def count_in(self, detector, element_spec):
        """Makes `detector.fit` count here: gives it a train function that tells waiting from computing.

        Keras' own takes the batch inside its graph, where the wait cannot be seen. `element_spec` is the dataset's, so
        that one trace serves every batch.
        """
        self.compiled = detector.train_step
        if not detector.run_eagerly:
            self.compiled = tf.function(detector.train_step, input_signature=[element_spec])

        def train_function(iterator):
            start = time.perf_counter()
            batch = next(iterator)
            self.data_seconds += time.perf_counter() - start
            logs = self.compiled(batch)
            self.step += 1
            return logs

        detector.train_function = train_function


class Log(tf.keras.callbacks.Callback):
    """Every so many steps: a line in the log, one in metrics.jsonl, points in TensorBoard. For rank 0.

    The losses are means over the steps since the last line, of this rank's images.

    Args:
        steps: Steps.
        every: steps a line.
        images: images a step, over all ranks.
        learning_rate: function that returns the present rate.
        write: function that takes the record (dict) for metrics.jsonl.
        writer: a tf.summary writer, or None.
        show: whether to write lines to the log (a progress bar stands for them on a terminal).
    """

    _supports_tf_logs = True  # tensors come as they are; reading them at every step would make the device wait

    def __init__(self, steps, every, images, learning_rate, write, writer=None, show=True):
        super().__init__()
        self._steps, self._every, self._images, self._learning_rate = steps, every, images, learning_rate
        self._write, self._writer, self._show = write, writer, show
        self._pending = []
        self._timed_steps, self._timed_seconds = 0, 0.0
        self._first = True

    def on_epoch_begin(self, epoch, logs=None):
        """An evaluation may lie behind: the clock starts anew."""
        self._restart_clock()

    def on_train_batch_end(self, batch, logs=None):
        """Takes the step's losses."""
        self._pending.append(logs)
        if self._first:
            self._first = False
            self._restart_clock(uncounted=1)  # the first step holds the tracing of the graph
        if self._steps.step % self._every == 0 or self._steps.at_epoch_end:
            self._flush()

    def _restart_clock(self, uncounted=0):
        self._start, self._data_start = time.perf_counter(), self._steps.data_seconds
        self._uncounted = uncounted

    def _flush(self):
        steps, seconds = len(self._pending) - self._uncounted, time.perf_counter() - self._start
        means = self._means()
        self._timed_steps += steps
        self._timed_seconds += seconds if steps else 0.0
        record = {
            "step": self._steps.step,
            "epoch": round(self._steps.step / self._steps.per_epoch, 4),
            **means,
            "learning_rate": self._learning_rate(),
            "images_per_second": self._images * steps / seconds if steps else 0.0,
            "data_wait": (self._steps.data_seconds - self._data_start) / seconds if steps else 0.0,
            "memory_mb": resident_megabytes(),
        }
        self._restart_clock()
        self._write(record)
        if self._writer is not None:
            write_scalars(self._writer, "train/", record)
        if self._show:
            logging.info("%s", self._line(record))

    def _means(self):
        """The means of the losses since the last line, by their names."""
        names = list(self._pending[0])
        # One tensor, so that a GPU is asked for all the numbers at once.
        values = tf.stack([logs[name] for logs in self._pending for name in names]).numpy()
        self._pending = []
        means = values.reshape(-1, len(names)).astype(np.float64).mean(axis=0)
        return dict(zip(names, means.tolist()))

    def _line(self, record):
        steps = self._steps
        terms = ", ".join(f"{n[:-5]} {v:.3f}" for n, v in record.items() if n.endswith("_loss"))
        text = (
            f"epoch {-(-steps.step // steps.per_epoch)}/{-(-steps.total // steps.per_epoch)}, "
            f"step {steps.step}/{steps.total}: loss {record['loss']:.4f} ({terms}), lr {record['learning_rate']:.3g}"
        )
        if self._timed_steps:
            left = (steps.total - steps.step) * self._timed_seconds / self._timed_steps
            text += (
                f", {record['images_per_second']:.3g} img/s, data wait {record['data_wait']:.0%}, {clock(left)} left"
            )
        return text


class Bar(tf.keras.callbacks.ProgbarLogger):
    """Keras' progress bar, which looks at the losses twice a second only: reading them makes a GPU wait.

    The losses beside it are means over the steps that it looked at.
    """

    def __init__(self):
        super().__init__(count_mode="steps")
        self._shown = -math.inf

    def on_train_batch_end(self, batch, logs=None):
        """Draws it where it is time to; what is shown in between is never seen."""
        if time.perf_counter() > self._shown + _BAR_SECONDS:
            super().on_train_batch_end(batch, logs)
            self._shown = time.perf_counter()


class Checkpointing(tf.keras.callbacks.Callback):
    """Saves at the end of each epoch and every so many steps (0: not between epochs). `save`: function to call."""

    _supports_tf_logs = True

    def __init__(self, steps, every, save):
        super().__init__()
        self._steps, self._every, self._save = steps, every, save

    def on_train_batch_end(self, batch, logs=None):
        """Saves where it is due."""
        if self._steps.at_epoch_end or (self._every and self._steps.step % self._every == 0):
            self._save()


class Evaluation(tf.keras.callbacks.Callback):
    """Evaluates every so many epochs, and at the end of the run.

    Args:
        steps: Steps.
        every: epochs; 0: never.
        evaluate: function that evaluates and returns whether the run has reached its target and is to stop.
        stop: the StopTogether of the run; once it has stopped there is no time left to evaluate.
    """

    def __init__(self, steps, every, evaluate, stop):
        super().__init__()
        self._steps, self._every, self._evaluate, self._stop = steps, every, evaluate, stop

    def due(self):
        """Whether an evaluation belongs to the present step."""
        steps = self._steps
        if not self._every or not steps.at_epoch_end:
            return False
        return steps.step == steps.total or (steps.step > 0 and steps.epoch % self._every == 0)

    def on_epoch_end(self, epoch, logs=None):
        """Evaluates where it is due."""
        if self.due() and not self._stop.stopped and self._evaluate():
            self.model.stop_training = True


def write_scalars(writer, prefix, record):
    """Writes the numbers of a record (dict with `step`) as TensorBoard points."""
    with writer.as_default(step=record["step"]):
        for name, value in record.items():
            if name != "step" and isinstance(value, (int, float)):
                tf.summary.scalar(f"{prefix}{name}", value)
    writer.flush()


def resident_megabytes():
    """Memory that this process holds, in 10^6 bytes."""
    try:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6
    except OSError:  # no Linux: the most it ever held, in kB
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
