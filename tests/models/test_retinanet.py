"""RetinaNet: training, detecting, corner cases."""

import numpy as np
import pytest
import tensorflow as tf

from awsdet.runtime.world import World
from tests.models.small_detectors import TWO_IMAGES, batch_of, small_detector


def without_masks(objects, size=(96, 128)):
    data = batch_of(objects, size)
    del data["masks"]
    return data


def retinanet(*overrides):
    return small_detector(*overrides, detector="retinanet")


def losses_and_gradients(model, data):
    with tf.GradientTape() as tape:
        terms = model.compute_losses(data)
        total = tf.add_n(list(terms.values()))
    return terms, [tf.convert_to_tensor(g).numpy() for g in tape.gradient(total, model.trainable_variables)]


def test_fit_learns_a_batch_in_one_trace_for_all_sizes():
    model = retinanet("model.backbone.norm=group_norm", "model.backbone.frozen_stages=-1")
    model.compile(tf.keras.optimizers.legacy.Adam(0.001))
    traces, normalized = [], model.normalized
    model.normalized = lambda losses: traces.append(1) or normalized(losses)
    data = without_masks(TWO_IMAGES)
    odd = without_masks([*TWO_IMAGES, []], (96, 160))  # P6 and P7 are rounded up
    dataset = tf.data.Dataset.from_tensors(odd).concatenate(tf.data.Dataset.from_tensors(data).repeat(12))
    history = model.fit(dataset, verbose=0).history
    assert len(traces) == 1 and np.isfinite(history["loss"]).all()
    untrained = retinanet("model.backbone.norm=group_norm", "model.backbone.frozen_stages=-1")
    before, after = (float(tf.add_n(list(m.compute_losses(data).values()))) for m in (untrained, model))
    assert after < 0.7 * before


def test_images_without_objects_give_finite_losses_and_every_gradient():
    model = retinanet()
    terms, gradients = losses_and_gradients(model, without_masks([[], []]))
    assert set(terms) == {"class_loss", "box_loss"}
    assert float(terms["box_loss"]) == 0 and np.isfinite(float(terms["class_loss"]))
    assert float(terms["class_loss"]) > 0 and all(np.isfinite(g).all() for g in gradients)


def test_an_image_smaller_than_its_batch_loses_nothing_by_it():
    """Anchors in the padding take no part, and each image has its own size."""
    model = retinanet()
    small = without_masks([TWO_IMAGES[1]], (64, 96))
    both = without_masks([TWO_IMAGES[1]], (128, 160))
    image = tf.image.pad_to_bounding_box(small["image"], 0, 0, 128, 160)
    padded = {**both, "image": image, "image_size": tf.constant([[64, 96]])}
    outputs = model.training_outputs(model.normalize_images(padded), padded)
    targets = outputs.targets
    alone = model.training_outputs(model.normalize_images(small), small).targets
    assert int(tf.reduce_sum(tf.cast(targets.valid, tf.int32))) == int(tf.reduce_sum(tf.cast(alone.valid, tf.int32)))
    assert float(targets.normalizer) == float(alone.normalizer)


def test_losses_are_divided_by_the_positives_of_all_images():
    model = retinanet()
    data = without_masks(TWO_IMAGES)
    outputs = model.training_outputs(model.normalize_images(data), data)
    positives = float(tf.reduce_sum(tf.cast(outputs.targets.positive, tf.float32)))
    losses = outputs.terms.losses
    assert positives > 0 and {float(mean.count) for mean in losses.values()} == {positives}

    class FourRanks(World):
        size = 4

        def sum(self, tensor, name="sum"):
            return tensor * 6.0

    model.world, model.loss_normalizer = FourRanks(), "global"
    for name, value in model.normalized(losses).items():
        assert float(value) == pytest.approx(float(losses[name].total) / (positives * 6 / 4), rel=1e-6)


def test_running_mean_of_the_positives_divides_where_it_is_asked_for():
    model = retinanet("model.retina_head.normalizer_momentum=0.9")
    data = without_masks(TWO_IMAGES)
    own = retinanet().compute_losses(data)
    count = float(retinanet().training_outputs(model.normalize_images(data), data).targets.normalizer)
    mean = 100.0
    for _ in range(2):
        terms = model.compute_losses(data)
        mean = 0.9 * mean + 0.1 * count
        for name, value in terms.items():
            assert float(value) == pytest.approx(float(own[name]) * count / mean, rel=1e-5)
    assert float(model.positives) == pytest.approx(mean)
    assert any(v is model.positives for v in model.non_trainable_variables)  # so it is saved and broadcast


def test_detections_are_sorted_padded_and_inside_the_image():
    model = retinanet("model.retina_head.score_threshold=0.0", "model.retina_head.max_detections=30")
    data = without_masks(TWO_IMAGES)
    data["image_size"] = tf.constant([[90, 100], [96, 128]])
    found = model.detect(data)
    assert set(found) == {"boxes", "scores", "classes", "count"} and found["count"].numpy().tolist() == [30, 30]
    for (height, width), boxes, scores in zip(data["image_size"].numpy(), found["boxes"].numpy(), found["scores"]):
        assert np.all(np.diff(scores) <= 0) and boxes.min() >= 0
        assert boxes[:, 2].max() <= width and boxes[:, 3].max() <= height
    nothing = retinanet("model.retina_head.score_threshold=0.5")._detect(data)
    assert not nothing["count"].numpy().any() and np.all(nothing["classes"] == -1)


@pytest.mark.parametrize("precision", ["mixed_bfloat16", "mixed_float16"])
def test_low_precision_stays_near_float32(precision):
    data = without_masks(TWO_IMAGES)
    expected = retinanet().compute_losses(data)
    for name, value in retinanet(f"model.precision={precision}").compute_losses(data).items():
        assert value.dtype == tf.float32 and float(value) == pytest.approx(float(expected[name]), rel=0.05)
