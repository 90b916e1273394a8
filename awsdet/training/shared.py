"""What our optimizers have in common: updates of all variables at once, averages (EMA), factors of rate and decay."""

import tensorflow as tf

from awsdet.inference.checkpoint import name_of
from awsdet.ops.multi_tensor import moving_average
from awsdet.training.factors import Factors


class Shared(tf.keras.optimizers.legacy.Optimizer):
    """An optimizer with averages and factors; a subclass has the rule of its update.

    It has the rule twice: `_update_all` for all variables at once, and `_resource_apply_dense`, Keras' way, for one.
    The second is for a wrapper that changes each variable by itself, and for variables that are not float32. A step
    then takes several operations per variable, on a GPU as many launches.

    The averages are the slots "average". Their names and their rule are those of MovingAverage of tensorflow-addons
    with a dynamic decay: in update t, from 0 on, average -= (average - variable) * (1 - min(average_decay,
    (1 + t) / (10 + t))). The decay starts lower so that the average of a short run is not its initial weights.
    """

    _HAS_AGGREGATE_GRAD = True

    def __init__(self, learning_rate, name, average_decay=0.0, rules="", layer_decay=1.0, **kwargs):
        """average_decay: 0 keeps no averages. rules, layer_decay: see `Factors`."""
        super().__init__(name, **kwargs)
        self._set_hyper("learning_rate", learning_rate)
        self._set_hyper("decay", self._initial_decay)
        # Plain numbers: hyper-parameters of Keras would be restored from a checkpoint and undo a changed setting.
        self._average_decay, self._factors = average_decay, Factors(rules, layer_decay)

    def factor_of(self, variable):
        """The Factor of a variable."""
        return self._factors.of(name_of(variable))

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

    def _update_all(self, gradients, variables, numbers, factor, apply):
        """Changes all variables by the rule. `numbers`: what `_prepare_local` made. Otherwise as `update`.

        Returns the operations to wait for: none if they run eagerly.
        """
        raise NotImplementedError

    def _at_once(self, gradients, variables, apply_state, factor, apply):
        numbers = apply_state[variables[0].device, tf.float32]
        done = self._update_all(gradients, variables, numbers, factor, apply)
        if self._average_decay:
            with tf.control_dependencies(done):
                values = [variable.read_value() for variable in variables]
            means = [self.get_slot(variable, "average") for variable in variables]
            means_done = moving_average(means, values, numbers["average_decay"], apply)
            done = [] if means_done is None else [means_done]
        # Not after the update, as Keras has it: the counter may be on another device, which would wait for this one.
        self.iterations.assign_add(1, read_value=False)
        if len(done) > 1:
            return tf.group(*done)
        return done[0] if done else None

    def _distributed_apply(self, distribution, grads_and_vars, apply_state, name):
        gradients, variables = zip(*grads_and_vars)
        if not self.can_update(variables):
            return self._one_by_one(distribution, grads_and_vars, apply_state, name)
        return self._at_once([tf.convert_to_tensor(g) for g in gradients], variables, apply_state, 1.0, True)

    def _one_by_one(self, distribution, grads_and_vars, apply_state, name):
        """What Keras does: `_resource_apply_dense` for each variable."""
        return super()._distributed_apply(distribution, grads_and_vars, apply_state, name)

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

    def _create_averages(self, variables):
        if self._average_decay:
            for variable in variables:
                self.add_slot(variable, "average", variable.read_value())

    def _numbers(self, variable, apply_state):
        """What `_prepare_local` made for a variable."""
        place = (variable.device, variable.dtype.base_dtype)
        return (apply_state or {}).get(place) or self._fallback_apply_state(*place)

    def _averaged(self, done, variable, numbers):
        """Follows an update of one variable, `done`, with its average. Returns the operation to wait for."""
        if not self._average_decay:
            return done
        with tf.control_dependencies([] if done is None else [done]):
            mean = self.get_slot(variable, "average")
            return tf.keras.backend.moving_average_update(mean, variable.read_value(), numbers["average_decay"])

    def _resource_apply_sparse(self, grad, var, indices, apply_state=None):
        # Moments and weight decay change every row, not only the rows of the gradient.
        dense = tf.IndexedSlices(grad, indices, tf.shape(var))
        return self._resource_apply_dense(tf.convert_to_tensor(dense), var, apply_state)

    def get_config(self):
        """The constructor's arguments."""
        return {
            **super().get_config(),
            "learning_rate": self._serialize_hyperparameter("learning_rate"),
            "average_decay": self._average_decay,
            "rules": self._factors.text,
            "layer_decay": self._factors.layer_decay,
        }
