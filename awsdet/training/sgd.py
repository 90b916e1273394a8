"""SGD with momentum as PyTorch defines it."""

import tensorflow as tf

from awsdet.inference.checkpoint import name_of
from awsdet.ops.multi_tensor import moving_average, sgd_update
from awsdet.training.shared import Shared


@tf.keras.utils.register_keras_serializable(package="awsdet")
class SGD(Shared):
    """Momentum SGD as defined by PyTorch, which mmdetection and Detectron2 use.

    buffer = momentum * buffer + gradient + weight_decay * variable; variable -= learning_rate * buffer. (Keras' SGD
    has no weight decay, and applies the learning rate inside the buffer, which differs whenever the rate changes.)

    All variables of one Factor are updated in one operation, and the averages of all in another. Under a wrapper that
    changes each variable by itself, and for variables that are not float32, that takes several operations per variable.
    """

    def __init__(self, learning_rate=0.02, momentum=0.9, weight_decay=1e-4, average_decay=0.0, name="SGD", **kwargs):
        """average_decay, kwargs: see `Shared`."""
        super().__init__(learning_rate, name, average_decay, **kwargs)
        self._momentum, self._weight_decay = momentum, weight_decay

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
        done = self._update_groups(gradients, variables, numbers["lr_t"], factor, apply)
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

    def _update_groups(self, gradients, variables, learning_rate, factor, apply):
        """One operation for each Factor. Returns those to wait for: none if they run eagerly."""
        done = []
        for group, places in self._factors.groups(map(name_of, variables)).items():
            members = [variables[place] for place in places]
            done.append(
                sgd_update(
                    members,
                    [self.get_slot(variable, "momentum") for variable in members],
                    [gradients[place] for place in places],
                    learning_rate=_scaled(learning_rate, group.rate),
                    momentum=self._momentum,
                    weight_decay=self._weight_decay * group.decay,
                    factor=factor,
                    apply=apply,
                )
            )
        return [operation for operation in done if operation is not None]

    def _distributed_apply(self, distribution, grads_and_vars, apply_state, name):
        gradients, variables = zip(*grads_and_vars)
        if not self.can_update(variables):
            return super()._distributed_apply(distribution, grads_and_vars, apply_state, name)
        return self._at_once([tf.convert_to_tensor(g) for g in gradients], variables, apply_state, 1.0, True)

    def _create_slots(self, var_list):
        for variable in var_list:
            self.add_slot(variable, "momentum")
            self._create_averages([variable])

    def _resource_apply_dense(self, grad, var, apply_state=None):
        numbers, factor = self._numbers(var, apply_state), self.factor_of(var)
        done = tf.raw_ops.ResourceApplyMomentum(
            var=var.handle,
            accum=self.get_slot(var, "momentum").handle,
            lr=_scaled(numbers["lr_t"], factor.rate),
            grad=grad + self._weight_decay * factor.decay * var,
            momentum=self._momentum,
            use_locking=self._use_locking,
        )
        return self._averaged(done, var, numbers)

    def get_config(self):
        """The constructor's arguments."""
        return {**super().get_config(), "momentum": self._momentum, "weight_decay": self._weight_decay}


def _scaled(learning_rate, factor):
    return learning_rate if factor == 1.0 else learning_rate * factor
