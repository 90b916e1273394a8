"""Optimizers: SGD as PyTorch defines it, NovoGrad and LAMB, averaged weights, loss scaling.

They are `tf.keras.optimizers.legacy` optimizers, like those of tensorflow-addons.
"""

import contextlib
import re
import warnings

import tensorflow as tf
from absl import logging

from awsdet.config import check_section
from awsdet.ops.multi_tensor import moving_average, sgd_update

# The values of the papers, used if config.optimizer.beta_2 is 0. config.optimizer.momentum is beta 1.
BETA_2 = {"novograd": 0.98, "lamb": 0.999}
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
        optimizer = SGD(schedule, settings.momentum, settings.weight_decay, settings.ema_decay)
    else:
        optimizer = _from_addons(settings, schedule)
    with tf.device("CPU:0"):  # so that the host need not ask a GPU for it
        optimizer.iterations  # noqa: B018 -- the first use makes it
    if precision == "mixed_float16":
        optimizer = tf.keras.mixed_precision.LossScaleOptimizer(optimizer)
    return optimizer


@tf.keras.utils.register_keras_serializable(package="awsdet")
class SGD(tf.keras.optimizers.legacy.Optimizer):
    """Momentum SGD as defined by PyTorch, which mmdetection and Detectron2 use.

    buffer = momentum * buffer + gradient + weight_decay * variable; variable -= learning_rate * buffer. (Keras' SGD
    has no weight decay, and applies the learning rate inside the buffer, which differs whenever the rate changes.)

    All variables are updated in one operation, and their averages in another. Under a wrapper that changes each
    variable by itself, and for variables that are not float32, that takes several operations per variable.
    """

    _HAS_AGGREGATE_GRAD = True

    def __init__(self, learning_rate=0.02, momentum=0.9, weight_decay=1e-4, average_decay=0.0, name="SGD", **kwargs):
        """`average_decay`: of the exponential moving averages of the variables, the slot "average"; 0: none are kept.

        Averages, their names and their rule are those of MovingAverage of tensorflow-addons with a dynamic decay: in
        update t, from 0 on, average -= (average - variable) * (1 - min(average_decay, (1 + t) / (10 + t))). The decay
        starts lower so that the average of a short run is not its initial weights.
        """
        super().__init__(name, **kwargs)
        self._set_hyper("learning_rate", learning_rate)
        self._set_hyper("decay", self._initial_decay)
        # Plain numbers: hyper-parameters of Keras would be restored from a checkpoint and undo a changed setting.
        self._momentum, self._weight_decay, self._average_decay = momentum, weight_decay, average_decay

    def can_update(self, variables):
        """Whether `update` does all that `apply_gradients` would do with these variables."""
        alike = {(variable.device, variable.dtype.base_dtype) for variable in variables}
        changed_gradients = self.clipnorm or self.clipvalue or self.global_clipnorm or self.gradient_transformers
        return (
            len(alike) == 1
            and variables[0].dtype.base_dtype == tf.float32
            and all(variable.constraint is None for variable in variables)
            and not changed_gradients
            and not tf.distribute.has_strategy()
        )

    def update(self, gradients, variables, factor=1.0, apply=True):
        """One update by `factor` * gradients, as `apply_gradients` does without a factor.

        Args:
            gradients, variables: lists of float32 tensors and variables.
            factor: float32 scalar.
            apply: bool scalar. If it is false, the variables stay as they are; it is counted as an update nonetheless,
                as Keras' LossScaleOptimizer counts those that it leaves out. On a GPU the host does not wait for it.

        Returns what `tf.control_dependencies` takes, or None if it runs eagerly.
        """
        with tf.name_scope(self._name):
            with tf.init_scope():
                self._create_all_weights(variables)
            return self._at_once(gradients, variables, self._prepare(variables), factor, apply)

    def _at_once(self, gradients, variables, apply_state, factor, apply):
        numbers = apply_state[variables[0].device, tf.float32]
        done = sgd_update(
            variables,
            [self.get_slot(variable, "momentum") for variable in variables],
            gradients,
            learning_rate=numbers["lr_t"],
            momentum=self._momentum,
            weight_decay=self._weight_decay,
            factor=factor,
            apply=apply,
        )
        if self._average_decay:
            with tf.control_dependencies([] if done is None else [done]):
                values = [variable.read_value() for variable in variables]
            means = [self.get_slot(variable, "average") for variable in variables]
            done = moving_average(means, values, numbers["average_decay"], apply)
        # Not after the update, as Keras has it: the counter may be on another device, which would wait for this one.
        self.iterations.assign_add(1, read_value=False)
        return done

    def _distributed_apply(self, distribution, grads_and_vars, apply_state, name):
        gradients, variables = zip(*grads_and_vars)
        if not self.can_update(variables):
            return super()._distributed_apply(distribution, grads_and_vars, apply_state, name)
        return self._at_once([tf.convert_to_tensor(g) for g in gradients], variables, apply_state, 1.0, True)

    def _prepare_local(self, var_device, var_dtype, apply_state):
        # A schedule is a dozen operations on scalars. They cost least beside the counter of updates, on the CPU.
        scheduled = isinstance(self._hyper["learning_rate"], tf.keras.optimizers.schedules.LearningRateSchedule)
        with tf.device(self.iterations.device if scheduled else var_device):
            super()._prepare_local(var_device, var_dtype, apply_state)
        if self._average_decay:
            with tf.device(self.iterations.device):
                step = tf.cast(self.iterations, tf.float32)
                decay = tf.minimum(self._average_decay, (1.0 + step) / (10.0 + step))
            apply_state[var_device, var_dtype]["average_decay"] = decay

    def _create_slots(self, var_list):
        for variable in var_list:
            self.add_slot(variable, "momentum")
            if self._average_decay:
                self.add_slot(variable, "average", variable.read_value())

    def _resource_apply_dense(self, grad, var, apply_state=None):
        place = (var.device, var.dtype.base_dtype)
        numbers = (apply_state or {}).get(place) or self._fallback_apply_state(*place)
        done = tf.raw_ops.ResourceApplyMomentum(
            var=var.handle,
            accum=self.get_slot(var, "momentum").handle,
            lr=numbers["lr_t"],
            grad=grad + self._weight_decay * var,
            momentum=self._momentum,
            use_locking=self._use_locking,
        )
        if not self._average_decay:
            return done
        with tf.control_dependencies([] if done is None else [done]):
            mean = self.get_slot(var, "average")
            return tf.keras.backend.moving_average_update(mean, var.read_value(), numbers["average_decay"])

    def _resource_apply_sparse(self, grad, var, indices, apply_state=None):
        # Momentum and weight decay change every row, not only the rows of the gradient.
        dense = tf.IndexedSlices(grad, indices, tf.shape(var))
        return self._resource_apply_dense(tf.convert_to_tensor(dense), var, apply_state)

    def get_config(self):
        """The constructor's arguments."""
        own = {"momentum": self._momentum, "weight_decay": self._weight_decay, "average_decay": self._average_decay}
        return {**super().get_config(), "learning_rate": self._serialize_hyperparameter("learning_rate"), **own}


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
