"""Starting from the weights of another detector: what is taken, what is new, and what is refused."""

import functools
import json
import re

import numpy as np
import pytest

from awsdet.data.coco import shapes
from awsdet.data.records.convert import convert
from awsdet.inference import checkpoint
from awsdet.models.builder import build
from awsdet.runtime.errors import UserError
from awsdet.runtime.world import World
from awsdet.training import loop
from awsdet.training.transfer import take_weights
from awsdet.weights import classes, load, mmdet, presets
from tests.models.small_detectors import small_config
from tests.training.tiny_run import load_config
from tests.weights import foreign

BOXES = "roi_head.bbox_head"


def detector_of(names, *overrides, detector="faster_rcnn", seed=1):
    return build(small_config(f"seed={seed}", *overrides, detector=detector), names)


@functools.lru_cache
def arrays_and_preset(count, *overrides, detector="faster_rcnn"):
    """(arrays, preset) of such a detector with `count` classes. Tests must not change them."""
    source = detector_of(["?"] * count, *overrides, detector=detector)
    return foreign.arrays_for(source), presets.of_detector("made", source)


def weights_file(folder, names, *overrides, detector="faster_rcnn", named=True):
    """Writes a file with the weights of such a detector. Returns (path, arrays)."""
    arrays, preset = arrays_and_preset(len(names), *overrides, detector=detector)
    path = folder / "weights.safetensors"
    load.write(path, arrays, preset=preset, class_names=names if named else None)
    return path, arrays


def arrays_of(detector):
    return mmdet.export(detector)


def test_a_file_of_the_same_detector_fills_it(tmp_path, log):
    path, arrays = weights_file(tmp_path, ["a", "b"], detector="mask_rcnn")
    detector = detector_of(["a", "b"], detector="mask_rcnn")
    assert take_weights(detector, path) == frozenset()
    for key, value in arrays_of(detector).items():
        np.testing.assert_array_equal(value, arrays[key], key)
    assert "newly made" not in log.text and f"{len(arrays)} of {len(arrays)} arrays" in log.text


def per_class(arrays, key, count, rows):
    """[groups, classes, rows, …] of a layer's weight."""
    value = arrays[f"{key}.weight"]
    return value.reshape(-1, count, rows, *value.shape[1:])


@pytest.mark.parametrize("kind", ["mask_rcnn", "retinanet"])
def test_rows_of_classes_in_common_are_taken(kind, tmp_path, log):
    """From classes a, b, c to b, d: in every head the rows of b and background are those of the file; d's are new."""
    path, theirs = weights_file(tmp_path, ["a", "b", "c"], detector=kind)
    detector = detector_of(["b", "d"], detector=kind, seed=5)
    new = arrays_of(detector)
    take_weights(detector, path)
    found = arrays_of(detector)
    heads = {f"{BOXES}.fc_reg": 4, "roi_head.mask_head.conv_logits": 1}
    for key, rows in heads.items() if kind == "mask_rcnn" else [("bbox_head.retina_cls", 1)]:
        np.testing.assert_array_equal(per_class(found, key, 2, rows)[:, 0], per_class(theirs, key, 3, rows)[:, 1])
        np.testing.assert_array_equal(per_class(found, key, 2, rows)[:, 1], per_class(new, key, 2, rows)[:, 1])
        assert key in log.text
    changed = {key for key in found if found[key].shape != theirs[key].shape}
    if kind == "mask_rcnn":
        for part in ("weight", "bias"):
            key = f"{BOXES}.fc_cls.{part}"
            np.testing.assert_array_equal(found[key], np.stack([theirs[key][1], new[key][1], theirs[key][3]]))
    for key in set(found) - changed:
        np.testing.assert_array_equal(found[key], theirs[key], key)
    assert "classes in common (b)" in log.text


def test_as_many_classes_in_another_order(tmp_path, log):
    path, theirs = weights_file(tmp_path, ["a", "b", "c"])
    detector = detector_of(["c", "x", "a"], seed=5)
    new = arrays_of(detector)
    take_weights(detector, path)
    key = f"{BOXES}.fc_cls.bias"
    expected = [theirs[key][2], new[key][1], theirs[key][0], theirs[key][3]]
    np.testing.assert_array_equal(arrays_of(detector)[key], expected)
    assert "classes in common (c, a)" in log.text


