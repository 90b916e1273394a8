"""The CUDA launchers: they compile, and what their kernels compute, emulated on the CPU, is what the CPU's kernels do.

On a machine with a GPU `make test-cuda` runs them on it; that is not done here.
"""

import os
import pathlib
import re
import shutil
import subprocess

import pytest

SCRIPT = pathlib.Path(__file__).parents[2] / "scripts" / "test_cuda.sh"
FOLDERS = [os.environ.get("CUDA_HOME", ""), *map(str, pathlib.Path("/usr/local").glob("cuda*"))]
NVCC = shutil.which("nvcc") or any(folder and os.access(f"{folder}/bin/nvcc", os.X_OK) for folder in FOLDERS)
needs_nvcc = pytest.mark.skipif(not NVCC, reason="no nvcc: the CUDA launchers cannot be compiled here")


def run(tmp_path, *arguments, **environment):
    environment = {**os.environ, "AWSDET_CUDA_OUT": str(tmp_path), **environment}
    command = [SCRIPT, *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=False, timeout=900)


@needs_nvcc
def test_emulated_kernels_equal_those_of_the_cpu(tmp_path):
    """RoIAlign, its gradients and NMS on random, odd and degenerate input, as far as one CPU thread can show."""
    done = run(tmp_path, "--emulate", "1", "3", AWSDET_SANITIZE="")
    assert done.returncode == 0, done.stdout + done.stderr
    assert int(re.search(r"(\d+) checks, 0 failed", done.stdout).group(1)) > 20


@needs_nvcc
def test_launchers_compile_and_say_where_there_is_no_gpu(tmp_path):
    done = run(tmp_path, "1", CUDA_VISIBLE_DEVICES="", AWSDET_CUDA_ARCH="sm_80")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "no GPU" in done.stdout and (tmp_path / "libawsdet_cuda.so").is_file()
    assert "error" not in done.stderr and "warning" not in done.stderr


def test_without_nvcc_it_says_so(tmp_path):
    done = run(tmp_path, AWSDET_NVCC=str(tmp_path / "nvcc"))
    assert done.returncode == 0 and "no nvcc" in done.stdout
