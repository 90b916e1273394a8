"""The real detector in two processes: same weights, same gradients, same metrics."""

import json
import sys

import pytest

from awsdet.cores import usable_cores
from awsdet.data.records import read_manifest
from awsdet.distributed import World
from awsdet.evaluation import evaluate
from awsdet.train import checkpoint
from tests.train.made import make_records, write_config

# One program for two questions, since most of its time goes into starting and tracing.
STEPS = """
    import hashlib, json
    import numpy as np
    import tensorflow as tf
    from awsdet import distributed
    from awsdet.train.optimizer import SGD
    from tests.models.made import TWO, batch, index_keys, small_detector

    world = distributed.start(2)
    rank = world.rank

    # (a) Rank 1 sees no object at all, rank 0 does.
    model = small_detector("model.backbone.norm=batch_norm")
    model.compile(SGD(0.01), world=world, clip_norm=10.0)
    model.fit(tf.data.Dataset.from_tensors(batch(TWO if rank == 0 else [[], []])).repeat(3), verbose=0)
    weights = hashlib.sha256(b"".join(v.numpy().tobytes() for v in model.trainable_variables)).hexdigest()

    # (b) One image a process with the normalisers summed, against both images in one process. Eager: no time to trace.
    def gradients(data, world_or_none):
        model = small_detector()
        model.compile(SGD(0.01), world=world_or_none, loss_normalizer="global")

        with tf.GradientTape() as tape:
            loss = tf.add_n(list(model.compute_losses(data, index_keys).values()))
        return [tf.convert_to_tensor(g) for g in model.world.average(tape.gradient(loss, model.trainable_variables))]

    def distance(ours, theirs):
        return float(max(np.abs(a - b).max() for a, b in zip(ours, theirs)) / max(np.abs(b).max() for b in theirs))

    def one_image(data, index):
        return tf.nest.map_structure(lambda t: t[index : index + 1], data)

    both = batch(TWO)
    shared = gradients(one_image(both, rank), world)
    alone = gradients(both, None)
    world.close()
    print(json.dumps({
        "weights": weights,
        "error": distance(shared, alone),
        "own": distance(gradients(one_image(both, rank), None), alone),
    }), flush=True)
"""


def test_rank_without_objects_and_global_normalizers(horovodrun):
    done = horovodrun(2, STEPS, timeout=400)
    assert done.code == 0, done.output
    first, second = (json.loads(done.lines(rank)[-1]) for rank in range(2))
    assert first["weights"] == second["weights"]
    for result in (first, second):
        assert result["error"] < 1e-4 < 1e-2 < result["own"], result


@pytest.fixture(scope="module")
def config_file(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    return write_config(folder / "tiny.py", make_records(folder, train_images=8, val_images=5))


def test_two_processes_train_and_score_as_one_scores_them(horovodrun, config_file, tmp_path, monkeypatch):
    # Sums on a CPU depend on the number of threads they are dealt to; this process has one a core.
    monkeypatch.setenv("TF_NUM_INTRAOP_THREADS", str(usable_cores()))
    command = [sys.executable, "-m", "awsdet.cli.main", "train", "--processes=2"]
    output = tmp_path / "run"
    overrides = ["train.epochs=1", "train.pictures=0", "model.box_head.score_threshold=0.0"]
    done = horovodrun(
        2,
        [*command, f"--config={config_file}", f"--output={output}", *[f"--config.{o}" for o in overrides]],
        timeout=400,
    )
    assert done.code == 0, done.output
    assert "learning rate 0.04: 0.02 is for 2 images an update, this run has 4" in done.output
    assert "AP   IoU 0.50:0.95" in "\n".join(done.lines(0)) and not done.lines(1)

    found = checkpoint.read_info(checkpoint.find(output))
    assert found["step"] == 2 and found["images_per_step"] == 4
    detector, info = checkpoint.load_for_inference(output)
    manifest = read_manifest(info["config"].data.train_records, "val")
    metrics = evaluate(detector, manifest, info["config"].data, World(), tmp_path / "alone.json")
    assert metrics == found["metrics"]
    assert json.loads((tmp_path / "alone.json").read_text()) == json.loads((output / "results.json").read_text())
