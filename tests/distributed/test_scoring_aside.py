"""Two ranks train on while rank 0's other process scores: the digits are those of one process that waits."""

import sys

from awsdet.data.reader.builder import reader_options
from awsdet.data.records.read import read_manifest
from awsdet.evaluation import evaluate
from awsdet.inference import checkpoint
from awsdet.inference.fast_convolutions import use_fast_convolutions
from awsdet.runtime.world import World
from tests.training.tiny_run import logged_lines, make_records, write_config

# So few steps take less time than to trace them.
EAGER = """
import sys
import tensorflow as tf
from awsdet.cli.main import main

tf.config.run_functions_eagerly(True)
sys.exit(main(sys.argv[1:]))
"""


def test_the_score_belongs_to_the_checkpoint_that_was_evaluated(tmp_path, horovodrun):
    config, run = write_config(tmp_path / "tiny.py", make_records(tmp_path)), tmp_path / "run"
    settings = {
        "data.batch_size": 1,  # so an epoch has three steps
        "model.detector": "faster_rcnn",
        "train.score_aside_from": 1,
        "train.keep_last": 9,
        "train.pictures": 0,
        "train.tensorboard": "false",
        "train.max_steps": 4,
    }
    changes = [f"--config.{name}={value}" for name, value in settings.items()]
    done = horovodrun(
        2, [sys.executable, "-c", EAGER, "train", f"--config={config}", f"--output={run}", *changes], timeout=400
    )
    assert done.code == 0, done.output
    scored = {line["step"]: line for line in logged_lines(run) if "box_ap" in line}
    assert list(scored) == [3, 4] and "evaluation at step 3" in done.output

    detector, info = checkpoint.load(run / "checkpoints" / "step-00000003")
    use_fast_convolutions(detector)  # as training does
    manifest = read_manifest(tmp_path / "records", "val")
    alone = evaluate(detector, manifest, reader_options(info["config"].data), World())
    assert info["metrics"] == alone == {name: scored[3][name] for name in alone}
