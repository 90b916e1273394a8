"""Counts what a function would launch, copy and wait for on a GPU, on a machine without one.

TensorFlow's GPU build must find the hollow libraries that build.py makes before any others (LD_LIBRARY_PATH, see
scripts/gpu_counts.sh). It then has one GPU, which computes nothing: its memory is zero. So values and times mean
nothing, and what later shapes depend on must be computed by the host, or be injected.
"""

import ctypes
import os
import pathlib
import tempfile
from typing import NamedTuple

import tensorflow as tf

# TensorFlow's own names of the running operations, which it keeps for its profiler.
_STACK = "_ZN3tsl8profiler15AnnotationStack21ThreadAnnotationStackB5cxx11Ev"
_ENABLED = "_ZN3tsl8profiler8internal20g_annotation_enabledE"

LAUNCH, LIBRARY, TO_HOST, TO_DEVICE, FILL, WAIT = "launch", "library", "d2h", "h2d", "memset", "wait"


class Event(NamedTuple):
    """A call that a GPU would have noticed."""

    kind: str  # launch, library, d2h, h2d, d2d, memset, wait, hostfunc, alloc or call
    name: str  # of the kernel or function
    amount: int  # bytes; of a launch its blocks
    operation: str  # "name:type" of the TensorFlow operation, or of the edge that a copy serves


class Hollow:
    """The hollow GPU of this process. There can be one."""

    def __init__(self):
        framework = ctypes.CDLL(os.path.join(os.path.dirname(tf.__file__), "libtensorflow_framework.so.2"))
        self._library = ctypes.CDLL("libcuda.so.1")
        if not hasattr(self._library, "hollow_setup"):
            raise RuntimeError("libcuda.so.1 is NVIDIA's: put the folder that build.py made first in LD_LIBRARY_PATH")
        self._library.hollow_setup.argtypes = [ctypes.c_void_p]
        self._library.hollow_inject.argtypes = [ctypes.c_char_p, ctypes.c_char_p, ctypes.c_size_t]
        self._library.hollow_setup(ctypes.cast(getattr(framework, _STACK), ctypes.c_void_p))
        ctypes.c_int.in_dll(framework, _ENABLED).value = 1
        for gpu in tf.config.list_physical_devices("GPU"):
            tf.config.experimental.set_memory_growth(gpu, True)
        if len(tf.config.list_logical_devices("GPU")) != 1:
            raise RuntimeError("TensorFlow found no hollow GPU: is this its GPU build?")

    def inject(self, operation, value):
        """From now on, copies to the host bring `value` if they have as many bytes as this array and are made by an
        operation whose name contains `operation`. If it is empty, copies of any size bring zeros."""
        content = value.tobytes()
        self._library.hollow_inject(operation.encode(), content, len(content))

    def find_rows(self, count):
        """`tf.where` finds this many rows on the device from now on."""
        self._library.hollow_set_where_count(ctypes.c_longlong(count))

    def count(self, function, *arguments):
        """The Events of a call of `function`; it is called once before, to trace and to tune."""
        function(*arguments)

        def work():
            result = function(*arguments)
            tf.nest.map_structure(lambda value: value.device, result)

        return self.logged(work)

    def logged(self, work):
        """The Events of a call of `work()`."""
        with tempfile.TemporaryDirectory() as folder:
            log = pathlib.Path(folder, "log")
            if not self._library.hollow_start(str(log).encode()):
                raise RuntimeError(f"{log} cannot be written")
            work()
            tf.test.experimental.sync_devices()
            self._library.hollow_stop()
            lines = log.read_text(errors="replace").splitlines()
        events = [line.split("\t") for line in lines]
        return [Event(kind, name, int(amount), operation) for kind, name, amount, operation in events]
