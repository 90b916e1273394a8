"""Joins the processes that a launcher started. `start` returns the `World` through which they exchange data."""

import os
import socket
from typing import NamedTuple

import tensorflow as tf
from absl import logging

from awsdet.runtime import gpus
from awsdet.runtime.cores import usable_cores
from awsdet.runtime.errors import UserError
from awsdet.runtime.together import together
from awsdet.runtime.world import World

# Launcher -> the environment variables that hold a process's rank, the number of processes, and its local rank.
_LAUNCHERS = {
    "horovodrun": ("HOROVOD_RANK", "HOROVOD_SIZE", "HOROVOD_LOCAL_RANK"),
    "Open MPI": ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_RANK"),
    "MPICH": ("PMI_RANK", "PMI_SIZE", "MPI_LOCALRANKID"),
}


class Place(NamedTuple):
    """A process among those that a launcher started, as the launcher says before they have joined.

    local_rank: on its machine; 0 if the launcher does not say.
    """

    rank: int
    size: int
    local_rank: int


def start(expected_size: int = 0, stall_seconds: float = 600, elastic: bool = False) -> World:
    """Joins the other processes and takes this process's GPU. Call it once, before TensorFlow touches a device.

    Args:
        expected_size: how many processes there must be; 0 accepts any number.
        stall_seconds: if a rank keeps the others waiting for longer, the job ends.
        elastic: whether the caller can go on with other processes, by `World.run`. It must if the launcher is elastic.

    Raises UserError if the number of processes is another one, if a machine has more processes than GPUs, or if two
    processes were given the same GPU.
    """
    check_launch(expected_size, elastic)
    launched = place() and place().size
    if launched is None:
        world = World()
    elif elastic and is_elastic():
        from awsdet.runtime.elastic import ElasticWorld

        world = ElasticWorld(stall_seconds)
    else:
        from awsdet.runtime.horovod import HorovodWorld

        world = HorovodWorld(launched, stall_seconds)
    try:
        _take_gpu(world)
    except UserError:
        world.close()
        raise
    return world


def check_launch(expected_size: int = 0, elastic: bool = False) -> None:
    """Raises UserError if the number of processes is another one, or may change and must not; see `start`."""
    launched = place() and place().size
    if is_elastic() and not elastic:
        raise UserError(
            "only train can go on while processes come and go; start this command without a host discovery script "
            "(awsdet launch: without --elastic)"
        )
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


def check_gpus(processes: int) -> list[tf.config.PhysicalDevice]:
    """Returns the GPUs of this machine. Raises UserError if it has GPUs, but fewer than `processes`."""
    visible = tf.config.list_physical_devices("GPU")
    if visible and processes > len(visible):
        raise UserError(
            f"{processes} processes were requested on {socket.gethostname()} but it has {len(visible)} GPU(s); start "
            f"at most {len(visible)} per machine"
        )
    return visible


def _take_gpu(world):
    """Lets TensorFlow see only this process's GPU, and take memory on it as it needs it, and gives it its cores.

    Raises UserError if there are too few GPUs or two ranks took the same; on all ranks, unless the world is elastic.
    """
    visible = tf.config.list_physical_devices("GPU")
    mine = gpus.choice(len(visible), world.local_rank, world.local_size) if visible else None
    if world.elastic and len(visible) < world.local_size:
        check_gpus(world.local_size)  # its ranks cannot compare their GPUs yet; its launcher shows each all of them
    if world.local_size == 1 and len(visible) > 1:
        logging.info(
            "one process uses one of the %d GPUs; to use all of them start it with horovodrun -np %d",
            len(visible),
            len(visible),
        )
    if visible:  # before any exchange, since that starts TensorFlow's devices
        tf.config.set_visible_devices([] if mine is None else visible[mine], "GPU")
    if mine is not None:
        tf.config.experimental.set_memory_growth(visible[mine], True)
    _split_cores(world.local_size)
    if world.size > 1 and not world.elastic:
        together(world, lambda: None if mine is not None else check_gpus(world.local_size))
        _compare_gpus(world, None if mine is None else gpus.identity(mine))


def _compare_gpus(world, mine):
    same = gpus.taken_twice(world.gather_objects(mine))
    if same:
        raise UserError(
            f"ranks {same[0]} and {same[1]} would use the same GPU, which the launcher shows to both; start at most "
            "one rank per GPU, and let each see all GPUs of its machine, or one of its own (Slurm: --gpus-per-task=1)"
        )


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


def place() -> Place | None:
    """This process's Place; None if it was started without a launcher."""
    for rank, size, local_rank in _LAUNCHERS.values():
        if rank in os.environ:
            return Place(int(os.environ[rank]), int(os.environ.get(size, 1)), int(os.environ.get(local_rank, 0)))
    return None
