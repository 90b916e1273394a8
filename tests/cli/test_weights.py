"""`awsdet weights` from the command line."""

import numpy as np
import pytest

from awsdet.cli import main as cli
from awsdet.inference import checkpoint
from awsdet.weights import load, mmdet
from awsdet.weights.catalogue import ENTRIES
from tests.evaluation.saved_checkpoint import save_checkpoint
from tests.models.small_detectors import small_config, small_detector
from tests.weights import foreign


@pytest.fixture(scope="module")
def arrays():
    """Weights of a small Faster R-CNN with three classes."""
    return foreign.arrays_for(small_detector(detector="faster_rcnn"))


@pytest.fixture
def npz(arrays, tmp_path):
    """Writes a tensorpack file of these weights, changed as asked. Returns its path."""

    def write(changed=None, name="COCO-R50FPN.npz"):
        theirs = {**foreign.tensorpack(arrays), **(changed or {})}
        np.savez(tmp_path / name, **{f"{key}:0": value for key, value in theirs.items() if value is not None})
        return str(tmp_path / name)

    return write


def test_conversion_shows_where_everything_goes(npz, arrays, tmp_path, capsys):
    output = tmp_path / "out.safetensors"
    assert cli.main(["weights", npz(), str(output)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "conv0/W -> backbone.conv1.kernel (7, 7, 3, 8)" in lines
    assert "fastrcnn/outputs/class/b -> roi_head.bbox_head.fc_cls.bias (4,)" in lines
    assert sum(" -> " in line for line in lines) == len(arrays)
    assert lines[-4].endswith("COCO-R50FPN.npz: tensorpack, faster_rcnn")
    assert lines[-3].startswith(f"{len(arrays)} arrays matched, 0 missing or mismatched, 0 unused, 3 left out")
    assert lines[-2].startswith("tensorpack: BGR pixels, mean 103.53, 116.28, 123.675, std 57.375, 57.12, 58.395, ")
    assert lines[-1] == f"written: {output}"
    weights = load.read(output)
    assert weights.preset.name == "tensorpack" and sorted(weights.arrays) == sorted(arrays)
    for key, value in arrays.items():
        np.testing.assert_array_equal(weights.arrays[key], value, key)


def test_faults_are_listed_with_their_shapes_and_nothing_is_written(npz, tmp_path, capsys):
    path = npz({"fpn/lateral_1x1_c3/b": None, "rpn/box/b": np.ones(5), "rpn/extra": np.ones((2, 1))})
    assert cli.main(["weights", path, str(tmp_path / "out.npz")]) == 2
    captured = capsys.readouterr()
    lines = captured.out.splitlines()
    assert "missing neck.lateral_convs.1.conv.bias (16,)" in lines
    assert "mismatched rpn/box/b (5,): the model has (12,)" in lines
    assert "unused rpn/extra (2, 1)" in lines
    last = captured.err.splitlines()[-1]
    assert last.startswith("awsdet weights: ") and "(and 1 more, listed above)" in last and "--config" in last
    assert not (tmp_path / "out.npz").exists()


def test_the_model_of_a_config(npz, tmp_path, capsys):
    config = tmp_path / "config.py"
    values = small_config(detector="faster_rcnn").model.to_dict()
    config.write_text(
        "from awsdet import config as base\n\n\ndef get_config():\n    config = base.faster_rcnn()\n"
        f"    config.model.update({values!r})\n    return config\n"
    )
    assert cli.main(["weights", npz(), f"--config={config}"]) == 0
    out = capsys.readouterr().out
    assert "the config has model.image.bgr=False, but these weights need True" in out
    assert cli.main(["weights", npz(), f"--config={config}", "--config.model.fpn.channels=8"]) == 2
    assert "mismatched fpn/lateral_1x1_c2/W" in capsys.readouterr().out


@pytest.mark.parametrize("suffix", ["npz", "safetensors"])
def test_export_of_a_run(suffix, tmp_path, capsys):
    save_checkpoint(tmp_path / "run", ["circle", "ring"], [1, 2])
    output = tmp_path / f"out.{suffix}"
    assert cli.main(["weights", str(tmp_path / "run"), str(output)]) == 0
    assert "0 missing or mismatched, 0 unused" in capsys.readouterr().out
    weights = load.read(output)
    detector = checkpoint.load(tmp_path / "run")[0]
    assert weights.class_names == ("circle", "ring") and weights.model["box_head"]["max_detections"] == 6
    for key, value in mmdet.export(detector).items():
        assert value.tobytes() == weights.arrays[key].tobytes()


@pytest.mark.parametrize(
    "arguments, words",
    [
        ([], "awsdet weights IN OUT"),
        (["/nowhere.npz"], "/nowhere.npz do not exist"),
        (["{npz}", "out.pth"], "cannot write out.pth"),
        (["{npz}", "out.npz", "more"], "unexpected argument more"),
        (["{npz}", "--config.model.fpn.channels=8"], "give one with --config"),
        (["{npz}", "--config=/nowhere.py"], "/nowhere.py does not exist"),
    ],
)
def test_mistakes_end_in_one_line(arguments, words, npz, capsys):
    path = npz()
    assert cli.main(["weights", *(argument.replace("{npz}", path) for argument in arguments)]) == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("awsdet weights: ") and words in last


def test_list_shows_the_catalogue_and_what_is_in_the_cache(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("AWSDET_WEIGHTS", str(tmp_path))
    (tmp_path / "R-50.pkl").write_bytes(b"")
    assert cli.main(["weights", "--list"]) == 0
    lines = {line.split(" ")[0]: line for line in capsys.readouterr().out.splitlines()}
    assert set(ENTRIES) < set(lines)
    row = lines["imagenet-r50"]
    for text in ("102.5", "BSD-3-Clause", "sha256:0676ba61", " torchvision ", " no ", "/models/resnet50-0676ba61.pth"):
        assert text in row
    assert all(text in lines["imagenet-r50-caffe"] for text in ("unknown", "none published", " yes ", "MIT"))


@pytest.mark.parametrize(
    "arguments, text",
    [
        (("--get=imagenet-r5O",), "no pretrained weights are called imagenet-r5O; did you mean imagenet-r50"),
        (("--get=",), "no pretrained weights are called ; --list shows the names"),
        (("--list", "--get=imagenet-r50"), "--list goes with nothing else; leave out get"),
        (("--get=imagenet-r50", "x.npz"), "--get goes with nothing else; leave out input"),
        (("--list", "--config.seed=1"), "--list goes with nothing else; leave out --config"),
        (("imagenet-r5O",), "no pretrained weights are called so; did you mean imagenet-r50"),
    ],
)
def test_mistyped_names_and_flags_that_contradict_each_other(arguments, text, capsys):
    assert cli.main(["weights", *arguments]) == 2
    said = capsys.readouterr().err.strip()
    assert text in said and "\n" not in said
