"""Whether an operator gives the same bits on any number of threads. The number is fixed when TensorFlow starts, so each
needs a process of its own."""

import hashlib
import json
import os
import pathlib
import subprocess
import sys

from awsdet.ops import library

ROOT = pathlib.Path(__file__).parents[2]
PROGRAM = """
import importlib, json, pathlib, sys
import tensorflow as tf
from awsdet.ops import library
module, function, path, threads = sys.argv[1:]
tf.config.threading.set_intra_op_parallelism_threads(int(threads))
library.PATH = pathlib.Path(path)
print(json.dumps(getattr(importlib.import_module(module), function)()))
"""


def digest(arrays):
    """A digest of every bit of some arrays."""
    found = hashlib.sha256()
    for array in arrays:
        found.update(array.tobytes())
    return found.hexdigest()


def change_no_bit(results):
    """Whether a function without arguments, of a test module in this folder, gives the same on 1, 5 and all threads.

    Its results must be what JSON can hold, and large enough that a call is shared among threads.
    """
    module = f"tests.ops.{pathlib.Path(results.__code__.co_filename).stem}"
    found = [results()]
    for threads in ("1", "5"):
        command = [sys.executable, "-c", PROGRAM, module, results.__name__, str(library.PATH), threads]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        found.append(json.loads(done.stdout.splitlines()[-1]))
    return all(other == found[0] for other in found)
