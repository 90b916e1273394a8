"""The state of a run at one instant, to be written while the run goes on."""

import tensorflow as tf


class Snapshot:
    """What `tf.train.Checkpoint(**objects).write` would write at this instant; `write` does it later, in any thread.

    Nothing is copied here on a CPU: a value that was read shares the variable's memory, and TensorFlow gives the
    variable memory of its own before the next update changes it. What lies on a GPU is copied to the host.
    """

    def __init__(self, **objects):
        checkpoint = tf.train.Checkpoint(**objects)
        # Nothing public tells the names and values that a checkpoint would have without writing it.
        found = checkpoint._saver._gather_serialized_tensors()[0]
        with tf.device("CPU:0"):
            self._values = {
                name: _value(owner, entry) for owner, entries in found.items() for name, entry in entries.items()
            }

    def write(self, prefix):
        """Writes `prefix`.index and `prefix`.data-…, as `tf.train.Checkpoint.write` does. Raises tf.errors.OpError."""
        names, values = list(self._values), list(self._values.values())
        with tf.device("CPU:0"):
            tf.raw_ops.SaveV2(prefix=prefix, tensor_names=names, shape_and_slices=[""] * len(names), tensors=values)


def _value(owner, entry):
    """The tensor of one entry: that of its variable, or what TensorFlow keeps for owners of other kinds."""
    if isinstance(owner, tf.Variable):
        return tf.identity(owner)
    return entry if isinstance(entry, tf.Tensor) else tf.identity(entry.tensor)
