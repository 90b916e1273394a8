"""Horovod: the only file that imports it, and only if a launcher (horovodrun, mpirun) started several processes."""

import os

import tensorflow as tf

from awsdet.runtime.errors import UserError
from awsdet.runtime.stall import StallWatch
from awsdet.runtime.world import World


def build_features():
    """What the installed Horovod can do: dict of gloo, mpi and nccl -> bool. Raises ImportError where it is broken."""
    import horovod.tensorflow as hvd

    return {"gloo": bool(hvd.gloo_built()), "mpi": bool(hvd.mpi_built()), "nccl": bool(hvd.nccl_built())}


class HorovodWorld(World):
    """The processes that a launcher started."""

    def __init__(self, launched_size, stall_seconds):
        import horovod.tensorflow as hvd

        self._hvd = hvd
        _set_stall_limits(stall_seconds)
        hvd.init()
        if hvd.size() != launched_size:
            raise UserError(
                f"the launcher started {launched_size} processes but Horovod joined {hvd.size()}; this Horovod is "
                "built without the launcher's MPI: use horovodrun, or rebuild it (awsdet doctor tells what it has)"
            )
        self.rank, self.size = hvd.rank(), hvd.size()
        self.local_rank, self.local_size = hvd.local_rank(), hvd.local_size()
        self._calls = 0
        self._marks = None
        self._watch = StallWatch.connect(self.rank, self.size, stall_seconds, self._submitted)

    def average(self, gradients):
        """See World. One operation a tensor: the first gradients travel while the last are still computed."""
        gradients = super().average(gradients)
        self._mark(gradients)
        average = self._hvd.Average
        return [self._hvd.allreduce(g, op=average, name=f"gradient_{i}") for i, g in enumerate(gradients)]

    def sum(self, tensor, name="sum"):
        """See World."""
        tensor = tf.convert_to_tensor(tensor)
        self._mark([tensor])
        return self._hvd.allreduce(tensor, op=self._hvd.Sum, name=name)

    def broadcast_variables(self, variables):
        """See World."""
        self._calls += 1
        self._hvd.broadcast_variables(variables, root_rank=0)

    def gather_objects(self, item):
        """See World. Horovod pickles; what is unpickled comes from the processes of this very run alone."""
        self._calls += 1
        return self._hvd.allgather_object(item, name="gathered_objects")

    def broadcast_object(self, item):
        """See World. What holds for `gather_objects` holds here."""
        self._calls += 1
        return self._hvd.broadcast_object(item, root_rank=0, name="broadcast_object")

    def barrier(self):
        """See World."""
        self.gather_objects(None)

    def close(self):
        """See World."""
        self._watch.stop()
        self._hvd.shutdown()

    def _mark(self, tensors):
        """Counts an exchange as begun on this rank once its `tensors` are computed; nothing waits for the count."""
        with tf.init_scope(), tf.device("CPU:0"):
            if self._marks is None:
                self._marks = tf.Variable(0, dtype=tf.int64, trainable=False, name="exchanges")
        with tf.control_dependencies(tensors), tf.device("CPU:0"):
            self._marks.assign_add(1)

    def _submitted(self):
        """How many exchanges this rank has begun; called from the watch's thread."""
        return self._calls + (int(self._marks.numpy()) if self._marks is not None else 0)


def _set_stall_limits(seconds):
    """Horovod reads these when it starts; what the user has set stays."""
    seconds = max(1, int(seconds))
    os.environ.setdefault("HOROVOD_STALL_CHECK_TIME_SECONDS", str(max(1, min(60, seconds // 2))))
    os.environ.setdefault("HOROVOD_STALL_SHUTDOWN_TIME_SECONDS", str(seconds))
    # Gloo gives up on a frozen process after 30 s, without saying which; StallWatch names it, so let it come first.
    os.environ.setdefault("HOROVOD_GLOO_TIMEOUT_SECONDS", str(seconds + 60))
