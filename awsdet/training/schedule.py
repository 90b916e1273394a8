"""Learning rate as a function of the number of updates: linear warm-up, then steps or a cosine.

The rates are those of mmdetection: the warm-up multiplies the rate of the schedule. An update is one call of the
optimizer, which is `accumulate_steps` training steps.
"""

import math

import tensorflow as tf

from awsdet.config import check_section
from awsdet.runtime.errors import UserError


def build_schedule(settings, peak, steps_per_epoch, total_steps, accumulate_steps=1):
    """The schedule of a run.

    Args:
        settings: config.schedule.
        peak: the learning rate after warm-up.
        steps_per_epoch, total_steps: training steps per epoch and in the whole run.
        accumulate_steps: training steps per update.

    Raises UserError if a setting is invalid.
    """
    check_settings(settings)
    warm_up = (peak, settings.warmup_steps, settings.warmup_ratio)
    return SCHEDULES[settings.name](settings, warm_up, steps_per_epoch, total_steps, accumulate_steps)


def _step_decay(settings, warm_up, steps_per_epoch, total_steps, accumulate_steps):
    steps = [epoch * steps_per_epoch for epoch in settings.decay_epochs]
    if any(settings.decay_shares):
        steps = [round(share * total_steps) for share in settings.decay_shares]
    boundaries = [step // accumulate_steps for step in steps]
    if any(settings.decay_updates):
        boundaries = settings.decay_updates
    return StepDecay(*warm_up, boundaries, settings.decay_factor)


def _cosine(settings, warm_up, steps_per_epoch, total_steps, accumulate_steps):
    del steps_per_epoch
    return Cosine(*warm_up, max(1, total_steps // accumulate_steps), settings.final_ratio)


# Name of a schedule -> the function (config.schedule, warm_up, steps_per_epoch, total_steps, accumulate_steps) that
# makes it; `warm_up` holds the first three arguments of `WarmUp`.
SCHEDULES = {"step": _step_decay, "cosine": _cosine}


class WarmUp(tf.keras.optimizers.schedules.LearningRateSchedule):
    """Rises linearly from `peak * warmup_ratio` to `peak` over `warmup_steps` updates, times the factor that a
    subclass's `decay(step)` gives for each update."""

    def __init__(self, peak, warmup_steps, warmup_ratio):
        self.peak, self.warmup_steps, self.warmup_ratio = peak, warmup_steps, warmup_ratio

    def __call__(self, step):
        """float32 scalar: the rate of update `step`, counted from 0."""
        step = tf.cast(step, tf.float32)
        done = tf.minimum(step / max(self.warmup_steps, 1), 1.0) if self.warmup_steps else 1.0
        return self.peak * (self.warmup_ratio + (1.0 - self.warmup_ratio) * done) * self.decay(step)

    def get_config(self):
        """The constructor's arguments."""
        return {"peak": self.peak, "warmup_steps": self.warmup_steps, "warmup_ratio": self.warmup_ratio}


@tf.keras.utils.register_keras_serializable(package="awsdet")
class StepDecay(WarmUp):
    """The rate is multiplied by `decay_factor` at each of the updates `boundaries`."""

    def __init__(self, peak, warmup_steps, warmup_ratio, boundaries, decay_factor):
        super().__init__(peak, warmup_steps, warmup_ratio)
        self.boundaries, self.decay_factor = list(boundaries), decay_factor

    def decay(self, step):
        passed = sum(tf.cast(step >= boundary, tf.float32) for boundary in self.boundaries)
        return tf.pow(tf.constant(self.decay_factor, tf.float32), passed)

    def get_config(self):
        """The constructor's arguments."""
        return {**super().get_config(), "boundaries": self.boundaries, "decay_factor": self.decay_factor}


@tf.keras.utils.register_keras_serializable(package="awsdet")
class Cosine(WarmUp):
    """Half a cosine from the end of the warm-up to update number `updates`, where `final_ratio` of the peak is left."""

    def __init__(self, peak, warmup_steps, warmup_ratio, updates, final_ratio):
        super().__init__(peak, warmup_steps, warmup_ratio)
        self.updates, self.final_ratio = updates, final_ratio

    def decay(self, step):
        length = max(1, self.updates - self.warmup_steps)
        done = tf.clip_by_value((step - self.warmup_steps) / length, 0.0, 1.0)
        return self.final_ratio + (1.0 - self.final_ratio) * 0.5 * (1.0 + tf.cos(math.pi * done))

    def get_config(self):
        """The constructor's arguments."""
        return {**super().get_config(), "updates": self.updates, "final_ratio": self.final_ratio}


class Followed(tf.keras.optimizers.schedules.LearningRateSchedule):
    """A schedule for a run whose images per update change (see `pace`).

    `set` tells it how to go on; a traced training step follows, since the numbers are variables. They belong to no
    model or optimizer: a checkpoint holds them in its description.

    Args:
        schedule: the schedule in updates of the reference.
    """

    def __init__(self, schedule):
        self.schedule = schedule
        with tf.device("CPU:0"):
            self._first = tf.Variable(0, dtype=tf.int64, trainable=False)
            self._position, self._ratio, self._factor = (tf.Variable(x, trainable=False) for x in (0.0, 1.0, 1.0))

    def set(self, first, position, ratio, factor):
        """From update number `first` on, at `position` of the schedule, each update counts as `ratio` updates of the
        reference and has `factor` times their rate."""
        pairs = zip((self._first, self._position, self._ratio, self._factor), (first, position, ratio, factor))
        for variable, value in pairs:
            variable.assign(value)

    def position(self, update):
        """float32 scalar: the place in the schedule at update number `update`, counted from 0."""
        return self._position + tf.cast(tf.cast(update, tf.int64) - self._first, tf.float32) * self._ratio

    def __call__(self, step):
        """float32 scalar: the rate of update `step`, counted from 0."""
        return self._factor * self.schedule(self.position(step))

    def get_config(self):
        """The constructor's arguments."""
        return {"schedule": self.schedule}


def check_settings(settings):
    """Raises UserError if a setting of config.schedule is invalid, or names no schedule."""
    check_section("schedule", settings)
    if settings.name not in SCHEDULES:
        raise UserError(f"schedule.name is {settings.name!r}; it must be one of {', '.join(SCHEDULES)}")
