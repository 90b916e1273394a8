"""Detections as arrays and as files, and the process that scores them."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import psutil
import pytest

from awsdet.detection.found import Found
from awsdet.evaluation import score_process, truth_of
from awsdet.evaluation.detections import join, pack, unpack
from awsdet.evaluation.evaluator import detect
from awsdet.evaluation.score_files import Evaluated, ScoreFiles
from awsdet.evaluation.score_process import ScoreProcess
from awsdet.evaluation.scoring import score
from awsdet.runtime.errors import UserError
from awsdet.runtime.world import World
from tests.evaluation.truth_detector import TruthDetector, shape_records, small_reader_options


def found(count, masks=True, ious=False, seed=0):
    random = np.random.default_rng(seed)
    codes = [bytes(random.integers(48, 112, i + 1).astype(np.uint8)) for i in range(count)]
    return Found(
        random.uniform(0, 30, (count, 4)).astype(np.float32),
        random.uniform(size=count).astype(np.float32),
        random.integers(0, 4, count).astype(np.int32),
        [{"size": [40 + i, 30], "counts": code} for i, code in enumerate(codes)] if masks else None,
        random.uniform(size=count).astype(np.float32) if ious else None,
    )


def same(one, other):
    assert [image_id for image_id, _ in one] == [image_id for image_id, _ in other]
    for (_, a), (_, b) in zip(one, other):
        for name in ("boxes", "scores", "classes", "iou_scores"):
            first, second = getattr(a, name), getattr(b, name)
            assert (first is None) == (second is None)
            if first is not None:
                assert first.dtype == second.dtype and first.shape == second.shape and (first == second).all(), name
        assert a.masks == b.masks


@pytest.mark.parametrize("masks, ious", [(True, False), (True, True), (False, False)])
def test_what_is_unpacked_is_what_was_packed(masks, ious):
    images = [(7, found(3, masks, ious)), (2**60, found(0, masks, ious)), (3, found(2, masks, ious, seed=1))]
    same(list(unpack(pack(images))), images)
    ranks = [images[:1], [], images[1:]]  # a rank may have no image
    same(list(unpack(join(pack(part) for part in ranks))), images)
    same(list(unpack(join([pack([]), pack([(1, found(0, masks, ious))])]))), [(1, found(0, masks, ious))])


def test_no_images_at_all():
    assert list(unpack(join([pack([]), pack([])]))) == []


# ------------------------------------------------------------------------------------------- the process that scores


@pytest.fixture(scope="module")
def scored(tmp_path_factory):
    """(ScoreFiles of detections that are a little misplaced, what they score, results.json of this score)."""
    folder = tmp_path_factory.mktemp("aside")
    manifest, random = shape_records(folder), np.random.default_rng(2)
    manifest = manifest._replace(image_ids={int(manifest.image_id[0]): "first"})  # ids of the annotation file

    def changed(image_id, boxes, scores):
        return boxes + random.normal(0, 6, boxes.shape).astype(np.float32), random.permutation(scores)

    detector = TruthDetector(manifest, small_reader_options(), changed)
    detections, truth = detect(detector, manifest, small_reader_options(), World()), truth_of(manifest)
    files = ScoreFiles(folder / "scoring")
    files.write_truth(truth)
    files.write_detections(detections, Evaluated(300, 2))
    metrics = score(unpack(detections), truth, folder / "results.json", official=True)
    assert 0.05 < metrics["box_ap"] < 0.95 and metrics["mask_ap"] > 0
    results = (folder / "results.json").read_bytes()
    assert b'"image_id":"first"' in results
    return files, metrics, results


def test_another_process_gives_the_same_score_and_says_the_same(scored, tmp_path, caplog):
    files, metrics, results = scored
    caplog.set_level("INFO", logger="absl")
    process = ScoreProcess(files, tmp_path / "results.json", official=True)
    assert psutil.Process(process._process.pid).ppid() == os.getpid() and process.result(seconds=0) is None
    assert process.result() == metrics and list(process.result()["per_class"]) == list(metrics["per_class"])
    assert (tmp_path / "results.json").read_bytes() == results
    said = [record.getMessage() for record in caplog.records]
    assert said[0].startswith("wrote ") and said[1] == "pycocotools gives the same numbers"
    assert files.evaluated() == Evaluated(300, 2)


@pytest.mark.parametrize(
    "child, says",
    [
        (("sh", "-c", "kill -9 $$"), "ended by signal 9, SIGKILL"),
        (("sh", "-c", "echo out of luck; exit 3"), "out of luck"),
        (("true",), "it left no result"),
        (("sleep", "100"), "it did nothing for 0 s and was killed"),
        ((sys.executable, "-c", "raise SystemExit('no numpy')"), "no numpy"),
    ],
)
def test_if_it_fails_this_process_does_its_work(scored, tmp_path, caplog, monkeypatch, child, says):
    files, metrics, results = scored
    monkeypatch.setattr(score_process, "_IDLE_SECONDS", 0.3)
    monkeypatch.setattr(score_process, "_LOOK_SECONDS", 0.1)
    (files.folder / "metrics.json").unlink(missing_ok=True)
    process = ScoreProcess(files, tmp_path / "results.json", official=False, child=child)
    assert process.result() == metrics and (tmp_path / "results.json").read_bytes() == results
    assert f"failed: {says}" in caplog.text and "rank 0 repeats that itself" in caplog.text
    assert process.done()


def test_if_it_fails_while_time_is_short_nobody_does_its_work(scored, caplog):
    """After SIGTERM the run that goes on has the score computed."""
    process = ScoreProcess(scored[0], None, official=False, child=("sh", "-c", "kill -15 $$"))
    assert process.result(seconds=10) is None
    assert "ended by signal 15, SIGTERM" in caplog.text and "there is no time to repeat that" in caplog.text


def test_a_mistake_in_the_ground_truth_is_told_as_ever(scored, tmp_path):
    files, _, _ = scored
    other = ScoreFiles(tmp_path / "scoring")
    content = json.loads((files.folder / "truth.json").read_text())
    content["coco"]["annotations"][0]["segmentation"] = {"size": [3, 3], "counts": [4]}
    other.folder.mkdir()
    (other.folder / "truth.json").write_text(json.dumps(content))
    os.link(files.folder / "detections.npz", other.folder / "detections.npz")
    with pytest.raises(UserError, match="the mask of annotation .* cannot be used"):
        ScoreProcess(other, None, official=False).result()


def test_files_that_cannot_be_read_are_named(scored, tmp_path):
    files, _, _ = scored
    other = ScoreFiles(tmp_path / "scoring")
    assert other.evaluated() is None
    other.folder.mkdir()
    (other.folder / "detections.npz").write_bytes((files.folder / "detections.npz").read_bytes()[:-100])
    for read in (other.evaluated, lambda: other.score(None, False)):
        with pytest.raises(UserError, match=r"detections.npz cannot be read .*; remove .*scoring to go on without"):
            read()
    os.replace(files.folder / "detections.npz", other.folder / "detections.npz")
    os.link(other.folder / "detections.npz", files.folder / "detections.npz")
    with pytest.raises(UserError, match=r"truth.json cannot be read"):
        other.score(None, False)
    other.discard()
    assert other.evaluated() is None
    other.remove()
    assert not other.folder.exists()


PARENT = """
import sys, time
from awsdet.evaluation.score_files import ScoreFiles
from awsdet.evaluation.score_process import ScoreProcess

