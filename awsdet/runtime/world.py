"""The processes of a training run as everything else sees them: how many, which one this is, what they exchange."""

import tensorflow as tf


class World:
    """A run of one process, and the face of one with many.

    Attributes: rank (0 is the chief), size, local_rank and local_size (within this machine).
    """

    rank, size, local_rank, local_size = 0, 1, 0, 1

    @property
    def is_chief(self):
        """Whether this is rank 0, the only one that writes and logs."""
        return self.rank == 0

    def average(self, gradients):
        """The mean over the ranks of each tensor of a list, dense; all ranks pass the same number, shapes and order."""
        return [tf.convert_to_tensor(g) for g in gradients]

    def sum(self, tensor, name="sum"):
        """The sum over the ranks of a tensor. Exchanges that may be under way at once need names of their own, the
        same on all ranks."""
        return tf.convert_to_tensor(tensor)

    def broadcast_variables(self, variables):
        """Gives the variables of a list rank 0's values on all ranks."""

    def gather_objects(self, item):
        """List of the `item` of each rank, in the order of the ranks, on every rank."""
        return [item]

    def broadcast_object(self, item):
        """Rank 0's `item` on all ranks."""
        return item

    def barrier(self):
        """Waits until every rank is here."""

    def close(self):
        """Leaves the world; call it when the work is done on all ranks."""
