"""awsdet config: the table, the file that it writes, and one setting alone."""

import pathlib
import re

import pytest

from awsdet import config as configs
from awsdet.cli import main as cli

PUBLISHED = pathlib.Path(__file__).parents[1] / "fixtures" / "mindspore" / "mask_scoring_rcnn.yaml"


def test_translates_and_tells_what_became_of_each_key(tmp_path, capsys):
    output = tmp_path / "new" / "config.py"
    assert cli.main(["config", str(PUBLISHED), str(output)]) == 0
    out = capsys.readouterr().out
    assert re.search(
        r"^translated \(13\)\n  backbone.pretrained +/data/\S+ +train.init_from=imagenet-r50-caffe \(", out
    )
    assert re.search(r"^without a meaning here \(59\)$", out, re.MULTILINE)
    assert "\n143 keys: 13 translated, 71 as awsdet has them, 59 without a meaning here, 0 not supported\n" in out
    assert "not read: 2 more YAML documents" in out and f"{PUBLISHED} -> {output}" in out
    assert (
        "val_dataset becomes records by awsdet convert --annotations=/data/coco-2017/validation/labels.json "
        "--images=/data/coco-2017/validation/data --output=RECORDS --split=val\n" in out
    )
    assert configs.load(output).train.keep_best_count == 5
    assert cli.main(["config", str(output), "--get=model.detector"]) == 0
    assert cli.main(["config", str(PUBLISHED), "--get=data.short_sides"]) == 0
    assert capsys.readouterr().out == "mask_scoring_rcnn\n(1024,)\n"


def test_what_is_not_supported_is_left_out_only_if_one_says_so(tmp_path, capsys):
    source, output = tmp_path / "mine.yaml", tmp_path / "mine.py"
    source.write_text("lr: 0.01\ngrad_clip: 5\nmixup: 0.2\n")
    assert cli.main(["config", str(source), str(output)]) == 2
    said = capsys.readouterr()
    assert "not supported (2)\n  grad_clip  5    it cuts each number" in said.out and not output.exists()
    assert said.err == (
        f"awsdet config: {source}: not supported, so nothing was written: grad_clip, mixup; change that, or leave it "
        "out with --allow-unsupported\n"
    )
    assert cli.main(["config", str(source), str(output), "--allow-unsupported"]) == 0
    assert configs.load(output).optimizer.learning_rate == 0.01


@pytest.mark.parametrize(
    "arguments, words",
    [
        ([], "the file to read is missing: awsdet config IN.yaml OUT.py"),
        (["none.yaml"], "config file none.yaml does not exist"),
        (["config.json"], "config.json is no YAML file"),
        ([PUBLISHED, "out.yaml"], "--output=out.yaml is no config file of awsdet: its name must end in .py"),
        ([PUBLISHED, "/proc/none/out.py"], "--output=/proc/none/out.py cannot be written"),
        ([PUBLISHED, "--get=model.detector", "--output=a.py"], "--output does nothing"),
        ([PUBLISHED, "--get=model.detecto"], "unknown config key model.detecto; did you mean model.detector?"),
        ([PUBLISHED, "--config.train.epochs=1"], "config takes no --config.train.epochs=1"),
    ],
)
def test_mistakes_are_one_line(capsys, arguments, words):
    assert cli.main(["config", *map(str, arguments)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("awsdet config: ") and words in line
