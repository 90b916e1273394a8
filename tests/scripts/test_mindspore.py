"""The scripts with the arguments of MindSpore's Mask Scoring R-CNN: mistakes, and one experiment as a whole."""

import json
import os
import pathlib
import shutil
import subprocess
import time

import pytest

from awsdet.inference import checkpoint
from tests.training.tiny_run import make_records, write_config

REPOSITORY = pathlib.Path(__file__).parents[2]
CONFIG = REPOSITORY / "configs" / "shapes_mask_rcnn.py"
YAML = REPOSITORY / "tests" / "fixtures" / "mindspore" / "mask_scoring_rcnn.yaml"


def call(folder, script, *arguments):
    """(exit code, standard output, lines of standard error) of a script that is called in a folder."""
    done = subprocess.run(
        [REPOSITORY / "scripts" / script, *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        timeout=300,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr.strip().splitlines()


@pytest.mark.parametrize(
    "script, arguments, words",
    [
        ("run_standalone_train.sh", [], "usage: "),
        ("run_standalone_train.sh", [CONFIG, "train", "val", "out"], "BRIEF [PRETRAINED]"),
        ("run_standalone_train.sh", [CONFIG, "train", "val", "out", "brief", "weights", "more"], "usage: "),
        ("run_standalone_train.sh", ["none.yaml", "train", "val", "out", "brief"], "CONFIG none.yaml is no file"),
        ("run_standalone_train.sh", [CONFIG, "t", "v", "out", "b", "--batch=2"], "unknown argument --batch=2"),
        ("run_standalone_train.sh", [CONFIG, "t", "v", "out", "b", "--config.model.detector=x"], "set it in CONFIG"),
        ("run_standalone_train.sh", [CONFIG, "t", "v", "out", ""], "BRIEF is empty"),
        ("run_standalone_train.sh", [CONFIG, "t", "v", "out", "b/c"], "BRIEF b/c has a slash"),
        (
            "run_standalone_train.sh",
            [CONFIG, "t", "v", "out", "b", "r50.ckpt"],
            "PRETRAINED r50.ckpt is a checkpoint of",
        ),
        ("run_distribute_train.sh", [CONFIG, "train", "val", "out", "brief"], "usage: "),
        ("run_distribute_train.sh", [CONFIG, "two", "t", "v", "out", "brief"], "DEVICE_NUM is 'two'"),
        (
            "run_distribute_train.sh",
            [CONFIG, 2, "t", "v", "out", "b"],
            "TRAIN_DATA t holds neither labels.json and data/",
        ),
        ("run_eval.sh", [CONFIG, "val"], "usage: "),
        ("run_eval.sh", [CONFIG, "val", "none"], "CHECKPOINT none does not exist"),
        ("run_eval.sh", [CONFIG, "val", ".", "--resume"], "unknown argument --resume"),
        ("run_infer.sh", [CONFIG, "run", "photos"], "usage: "),
    ],
)
def test_mistakes_are_one_line_and_leave_nothing(tmp_path, script, arguments, words):
    code, out, said = call(tmp_path, script, *arguments)
    assert code == 2 and not out and len(said) == 1 and words in said[0], said
    assert not any(tmp_path.iterdir())


def test_help(tmp_path):
    code, out, said = call(tmp_path, "run_eval.sh", "--help")
    assert code == 0 and out.startswith("usage: ") and "CONFIG VAL_DATA CHECKPOINT [PREDICTIONS]" in out and not said


def test_a_yaml_config_is_translated_into_the_experiment(tmp_path):
    """It stops where the data would be read; keys that are not supported stop it before."""
    code, out, said = call(tmp_path, "run_standalone_train.sh", YAML, "none", "none", "out", "brief")
    assert code == 2 and said == [said[0]] and "TRAIN_DATA none holds neither" in said[0]
    (run,) = (tmp_path / "out").iterdir()
    assert run.name == f"{time.strftime('%y%m%d')}_MSRCNN_brief" and "143 keys: 13 translated" in out
    assert "config.train.keep_best_count = 5" in (run / "mask_scoring_rcnn.py").read_text()

    for date in ("230101", "240101"):  # --resume takes the newest, whatever day it is
        shutil.copytree(run, run.with_name(f"{date}_MSRCNN_brief"))
    shutil.rmtree(run)
    (run.with_name("240101_MSRCNN_brief") / "mask_scoring_rcnn.py").unlink()
    call(tmp_path, "run_standalone_train.sh", YAML, "none", "none", "out", "brief", "--resume")
    assert (run.with_name("240101_MSRCNN_brief") / "mask_scoring_rcnn.py").is_file() and not run.exists()

    odd = tmp_path / "odd.yaml"
    odd.write_text("grad_clip: 5\n")
    code, _, said = call(tmp_path, "run_standalone_train.sh", odd, "none", "none", "other", "brief")
    assert code == 2 and "not supported, so nothing was written: grad_clip" in said[-1]
    assert not (tmp_path / "other").exists()


def test_predictions_that_exist_are_scored(tmp_path):
    """awsdet evaluate gets them; by a name that it refuses at once, since only that it gets them is looked at."""
    (tmp_path / "val").mkdir()
    (tmp_path / "val" / "val.manifest.json").touch()
    (tmp_path / "s3:").mkdir()
    (tmp_path / "s3:" / "found.json").touch()
    code, _, said = call(tmp_path, "run_eval.sh", CONFIG, "val", ".", "s3://found.json")
    assert code == 2 and "scoring the detections in s3://found.json; remove it to have . detect anew" in said[0]
    assert "--results=s3://found.json is an address" in said[1] and len(said) == 2


# A narrow detector of few operations: most of the time goes into making graphs.
NARROW = """
    model.update(detector="retinanet")
    model.fpn.extra_convs = "on_input"
    model.retina_head.update(convs=1, channels=8)
    config.train.update(epochs=2, keep_last=1, keep_best_count=2, pictures=0, tensorboard=False)
    return config
"""


def test_from_data_to_objects(tmp_path):
    """Trains with the folders of MindSpore, keeps the two best, scores one of them and finds objects with it."""
    records = make_records(tmp_path / "shapes", train_images=4, val_images=2)
    config = write_config(tmp_path / "tiny.py", "set by the script")
    config.write_text(config.read_text().replace("    return config\n", NARROW))
    train = tmp_path / "coco" / "train"
    shutil.copytree(tmp_path / "shapes" / "images" / "train", train / "data")
    shutil.copy(tmp_path / "shapes" / "annotations" / "instances_train.json", train / "labels.json")
    code, out, said = call(tmp_path, "run_standalone_train.sh", config, train, records, tmp_path / "out", "tiny")
    assert code == 0, said
    (made,) = (tmp_path / "data" / "records").iterdir()
    assert made.name.startswith("train-") and (made / "train.manifest.json").is_file()
    (run,) = (tmp_path / "out").iterdir()
    assert run.name.endswith("_retinanet_tiny") and f"experiment: {run}" in out
    assert [link.name for link in checkpoint.best_links(run / "best_ckpt")] == ["best", "best-2"]

    found = tmp_path / "found.json"
    code, out, said = call(tmp_path, "run_eval.sh", config, records, run / "best_ckpt" / "best-2", found)
    assert code == 0 and "AP   IoU 0.50:0.95" in out and isinstance(json.loads(found.read_text()), list)
    assert f"settings are those of the checkpoint; {config} is not used" in said[0]

    output = tmp_path / "objects.json"
    code, _, said = call(tmp_path, "run_infer.sh", config, run / "best_ckpt", train / "data", output)
    assert code == 0, said
    images = json.loads(output.read_text())
    assert len(images) == 4 and all(set(image) == {"height", "width", "predictions"} for image in images.values())
