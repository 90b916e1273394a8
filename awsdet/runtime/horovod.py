"""Horovod. Only this file imports it, and only if a launcher (horovodrun or mpirun) started the processes."""

import os
import re

import tensorflow as tf

from awsdet.runtime.errors import UserError
from awsdet.runtime.stall import KeyValueStore, StallWatch
from awsdet.runtime.world import World

# What the error of an exchange says once a rank is gone. Horovod 0.28.1 gives no other sign of it.
_SHUT_DOWN = re.compile(r"Horovod has been shut down|\[Op:Horovod")


# By what numbers sent as float16 are multiplied: those of gradients are small, and float16 ends at 6e-8 and at 65,504.
_HALF_SCALE = 128.0


def build_features() -> dict[str, bool]:
    """Whether the installed Horovod was built with "gloo", "mpi" and "nccl". Raises ImportError if it is broken."""
    import horovod.tensorflow as hvd

    return {"gloo": bool(hvd.gloo_built()), "mpi": bool(hvd.mpi_built()), "nccl": bool(hvd.nccl_built())}


def rank_is_gone(error: Exception) -> bool:
    """Whether an exchange failed because a rank ended."""
    return isinstance(error, tf.errors.UnknownError) and _SHUT_DOWN.search(error.message or "") is not None


def listen_for_hosts(changed) -> None:
    """Has the elastic launcher call `changed()`, in another thread, when hosts join or leave. It tells only rank 0."""
    from horovod.common.elastic import notification_manager

    class Listener:
        def on_hosts_updated(self, timestamp, result):
            changed()

    notification_manager.init()
    notification_manager.register_listener(Listener())


