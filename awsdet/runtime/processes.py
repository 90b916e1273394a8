"""Joins the processes that a launcher started. `start` returns the `World` through which they exchange data."""

import os
import socket

import tensorflow as tf
from absl import logging

from awsdet.runtime.cores import usable_cores
from awsdet.runtime.errors import UserError
from awsdet.runtime.world import World

# Launcher -> the environment variables that hold a process's rank and the number of processes.
_LAUNCHERS = {
    "horovodrun": ("HOROVOD_RANK", "HOROVOD_SIZE"),
    "Open MPI": ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"),
    "MPICH": ("PMI_RANK", "PMI_SIZE"),
}


def start(expected_size: int = 0, stall_seconds: float = 600, elastic: bool = False) -> World:
    """Joins the other processes and takes this process's GPU. Call it once, before TensorFlow touches a device.

    Args:
        expected_size: how many processes there must be; 0 accepts any number.
        stall_seconds: if a rank keeps the others waiting for longer, the job ends.
        elastic: whether the caller can go on with other processes, by `World.run`. It must if the launcher is elastic.

    Raises UserError if the number of processes is another one, or if a machine has more processes than GPUs.
    """
    launched = _launched_size()
    if is_elastic() and expected_size:
        raise UserError(
            f"--processes={expected_size} fixes the number of processes, which changes in an elastic run; leave it out "
            "and give the launcher the least and the greatest number"
        )
    if launched is None and expected_size > 1:
        raise UserError(
            f"{expected_size} processes were requested but this one was started alone; start it with "
            f"horovodrun -np {expected_size} awsdet train …, or scripts/train_ec2_single_node.sh {expected_size}"
        )
    if launched is not None and expected_size not in (0, launched):
        raise UserError(
            f"{expected_size} processes were requested but {launched} are running; give the launcher's -np and "
            "--processes the same number"
        )
    if launched is None:
        world = World()
    elif elastic and is_elastic():
        from awsdet.runtime.elastic import ElasticWorld

        world = ElasticWorld(stall_seconds)
    else:
        from awsdet.runtime.horovod import HorovodWorld

        world = HorovodWorld(launched, stall_seconds)
    try:
        _take_gpu(world.local_rank, world.local_size)
    except UserError:
        world.close()
        raise
    _split_cores(world.local_size)
    return world


def check_gpus(processes: int) -> list[tf.config.PhysicalDevice]:
    """Returns the GPUs of this machine. Raises UserError if it has GPUs, but fewer than `processes`."""
    gpus = tf.config.list_physical_devices("GPU")
    if gpus and processes > len(gpus):
        raise UserError(
            f"{processes} processes were requested on {socket.gethostname()} but it has {len(gpus)} GPU(s); start at "
            f"most {len(gpus)} per machine"
        )
    return gpus


def _take_gpu(local_rank, local_size):
    """Lets TensorFlow see only this process's GPU, and take memory on it as it needs it."""
    gpus = check_gpus(local_size)
    if not gpus:
        return
    if local_size == 1 and len(gpus) > 1:
        logging.info(
            "one process uses one of the %d GPUs; to use all of them start it with horovodrun -np %d",
            len(gpus),
            len(gpus),
        )
    tf.config.set_visible_devices(gpus[local_rank], "GPU")
    tf.config.experimental.set_memory_growth(gpus[local_rank], True)


def _split_cores(local_size):
    """Divides the cores of a machine among its processes, unless the user has set TensorFlow's threads."""
    if local_size == 1:
        return
    cores = usable_cores()
    # A launcher that binds processes to cores, as mpirun does, has divided them already.
    if cores * local_size > os.cpu_count():
        cores = max(1, cores // local_size)
    threading = tf.config.threading
    if not threading.get_intra_op_parallelism_threads() and "TF_NUM_INTRAOP_THREADS" not in os.environ:
        threading.set_intra_op_parallelism_threads(cores)
    if not threading.get_inter_op_parallelism_threads() and "TF_NUM_INTEROP_THREADS" not in os.environ:
        threading.set_inter_op_parallelism_threads(max(2, cores))  # with only one, no two operations could overlap


def is_elastic() -> bool:
    """Whether an elastic launcher (horovodrun with a host discovery script) started this process."""
    return os.environ.get("HOROVOD_ELASTIC") == "1"


def _launched_size():
    """How many processes the launcher started; None if this one was started without a launcher."""
    for rank, size in _LAUNCHERS.values():
        if rank in os.environ:
            return int(os.environ.get(size, 1))
    return None
