"""Exports in fewer bits: what is in them, and what they cost in AP."""

import collections
import json

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from awsdet.cli import main as cli
from awsdet.data.reader.sizes import Canvas
from awsdet.data.records.convert import convert
from awsdet.data.records.read import read_manifest
from awsdet.detection.found import coco_objects
from awsdet.evaluation import lost_ap as lost_ap_module
from awsdet.export import contract
from awsdet.export.exported import Exported
from awsdet.inference import checkpoint
from awsdet.models.detector import batch_of
from awsdet.runtime.errors import UserError
from tests.evaluation.saved_checkpoint import save_checkpoint
from tests.export.test_saved_model import built, pictures, saved

NAMES, IDS = ("cat", "dog", "bird"), (3, 17, 90)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder with a run of random weights, and records in which the truth is what its detector finds."""
    folder = tmp_path_factory.mktemp("precision")
    save_checkpoint(folder / "run", NAMES, IDS)
    detector, _ = checkpoint.load(folder / "run")
    for split in ("train", "val"):
        (folder / split).mkdir()
        images, annotations = [], []
        for number, pixels in enumerate(pictures(90, 120, 100, 140)):
            Image.fromarray(pixels).save(folder / split / f"{number}.png")
            height, width = pixels.shape[:2]
            images.append({"id": number, "file_name": f"{number}.png", "height": height, "width": width})
            for one in coco_objects(detector.find(pixels), IDS):
                area = one["bbox"][2] * one["bbox"][3]
                own = {"id": len(annotations) + 1, "image_id": number, "iscrowd": 0, "area": area}
                annotations.append({**own, **{key: one[key] for key in ("bbox", "category_id", "segmentation")}})
        categories = [{"id": number, "name": name} for number, name in zip(IDS, NAMES)]
        truth = {"images": images, "annotations": annotations, "categories": categories}
        (folder / f"{split}.json").write_text(json.dumps(truth))
        convert(folder / f"{split}.json", folder / split, folder / "records", split, shards=1, workers=1)
    return folder


def export(made, *arguments):
    """The exit code of the command."""
    places = [f"--checkpoint={made / 'run'}", f"--output={made / 'models'}", f"--records={made / 'records'}"]
    return cli.main(["export", *places, *arguments])


def newest(made):
    return contract.find_whole(made / "models")


def test_half_precision_has_half_the_size(made, capsys):
    assert export(made, "--precision=float16", "--max-ap-loss=0.3") == 0
    assert "box AP  1.0000 -> " in capsys.readouterr().out
    reader = tf.train.load_checkpoint(str(newest(made) / "variables/variables"))
    dtypes, shapes = reader.get_variable_to_dtype_map(), reader.get_variable_to_shape_map()
    assert {dtypes[name].name for name, shape in shapes.items() if len(shape) > 1} == {"float16"}
    after = contract.read_info(newest(made))["check"]["exported"]["box"]
    assert after >= 0.7 and f"box AP 1.0000 -> {after:.4f}" in (newest(made) / contract.CARD).read_text()


def test_int8_computes_in_int8(made, capsys):
    arguments = ["--target=tflite", "--size=96x128", "--calibration-images=3", "--record-images=3"]
    assert export(made, *arguments, "--precision=int8", "--max-ap-loss=0.9") == 0
    assert "on 3 images of the records" in capsys.readouterr().out
    interpreter = tf.lite.Interpreter(str(newest(made) / "model.tflite"))
    kinds = {one["index"]: one["dtype"].__name__ for one in interpreter.get_tensor_details()}
    layers = collections.Counter()
    for one in interpreter._get_ops_details():
        if one["op_name"] in ("CONV_2D", "FULLY_CONNECTED"):
            layers[kinds.get(one["inputs"][0]), kinds.get(one["inputs"][1])] += 1
    # The scores and deltas of the RPN on five levels, and of the box head.
    assert layers[("float32", "float32")] == 12 and layers[("int8", "int8")] > 20 and len(layers) == 2
    whole = (newest(made) / "model.tflite").stat().st_size
    exact = Exported(newest(made)).find(made / "val/0.png")
    assert len(exact.scores) > 0 and exact.masks is not None
    assert export(made, *arguments[:2], "--precision=float16", "--max-ap-loss=0.3") == 0
    assert whole < (newest(made) / "model.tflite").stat().st_size


@pytest.mark.parametrize("name", ["retinanet", "mask_scoring_rcnn"])
def test_int8_of_heads_that_repeat_or_reuse(tmp_path, name):
    """RetinaNet's towers are used on each level, and stored once; the masks go into a second head."""
    made = built(tmp_path, name)
    made.input_size = Canvas(96, 128)
    images = pictures(64, 150, 90)
    before = [made.find(image) for image in images]
    parameters = sum(np.prod(variable.shape) for variable in made.trainable_variables)
    batches = [batch_of(image, made.input_size) for image in images]
    masks = "none" if name == "retinanet" else "crop"
    exported = saved(made, tmp_path / "1", masks, "tflite", precision="int8", batches=batches)
    assert (tmp_path / "1/model.tflite").stat().st_size < 1.3 * parameters
    for one, found in zip(images, before):
        now = exported.find(one)
        assert len(now.scores) >= 5 and abs(now.scores[0] - found.scores[0]) < 0.05


