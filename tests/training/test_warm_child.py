"""The process that takes a few steps, so that CUDA compiles its kernels; here on a CPU."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

from awsdet import config as base
from awsdet.models import batch_check
from awsdet.training import warm_child


def children(*requests):
    """Starts a process for each request, {"config": …, …}. Returns (exit code, last line) of each."""
    started = []
    for changes in requests:
        request = {"overrides": [], "resume": False, "parent": os.getpid(), **changes}
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        started.append(subprocess.Popen([sys.executable, "-m", "awsdet.training.warm_child"], **pipes))
        started[-1].stdin.write(json.dumps(request))
        started[-1].stdin.close()
        started[-1].stdin = None
    outputs = [process.communicate(timeout=120)[0] for process in started]
    return [(process.returncode, output.strip().split("\n")[-1]) for process, output in zip(started, outputs)]


def test_it_trains_and_detects_and_writes_nothing(tmp_path, config_file):
    """Of the others, one is given a mistake; the process that started the last ended before that was there."""
    common = {"config": str(config_file), "output": str(tmp_path / "run")}
    done, mistaken, orphan = children(
        common,
        {**common, "overrides": ["data.train_records=/nowhere"]},
        {**common, "parent": 1},
    )
    assert done[0] == 0, done
    assert mistaken[0] == 1 and "/nowhere" in mistaken[1]
    assert orphan == (1, "the process that started this one has ended")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "changes, size",
    [
        ((), (800, 1344)),
        (("data.canvas=256", "data.batch_size=3"), (256, 256)),
        (("data.pad_multiple=64",), (832, 1344)),
    ],
    ids=str,
)
def test_the_example_is_a_batch_of_the_largest_size(changes, size):
    config = base.mask_rcnn()
    for change in changes:
        base.apply_override(config, change)
    batch = warm_child.example(config, num_classes=3)
    batch_check.check_batch(batch, 3, with_masks=True)
    height, width = size
    assert batch["image"].shape == (config.data.batch_size, height, width, 3)
    boxes = batch["boxes"].numpy()
    assert (boxes >= 0).all() and (boxes <= [width, height] * 2).all()
    areas = np.prod(boxes[0, :, 2:] - boxes[0, :, :2], axis=-1)
    assert areas.min() < 0.01 * height * width and areas.max() > 0.5 * height * width
    polygons = batch["masks"]["polygons"][0, 0, 0].numpy().reshape(-1, 2)
    np.testing.assert_allclose([*polygons.min(0), *polygons.max(0)], boxes[0, 0], rtol=0.01)


def test_it_does_not_wait_for_weights_that_rank_0_has_yet_to_fetch(tmp_path, monkeypatch):
    """Another host may fetch them; until they are in the cache, random ones do as well."""
    monkeypatch.setenv("AWSDET_WEIGHTS", str(tmp_path))
    config = base.mask_rcnn()
    config.train.init_from = "imagenet-r50"
    assert warm_child._weights(config) == ""
    (tmp_path / "resnet50-0676ba61.pth").write_bytes(b"")
    assert warm_child._weights(config) == "imagenet-r50"
    config.train.init_from = "runs/mine"
    assert warm_child._weights(config) == "runs/mine"
