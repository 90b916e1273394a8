"""AdamW: Adam with a weight decay apart from the gradients, as PyTorch defines it."""

import numpy as np
import tensorflow as tf

from awsdet.ops.multi_tensor import adamw_update
from awsdet.training.shared import Shared


@tf.keras.utils.register_keras_serializable(package="awsdet")
class AdamW(Shared):
    """AdamW as `torch.optim.AdamW` has it (Loshchilov and Hutter, arXiv:1711.05101), which mmdetection's recipes use.

    In update t, from 1 on:

        variable -= learning_rate * weight_decay * variable
        m = beta_1 * m + (1 - beta_1) * gradient
        v = beta_2 * v + (1 - beta_2) * gradient^2
        variable -= learning_rate * (m / (1 - beta_1^t)) / (sqrt(v / (1 - beta_2^t)) + epsilon)

    Keras' AdamW adds epsilon, there 1e-7, to sqrt(v) before v is corrected, so that it counts for more in the first
    updates; the AdamW of tensorflow-addons also decays by weight_decay alone, without the learning rate.

    t counts the updates that are applied. One that a loss scale leaves out changes neither m and v nor t.

    All variables are updated in one operation, whatever their Factors, and the averages of all in another.
    """

    def __init__(
        self,
        learning_rate=2e-4,
        beta_1=0.9,
        beta_2=0.999,
        weight_decay=0.05,
        epsilon=1e-8,
        average_decay=0.0,
        name="AdamW",
        **kwargs,
    ):
        """average_decay, kwargs: see `Shared`."""
        super().__init__(learning_rate, name, average_decay, **kwargs)
        self._beta_1, self._beta_2, self._weight_decay, self._epsilon = beta_1, beta_2, weight_decay, epsilon
        self._applied = None

    @property
    def applied(self):
        """The number of updates that were applied: an int64 variable beside those that are updated, since only their
        device knows whether an update is applied. None before `create_slots` or the first update."""
        return self._applied

    def _create_slots(self, var_list):
        if self._applied is None:
            with tf.init_scope(), tf.device(var_list[0].device):
                self._applied = self.add_weight(
                    "applied", shape=[], dtype=tf.int64, trainable=False, initializer="zeros"
                )
            self._weights.append(self._applied)
        for variable in var_list:
            self.add_slot(variable, "m")
            self.add_slot(variable, "v")
            self._create_averages([variable])

    def _update_all(self, gradients, variables, numbers, factor, apply):
        factors = [self.factor_of(variable) for variable in variables]
        done = adamw_update(
            variables,
            [self.get_slot(variable, "m") for variable in variables],
            [self.get_slot(variable, "v") for variable in variables],
            gradients,
            self.applied,
            learning_rate=numbers["lr_t"],
            beta_1=self._beta_1,
            beta_2=self._beta_2,
            epsilon=self._epsilon,
            rate_factors=[own.rate for own in factors],
            weight_decays=[self._weight_decay * own.decay for own in factors],
            factor=factor,
            apply=apply,
        )
        return [] if done is None else [done]

    def _one_by_one(self, distribution, grads_and_vars, apply_state, name):
        done = super()._one_by_one(distribution, grads_and_vars, apply_state, name)
        self.applied.assign_add(1, read_value=False)
        return done

    def _corrected(self, numbers, dtype):
        """`numbers` with what the number of the update makes of rate and epsilon. Computed for the first variable."""
        if "step" not in numbers:
            with tf.device(self.applied.device):
                # In float64, since 1 - beta_2^t is a small difference; of the settings as float32, as everywhere.
                count = tf.cast(self.applied + 1, tf.float64)
                settings = np.float32([self._beta_1, self._beta_2, self._epsilon])
                beta_1, beta_2, epsilon = settings.astype(np.float64)
                first, root = 1.0 - tf.pow(beta_1, count), tf.sqrt(1.0 - tf.pow(beta_2, count))
                # m / first / (sqrt(v) / root + epsilon) = root / first * m / (sqrt(v) + root * epsilon)
                found = {"step": root / first, "epsilon": root * epsilon}
                numbers.update((name, tf.cast(value, dtype)) for name, value in found.items())
        return numbers

    def _resource_apply_dense(self, grad, var, apply_state=None):
        numbers, factor = self._corrected(self._numbers(var, apply_state), grad.dtype), self.factor_of(var)
        rate, decay = numbers["lr_t"] * factor.rate, self._weight_decay * factor.decay
        shrunk = var.assign_sub(rate * decay * var, use_locking=self._use_locking, read_value=False) if decay else None
        with tf.control_dependencies([] if shrunk is None else [shrunk]):
            done = tf.raw_ops.ResourceApplyAdam(
                var=var.handle,
                m=self.get_slot(var, "m").handle,
                v=self.get_slot(var, "v").handle,
                beta1_power=tf.zeros([], grad.dtype),  # the rate and epsilon have the corrections already
                beta2_power=tf.zeros([], grad.dtype),
                lr=rate * numbers["step"],
                beta1=self._beta_1,
                beta2=self._beta_2,
                epsilon=numbers["epsilon"],
                grad=grad,
                use_locking=self._use_locking,
            )
        return self._averaged(done, var, numbers)

    def get_config(self):
        """The constructor's arguments."""
        own = {"beta_1": self._beta_1, "beta_2": self._beta_2, "weight_decay": self._weight_decay}
        return {**super().get_config(), **own, "epsilon": self._epsilon}
