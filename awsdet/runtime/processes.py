"""Joins the processes that a launcher started: `start` gives the `World` that everything else talks to."""

import os
import socket

import tensorflow as tf
from absl import logging

from awsdet.runtime.cores import usable_cores
from awsdet.runtime.errors import UserError
from awsdet.runtime.world import World

# Launcher -> the variables in which it tells a process its rank and the number of processes.
_LAUNCHERS = {
    "horovodrun": ("HOROVOD_RANK", "HOROVOD_SIZE"),
    "Open MPI": ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"),
    "MPICH": ("PMI_RANK", "PMI_SIZE"),
}


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
    if launched is None:
        world = World()
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


def _launched_size():
    """Number of processes that the launcher started, or None where this one was started by hand."""
    for rank, size in _LAUNCHERS.values():
        if rank in os.environ:
            return int(os.environ.get(size, 1))
    return None
