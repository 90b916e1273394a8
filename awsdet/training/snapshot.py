"""The state of a run at one instant, to be written while the run goes on."""

import os

import tensorflow as tf


class Snapshot:
    """The values of variables at this instant; `write` writes them later, in any thread.

    On a CPU nothing is copied here: a value that was read shares the memory of its variable, and TensorFlow gives the
    variable new memory before the next update changes it. Values on a GPU are copied to the host.

    Args:
        variables: dict name -> variable.
    """

    def __init__(self, variables):
        with tf.device("CPU:0"):
            self._values = {name: tf.identity(variable) for name, variable in variables.items()}

    @property
    def bytes(self):
        """How many bytes the values have."""
        return sum(value.shape.num_elements() * value.dtype.size for value in self._values.values())

    def put_back(self, variables):
        """Sets the variables, a dict as that of the constructor, to the values."""
        for name, variable in variables.items():
            variable.assign(self._values[name])

    def write(self, prefix):
        """Writes `prefix`.index and `prefix`.data-… in TensorFlow's own format. Raises tf.errors.OpError."""
        names, values = list(self._values), list(self._values.values())
        with tf.device("CPU:0"):
            prefix = os.fsencode(prefix)  # which need not be text
            tf.raw_ops.SaveV2(prefix=prefix, tensor_names=names, shape_and_slices=[""] * len(names), tensors=values)
