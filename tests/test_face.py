"""`import awsdet`: what a notebook has at hand."""

import itertools
import json
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

import awsdet
from awsdet.inference import checkpoint
from awsdet.inference.predict import predict
from awsdet.runtime.errors import UserError
from awsdet.weights import load as weights_lib
from awsdet.weights import mmdet, presets
from tests.training.tiny_run import load_config, make_records, write_config

NAMES = ("build", "configs", "draw", "load", "make_batch", "train")


def in_a_new_process(source):
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def test_import_alone_loads_nothing_and_shows_what_there_is():
    source = (
        "import json, sys, awsdet; names = dir(awsdet); "
        "print(sorted({'tensorflow', 'ml_collections', 'numpy', 'PIL', 'absl'} & set(sys.modules))); "
        "print(json.dumps(names))"
    )
    loaded, names = in_a_new_process(source).splitlines()
    assert loaded == "[]"
    assert {*NAMES, "__version__"} <= set(json.loads(names))


def test_configs_need_no_tensorflow():
    in_a_new_process("import sys, awsdet; awsdet.configs.mask_rcnn(); assert 'tensorflow' not in sys.modules")


def test_unknown_name_is_told_what_there_is():
    with pytest.raises(AttributeError, match="no attribute 'lode'; it has build, configs, draw, load, "):
        awsdet.lode  # noqa: B018
    assert set(awsdet.__all__) == {*NAMES, "__version__"} and set(NAMES) <= set(dir(awsdet))


def test_each_name_works_whatever_was_used_before():
    """Modules of the package have names near these: awsdet.config, awsdet.training, awsdet.inference.load."""
    import awsdet.config
    import awsdet.inference.load
    import awsdet.training.loop
    from awsdet.data.reader import make_batch  # noqa: F401, a module

    expected = {name: getattr(awsdet, name) for name in NAMES}
    for order in itertools.permutations(NAMES):
        for name in NAMES:
            vars(awsdet).pop(name, None)
        for name in order:
            assert getattr(awsdet, name) is expected[name]
    assert awsdet.configs is awsdet.config
    assert all(callable(expected[name]) for name in NAMES if name != "configs")
    in_a_new_process("import awsdet.training, awsdet, awsdet.inference; assert callable(awsdet.train)")