def test_no_class_in_common(tmp_path, log):
    path, _ = weights_file(tmp_path, ["a", "b"])
    detector = detector_of(["x", "y"], seed=5)
    new = arrays_of(detector)
    assert take_weights(detector, path) == {f"{BOXES}.fc_cls", f"{BOXES}.fc_reg"}
    for layer in ("fc_cls", "fc_reg"):
        for part in ("weight", "bias"):
            key = f"{BOXES}.{layer}.{part}"
            np.testing.assert_array_equal(arrays_of(detector)[key], new[key], key)
    assert f"newly made are {BOXES}.fc_cls, {BOXES}.fc_reg, except for the rows of classes in common (none)" in log.text


def test_class_agnostic_boxes_know_no_classes(tmp_path):
    path, theirs = weights_file(tmp_path, ["a", "b"], "model.box_head.class_agnostic=true")
    detector = detector_of(["x", "y"], "model.box_head.class_agnostic=true")
    take_weights(detector, path)
    key = f"{BOXES}.fc_reg.weight"
    np.testing.assert_array_equal(arrays_of(detector)[key], theirs[key])


@pytest.mark.parametrize(
    "count, ours, said",
    [
        (80, ["zebra", "dodo"], "names none of its 80 classes; they are taken to be COCO's"),
        (2, ["x", "y"], "names none of its 2 classes; they are taken to be the records'"),
        (3, ["x", "y"], "classes in common (none)"),
    ],
)
def test_detectors_that_name_no_classes(count, ours, said, tmp_path, log):
    path, theirs = weights_file(tmp_path, [f"class {i}" for i in range(count)], named=False)
    detector = detector_of(ours, seed=5)
    new = arrays_of(detector)
    take_weights(detector, path)
    key = f"{BOXES}.fc_cls.bias"
    zebra = classes.COCO.index("zebra")
    expected = {80: [theirs[key][zebra % len(theirs[key])], new[key][1], theirs[key][-1]], 2: theirs[key], 3: new[key]}
    np.testing.assert_array_equal(arrays_of(detector)[key], expected[count])
    assert said in log.text


def test_heads_that_one_of_the_two_lacks(tmp_path, log):
    path, theirs = weights_file(tmp_path, ["a"], detector="mask_rcnn")
    detector = detector_of(["a"], "model.box_head.channels=20")
    take_weights(detector, path)
    said = re.search("newly made, since it lacks them or has them in another shape: (.*)", log.text)[1]
    assert set(said.split(", ")) == {f"{BOXES}.{name}" for name in ("shared_fcs.0", "shared_fcs.1", "fc_cls", "fc_reg")}
    assert arrays_of(detector)[f"{BOXES}.fc_cls.bias"].tolist() == [0, 0]  # taken with its kernel or not at all
    left = re.search("in it, but not in the model: (.*)", log.text)[1]
    assert "roi_head.mask_head.convs.0.conv" in left.split(", ")
    key = "rpn_head.rpn_conv.weight"
    np.testing.assert_array_equal(arrays_of(detector)[key], theirs[key])


def test_a_backbone_alone(tmp_path, log):
    """tensorpack's ImageNet weights need other settings, which the error for the default settings names."""
    detector = detector_of(["a"])
    backbone = foreign.backbone_part(arrays_and_preset(1)[0])
    path = tmp_path / "ImageNet-R50-AlignPadding.npz"
    np.savez(path, **{f"{key}:0": value for key, value in foreign.tensorpack(backbone).items()})
    with pytest.raises(UserError, match="tensorpack") as error:
        take_weights(detector, path)
    cure = re.findall(r"--config\.(\S+)", str(error.value))
    assert cure == [
        "model.image.bgr=true",
        "model.image.mean=103.53,116.28,123.675",
        "model.image.std=57.375,57.12,58.395",
    ]
    detector = detector_of(["a"], *cure)
    new = arrays_of(detector)
    take_weights(detector, path)
    for key, value in arrays_of(detector).items():
        np.testing.assert_array_equal(value, backbone.get(key, new[key]), key)
    assert "it holds only a backbone: neck and heads are newly made" in log.text


