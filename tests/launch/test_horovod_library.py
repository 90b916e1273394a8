"""What Horovod's library was built with, read from its file; and that horovodrun asks the file."""

import os
import pathlib
import subprocess
import sys

from awsdet.launch import horovod_library
from awsdet.launch.horovod_library import GLOO, MPI, built_with

ROOT = pathlib.Path(__file__).parents[2]


def called(python, source):
    """What a program prints."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([python, "-c", source], capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_it_is_as_the_set_up_built_it():
    """It notes what it built with; .venv-mpi is always built with MPI, and all have Gloo."""
    stamp, overlay = pathlib.Path(sys.prefix, "awsdet-setup", "horovod"), ROOT / ".venv-mpi" / "bin" / "python"
    assert built_with(GLOO) is True
    if stamp.is_file():
        assert built_with(MPI) == ("no MPI" not in stamp.read_text())
    if overlay.is_file():
        source = "from awsdet.launch.horovod_library import *; print(built_with(GLOO), built_with(MPI))"
        assert called(overlay, source) == "True True"


def test_what_it_was_built_without(tmp_path, monkeypatch):
    (tmp_path / "tensorflow").mkdir()
    (tmp_path / "tensorflow" / "mpi_lib.so").write_bytes(b"... MPIController libmpi.so.40 ...")
    spec = type("Spec", (), {"submodule_search_locations": [str(tmp_path)]})
    monkeypatch.setattr(horovod_library.importlib.util, "find_spec", lambda name: spec)
    assert (built_with(GLOO), built_with(MPI)) == (False, True)
    (tmp_path / "tensorflow" / "mpi_lib.so").unlink()
    assert built_with(GLOO) is None


def test_horovodrun_does_not_load_tensorflow_to_know():
    """In no process: what it asks otherwise starts one."""
    source = """
import multiprocessing
from awsdet.launch import horovodrun
from horovod.runner import launch
horovodrun.look_for_gloo_in_library()
multiprocessing.get_context = None
print(launch.gloo_built(verbose=False))
"""
    assert called(sys.executable, source) == "True"
