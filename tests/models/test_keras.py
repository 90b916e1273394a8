"""What a Keras user does with a detector: fit, evaluate, predict, callbacks, save and load."""

import csv
import json

import numpy as np
import pytest
import tensorflow as tf

from awsdet.models.builder import DETECTORS
from tests.models.small_detectors import TWO_IMAGES, batch_of, small_detector

KINDS = {
    "resnet": ("mask_rcnn", ()),
    "hrnet": (
        "faster_rcnn",
        ("backbone.name=hrnet", "backbone.branch_width=4", "fpn.name=hrfpn", "fpn.norm=group_norm"),
    ),
    "cascade_mask": ("cascade_mask_rcnn", ()),
    "mask_scoring": ("mask_scoring_rcnn", ()),
    "retinanet": ("retinanet", ()),
}
# A random detector then finds something.
FINDS = [f"model.{head}.{rule}" for head in ("box_head", "retina_head") for rule in ("score_threshold=0.0",)]
LIVE = ("model.backbone.norm=batch_norm", "model.backbone.frozen_stages=-1")


def changed(detector):
    """The detector with weights that its seed does not give."""
    for variable in detector.variables:
        if variable.dtype == tf.float32:
            variable.assign(variable * 1.02 + 0.001)
    detector.step.assign(77)
    return detector


def assert_same(ours, theirs):
    """Bit for bit: variables with their names, and detections."""
    assert [v.name for v in ours.variables] == [v.name for v in theirs.variables]
    for first, second in zip(ours.variables, theirs.variables):
        np.testing.assert_array_equal(first, second, first.name)
    tf.config.run_functions_eagerly(True)  # two graphs would take many times as long as two images
    try:
        found, again = ours.detect(batch_of(TWO_IMAGES)), theirs.detect(batch_of(TWO_IMAGES))
    finally:
        tf.config.run_functions_eagerly(False)
    assert int(found["count"][0]) > 0
    for name in found:
        np.testing.assert_array_equal(found[name], again[name], name)


@pytest.mark.parametrize("kind", KINDS)
def test_saved_and_loaded_by_keras_it_is_the_same(kind, tmp_path):
    name, settings = KINDS[kind]
    detector = changed(small_detector(*FINDS, *(f"model.{s}" for s in settings), detector=name))
    detector.save(tmp_path / "model.keras")
    again = tf.keras.models.load_model(tmp_path / "model.keras")
    assert type(again) is type(detector) and again.class_names == ("a", "b", "c")
    assert_same(detector, again)


@pytest.mark.parametrize("name", DETECTORS)
def test_get_config_and_back(name):
    """JSON holds it; the new detector has the first's settings, and its initial weights since it has its seed."""
    detector = small_detector("model.image.bgr=true", "data.eval_short_side=96", detector=name, seed=4)
    again = type(detector).from_config(json.loads(json.dumps(detector.get_config())))
    assert again.get_config() == detector.get_config()
    assert (again.pixels, again.input_size, again.seed) == (detector.pixels, detector.input_size, 4)
    for first, second in zip(detector.variables, again.variables):
        assert first.name == second.name
        np.testing.assert_array_equal(first, second, first.name)


@pytest.mark.parametrize("target, options", [("model.h5", {}), ("folder", {}), ("folder", {"save_format": "tf"})])
def test_other_formats_are_refused_in_one_line(target, options, tmp_path):
    detector = small_detector(detector="faster_rcnn")
    with pytest.raises(ValueError, match=f"{target} cannot be written: give a name that ends in .keras") as caught:
        detector.save(tmp_path / target, **options)
    assert "\n" not in str(caught.value) and not list(tmp_path.iterdir())
    with pytest.raises(ValueError, match="give a name that ends in .weights.h5"):
        detector.save_weights(tmp_path / "weights.h5")


@pytest.mark.parametrize("target", ["model.weights.h5", "folder/model"])
def test_weights_saved_and_loaded(target, tmp_path):
    detector = changed(small_detector(*FINDS, detector="faster_rcnn"))
    detector.save_weights(tmp_path / target)
    other = small_detector(*FINDS, detector="faster_rcnn", seed=9)
    other.load_weights(tmp_path / target)
    assert_same(detector, other)