assert "tensorflow" not in sys.modules
child = [sys.executable, "-c", "import time; from awsdet.evaluation import score_child, score_files; "
         "score_files.ScoreFiles.score = lambda *_: (open(sys.argv[1], 'w').close(), time.sleep(100)); "
         "import sys; assert 'tensorflow' not in sys.modules; sys.exit(score_child.main())", sys.argv[2]]
process = ScoreProcess(ScoreFiles(sys.argv[1]), None, False, child)
print(process._process.pid, flush=True)
time.sleep(100)
"""


def test_it_neither_needs_tensorflow_nor_heeds_sigterm_nor_outlives_its_parent(tmp_path):
    begun = tmp_path / "begun"
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, str(tmp_path), str(begun)], stdout=subprocess.PIPE, text=True
    )
    child = psutil.Process(int(parent.stdout.readline()))
    until = time.monotonic() + 60
    while not begun.exists() and time.monotonic() < until:
        time.sleep(0.05)
    assert child.nice() >= psutil.Process().nice() + min(10, 19 - psutil.Process().nice())
    child.send_signal(signal.SIGTERM)
    time.sleep(0.2)
    assert child.is_running() and child.status() != psutil.STATUS_ZOMBIE
    parent.kill()
    parent.wait()
    while child.is_running() and child.status() != psutil.STATUS_ZOMBIE and time.monotonic() < until:
        time.sleep(0.05)
    assert not child.is_running() or child.status() == psutil.STATUS_ZOMBIE
