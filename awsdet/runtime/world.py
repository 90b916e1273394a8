"""The processes of a run: how many there are, which of them this one is, and how they exchange data."""

from collections.abc import Sequence
from typing import Any

import tensorflow as tf


class World:
    """A run of one process. `HorovodWorld` has the same methods for a run of many.

    Attributes:
        rank: the number of this process, from 0; rank 0 is the chief.
        size: number of processes.
        local_rank, local_size: the same, counting only the processes of this machine.
        transport: what carries the data between the ranks: "NCCL", "MPI" or "Gloo"; empty if there is only one rank.
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    local_size: int = 1
    transport: str = ""

    @property
    def is_chief(self) -> bool:
        """Whether this is rank 0. Only rank 0 writes files and logs."""
        return self.rank == 0

    def average(self, gradients: Sequence[tf.Tensor]) -> list[tf.Tensor]:
        """The mean of each tensor over the ranks. All ranks pass tensors of the same shapes in the same order."""
        return [tf.convert_to_tensor(g) for g in gradients]

    def sum(self, tensor: tf.Tensor, name: str = "sum") -> tf.Tensor:
        """The sum of a tensor over the ranks.

        Sums that may be under way at the same time need different names; a sum has the same name on all ranks.
        """
        return tf.convert_to_tensor(tensor)

    def swap(self, tensor: tf.Tensor, partner: int) -> tf.Tensor:
        """Sends a tensor to one rank, and returns the tensor of that rank.

        All ranks call it at the same time, each with its own partner. Two ranks are each other's partners; a rank whose
        partner is itself gets its own tensor. The tensors of two partners have one shape [N] and dtype.
        """
        if partner != self.rank:
            raise ValueError(f"rank {partner} does not exist: this run has one process")
        return tf.convert_to_tensor(tensor)

    def broadcast_variables(self, variables: Sequence[tf.Variable]) -> None:
        """Sets the variables to rank 0's values on all ranks."""

    def gather_objects(self, item: Any) -> list:
        """The items of all ranks, in the order of the ranks. Every rank gets the whole list."""
        return [item]

    def broadcast_object(self, item: Any) -> Any:
        """Rank 0's item, on all ranks."""
        return item

    def barrier(self) -> None:
        """Waits until every rank has called it."""

    def close(self) -> None:
        """Leaves the run. Call it once the work is done on all ranks."""
