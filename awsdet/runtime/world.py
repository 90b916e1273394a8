"""The processes of a run: how many there are, which of them this one is, and how they exchange data."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import tensorflow as tf

from awsdet.runtime.errors import UserError

Value = TypeVar("Value")


class HostsChanged(Exception):
    """In an elastic world: hosts join or leave, so the processes must find each other anew. Raised on all ranks."""


class LeftOut(Exception):
    """In an elastic world: the launcher has taken this process's host out of the job."""


class RunFailed(Exception):
    """In an elastic world: another rank ended with a failure of its own, so the run cannot go on. The text names it."""


class Unfit(UserError):
    """In an elastic world: a mistake of this process alone, which ends; the others go on without it."""


class World:
    """A run of one process. `HorovodWorld` has the same methods for a run of many.

    Attributes:
        rank: the number of this process, from 0; rank 0 is the chief.
        size: number of processes.
        local_rank, local_size: the same, counting only the processes of this machine.
        transport: what carries the data between the ranks: "NCCL", "MPI" or "Gloo"; empty if there is only one rank.
        elastic: whether processes may come and go while the run goes on. Rank and size then change, so traced code
            must use `rank_tensor` and `size_tensor`.
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    local_size: int = 1
    transport: str = ""
    elastic: bool = False

    @property
    def is_chief(self) -> bool:
        """Whether this is rank 0. Only rank 0 writes files and logs."""
        return self.rank == 0

    @property
    def exchanges(self) -> bool:
        """Whether traced code must exchange data: there are other ranks, or others may come."""
        return self.size > 1 or self.elastic

    @property
    def rank_tensor(self) -> tf.Tensor:
        """int64 scalar, `rank` for traced code."""
        return tf.constant(self.rank, tf.int64)

    @property
    def size_tensor(self) -> tf.Tensor:
        """float32 scalar, `size` for traced code, which divides by it."""
        return tf.constant(self.size, tf.float32)

    def average(self, gradients: Sequence[tf.Tensor], half: bool = False) -> list[tf.Tensor]:
        """The mean of each tensor over the ranks. All ranks pass tensors of the same shapes in the same order.

        `half`: floats are sent as float16, half as many bytes as float32. A number keeps 10 bits, in steps of at least
        5e-10 per rank; one beyond 511, or not finite, makes the mean infinite or NaN, on all ranks alike.
        """
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

    def broadcast_variables(self, variables: Sequence[tf.Variable], root: int = 0) -> None:
        """Sets the variables to the values of rank `root` on all ranks."""

    def gather_objects(self, item: Any) -> list:
        """The items of all ranks, in the order of the ranks. Every rank gets the whole list."""
        return [item]

    def broadcast_object(self, item: Any, root: int = 0) -> Any:
        """The item of rank `root`, on all ranks."""
        return item

    def barrier(self) -> None:
        """Waits until every rank has called it."""

    def run(self, work: Callable[[], Value]) -> Value:
        """Calls `work()` and returns its value; an elastic world calls it again whenever its processes have changed."""
        return work()

    def failed(self, reason: str) -> None:
        """Tells the other ranks that this one is about to end with a failure of its own, which ends the run."""

    @property
    def hosts_changed(self) -> bool:
        """Whether this process was told that hosts will join or leave. The ranks must agree before they act on it."""
        return False

    def lost(self, error: Exception) -> bool:
        """Whether an error means that another rank is gone and that `run` will go on without it."""
        return False

    def close(self) -> None:
        """Leaves the run. Call it once the work is done on all ranks."""
