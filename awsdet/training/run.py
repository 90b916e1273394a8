"""What the parts of a training run share."""

import time
from typing import Any, NamedTuple

import tensorflow as tf

from awsdet.models.detector import Detector
from awsdet.runtime.world import World
from awsdet.training.inputs import Inputs
from awsdet.training.pace import Pace, Reference
from awsdet.training.progress import Progress
from awsdet.training.schedule import Followed
from awsdet.training.steps import Steps


class Timer:
    """The seconds that a run has taken, including those before it was resumed."""

    def __init__(self):
        self._start, self._before = time.monotonic(), 0.0

    def resume(self, seconds):
        """Sets the seconds that the run took before this process. An elastic run may call it more than once, if a
        world breaks before its first commit."""
        self._before = seconds

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
    pace: Pace
    reference: Reference
    schedule: Any  # LearningRateSchedule
    elastic: bool  # whether the number of processes may change, or has changed in a part of the run before this

    def progress(self, metrics=None):
        """The present Progress; metrics: of an evaluation at this step."""
        steps = self.steps
        followed = isinstance(self.schedule, Followed)
        return Progress(
            steps.mark,
            steps.updated,
            self.pace.images,
            self.pace.accumulate,
            self.world.size,
            self.reference,
            float(self.schedule.position(self.optimizer.iterations)) if followed else None,
            self.timer.seconds(),
            metrics,
            self.elastic,
        )