class HorovodWorld(World):
    """The processes that a launcher started. Every method does what `World` says.

    Args:
        launched_size: how many processes the launcher started; None if that may change.
        stall_seconds: if a rank keeps the others waiting for longer, it is named and the job ends.
    """

    def __init__(self, launched_size: int | None, stall_seconds: float):
        import horovod.tensorflow as hvd

        self._hvd, self._stall_seconds = hvd, stall_seconds
        self._calls, self._marks = 0, None
        self.rank, self.size, self.local_rank, self.local_size, self.transport = 0, 1, 0, 1, ""  # until `_join`
        self._join()
        if launched_size is not None and self.size != launched_size:
            raise UserError(
                f"the launcher started {launched_size} processes but Horovod joined {hvd.size()}; this Horovod is "
                "built without the launcher's MPI; start with horovodrun, or rebuild Horovod (awsdet doctor shows its "
                "parts)"
            )
        self._watch = self._new_watch()

    def average(self, gradients, half=False):
        """One operation per tensor, so that the first gradients are sent while the last are still being computed."""
        gradients = super().average(gradients)
        self._mark(gradients)
        # A sum over the ranks must not leave float16 either, so each sends its share of the mean.
        factor = _HALF_SCALE / self.size_tensor if half else None
        return [
            _from_half(self._reduce(i, _to_half(g, factor), self._hvd.Sum), g.dtype)
            if half and g.dtype in (tf.float32, tf.float64)
            else self._reduce(i, g, self._hvd.Average)
            for i, g in enumerate(gradients)
        ]

    def _reduce(self, number, gradient, op):
        # Scopes differ between a graph that accumulates gradients and one that does not, so names must not have them.
        return self._hvd.allreduce(gradient, op=op, name=f"gradient_{number}", ignore_name_scope=True)

    def sum(self, tensor, name="sum"):
        """See `World`."""
        tensor = tf.convert_to_tensor(tensor)
        self._mark([tensor])
        return self._hvd.allreduce(tensor, op=self._hvd.Sum, name=name, ignore_name_scope=True)

    def swap(self, tensor, partner):
        """One all-to-all exchange, in which every rank sends to its partner only.

        Process sets would need one communicator per pair of ranks: 2,016 of them for 64 ranks.
        """
        tensor = tf.convert_to_tensor(tensor)
        self._count_call()
        splits = [int(tensor.shape[0]) if rank == partner else 0 for rank in range(self.size)]
        received, counts = self._hvd.alltoall(tensor, splits=tf.constant(splits, tf.int32), name="swap")
        if counts.numpy().tolist() != splits:
            raise RuntimeError(f"rank {self.rank} swaps with rank {partner}, but ranks sent {counts.numpy().tolist()}")
        return received

    def broadcast_variables(self, variables, root=0):
        """See `World`."""
        self._count_call()
        self._hvd.broadcast_variables(variables, root_rank=root)

    def gather_objects(self, item):
        """Horovod pickles the items. Only what the processes of this run sent is unpickled."""
        self._count_call()
        return self._hvd.allgather_object(item, name="gathered_objects")

    def broadcast_object(self, item, root=0):
        """Pickles too, as `gather_objects` does."""
        self._count_call()
        return self._hvd.broadcast_object(item, root_rank=root, name="broadcast_object")

    def barrier(self):
        """See `World`."""
        self.gather_objects(None)

    def close(self):
        """See `World`."""
        self._watch.stop()
        self._hvd.shutdown()

    def _new_watch(self):
        return StallWatch.connect(self.rank, self.size, self._stall_seconds, self._submitted)

    def _join(self):
        _set_stall_limits(self._stall_seconds)
        self._hvd.init()
        self.rank, self.size = self._hvd.rank(), self._hvd.size()
        self.local_rank, self.local_size = self._hvd.local_rank(), self._hvd.local_size()
        self.transport = _transport(self._hvd)

    def _count_call(self):
        self._calls += 1
        self._make_marks()  # before a training step is traced: one that makes a variable is traced twice

    def _make_marks(self):
        with tf.init_scope(), tf.device("CPU:0"):
            if self._marks is None:
                self._marks = tf.Variable(0, dtype=tf.int64, trainable=False, name="exchanges")

    def _mark(self, tensors):
        """Counts one more exchange of this rank as begun, once its `tensors` are computed. Nothing waits for it."""
        self._make_marks()
        with tf.control_dependencies(tensors), tf.device("CPU:0"):
            self._marks.assign_add(1)

    def _reset_count(self):
        """Starts to count anew. All ranks do so at the same point."""
        self._calls = 0
        if self._marks is not None:
            self._marks.assign(0)

    def _submitted(self):
        """How many exchanges this rank has begun. The stall watch calls it from its own thread."""
        return self._calls + (int(self._marks.numpy()) if self._marks is not None else 0)


def _to_half(gradient, factor):
    return tf.cast(gradient * tf.cast(factor, gradient.dtype), tf.float16)


def _from_half(total, dtype):
    return tf.cast(total, dtype) / _HALF_SCALE


def _transport(hvd):
    """Horovod reduces tensors on GPUs with NCCL if it was built with it, others with the library of its controller."""
    if hvd.nccl_built() and tf.config.list_physical_devices("GPU"):
        return "NCCL"
    return "MPI" if hvd.mpi_built() and hvd.mpi_enabled() else "Gloo"


def _set_stall_limits(seconds):
    """Sets the variables that Horovod reads when it starts, unless the user has set them."""
    seconds = max(1, int(seconds))
    os.environ.setdefault("HOROVOD_STALL_CHECK_TIME_SECONDS", str(max(1, min(60, seconds // 2))))
    # Neither Horovod nor Gloo, which gives up on a frozen process after 30 s, says which rank and host it is. The watch
    # does, so it goes first.
    patience = 60 if KeyValueStore.find() else 0
    os.environ.setdefault("HOROVOD_STALL_SHUTDOWN_TIME_SECONDS", str(seconds + patience))
    os.environ.setdefault("HOROVOD_GLOO_TIMEOUT_SECONDS", str(seconds + 60))
