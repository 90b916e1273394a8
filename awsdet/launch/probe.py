"""Looks at one host for the checks before a job: `python -m awsdet.launch.probe QUESTION`, printed as one JSON object.

QUESTION is the JSON of a checks.Question; its `output` is "" on all hosts but that of rank 0.
"""

import concurrent.futures
import glob
import hashlib
import importlib.metadata
import json
import os
import pathlib
import platform
import shutil
import socket
import subprocess
import sys
import tempfile
import time

import psutil

from awsdet.launch.horovod_library import MPI, built_with
from awsdet.runtime.version import __version__

_PACKAGES = ("horovod", "numpy", "tensorflow-addons", "ml_collections")
_NCCL_PLUGINS = ("libnccl-net.so", "libnccl-net-ofi.so", "libnccl-net-aws-ofi.so")
_NCCL_FOLDERS = ("/opt/amazon/ofi-nccl/lib", "/opt/aws-ofi-nccl/lib", "/opt/amazon/ofi-nccl/lib/x86_64-linux-gnu")
_CONNECT_SECONDS = 5


def main(question):
    """The report: a JSON-ready dict."""
    root = pathlib.Path(__file__).parents[1]
    return {
        "host": socket.gethostname(),
        "own_name_resolves": _resolves(socket.gethostname()),
        "python": platform.python_version(),
        "packages": _versions(),
        "sources": _digest(sorted(root.rglob("*.py")), root),
        "operators": _digest(sorted(root.glob("ops/*.so")), root),
        "clock": time.time(),
        "gpus": _gpus(question.get("visible_gpus")),
        "addresses": _addresses(),
        "reaches_launcher": _reaches(*question["launcher"]) if question.get("launcher") else None,
        "config": _digest([question["config"]]) if question.get("config") else None,
        "checkpoint": _checkpoint(question["checkpoint"]) if question.get("checkpoint") else None,
        "horovod_mpi": built_with(MPI) if question.get("needs_mpi") else None,
        "unreached": _unreached(question.get("peers", ())),
        "records": {path: _records(path) for path in question.get("records", ())},
        "broken_shards": {path: _broken_shards(path) for path in question.get("records", ())},
        "output": _output(question["output"]) if question.get("output") else None,
        "efa": len(glob.glob("/sys/class/infiniband/efa_*") or glob.glob("/sys/class/infiniband/rdmap*")),
        "nccl_plugin": _nccl_plugin(),
        "instance_type": _read("/sys/devices/virtual/dmi/id/product_name"),
        "memory_gb": psutil.virtual_memory().available / 1e9,
    }


def _versions():
    found = {"awsdet": __version__}
    # The CPU and the GPU build of TensorFlow are two packages with one module.
    for name in ("tensorflow", "tensorflow-cpu"):
        with_version = _version(name)
        if with_version:
            found["tensorflow"] = with_version
    return {**found, **{name: _version(name) for name in _PACKAGES}}


def _version(name):
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _digest(paths, root=None):
    """Of the names and contents of files; None if one cannot be read."""
    digest = hashlib.sha256()
    for path in paths:
        try:
            digest.update(str(path.relative_to(root) if root else "").encode() + pathlib.Path(path).read_bytes())
        except OSError:
            return None
    return digest.hexdigest()[:16] if paths else None


def _gpus(visible):
    """Memory in use (MB) of each GPU that the ranks may use; None if nvidia-smi is missing or fails.

    `visible`: the CUDA_VISIBLE_DEVICES that they get, or None. Of GPUs named by UUID only the number is known.
    """
    if shutil.which("nvidia-smi") is None:
        return None
    query = ["nvidia-smi", "--query-gpu=memory.used", "--format=csv,noheader,nounits"]
    done = subprocess.run(query, capture_output=True, text=True, timeout=60, check=False)
    if done.returncode:
        return None
    # GPUs that share the memory of the host have no number.
    used = [int(line) if line.strip().isdigit() else 0 for line in done.stdout.splitlines() if line.strip()]
    if visible is None:
        return used
    chosen = [name.strip() for name in visible.split(",") if name.strip()]
    numbers = [int(name) for name in chosen if name.isdigit() and int(name) < len(used)]
    return [used[number] for number in numbers] if numbers else [0] * len(chosen)


def _addresses():
    """Interface -> IPv4 address."""
    return {
        name: entry.address
        for name, entries in psutil.net_if_addrs().items()
        for entry in entries
        if entry.family == socket.AF_INET
    }


def _resolves(name):
    try:
        return bool(socket.gethostbyname(name))
    except OSError:
        return False


def _reaches(address, port):
    try:
        socket.create_connection((address, port), timeout=_CONNECT_SECONDS).close()
    except OSError as error:
        return str(error)
    return True


def _unreached(peers):
    """Names of the peers, (name, address, port), that do not answer, not even by refusing the connection."""
    if not peers:
        return []
    with concurrent.futures.ThreadPoolExecutor(len(peers)) as pool:
        answers = list(pool.map(_answers, peers))
    return [peer[0] for peer, answered in zip(peers, answers) if not answered]


def _answers(peer):
    try:
        socket.create_connection(tuple(peer[1:]), timeout=_CONNECT_SECONDS).close()
    except ConnectionRefusedError:
        return True
    except OSError:
        return False
    return True


def _broken_shards(path):
    """Names of the shards that the manifests in a folder list, but that are missing or have another size."""
    broken = []
    for manifest in sorted(pathlib.Path(path).glob("*.manifest.json")):
        try:
            listed = [(shard["file"], shard["size"]) for shard in json.loads(manifest.read_text())["shards"]]
        except (OSError, ValueError, KeyError, TypeError):
            continue  # `awsdet train --check` says what is wrong with it
        broken += [name for name, size in listed if _size(manifest.with_name(name)) != size]
    return broken


def _size(path):
    try:
        return path.stat().st_size
    except OSError:
        return None


def _records(path):
    """Digest of the manifests in a folder of records; None if there is none."""
    return _digest(sorted(pathlib.Path(path).glob("*.manifest.json")))


def _checkpoint(path):
    """Digest of the description of the checkpoint that a path stands for (see `inference.checkpoint.find`), or None."""
    path = pathlib.Path(path)
    folders = [path / "checkpoints", path]
    newest = [step for folder in folders for step in sorted(folder.glob("step-*"), reverse=True)]
    for folder in (path, *(folder / "best" for folder in folders), *newest):
        if (folder / "checkpoint.json").is_file():
            return _digest([folder / "checkpoint.json"])
    return None


def _output(path):
    """(whether one can write there, or why not; free bytes)."""
    folder = pathlib.Path(path).absolute()
    while not folder.exists():
        folder = folder.parent
    try:
        with tempfile.TemporaryFile(dir=folder):
            writable = True
    except OSError as error:
        writable = f"{folder}: {error.strerror}"
    return writable, shutil.disk_usage(folder).free


def _nccl_plugin():
    """Path of the NCCL network plug-in that uses EFA; None if none is found."""
    folders = [*os.environ.get("LD_LIBRARY_PATH", "").split(":"), *_NCCL_FOLDERS]
    for folder in filter(None, folders):
        for name in _NCCL_PLUGINS:
            if os.path.exists(os.path.join(folder, name)):
                return os.path.join(folder, name)
    return None


def _read(path):
    try:
        return pathlib.Path(path).read_text().strip()
    except OSError:
        return None


if __name__ == "__main__":
    sys.stdout.write(json.dumps(main(json.loads(sys.argv[1]))) + "\n")
