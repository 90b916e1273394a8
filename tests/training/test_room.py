"""Room for checkpoints."""

import os
import types

import pytest

from awsdet.models.builder import build
from awsdet.runtime.errors import UserError
from awsdet.training import optimizer
from awsdet.training.checkpoint import Checkpoints
from awsdet.training.room import check_room, checkpoint_bytes
from awsdet.training.run_folder import RunFolder
from tests.models.small_detectors import small_config


@pytest.fixture(scope="module")
def detector():
    return build(small_config(detector="faster_rcnn"), ["a"])


@pytest.mark.parametrize(
    "changes", [(), ("optimizer.name=lamb",), ("optimizer.name=adamw",), ("optimizer.ema_decay=0.9",)], ids=str
)
def test_the_estimate_is_near_the_size_of_a_checkpoint(detector, tmp_path, changes):
    config = small_config(*changes, detector="faster_rcnn")
    made = optimizer.build_optimizer(config.optimizer, 0.1)
    optimizer.create_slots(made, detector.trainable_variables)
    path = Checkpoints(tmp_path).save(detector, made, {"step": 1})
    size = sum(file.stat().st_size for file in path.iterdir())
    assert checkpoint_bytes(detector, config) == pytest.approx(size, rel=0.1)


def test_what_does_not_fit_is_told_before_a_run(detector, tmp_path, monkeypatch, caplog):
    config, folder = small_config("train.keep_last=2", detector="faster_rcnn"), RunFolder(tmp_path)
    size = checkpoint_bytes(detector, config)
    disk = types.SimpleNamespace(f_bavail=0, f_frsize=1, f_blocks=1)
    monkeypatch.setattr(os, "statvfs", lambda path: disk)
    disk.f_bavail = size - 1
    with pytest.raises(
        UserError, match=r"^the checkpoints \(each\) need about .* MB, and .*; make room, or give another"
    ):
        check_room(folder, detector, config)
    disk.f_bavail = 3 * size  # two, the best and one that is being written
    check_room(folder, detector, config)
    assert "4 more checkpoints need about " in caplog.text and "train.keep_last=2" in caplog.text
    caplog.clear()
    check_room(folder, detector, small_config("train.keep_best_count=5", "train.keep_last=2", detector="faster_rcnn"))
    assert "8 more checkpoints need about " in caplog.text and "train.keep_best_count=5" in caplog.text
    caplog.clear()
    folder.checkpoints.root.mkdir()
    (folder.checkpoints.root / "step-00000001").mkdir()  # a resumed run replaces it
    check_room(folder, detector, config)
    assert not caplog.text