@pytest.mark.parametrize(
    "theirs, ours, reason",
    [
        ("model.backbone.depth=26", "seed=1", "the model has no backbone.layer1.1.bn1.bias"),
        ("seed=1", "model.backbone.depth=26", "it has no backbone.layer1.1.bn1.bias"),
        ("model.backbone.base_width=4", "model.backbone.base_width=8", r"\(4, 3, 7, 7\), and \(8, 3, 7, 7\)"),
        ("seed=1", "model.backbone.norm=group_norm", "it has no backbone.gn1.weight"),
        ("model.backbone.style=caffe", "seed=1", "style=pytorch; add --config.model.backbone.style=caffe$"),
    ],
)
def test_another_backbone_is_refused_whole(theirs, ours, reason, tmp_path):
    path, _ = weights_file(tmp_path, ["a"], theirs)
    detector = detector_of(["a"], ours)
    new = arrays_of(detector)
    with pytest.raises(UserError, match=reason) as error:
        take_weights(detector, path)
    assert "\n" not in str(error.value) and len(str(error.value)) < 1000
    for key, value in arrays_of(detector).items():
        np.testing.assert_array_equal(value, new[key], key)


def test_files_that_do_not_say_their_pixels_are_taken_with_a_warning(tmp_path, log):
    detector = detector_of(["a"])
    load.write(tmp_path / "weights.npz", arrays_and_preset(1)[0], class_names=["a"])
    take_weights(detector, tmp_path / "weights.npz")
    assert "does not say which pixels it was trained on" in log.text


def renamed_records(folder):
    """Records of shapes with the classes rectangle and ring (renamed circles); other shapes are left out."""
    shapes.generate(folder, train_images=4, val_images=2, image_size=64, seed=3)
    path = folder / "annotations/instances_train.json"
    content = json.loads(path.read_text())
    content["categories"] = [{"id": 3, "name": "rectangle"}, {"id": 20, "name": "ring"}]
    for annotation in content["annotations"]:
        annotation["category_id"] = {2: 20, 3: 3}.get(annotation["category_id"])
    content["annotations"] = [a for a in content["annotations"] if a["category_id"]]
    path.write_text(json.dumps(content))
    convert(path, folder / "images/train", folder / "records", "train", shards=1, workers=1)
    return folder / "records"


def test_a_run_on_other_classes_starts_from_a_run(finished_run, config_file, tmp_path, log):
    """Six steps on circle, rectangle, triangle and star, then two on rectangle and ring. The learning rate is so
    low that the second run saves what it began with."""
    records = renamed_records(tmp_path)
    changes = (
        f"data.train_records={records}",
        f"train.init_from={finished_run[0]}",
        "train.evaluate_every_epochs=0",
        "train.max_steps=2",
        "optimizer.learning_rate=1e-30",
        "seed=9",
    )
    outcome = loop.train(load_config(config_file, *changes), tmp_path / "run", World())
    assert outcome.exit_code == 0
    first, second = (checkpoint.load(path)[0] for path in (finished_run[0], tmp_path / "run"))
    assert first.class_names == ("circle", "rectangle", "triangle", "star")
    assert second.class_names == ("rectangle", "ring")
    before, after = mmdet.export(first), mmdet.export(second)
    fresh = mmdet.export(type(second).from_config(second.get_config()))
    key = f"{BOXES}.fc_cls.weight"
    np.testing.assert_array_equal(after[key], np.stack([before[key][1], fresh[key][1], before[key][4]]))
    key = "roi_head.mask_head.conv_logits.weight"
    np.testing.assert_array_equal(after[key], np.stack([before[key][1], fresh[key][1]]))
    key = "neck.fpn_convs.1.conv.weight"
    np.testing.assert_array_equal(after[key], before[key])
    assert f"newly made are {BOXES}.fc_cls" in log.text and "classes in common (rectangle)" in log.text


def test_a_name_of_several_classes_says_not_which_to_take(tmp_path, log):
    """Neither in the file nor in the records: the rows of such classes are newly made, the others are taken."""
    path, theirs = weights_file(tmp_path, ["a", "b", "b", "c"])
    detector = detector_of(["c", "b", "a", "a"], seed=5)
    new = arrays_of(detector)
    take_weights(detector, path)
    found = arrays_of(detector)[f"{BOXES}.fc_cls.bias"]
    theirs, new = theirs[f"{BOXES}.fc_cls.bias"], new[f"{BOXES}.fc_cls.bias"]
    np.testing.assert_array_equal(found, [theirs[3], new[1], new[2], new[3], theirs[4]])
    assert "classes in common (c)" in log.text


def test_sums_of_gradients_are_no_weights():
    """A detector that accumulates has a variable more for each weight; in an elastic run it has them at the start."""
    detector = detector_of(["a", "b"])
    before = {key: id(variable) for key, variable in mmdet.table(detector).items()}
    detector.compile(accumulate_steps=2)
    assert {key: id(variable) for key, variable in mmdet.table(detector).items()} == before
