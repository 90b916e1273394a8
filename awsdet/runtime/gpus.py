"""Which GPU is which. A launcher may show each process all GPUs of its machine, or only one of its own."""

import contextlib
import ctypes
import os
from collections.abc import Sequence

_BYTES = 16  # of a UUID


def hide() -> None:
    """Keeps TensorFlow in this process from using GPUs, on which a training may be running; too late once it does."""
    import tensorflow as tf  # the rest of this file does without

    with contextlib.suppress(RuntimeError):  # raised if TensorFlow is already in use
        tf.config.set_visible_devices([], "GPU")


def identity(index: int) -> str | None:
    """The UUID of the GPU with this number among those that the process sees; None if the driver does not tell.

    No two GPUs in the world have the same. Asking makes no context, so TensorFlow may still be configured.
    """
    uuid = ctypes.create_string_buffer(_BYTES)
    return uuid.raw.hex() if _ask(index, ("cuDeviceGetUuid_v2", "cuDeviceGetUuid"), uuid) else None


def memory(index: int) -> int | None:
    """The bytes of memory of that GPU; None if the driver does not tell."""
    size = ctypes.c_size_t()
    return size.value if _ask(index, ("cuDeviceTotalMem_v2",), ctypes.byref(size)) else None


def driver() -> str:
    """The driver's library by its file name, such as libcuda.so.535.104.05, which has its version; empty if none."""
    try:
        some_function = ctypes.CDLL("libcuda.so.1").cuInit
        find = ctypes.CDLL(None).dladdr
    except (OSError, AttributeError):
        return ""
    found = _Found()
    known = find(ctypes.cast(some_function, ctypes.c_void_p), ctypes.byref(found))
    return os.path.basename(os.path.realpath(os.fsdecode(found.path))) if known and found.path else ""


class _Found(ctypes.Structure):
    """What dladdr tells of an address: the path of its library, and more that is not needed here."""

    _fields_ = [("path", ctypes.c_char_p), *((name, ctypes.c_void_p) for name in ("base", "symbol", "address"))]


def _ask(index, names, answer):
    """Has the first of the driver's functions `names` that exists write its `answer`. Returns whether it did."""
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return False
    found = [getattr(driver, name) for name in names if hasattr(driver, name)]
    device = ctypes.c_int()
    if not found or driver.cuInit(0) or driver.cuDeviceGet(ctypes.byref(device), index):
        return False
    return not found[0](answer, device)


def choice(count: int, local_rank: int, local_size: int) -> int | None:
    """The number of the GPU that a process takes, of the `count` that it sees; None if these are too few.

    Of one GPU every process of a machine takes that one: a launcher may show each its own, as Slurm's --gpus-per-task
    does. Whether they are different shows only when the processes compare them (`taken_twice`).
    """
    if count == 1:
        return 0
    return local_rank if local_size <= count else None


def taken_twice(identities: Sequence[str | None]) -> tuple[int, int] | None:
    """The first two ranks that took the same GPU; None if there are none. None in the list: no GPU, or not known."""
    first: dict[str, int] = {}
    for rank, gpu in enumerate(identities):
        if gpu is not None and first.setdefault(gpu, rank) != rank:
            return first[gpu], rank
    return None
