"""Optimizers: SGD as PyTorch defines it, NovoGrad and LAMB, averaged weights, loss scaling.

They are `tf.keras.optimizers.legacy` optimizers, as those of tensorflow-addons are.
"""

import contextlib
import re
import warnings

import tensorflow as tf
from absl import logging

from awsdet.runtime.errors import UserError

OPTIMIZERS = ("sgd", "novograd", "lamb")
# Of the papers; what config.optimizer.beta_2 = 0 stands for. config.optimizer.momentum is beta 1.
BETA_2 = {"novograd": 0.98, "lamb": 0.999}
# LAMB's paper decays neither biases nor the parameters of normalisations, nor rescales their updates.
LAMB_PLAIN_VARIABLES = ["bias", "gamma", "beta"]


def peak_learning_rate(settings, images):
    """The learning rate after the warm-up for `images` per update; `settings`: config.optimizer."""
    scale = images / settings.base_batch if settings.scale_learning_rate else 1
    return settings.learning_rate * scale


def scaled_learning_rate(settings, batch_size, world_size, accumulate_steps):
    """The peak learning rate: config.optimizer.learning_rate is for `base_batch` images an update; logs what it does.

    Args:
        settings: config.optimizer.
        batch_size: images a process and step.
        world_size: processes.
        accumulate_steps: steps an update.
    """
    images = batch_size * world_size * accumulate_steps
    parts = f"{batch_size} a process x {world_size} x {accumulate_steps} accumulated"
    if not settings.scale_learning_rate:
        logging.info("learning rate %g as given, for %d images an update (%s)", settings.learning_rate, images, parts)
        return settings.learning_rate
    rate = peak_learning_rate(settings, images)
    logging.info(
        "learning rate %g: %g is for %d images an update, this run has %d (%s)",
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

    Raises UserError where a setting cannot be.
    """
    check_settings(settings)
    if settings.name == "sgd":
        optimizer = SGD(schedule, settings.momentum, settings.weight_decay)
    else:
        optimizer = _from_addons(settings, schedule)
    if settings.ema_decay:
        # The decay grows to its value, (1 + t) / (10 + t), so that a short run's average is not its initial weights.
        optimizer = _addons().MovingAverage(optimizer, average_decay=settings.ema_decay, dynamic_decay=True)
    if precision == "mixed_float16":
        optimizer = tf.keras.mixed_precision.LossScaleOptimizer(optimizer)
    return optimizer


def check_settings(settings):
    """Raises UserError where config.optimizer holds a value that cannot be."""
    if settings.name not in OPTIMIZERS:
        raise UserError(f"optimizer.name is {settings.name!r}; it must be one of {', '.join(OPTIMIZERS)}")
    if settings.learning_rate <= 0 or settings.base_batch < 1:
        raise UserError(
            f"optimizer.learning_rate is {settings.learning_rate} for base_batch {settings.base_batch}; both must be "
            "above 0"
        )
    for name in ("momentum", "beta_2", "ema_decay"):
        if not 0 <= settings[name] < 1:
            raise UserError(f"optimizer.{name} is {settings[name]}; it must be 0 or more and below 1")
    for name in ("weight_decay", "clip_norm"):
        if settings[name] < 0:
            raise UserError(f"optimizer.{name} is {settings[name]}; it must be 0 or more")
    if settings.beta_2 and settings.name not in BETA_2:
        raise UserError(
            f"optimizer.beta_2 is {settings.beta_2}, but {settings.name} has none; leave it 0, or use "
            f"optimizer.name={' or '.join(BETA_2)}"
        )


@tf.keras.utils.register_keras_serializable(package="awsdet")
class SGD(tf.keras.optimizers.legacy.Optimizer):
    """Momentum SGD as PyTorch, and with it mmdetection and Detectron2, defines it.

    buffer = momentum * buffer + gradient + weight_decay * variable; variable -= learning_rate * buffer. (Keras' SGD
    has the learning rate inside the buffer, which differs whenever the rate changes, and no weight decay.)
    """

    _HAS_AGGREGATE_GRAD = True

    def __init__(self, learning_rate=0.02, momentum=0.9, weight_decay=1e-4, name="SGD", **kwargs):
        super().__init__(name, **kwargs)
        self._set_hyper("learning_rate", learning_rate)
        self._set_hyper("decay", self._initial_decay)
        # Plain numbers: as Keras hyper-parameters they would come back from a checkpoint and undo a changed setting.
        self._momentum, self._weight_decay = momentum, weight_decay

    def _create_slots(self, var_list):
        for variable in var_list:
            self.add_slot(variable, "momentum")

    def _resource_apply_dense(self, grad, var, apply_state=None):
        place = (var.device, var.dtype.base_dtype)
        numbers = (apply_state or {}).get(place) or self._fallback_apply_state(*place)
        return tf.raw_ops.ResourceApplyMomentum(
            var=var.handle,
            accum=self.get_slot(var, "momentum").handle,
            lr=numbers["lr_t"],
            grad=grad + self._weight_decay * var,
            momentum=self._momentum,
            use_locking=self._use_locking,
        )

    def _resource_apply_sparse(self, grad, var, indices, apply_state=None):
        # Momentum and weight decay move every row, whichever rows the gradient has.
        dense = tf.IndexedSlices(grad, indices, tf.shape(var))
        return self._resource_apply_dense(tf.convert_to_tensor(dense), var, apply_state)

    def get_config(self):
        """The constructor's arguments."""
        own = {"momentum": self._momentum, "weight_decay": self._weight_decay}
        return {**super().get_config(), "learning_rate": self._serialize_hyperparameter("learning_rate"), **own}


def create_slots(optimizer, variables):
    """Makes the optimizer's variables now; by itself it makes them at the first update, too late to restore them."""
    with tf.init_scope():
        optimizer._create_all_weights(variables)  # nothing public makes them without an update


def state_variables(optimizer):
    """All variables of an optimizer: updates counted, slots, and the loss scale where there is one."""
    found = list(optimizer.weights)
    if isinstance(optimizer, tf.keras.mixed_precision.LossScaleOptimizer):
        found += [optimizer._loss_scale.current_loss_scale, optimizer.dynamic_counter]  # the first has no public name
    return found


def averages(optimizer, variables):
    """The averaged values (EMA) of `variables`, a list of variables in their order; None where none are kept."""
    inner = getattr(optimizer, "inner_optimizer", optimizer)
    if "average" not in inner.get_slot_names():
        return None
    return [inner.get_slot(variable, "average") for variable in variables]


@contextlib.contextmanager
def averaged_weights(optimizer, variables):
    """While inside, `variables` hold their averages (EMA), if the optimizer keeps them; exactly restored afterwards."""
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


def _from_addons(settings, schedule):
    common = {
        "learning_rate": schedule,
        "beta_1": settings.momentum,
        "beta_2": settings.beta_2 or BETA_2[settings.name],
        "weight_decay": settings.weight_decay,
    }
    if settings.name == "novograd":
        return _addons().NovoGrad(**common)
    plain = [re.escape(name) for name in LAMB_PLAIN_VARIABLES]
    return _addons().LAMB(exclude_from_weight_decay=plain, exclude_from_layer_adaptation=plain, **common)


def _addons():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it says that it is no longer developed, which its users cannot change
        import tensorflow_addons.optimizers as addons
    return addons
