"""The library of compiled operators: there, missing, or of another build."""

import subprocess
import sys

import pytest

from awsdet.ops import library
from awsdet.runtime.errors import UserError


@pytest.fixture
def path(tmp_path, monkeypatch):
    """The path at which the library is expected in one test."""
    library.compiled.cache_clear()
    monkeypatch.setattr(library, "PATH", tmp_path / "libawsdet_ops.so")
    yield library.PATH
    library.compiled.cache_clear()


def test_missing_library_names_the_build_command(path):
    with pytest.raises(UserError, match=rf"{path}.* make ops"):
        library.load()


def test_broken_library_names_the_build_command(path):
    path.write_bytes(b"no library at all")
    with pytest.raises(UserError, match="do not load.* make ops") as caught:
        library.load()
    assert "\n" not in str(caught.value)


def test_model_without_library_does_not_fall_back_to_the_twins(path):
    from awsdet.ops.nms import nms

    with pytest.raises(UserError, match="make ops"):
        nms([[[0.0, 0, 1, 1]]], [[1.0]], [[0]], iou_threshold=0.5, score_threshold=0.0, max_output=1)


def test_importing_awsdet_does_not_load_it():
    source = (
        "import awsdet.models, sys; from awsdet.ops import library; sys.exit(library.compiled.cache_info().currsize)"
    )
    assert subprocess.run([sys.executable, "-c", source], check=False).returncode == 0
