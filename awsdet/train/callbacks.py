"""What happens around the steps of `fit`: logs, checkpoints, evaluations, the end. Each is a Keras callback.

They share a `Steps`, which counts the steps of the run (Keras counts those of an epoch) and times the waits for data.
"""

import os
import resource
import signal
import threading
import time

import tensorflow as tf
from absl import logging

_AGREE_SECONDS = 2.0  # how often, about, the ranks ask each other whether one of them was told to stop
_AGREE_MOST_STEPS = 100


class Steps:
    """Where the run is.

    Attributes: step (training steps done), per_epoch, total (where the run ends), data_seconds (waited for data).
    """

    def __init__(self, step, per_epoch, total):
        self.step, self.per_epoch, self.total = step, per_epoch, total
        self.data_seconds = 0.0

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
        step = detector.train_step
        if not detector.run_eagerly:
            step = tf.function(step, input_signature=[element_spec])

        def train_function(iterator):
            start = time.perf_counter()
            batch = next(iterator)
            self.data_seconds += time.perf_counter() - start
            logs = step(batch)
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
        means = {
            name: sum(float(logs[name]) for logs in self._pending) / len(self._pending) for name in self._pending[0]
        }
        self._pending = []
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


class Checkpointing(tf.keras.callbacks.Callback):
    """Saves at the end of each epoch and every so many steps (0: not between epochs). `save`: function that does it."""

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


class StopTogether(tf.keras.callbacks.Callback):
    """Ends `fit` at the same step on all ranks: at the end of the run, or soon after one of them got SIGTERM.

    The ranks must agree on a step, or those that go on wait for the others for ever. They ask each other every few
    seconds, at steps that all of them know from the last answer.

    Args:
        steps: Steps.
        world: World.
        flag: StopFlag of this process.

    Attributes: stopped, whether SIGTERM ended the run.
    """

    _supports_tf_logs = True

    def __init__(self, steps, world, flag):
        super().__init__()
        self._steps, self._world, self._flag = steps, world, flag
        self._next, self._asked_step, self._asked_at = steps.step + 1, steps.step, time.perf_counter()
        self.stopped = False

    def on_train_batch_end(self, batch, logs=None):
        """Asks where it is time to."""
        if self._steps.step >= self._next or self._steps.at_epoch_end:
            self.ask()
        if self._steps.step >= self._steps.total:
            self.model.stop_training = True

    def on_epoch_end(self, epoch, logs=None):
        """Asks: an evaluation takes long, and SIGTERM leaves little time."""
        self.ask()

    def ask(self):
        """Sets `stopped` and ends `fit` where any rank has been told to stop. All ranks call it at the same step."""
        if self._world.size == 1:
            self.stopped = self.stopped or self._flag.is_set()
        else:
            seconds = (time.perf_counter() - self._asked_at) / max(1, self._steps.step - self._asked_step)
            told, seconds = self._world.sum(tf.constant([float(self._flag.is_set()), seconds])).numpy()
            self.stopped = self.stopped or told > 0
            pause = _AGREE_SECONDS / max(float(seconds) / self._world.size, 1e-6)
            self._next = self._steps.step + int(min(max(pause, 1), _AGREE_MOST_STEPS))
            self._asked_step, self._asked_at = self._steps.step, time.perf_counter()
        if self.stopped:
            self.model.stop_training = True


class StopFlag:
    """A context in which SIGTERM sets a flag instead of ending the process."""

    def __enter__(self):
        self._event = threading.Event()
        # Python allows handlers in the main thread only; elsewhere SIGTERM stays what it was.
        self._installed = threading.current_thread() is threading.main_thread()
        if self._installed:
            self._before = signal.signal(signal.SIGTERM, self._set)
        return self

    def __exit__(self, *_):
        if self._installed:
            signal.signal(signal.SIGTERM, self._before)

    def is_set(self):
        """Whether SIGTERM has come."""
        return self._event.is_set()

    def _set(self, *_):
        self._event.set()


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


def clock(seconds):
    """Seconds as h:mm:ss."""
    minutes, seconds = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{seconds:02d}"
