"""What the proof ran on, and whether that machine is set up for it. Nothing here names a user, a host or a folder."""

import ctypes
import importlib.metadata
import os
import pathlib
import platform
import re
import shutil
import socket
import subprocess

from awsdet.cli import diagnosis
from awsdet.runtime.cores import usable_cores
from awsdet.runtime.version import __version__

ROOT = pathlib.Path(__file__).resolve().parents[2]
_LIBRARIES = ("nvidia-cudnn-cu12", "nvidia-cublas-cu12", "nvidia-cuda-runtime-cu12", "nvidia-nccl-cu12", "horovod")

# Run in a process of its own, so that this one never takes memory of a GPU.
_LOOK = """
import json, tensorflow as tf
from awsdet.ops.library import built_for
from awsdet.runtime import gpus
build = tf.sysconfig.get_build_info()
seen = []
for index, device in enumerate(tf.config.list_physical_devices("GPU")):
    found = tf.config.experimental.get_device_details(device)
    capability = list(found.get("compute_capability", ()))
    seen.append([found.get("device_name", "GPU"), capability, gpus.memory(index) or 0])
try:
    operators, error = built_for(), ""
except Exception as problem:
    operators, error = None, str(problem)
print(json.dumps({
    "tensorflow": tf.__version__, "cuda": build.get("cuda_version", ""), "cudnn": build.get("cudnn_version", ""),
    "gpus": [gpu[:2] for gpu in seen], "memory": [gpu[2] for gpu in seen], "operators": operators, "error": error,
}))
"""


def look():
    """(facts, error): what TensorFlow and the operators say, a dict; or None and why TensorFlow does not load."""
    return diagnosis.load(_LOOK)


def mistakes(facts, error, driver_gpus):
    """What must be mended before anything can be proved on a GPU: list of lines, each with its cure.

    Args:
        facts, error: what `look` returns.
        driver_gpus: names of the GPUs that the driver lists.
    """
    findings = [diagnosis.judge_tensorflow(facts, error, driver_gpus)]
    if facts and facts["gpus"]:
        gpus = [diagnosis.gpu_fit.Gpu(name, tuple(capability)) for name, capability in facts["gpus"]]
        findings.append(diagnosis.judge_operators(facts["operators"], facts["error"], gpus))
    return [f"{one.name}: {one.value}; fix it with:  {one.cure}" for one in findings if one.cure]


def described(facts):
    """What goes into the JSON about machine and software: a dict."""
    versions = {}
    for name in _LIBRARIES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    pairs = zip(facts["gpus"], facts["memory"])
    return {
        "awsdet": __version__,
        "commit": commit(),
        "gpus": [{"name": n, "capability": ".".join(map(str, c)), "memory_gb": m / 1e9} for (n, c), m in pairs],
        "driver": driver(),
        "tensorflow": facts["tensorflow"],
        "cuda": facts["cuda"],
        "cudnn": facts["cudnn"],
        "operators": facts["operators"],
        "packages": versions,
        "python": platform.python_version(),
        "processor": processor(),
        "cores": usable_cores(),
        "settings": {name: os.environ[name] for name in sorted(os.environ) if name.startswith(("TF_GPU", "TF_FORCE"))},
    }


def commit():
    """The commit of this checkout, with "+" if files were changed since; "" if that is not known."""
    found = _output("git", "-C", str(ROOT), "describe", "--always", "--abbrev=40", "--dirty=+", "--exclude=*")
    return found or ""


def driver():
    """The versions of NVIDIA's driver, and of CUDA that it supports."""
    version = _output("nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader") or ""
    cuda = ctypes.c_int()
    try:
        failed = ctypes.CDLL("libcuda.so.1").cuDriverGetVersion(ctypes.byref(cuda))
    except OSError:
        failed = True
    return {
        "version": version.partition("\n")[0],
        "cuda": "" if failed else f"{cuda.value // 1000}.{cuda.value % 1000 // 10}",
    }


def processor():
    """The name of the processor."""
    try:
        found = re.search(r"model name\s*:\s*(.+)", pathlib.Path("/proc/cpuinfo").read_text())
    except OSError:
        found = None
    return found[1] if found else platform.machine()


def scrubbed(text):
    """A text without this machine's name and the folders of its user, for what is sent to others."""
    for private, public in ((str(ROOT), "."), (str(pathlib.Path.home()), "~"), (socket.gethostname(), "HOST")):
        if len(private) > 1:
            text = text.replace(private, public)
    return text


def _output(*command):
    if not shutil.which(command[0]):
        return None
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else None
