"""Stops `fit` at the same step on all ranks."""

import signal
import threading
import time

import tensorflow as tf

from awsdet.runtime.world import HostsChanged

_AGREE_SECONDS = 2.0  # about how often the ranks ask each other whether one of them was told to stop
_AGREE_MOST_STEPS = 100


class StopTogether(tf.keras.callbacks.Callback):
    """Ends `fit` at the same step on all ranks: at the end of the run, or soon after one of them was told to stop.

    The ranks must agree on a step, or those that go on would wait for the others for ever. They ask each other every
    few seconds; each answer tells all of them at which step to ask next.

    Args:
        steps: Steps.
        world: World.
        told: function that returns whether this process was told to stop, for example by SIGTERM.
        arrived: function that returns whether a score is there; collect: function that takes it, called on all ranks.

    In an elastic world they also agree on when to let hosts join or leave: at the next update of the weights. This then
    raises HostsChanged on all ranks. And they agree on when to take a score that another process has computed.

    Attributes: stopped, whether the run was ended because a rank was told to stop.
    """

    _supports_tf_logs = True

    def __init__(self, steps, world, told, arrived=lambda: False, collect=lambda: None):
        super().__init__()
        self._steps, self._world, self._told = steps, world, told
        self._arrived, self._collect = arrived, collect
        self._next, self._asked_step, self._asked_at = steps.step + 1, steps.step, time.perf_counter()
        self.stopped = self._hosts_changed = False

    def on_train_batch_end(self, batch, logs=None):
        """Asks if it is time to."""
        if self._steps.step >= self._next or self._steps.at_epoch_end:
            self.ask()
        if self._steps.step >= self._steps.total:
            self.model.stop_training = True
        elif self._hosts_changed and not self.model.stop_training and self._steps.at_update:
            raise HostsChanged

    def on_epoch_end(self, epoch, logs=None):
        """Asks, since an evaluation takes long and SIGTERM leaves little time."""
        self.ask()

    def ask(self):
        """Sets `stopped` and ends `fit` if any rank has been told to stop; takes a score that is there.

        All ranks call it at the same step.
        """
        if self._world.size == 1:
            self.stopped = self.stopped or self._told()
            self._hosts_changed, arrived = self._world.hosts_changed, self._arrived()
        else:
            seconds = (time.perf_counter() - self._asked_at) / max(1, self._steps.step - self._asked_step)
            mine = [float(self._told()), float(self._world.hosts_changed), float(self._arrived()), seconds]
            told, changed, arrived, seconds = self._world.sum(tf.constant(mine), "stop").numpy()
            self.stopped = self.stopped or told > 0
            self._hosts_changed = changed > 0
            pause = _AGREE_SECONDS / max(float(seconds) / self._world.size, 1e-6)
            self._next = self._steps.step + int(min(max(pause, 1), _AGREE_MOST_STEPS))
            self._asked_step, self._asked_at = self._steps.step, time.perf_counter()
        if self.stopped:
            self.model.stop_training = True
        if arrived:
            self._collect()


class StopFlag:
    """A context in which SIGTERM sets a flag instead of ending the process."""

    def __init__(self):
        self._event, self._installed, self._before = threading.Event(), False, None

    def __enter__(self):
        # Python allows signal handlers only in the main thread; in other threads SIGTERM keeps its effect.
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
