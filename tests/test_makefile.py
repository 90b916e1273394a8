"""What `make train` would do, for data folders of each age: its commands are shown, not run."""

import pathlib
import subprocess

import pytest

ROOT = pathlib.Path(__file__).parents[1]


def commands(folder):
    """The awsdet commands of `make train` for a data folder, in order: their names, with the split if they have one."""
    variables = [f"SHAPES={folder}", f"RUN={folder / 'run'}"]
    done = subprocess.run(["make", "-n", "train", *variables], cwd=ROOT, capture_output=True, text=True, check=True)
    return [line for line in done.stdout.splitlines() if "awsdet " in line and not line.startswith("echo")]


@pytest.mark.parametrize(
    "splits, drawn, converted",
    [
        ((), 1, "train val test"),
        (("train", "val"), 1, "test"),  # made when there was no test split
        (("train", "val", "test"), 0, ""),
    ],
)
def test_data_of_each_age_gets_what_it_lacks(tmp_path, splits, drawn, converted):
    (tmp_path / "records").mkdir()
    for split in splits:
        (tmp_path / "records" / f"{split}.manifest.json").write_text("{}")
    *before, train, evaluate = commands(tmp_path)
    assert f"awsdet train --config=configs/shapes_mask_rcnn.py --output={tmp_path / 'run'}" in train
    assert evaluate.split()[1] == "evaluate" and "--split=test" in evaluate
    assert f"--checkpoint={tmp_path}/run" in evaluate
    text = "\n".join(before)
    loops = text.replace("for split in train val; do ", "--split=train --split=val ").split()
    assert [word.removeprefix("--split=") for word in loops if word.startswith("--split=") and "$" not in word] == (
        converted.split()
    )
    # The second rule draws only if the first one, which also draws the test images, did not.
    unconditional = [line for line in before if line.startswith("awsdet shapes ")]
    conditional = [line for line in before if line.startswith("[ -e ")]
    assert len(unconditional) == (drawn if not splits else 0)
    assert len(conditional) == drawn
    assert all(f"[ -e {tmp_path}/annotations/instances_test.json ] || awsdet shapes " in line for line in conditional)


def test_an_interrupted_run_is_resumed(tmp_path):
    assert "--resume" not in commands(tmp_path)[-2]
    (tmp_path / "run" / "checkpoints" / "step-00000125").mkdir(parents=True)
    assert "--resume" in commands(tmp_path)[-2]
