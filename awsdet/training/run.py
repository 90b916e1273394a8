"""What the parts of a training run share."""

import time
from typing import Any, NamedTuple

import tensorflow as tf

from awsdet.models.detector import Detector
from awsdet.runtime.world import World
from awsdet.training.inputs import Inputs
from awsdet.training.steps import Steps


class Timer:
    """The seconds that a run has taken, including those before it was resumed."""

    def __init__(self):
        self._start, self._before = time.monotonic(), 0.0

    def add(self, seconds):
        """Adds the seconds that the run took before it was resumed."""
        self._before += seconds

    def seconds(self):
        """The seconds until now."""
        return self._before + time.monotonic() - self._start


class Run(NamedTuple):
    """The parts of a run."""

    config: Any  # ConfigDict
    inputs: Inputs
    world: World
    detector: Detector
    optimizer: tf.keras.optimizers.legacy.Optimizer
    steps: Steps
    timer: Timer