class Watch(tf.keras.callbacks.Callback):
    def __init__(self):
        super().__init__()
        self.epochs = []

    def on_epoch_end(self, epoch, logs=None):
        self.epochs.append(dict(logs))


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A folder: `run` that awsdet.train made with a callback, and `records`. Returns (folder, Outcome, callback)."""
    folder, watch = tmp_path_factory.mktemp("face"), Watch()
    changes = ("train.epochs=1", "train.pictures=0", "model.box_head.score_threshold=0.0")
    config = load_config(write_config(folder / "tiny.py", make_records(folder)), *changes)
    return folder, awsdet.train(config, folder / "run", callbacks=[watch], verbose=False), watch


def test_train_gives_metrics_to_callbacks_and_to_the_caller(run):
    _, outcome, watch = run
    assert outcome.exit_code == 0 and {"box_ap", "mask_ap"} <= set(outcome.metrics)
    assert watch.epochs[0]["box_ap"] == outcome.metrics["box_ap"] and watch.epochs[0]["loss"] > 0


def test_train_tells_mistakes_in_one_line(tmp_path):
    with pytest.raises(UserError, match="data.train_records is empty"):
        config = awsdet.configs.mask_rcnn()
        config.train.allow_random_frozen = True
        awsdet.train(config, tmp_path / "run")


def test_train_on_batches_of_ones_own(run, tmp_path):
    """Batches of make_batch, as one epoch of a tf.data.Dataset; there is nothing to evaluate on."""
    folder = run[0]
    changes = ("data.train_records=", "data.batch_size=1", "train.evaluate_every_epochs=0", "train.epochs=1")
    config = load_config(folder / "tiny.py", *changes, "model.detector=faster_rcnn", "train.max_steps=2")
    made = awsdet.make_batch([picture()], [[[4, 4, 40, 40]]], [[1]])
    dataset = tf.data.Dataset.from_tensors(made).repeat(3)
    outcome = awsdet.train(config, tmp_path / "run", dataset=dataset, class_names=["a", "b"], verbose=False)
    assert outcome.exit_code == 0
    assert awsdet.load(tmp_path / "run").class_names == ("a", "b")


# -------------------------------------------------------------------------------------------------------- load and find


@pytest.fixture(scope="module")
def detector(run):
    return awsdet.load(run[0] / "run")


def picture(height=60, width=90):
    rng = np.random.default_rng(3)
    return np.asarray(Image.fromarray(rng.integers(0, 255, (8, 8, 3), np.uint8)).resize((width, height)))


def assert_found_alike(first, second):
    assert len(first.boxes) and first.names == second.names
    for ours, theirs in zip(first[:3], second[:3]):
        np.testing.assert_array_equal(ours, theirs)
    assert first.masks == second.masks


def test_load_from_a_run_and_from_its_checkpoint(run, detector):
    step = awsdet.load(run[0] / "run/checkpoints/step-00000003")
    best = awsdet.load(str(run[0] / "run"))
    assert_found_alike(detector.find(picture()), best.find(picture()))
    assert_found_alike(detector.find(picture()), step.find(picture()))
    assert detector.class_names == ("circle", "rectangle", "triangle", "star")


@pytest.mark.parametrize("ending", ["npz", "safetensors"])
def test_load_from_exported_weights(ending, run, detector, tmp_path):
    """They hold the model and its classes, not the size of images."""
    path = tmp_path / f"weights.{ending}"
    made, info = checkpoint.load(run[0] / "run")
    preset, model = presets.of_detector("its own", made), info["config"].model.to_dict()
    weights_lib.write(path, mmdet.export(made), preset=preset, class_names=made.class_names, model=model)
    again = awsdet.load(path)
    assert again.class_names == detector.class_names and again.pixels == detector.pixels
    assert (again.input_size.short_side, again.input_size.max_long_side) == (800, 1333)
    again.input_size = detector.input_size
    assert_found_alike(detector.find(picture()), again.find(picture()))


def test_load_refuses_a_backbone_and_what_is_not_there(detector, tmp_path):
    backbone = {key: value for key, value in mmdet.export(detector).items() if key.startswith("backbone.")}
    weights_lib.write(tmp_path / "backbone.npz", backbone)
    with pytest.raises(UserError, match="holds only a backbone"):
        awsdet.load(tmp_path / "backbone.npz")
    with pytest.raises(UserError, match="does not exist"):
        awsdet.load(tmp_path / "nowhere")
    with pytest.raises(UserError, match="holds no checkpoint"):
        awsdet.load(tmp_path)
    (tmp_path / "notes.txt").write_text("no weights")
    with pytest.raises(UserError):
        awsdet.load(tmp_path / "notes.txt")


def kinds_of_images(folder):
    """Name -> what `find` takes, of the same picture; "grey" stands for grey ones."""
    pixels = picture()
    Image.fromarray(pixels).save(folder / "a.png")
    exif = Image.Exif()
    exif[274] = 6  # to be turned a quarter clockwise
    lying = Image.fromarray(np.rot90(pixels))
    lying.save(folder / "turned.png", exif=exif)
    return {
        "path": folder / "a.png",
        "text": str(folder / "a.png"),
        "array": pixels,
        "Pillow": Image.open(folder / "a.png"),
        "turned": folder / "turned.png",
        "turned, Pillow": Image.open(folder / "turned.png"),
    }


def test_find_takes_every_kind_of_image_as_predict_does(detector, tmp_path):
    images = kinds_of_images(tmp_path)
    expected = next(predict(detector, [tmp_path / "a.png"])).found
    for name, image in images.items():
        found = detector.find(image)
        assert_found_alike(found, expected)
        assert found.names == [detector.class_names[label] for label in found.classes], name
        assert found.bitmaps().shape == (len(found.boxes), 60, 90)


def test_find_takes_grey_images(detector, tmp_path):
    grey = picture()[:, :, 0]
    Image.fromarray(grey).save(tmp_path / "grey.png")
    expected = next(predict(detector, [tmp_path / "grey.png"])).found
    for image in (grey, grey[:, :, np.newaxis], np.stack([grey] * 3, axis=-1), Image.fromarray(grey)):
        assert_found_alike(detector.find(image), expected)


def test_find_names_what_is_no_image(detector, tmp_path):
    with pytest.raises(UserError, match="cannot read image"):
        detector.find(tmp_path / "nowhere.jpg")
    with pytest.raises(ValueError, match=r"uint8 \[H, W, 3\] or \[H, W\], not float32"):
        detector.find(np.zeros((5, 5), np.float32))


def test_threshold_and_bitmaps(detector):
    found = detector.find(picture())
    middle = float(np.median(found.scores))
    kept = detector.find(picture(), score_threshold=middle)
    assert 0 < len(kept.boxes) < len(found.boxes) and kept.scores.min() >= middle
    np.testing.assert_array_equal(found.bitmaps()[: len(kept.boxes)], kept.bitmaps())
    for box, mask in zip(found.boxes, found.bitmaps()):
        rows, columns = np.nonzero(mask)
        if len(rows):
            assert box[0] - 1 <= columns.min() and columns.max() <= box[2] + 1
            assert box[1] - 1 <= rows.min() and rows.max() <= box[3] + 1
    nothing = detector.find(picture(), score_threshold=1.0)
    assert len(nothing.boxes) == 0 and nothing.names == [] and len(nothing.bitmaps()) == 0


def test_draw_shows_what_was_found(detector, tmp_path):
    found = detector.find(picture())
    drawn = awsdet.draw(picture(), found, score_threshold=0.0, scale=2.0)
    assert isinstance(drawn, Image.Image) and drawn.size == (180, 120) and drawn.mode == "RGB"
    plain = awsdet.draw(picture(), found, score_threshold=1.0)
    np.testing.assert_array_equal(np.asarray(plain), picture())
    assert np.any(np.asarray(awsdet.draw(picture(), found, score_threshold=0.0)) != picture())
    turned = kinds_of_images(tmp_path)["turned"]
    assert awsdet.draw(turned, found).size == (90, 60)
    assert awsdet.draw(picture(), found._replace(names=None, masks=None), score_threshold=0.0).size == (90, 60)


@pytest.mark.parametrize("names", [[], "abc", [1, 2], [None]], ids=str)
def test_class_names_that_are_no_list_of_names_are_refused(names):
    with pytest.raises(UserError, match="must be a list of names, one for each class"):
        awsdet.build(awsdet.configs.mask_rcnn(), names)


def test_build_makes_a_keras_model():
    config = awsdet.configs.faster_rcnn()
    config.model.backbone.update(depth=14, base_width=4)
    config.model.fpn.channels = config.model.rpn.channels = config.model.box_head.channels = 8
    config.data.update(eval_short_side=64, max_long_side=96)
    detector = awsdet.build(config, ["one", "two"])
    assert isinstance(detector, tf.keras.Model) and detector.num_classes == 2
    assert detector.find(picture()).masks is None and detector.find(picture()).bitmaps() is None