def test_what_costs_too_much_is_not_kept(made, capsys, monkeypatch):
    before = sorted((made / "models").glob("*"))

    def poor(finder, *arguments):
        found = exact(finder, *arguments)
        return {kind: ap - 0.1 for kind, ap in found.items()} if isinstance(finder, Exported) else found

    exact = lost_ap_module._scores
    monkeypatch.setattr(lost_ap_module, "_scores", poor)
    assert export(made, "--precision=bfloat16", "--masks=none", "--record-images=1", "--max-ap-loss=0.05") == 1
    said = capsys.readouterr()
    assert "box AP  1.0000 -> " in said.out and "mask AP" not in said.out and "nothing was kept" in said.err
    assert sorted((made / "models").glob("*")) == before


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--precision=int8"], "a SavedModel computes in float; take --target=tflite"),
        (["--precision=int8", "--target=onnx"], "int8 is there with --target=tflite"),
        (["--precision=bfloat16", "--target=tflite", "--size=96x96"], "take float16 or int8"),
        (["--precision=float16", "--target=weights"], "leave out --masks"),
        (["--precision=float16", "--images=x.jpg"], "leave out --images"),
        (["--precision=float16", "--calibration-images=3"], "--calibration-images does nothing"),
        (["--precision=float16", "--split=test"], "has no split test"),
        (
            ["--precision=int8", "--target=tflite", "--size=96x96", "--calibration-split=no"],
            "--calibration-split names the one to take ranges from",
        ),
        (["--operators=compiled", "--target=tflite", "--size=96x96"], "leave out --operators"),
        ([], "--records does nothing with --precision=float32"),
    ],
)
def test_mistakes_are_told_before_the_work(made, capsys, arguments, words):
    if "--operators=compiled" in arguments:
        arguments = [*arguments, "--precision=float16"]
    assert export(made, *arguments) == 2
    assert words in capsys.readouterr().err


def test_images_without_objects_have_no_ap(made):
    Image.new("RGB", (40, 40)).save(made / "val/empty.png")
    images = [{"id": 1, "file_name": "empty.png", "height": 40, "width": 40}]
    categories = [{"id": number, "name": name} for number, name in zip(IDS, NAMES)]
    empty = {"images": images, "annotations": [], "categories": categories}
    (made / "empty.json").write_text(json.dumps(empty))
    convert(made / "empty.json", made / "val", made / "records_empty", "val", shards=1, workers=1)
    detector, _ = checkpoint.load(made / "run")
    manifest = read_manifest(made / "records_empty", "val")
    with pytest.raises(UserError, match="1 images of split val have no object"):
        lost_ap_module.lost_ap(detector, detector, manifest, 5, 0.1)


@pytest.mark.parametrize("before,weak", [({"box": 0.02, "mask": 0.3}, True), ({"box": 0.03, "mask": 0.3}, False)])
def test_a_checkpoint_that_has_no_ap_to_lose_is_told(before, weak):
    found = lost_ap_module.LostAp(5, before, before, 0.02)
    assert found.holds() and ("own AP" in found.weakness()) == weak


def test_compiled_operators_are_beside_the_model(made, capsys):
    places = [f"--checkpoint={made / 'run'}", f"--output={made / 'models'}"]
    assert cli.main(["export", *places, "--operators=compiled"]) == 0
    proto = (newest(made) / "saved_model.pb").read_bytes()
    assert b"AwsdetRoiAlign" in proto and b"AwsdetNms" in proto
    assert (newest(made) / contract.LIBRARY).stat().st_size > 100_000
    found = Exported(newest(made)).find(made / "val/0.png")
    np.testing.assert_allclose(found.boxes, checkpoint.load(made / "run")[0].find(made / "val/0.png").boxes, atol=1e-3)
