"""What our optimizers have in common: averages of the variables (EMA), and factors of the rate and of the decay."""

import tensorflow as tf

from awsdet.inference.checkpoint import name_of
from awsdet.training.factors import Factors


class Shared(tf.keras.optimizers.legacy.Optimizer):
    """An optimizer with averages and factors; a subclass has the rule of its update.

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
