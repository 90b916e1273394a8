"""SGD with momentum as PyTorch defines it."""

import tensorflow as tf

from awsdet.inference.checkpoint import name_of
from awsdet.ops.multi_tensor import sgd_update
from awsdet.training.shared import Shared


@tf.keras.utils.register_keras_serializable(package="awsdet")
class SGD(Shared):
    """Momentum SGD as defined by PyTorch, which mmdetection and Detectron2 use.

    buffer = momentum * buffer + gradient + weight_decay * variable; variable -= learning_rate * buffer. (Keras' SGD
    has no weight decay, and applies the learning rate inside the buffer, which differs whenever the rate changes.)

    All variables of one Factor are updated in one operation, and the averages of all in another.
    """

    def __init__(self, learning_rate=0.02, momentum=0.9, weight_decay=1e-4, average_decay=0.0, name="SGD", **kwargs):
        """average_decay, kwargs: see `Shared`."""
        super().__init__(learning_rate, name, average_decay, **kwargs)
        self._momentum, self._weight_decay = momentum, weight_decay

    def _update_all(self, gradients, variables, numbers, factor, apply):
        """One operation for each Factor."""
        done = []
        for group, places in self._factors.groups(map(name_of, variables)).items():
            members = [variables[place] for place in places]
            done.append(
                sgd_update(
                    members,
                    [self.get_slot(variable, "momentum") for variable in members],
                    [gradients[place] for place in places],
                    learning_rate=_scaled(numbers["lr_t"], group.rate),
                    momentum=self._momentum,
                    weight_decay=self._weight_decay * group.decay,
                    factor=factor,
                    apply=apply,
                )
            )
        return [operation for operation in done if operation is not None]

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
