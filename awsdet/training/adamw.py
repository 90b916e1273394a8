"""AdamW: Adam with a weight decay apart from the gradients, as PyTorch defines it."""

import numpy as np
import tensorflow as tf

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
        """The number of updates that were applied: an int64 variable, on the CPU as `iterations` is."""
        if self._applied is None:
            with tf.init_scope(), tf.device(self.iterations.device):
                self._applied = self.add_weight(
                    "applied", shape=[], dtype=tf.int64, trainable=False, initializer="zeros"
                )
            self._weights.append(self._applied)
        return self._applied

    def _create_slots(self, var_list):
        self.applied  # noqa: B018 -- the first use makes it
        for variable in var_list:
            self.add_slot(variable, "m")
            self.add_slot(variable, "v")
            self._create_averages([variable])

    def _prepare_local(self, var_device, var_dtype, apply_state):
        super()._prepare_local(var_device, var_dtype, apply_state)
        with tf.device(self.iterations.device):
            # In float64, since 1 - beta_2^t is a small difference. The betas are those that the updates work with.
            count = tf.cast(self.applied + 1, tf.float64)
            first, second = (1.0 - tf.pow(np.float64(np.float32(beta)), count) for beta in (self._beta_1, self._beta_2))
            root = tf.sqrt(second)
            # m / first / (sqrt(v) / root + epsilon) = root / first * m / (sqrt(v) + root * epsilon)
            found = {"step": root / first, "epsilon": root * self._epsilon}
            found = {name: tf.cast(value, var_dtype) for name, value in found.items()}
        apply_state[var_device, var_dtype].update(found)

    def _distributed_apply(self, distribution, grads_and_vars, apply_state, name):
        done = super()._distributed_apply(distribution, grads_and_vars, apply_state, name)
        self.applied.assign_add(1, read_value=False)
        return done

    def _resource_apply_dense(self, grad, var, apply_state=None):
        numbers, factor = self._numbers(var, apply_state), self.factor_of(var)
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