class Watch(tf.keras.callbacks.Callback):
    """A callback of a user, who reads the logs."""

    def __init__(self):
        super().__init__()
        self.batches, self.epochs = [], []

    def on_train_batch_end(self, batch, logs=None):
        self.batches.append(float(logs["loss"]))

    def on_epoch_end(self, epoch, logs=None):
        self.epochs.append(dict(logs))


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    """(detector with live normalisations after an epoch of three steps, History, Watch, folder of the callbacks)."""
    folder, watch = tmp_path_factory.mktemp("fit"), Watch()
    detector = small_detector(*LIVE)
    detector.compile(tf.keras.optimizers.Adam(1e-3), clip_norm=10.0)
    callbacks = [
        watch,
        tf.keras.callbacks.ModelCheckpoint(str(folder / "best.keras"), monitor="val_loss", save_best_only=True),
        tf.keras.callbacks.ModelCheckpoint(str(folder / "{epoch}.weights.h5"), save_weights_only=True),
        tf.keras.callbacks.EarlyStopping("val_loss", patience=3),
        tf.keras.callbacks.ReduceLROnPlateau("val_loss"),
        tf.keras.callbacks.CSVLogger(str(folder / "log.csv")),
        tf.keras.callbacks.TensorBoard(str(folder / "tensorboard")),
        tf.keras.callbacks.TerminateOnNaN(),
    ]
    data = tf.data.Dataset.from_tensors(batch_of(TWO_IMAGES)).repeat(3)
    history = detector.fit(data, validation_data=validation(), callbacks=callbacks, verbose=0)
    return detector, history, watch, folder


def validation():
    return tf.data.Dataset.from_tensors(batch_of(TWO_IMAGES[:1], seed=5))


def test_fit_validates_with_stored_statistics(fitted):
    detector, history, _, _ = fitted
    losses = detector.compute_losses(batch_of(TWO_IMAGES[:1], seed=5), training=False)
    for name, value in losses.items():
        assert history.history[f"val_{name}"] == [pytest.approx(float(value), rel=1e-4)], name
    total = sum(float(value) for value in losses.values())
    assert history.history["val_loss"] == [pytest.approx(total, rel=1e-4)]
    assert set(losses) < set(history.history) and history.history["loss"][0] > 0
    other = detector.compute_losses(batch_of(TWO_IMAGES[:1], seed=5), training=True)  # this changes the statistics
    assert float(other["rpn_class_loss"]) != pytest.approx(float(losses["rpn_class_loss"]), rel=1e-3)


def test_evaluate_is_repeatable_and_changes_nothing(fitted):
    detector = fitted[0]
    data = tf.data.Dataset.from_tensors(batch_of(TWO_IMAGES)).repeat(2).concatenate(validation())
    before = [v.numpy() for v in detector.variables]
    first = detector.evaluate(data, return_dict=True, verbose=0)
    assert first == detector.evaluate(data, return_dict=True, verbose=0)
    for value, variable in zip(before, detector.variables):
        np.testing.assert_array_equal(value, variable)
    alone = detector.evaluate(validation(), return_dict=True, verbose=0)
    both = detector.evaluate(tf.data.Dataset.from_tensors(batch_of(TWO_IMAGES)), return_dict=True, verbose=0)
    assert first["loss"] == pytest.approx((2 * both["loss"] + alone["loss"]) / 3, rel=1e-5)


def test_predict_is_detect(fitted):
    detector = fitted[0]
    images = {name: batch_of(TWO_IMAGES)[name] for name in ("image", "image_size")}
    for data in (tf.data.Dataset.from_tensors(batch_of(TWO_IMAGES)), images):
        found = detector.predict(data, verbose=0)
        for name, value in detector.detect(images).items():
            np.testing.assert_allclose(found[name], value, atol=1e-3)


def test_callbacks_of_keras_and_of_the_user(fitted):
    detector, history, watch, folder = fitted
    assert len(watch.batches) == 3 and np.isfinite(watch.batches).all()
    assert watch.epochs[0]["val_loss"] == history.history["val_loss"][0]
    rows = list(csv.DictReader((folder / "log.csv").open()))
    assert float(rows[0]["val_loss"]) == pytest.approx(history.history["val_loss"][0])
    assert (folder / "1.weights.h5").is_file() and any((folder / "tensorboard").rglob("events*"))


def test_a_loaded_detector_goes_on_training(fitted):
    again = tf.keras.models.load_model(fitted[3] / "best.keras")
    assert int(again.step) == 3
    again.compile("sgd", clip_norm=1.0)
    again.fit(tf.data.Dataset.from_tensors(batch_of(TWO_IMAGES)), verbose=0)
    assert int(again.step) == 4
