"""scripts/download_coco.sh; tests/data/download is about the command that it is a short form of."""

import os
import pathlib
import subprocess

import pytest

SCRIPT = pathlib.Path(__file__).parents[2] / "scripts" / "download_coco.sh"


@pytest.mark.parametrize("arguments", [[], ["--verify"]])
def test_a_folder_is_needed(arguments):
    done = subprocess.run([SCRIPT, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 2 and done.stderr.startswith("download_coco.sh: usage: ")


def test_arguments_and_exit_code_are_passed_on(tmp_path):
    """With a copy of the script, since it prefers the awsdet of its own repository."""
    (tmp_path / "scripts" / "lib").mkdir(parents=True)
    for name in ("download_coco.sh", "lib/train.sh"):
        (tmp_path / "scripts" / name).write_text((SCRIPT.parent / name).read_text())
    awsdet = tmp_path / "bin" / "awsdet"
    awsdet.parent.mkdir()
    awsdet.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\nexit 1\n')
    awsdet.chmod(0o755)
    path = f"{awsdet.parent}:{os.environ['PATH']}"
    command = ["bash", tmp_path / "scripts" / "download_coco.sh", "my data", "--parts=val"]
    done = subprocess.run(command, env={**os.environ, "PATH": path}, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "download\ncoco2017\nmy data\n--parts=val\n")
