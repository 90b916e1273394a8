"""What the parts of a training run share."""

import time
from typing import Any, NamedTuple

import tensorflow as tf

from awsdet.models.detector import Detector
from awsdet.runtime.world import World
from awsdet.train.inputs import Inputs
from awsdet.train.steps import Steps


class Timer:
    """Seconds that a run has taken, those before it was resumed included."""

    def __init__(self):
        self._start, self._before = time.monotonic(), 0.0

    def add(self, seconds):
        """Counts what the run took before it was resumed."""
        self._before += seconds

    def seconds(self):
        """All together."""
        return self._before + time.monotonic() - self._start


class Run(NamedTuple):
    """A run, put together."""

    config: Any  # ConfigDict
    inputs: Inputs
    world: World
    detector: Detector
    optimizer: tf.keras.optimizers.legacy.Optimizer
    steps: Steps
    timer: Timer
