"""The optimizer of a run: SGD, AdamW, NovoGrad or LAMB, with averaged weights and loss scaling if they are asked for.

They are `tf.keras.optimizers.legacy` optimizers, like those of tensorflow-addons.
"""

import contextlib
import re
import warnings

import tensorflow as tf
from absl import logging

from awsdet.config import check_section
from awsdet.training.adamw import AdamW
from awsdet.training.sgd import SGD

# The values of the papers, used if config.optimizer.beta_2 is 0. config.optimizer.momentum is beta 1.
BETA_2 = {"adamw": 0.999, "novograd": 0.98, "lamb": 0.999}
# LAMB neither decays biases and the parameters of normalisations nor rescales their updates, as in its paper.
LAMB_PLAIN_VARIABLES = ["bias", "gamma", "beta"]


def peak_learning_rate(settings, images):
    """The learning rate after the warm-up for `images` per update; `settings`: config.optimizer."""
    scale = images / settings.base_batch if settings.scale_learning_rate else 1
    return settings.learning_rate * scale


def scaled_learning_rate(settings, batch_size, world_size, accumulate_steps):
    """The peak learning rate, scaled from that for `base_batch` images per update; logs how it was scaled.

    Args:
        settings: config.optimizer.
        batch_size: images per process and step.
        world_size: number of processes.
        accumulate_steps: steps per update.
    """
    images = batch_size * world_size * accumulate_steps
    parts = f"{batch_size} per process x {world_size} processes x {accumulate_steps} accumulated steps"
    if not settings.scale_learning_rate:
        logging.info("learning rate %g as given, for %d images per update (%s)", settings.learning_rate, images, parts)
        return settings.learning_rate
    rate = peak_learning_rate(settings, images)
    logging.info(
        "learning rate %g: the config gives %g for %d images per update, and this run has %d (%s)",
        rate,
        settings.learning_rate,
        settings.base_batch,
        images,
        parts,
    )
    return rate


def build_optimizer(settings, schedule, precision="float32"):
    """The optimizer of a run.

    Args:
        settings: config.optimizer.
        schedule: learning rate, a number or a LearningRateSchedule.
        precision: config.model.precision; mixed_float16 gets dynamic loss scaling.

    Raises UserError if a setting is invalid.
    """
    check_section("optimizer", settings)
    if settings.name == "sgd":
        optimizer = SGD(schedule, settings.momentum, settings.weight_decay, **_shared(settings))
    elif settings.name == "adamw":
        beta_2 = settings.beta_2 or BETA_2["adamw"]
        optimizer = AdamW(schedule, settings.momentum, beta_2, settings.weight_decay, **_shared(settings))
    else:
        optimizer = _from_addons(settings, schedule)
    with tf.device("CPU:0"):  # so that the host need not ask a GPU for it
        optimizer.iterations  # noqa: B018 -- the first use makes it
    if precision == "mixed_float16":
        optimizer = tf.keras.mixed_precision.LossScaleOptimizer(optimizer)
    return optimizer


def create_slots(optimizer, variables):
    """Makes the variables of the optimizer now. It would make them at the first update, too late to restore them."""
    with tf.init_scope():
        optimizer._create_all_weights(variables)  # there is no public way without an update


def state_variables(optimizer):
    """All variables of an optimizer: number of updates, slots, and the loss scale if it has one."""
    found = list(optimizer.weights)
    if isinstance(optimizer, tf.keras.mixed_precision.LossScaleOptimizer):
        found += [optimizer._loss_scale.current_loss_scale, optimizer.dynamic_counter]  # the first has no public name
    return found


def averages(optimizer, variables):
    """The averaged values (EMA) of `variables`, a list of variables in their order; None if none are kept."""
    inner = getattr(optimizer, "inner_optimizer", optimizer)
    if "average" not in inner.get_slot_names():
        return None
    return [inner.get_slot(variable, "average") for variable in variables]


@contextlib.contextmanager
def averaged_weights(optimizer, variables):
    """A context in which `variables` hold their averages (EMA), if there are any; restores them exactly at its end."""
    means = averages(optimizer, variables)
    if means is None:
        yield
        return
    kept = [variable.numpy() for variable in variables]
    try:
        for variable, mean in zip(variables, means):
            variable.assign(mean)
        yield
    finally:
        for variable, value in zip(variables, kept):
            variable.assign(value)


def _shared(settings):
    """The arguments of `Shared`."""
    return {
        "average_decay": settings.ema_decay,
        "rules": settings.rules,
        "layer_decay": settings.layer_decay,
    }


def _from_addons(settings, schedule):
    common = {
        "learning_rate": schedule,
        "beta_1": settings.momentum,
        "beta_2": settings.beta_2 or BETA_2[settings.name],
        "weight_decay": settings.weight_decay,
    }
    if settings.name == "novograd":
        optimizer = _addons().NovoGrad(**common)
    else:
        plain = [re.escape(name) for name in LAMB_PLAIN_VARIABLES]
        optimizer = _addons().LAMB(exclude_from_weight_decay=plain, exclude_from_layer_adaptation=plain, **common)
    if settings.ema_decay:
        optimizer = _addons().MovingAverage(optimizer, average_decay=settings.ema_decay, dynamic_decay=True)
    return optimizer


def _addons():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns that it is no longer developed, which users cannot change
        import tensorflow_addons.optimizers as addons
    return addons
