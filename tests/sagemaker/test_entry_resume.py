"""What a job does with the checkpoints that SageMaker brought back, whole or not."""

import json
import os
import shutil

import pytest

from awsdet.inference import checkpoint
from tests.sagemaker import fake_jobs  # noqa: F401, for the folder of the modules below

import container_resume  # isort: skip


def save(run, step):
    """A checkpoint folder with files of the sizes that checkpoint.json lists."""
    path = run / "checkpoints" / f"step-{step:08d}"
    path.mkdir(parents=True)
    files = {"state.index": b"index", "state.data-00000-of-00001": os.urandom(100)}
    for name, content in files.items():
        (path / name).write_bytes(content)
    sizes = {name: len(content) for name, content in files.items()}
    info = {"format": checkpoint.FORMAT, "files": sizes, "step": step}
    (path / "checkpoint.json").write_text(json.dumps(info))
    return path


def change(path, key, value):
    info = json.loads((path / "checkpoint.json").read_text())
    (path / "checkpoint.json").write_text(json.dumps({**info, key: value}))


def cut(path):
    path.write_bytes(path.read_bytes()[:-1])


DAMAGES = {
    "file cut": lambda path: cut(path / "state.data-00000-of-00001"),
    "file missing": lambda path: (path / "state.index").unlink(),
    "info cut": lambda path: cut(path / "checkpoint.json"),
    "no step": lambda path: change(path, "step", None),
    "a list for files": lambda path: change(path, "files", ["state.index"]),
    "info missing": lambda path: (path / "checkpoint.json").unlink(),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_damage_is_what_awsdet_calls_damage(tmp_path, damage):
    path = save(tmp_path, 7)
    assert not container_resume.damage(path) and checkpoint.whole(path.parent) == [path]
    damage(path)
    assert container_resume.damage(path) and checkpoint.whole(path.parent) == []


def test_without_checkpoints_a_new_run_starts(tmp_path, capsys):
    assert not container_resume.resumes(tmp_path / "run")
    (tmp_path / "run" / "checkpoints" / ".aside-1").mkdir(parents=True)
    assert not container_resume.resumes(tmp_path / "run")
    assert capsys.readouterr().out.count("holds no checkpoint: starting a new run") == 2


def test_a_damaged_checkpoint_is_passed_over(tmp_path, capsys):
    first, second = save(tmp_path, 1), save(tmp_path, 2)
    cut(second / "state.index")
    assert container_resume.resumes(tmp_path)
    said = capsys.readouterr().out.splitlines()
    assert len(said) == 2 and f"damaged checkpoint {second}: state.index should have 5 bytes, and has 4" in said[0]
    assert f"holds a run up to {first.name}" in said[1] and second.is_dir()


def test_damaged_checkpoints_alone_are_kept_aside(tmp_path, capsys):
    for number in (1, 2):
        path = save(tmp_path, number)
        (path.parent / "best").symlink_to(path.name)
        cut(path / "state.index")
        assert not container_resume.resumes(tmp_path)
        kept = tmp_path / f"checkpoints-damaged-{number}"
        assert (kept / path.name / "state.index").read_bytes() == b"inde" and not path.parent.exists()
        assert f"starting a new run; the damaged ones are kept in {kept}" in capsys.readouterr().out


@pytest.mark.parametrize("other", ["best", "notes.txt", "step-00000009"])
def test_what_else_is_there_is_not_moved(tmp_path, other):
    """The best checkpoint, which came back as a folder; a file of the user; a checkpoint of another program."""
    path = save(tmp_path, 1)
    beside = path.parent / other
    if other == "best":
        shutil.copytree(path, beside)
    elif other == "notes.txt":
        beside.touch()
    else:
        beside.mkdir()
        (beside / "checkpoint.json").write_text('{"format": "of another program"}')
    cut(path / "state.index")
    assert container_resume.resumes(tmp_path) and path.is_dir() and beside.exists()


def test_the_lock_of_a_machine_that_is_gone_is_removed(tmp_path):
    """It came back with the checkpoints, looks new, and nobody would touch it: the start would wait for 30 s."""
    save(tmp_path, 4)
    (tmp_path / "run.lock").write_text("{}")
    assert container_resume.resumes(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoints"]
