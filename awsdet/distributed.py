"""The processes of a training run: how many there are, which one this is, and what they exchange (Horovod).

The only file that imports horovod, and only when a launcher (horovodrun, mpirun) started several processes. `start`
gives a `World`; everything else in awsdet talks to that, and a world of one process costs nothing.
"""

import os
import socket

import tensorflow as tf
from absl import logging

from awsdet.cores import usable_cores
from awsdet.errors import UserError
from awsdet.stall import StallWatch

# Launcher -> the variables in which it tells a process its rank and the number of processes.
_LAUNCHERS = {
    "horovodrun": ("HOROVOD_RANK", "HOROVOD_SIZE"),
    "Open MPI": ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"),
    "MPICH": ("PMI_RANK", "PMI_SIZE"),
}


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


def start(expected_size=0, stall_seconds=600):
    """Joins the other processes and takes this process's GPU. Call it once, before TensorFlow touches a device.

    Args:
        expected_size: how many processes there must be; 0 takes those there are.
        stall_seconds: a rank that keeps the others waiting longer ends the job.

    Returns:
        World.

    Raises UserError where the world has another size, or a machine more processes than GPUs.
    """
    launched = _launched_size()
    if launched is None and expected_size > 1:
        raise UserError(
            f"{expected_size} processes were asked for but this one was started alone; start it with "
            f"horovodrun -np {expected_size} awsdet train …, or scripts/train_ec2_single_node.sh {expected_size}"
        )
    if launched is not None and expected_size not in (0, launched):
        raise UserError(
            f"{expected_size} processes were asked for but {launched} run; make -np of the launcher and --processes "
            "the same number"
        )
    world = World() if launched is None else _HorovodWorld(launched, stall_seconds)
    try:
        _take_gpu(world.local_rank, world.local_size)
    except UserError:
        world.close()
        raise
    _split_cores(world.local_size)
    return world


def check_gpus(processes):
    """Raises UserError where this machine has GPUs, but fewer than `processes`. Returns them, physical devices."""
    gpus = tf.config.list_physical_devices("GPU")
    if gpus and processes > len(gpus):
        raise UserError(
            f"{processes} processes were asked for on {socket.gethostname()} but it has {len(gpus)} GPU(s); start at "
            f"most {len(gpus)} a machine"
        )
    return gpus


def _take_gpu(local_rank, local_size):
    """Shows TensorFlow one GPU of this machine, with memory taken as it is needed."""
    gpus = check_gpus(local_size)
    if not gpus:
        return
    if local_size == 1 and len(gpus) > 1:
        logging.info("one process uses one of the %d GPUs; start more with horovodrun -np %d", len(gpus), len(gpus))
    tf.config.set_visible_devices(gpus[local_rank], "GPU")
    tf.config.experimental.set_memory_growth(gpus[local_rank], True)


def _split_cores(local_size):
    """Shares the cores of a machine among its processes, unless the user has set TensorFlow's threads."""
    if local_size == 1:
        return
    cores = usable_cores()
    # A launcher that binds processes to cores (mpirun does) has shared them out already.
    if cores * local_size > os.cpu_count():
        cores = max(1, cores // local_size)
    threading = tf.config.threading
    if not threading.get_intra_op_parallelism_threads() and "TF_NUM_INTRAOP_THREADS" not in os.environ:
        threading.set_intra_op_parallelism_threads(cores)
    if not threading.get_inter_op_parallelism_threads() and "TF_NUM_INTEROP_THREADS" not in os.environ:
        threading.set_inter_op_parallelism_threads(max(2, cores))  # one alone would let no two operations overlap


def build_features():
    """What the installed Horovod can do: dict of gloo, mpi and nccl -> bool. Raises ImportError where it is broken."""
    import horovod.tensorflow as hvd

    return {"gloo": bool(hvd.gloo_built()), "mpi": bool(hvd.mpi_built()), "nccl": bool(hvd.nccl_built())}


def _launched_size():
    """Number of processes that the launcher started, or None where this one was started by hand."""
    for rank, size in _LAUNCHERS.values():
        if rank in os.environ:
            return int(os.environ.get(size, 1))
    return None


class _HorovodWorld(World):
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
