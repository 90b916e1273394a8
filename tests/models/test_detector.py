"""The detectors as a whole: training step, detection, shapes, precision, corner cases."""

import re

import numpy as np
import pytest
import tensorflow as tf

from awsdet.data.reader.make_batch import BATCH_SPEC
from awsdet.runtime.errors import UserError
from awsdet.training.optimizer import SGD
from tests.models.small_detectors import TWO_IMAGES, batch_of, keys_in_index_order, small_detector


def losses_and_gradients(detector, data):
    with tf.GradientTape() as tape:
        terms = detector.compute_losses(data, keys_in_index_order)
        total = tf.add_n(list(terms.values()))
    gradients = tape.gradient(total, detector.trainable_variables)
    return terms, gradients


def test_fit_learns_one_batch():
    model = small_detector("model.backbone.norm=group_norm", "model.backbone.frozen_stages=-1")
    model.compile(tf.keras.optimizers.legacy.SGD(0.02, momentum=0.9), clip_norm=10.0)
    data = batch_of(TWO_IMAGES)
    before = float(tf.add_n(list(model.compute_losses(data).values())))
    model.fit(tf.data.Dataset.from_tensors(data).repeat(40), verbose=0)
    after = float(tf.add_n(list(model.compute_losses(data).values())))
    assert after < 0.7 * before
    assert int(model.step) == 40


def test_faster_rcnn_is_the_same_without_masks():
    model = small_detector(detector="faster_rcnn")
    terms, gradients = losses_and_gradients(model, batch_of(TWO_IMAGES))
    assert set(terms) == {"rpn_class_loss", "rpn_box_loss", "class_loss", "box_loss"}
    assert all(g is not None for g in gradients) and "masks" not in model._detect(batch_of(TWO_IMAGES))


def test_eager_and_graph_agree():
    model, data = small_detector(), batch_of(TWO_IMAGES)
    eager = model.compute_losses(data, keys_in_index_order)
    graph = tf.function(lambda b: model.compute_losses(b, keys_in_index_order))(data)
    for name in eager:
        np.testing.assert_allclose(eager[name], graph[name], rtol=1e-4)
    for ours, theirs in zip(tf.nest.flatten(model._detect(data)), tf.nest.flatten(model.detect(data))):
        np.testing.assert_allclose(ours, theirs, atol=1e-3)


def test_one_trace_serves_every_size_and_batch():
    model = small_detector()
    traces = []

    def counted(data):
        traces.append(1)
        return model.compute_losses(data)

    step = tf.function(counted, input_signature=[BATCH_SPEC])
    for data in (
        batch_of(TWO_IMAGES),
        batch_of(TWO_IMAGES[:1], (64, 160)),
        batch_of([*TWO_IMAGES, [], TWO_IMAGES[0]], (160, 96)),
    ):
        assert np.isfinite([value.numpy() for value in step(data).values()]).all()
    assert len(traces) == 1


def test_a_batch_is_its_images_whatever_else_is_in_it():
    """The losses of an image do not depend on its neighbours, nor on pixels beyond its size."""
    model = small_detector()
    alone, _ = losses_and_gradients(model, batch_of(TWO_IMAGES[:1]))
    both = batch_of([TWO_IMAGES[0], TWO_IMAGES[0]])
    both["image"] = tf.repeat(both["image"][:1], 2, axis=0)
    together, _ = losses_and_gradients(model, both)
    for name in alone:
        assert float(together[name]) == pytest.approx(float(alone[name]), rel=1e-3)
    # Pixels in the padding make no difference.
    data = {**batch_of(TWO_IMAGES), "image_size": tf.constant([[70, 90], [96, 128]])}
    other = {**data, "image": tf.tensor_scatter_nd_update(data["image"], [[0, 80, 5], [0, 3, 100]], [[9, 8, 7]] * 2)}
    np.testing.assert_array_equal(model.normalize_images(data), model.normalize_images(other))


def test_image_without_objects_gives_zero_losses_and_every_gradient():
    model = small_detector()
    terms, gradients = tf.function(lambda data: losses_and_gradients(model, data), autograph=False)(batch_of([[], []]))
    assert terms["mask_loss"] == 0 and terms["box_loss"] == 0 and terms["rpn_box_loss"] == 0
    assert terms["rpn_class_loss"] > 0 and terms["class_loss"] > 0
    assert all(g is not None and np.isfinite(tf.convert_to_tensor(g)).all() for g in gradients)


def test_crowd_is_no_target():
    model = small_detector()
    crowd = [([10.0, 10, 60, 70], 0, True), ([40.0, 30, 120, 90], 2, True)]
    terms, gradients = losses_and_gradients(model, batch_of([crowd]))
    assert terms["mask_loss"] == 0 and terms["box_loss"] == 0
    assert all(g is not None for g in gradients)
    mixed, _ = losses_and_gradients(model, batch_of([[TWO_IMAGES[0][0], crowd[1]]]))
    assert mixed["mask_loss"] > 0


def test_frozen_stages_have_no_gradient_and_no_variables_to_train():
    names = {v.name for v in small_detector().trainable_variables}
    assert not any(name.startswith(("backbone.conv1.", "backbone.layer1.")) for name in names)
    assert any(name.startswith("backbone.layer2.") for name in names)
    live = {v.name for v in small_detector("model.backbone.frozen_stages=-1").trainable_variables}
    assert {"backbone.conv1.kernel:0", "backbone.layer1.0.conv1.gamma:0"} <= live


@pytest.mark.parametrize("depth, style", [(101, "caffe"), (50, "caffe")])
def test_other_backbones(depth, style):
    model = small_detector(f"model.backbone.depth={depth}", f"model.backbone.style={style}")
    blocks = {50: 16, 101: 33}[depth]
    assert sum(v.name.endswith("conv3.kernel:0") for v in model.variables) == blocks
    assert np.isfinite([value.numpy() for value in model.compute_losses(batch_of(TWO_IMAGES)).values()]).all()


@pytest.mark.parametrize("precision", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision_trains_and_stays_near_float32(precision):
    expected, _ = losses_and_gradients(small_detector(), batch_of(TWO_IMAGES))
    model = small_detector(f"model.precision={precision}")
    terms, _ = losses_and_gradients(model, batch_of(TWO_IMAGES))
    for name, value in expected.items():
        assert float(terms[name]) == pytest.approx(float(value), rel=0.15, abs=0.02)
    if precision == "mixed_float16":
        optimizer = tf.keras.mixed_precision.LossScaleOptimizer(tf.keras.optimizers.legacy.SGD(0.01), initial_scale=64)
        model.compile(optimizer, run_eagerly=True)
        before = model.neck.lateral[0].kernel.numpy()
        assert np.isfinite(model.train_on_batch(batch_of(TWO_IMAGES), return_dict=True)["gradient_norm"])
        assert np.any(before != model.neck.lateral[0].kernel)
    assert {v.dtype for v in model.trainable_variables} == {tf.float32}


def test_accumulated_steps_equal_their_mean_gradient():
    data = [batch_of(TWO_IMAGES[:1], seed=1), batch_of(TWO_IMAGES[1:], seed=2)]
    expected = small_detector()
    gradients = []
    for part in data:
        with tf.GradientTape() as tape:
            total = tf.add_n(list(expected.compute_losses(part).values()))
        gradients.append([tf.convert_to_tensor(g) for g in tape.gradient(total, expected.trainable_variables)])
        expected.step.assign_add(1)
    for variable, first, second in zip(expected.trainable_variables, *gradients):
        variable.assign_sub(0.1 * (first + second) / 2)

    model = small_detector()
    model.compile(tf.keras.optimizers.legacy.SGD(0.1), accumulate_steps=2, run_eagerly=True)
    for part in data:
        model.train_on_batch(part)
    assert int(model.optimizer.iterations) == 1
    for ours, theirs in zip(model.trainable_variables, expected.trainable_variables):
        np.testing.assert_allclose(ours, theirs, atol=1e-4)


@pytest.mark.parametrize("eagerly", [False, True])
def test_non_finite_loss_stops_and_names_its_terms(eagerly):
    model = small_detector()
    model.compile(SGD(0.1), run_eagerly=eagerly)
    model.roi_heads.stages[0].box_head.logits.bias.assign([np.nan] * 4)
    before = model.neck.lateral[0].kernel.numpy()
    with pytest.raises(tf.errors.InvalidArgumentError) as caught:
        model.train_on_batch(batch_of(TWO_IMAGES))
    message = str(caught.value)
    for part in ("non-finite loss", "class_loss=", "mask_loss=", "step=", "rank=", "image_id=", "100 101"):
        assert part in message
    np.testing.assert_array_equal(model.neck.lateral[0].kernel, before)
    # As training.failure reads it: words, then numbers.
    fields = dict(re.findall(r"\[(\w+)=\] \[([^\]]*)\]", message))
    assert (fields["class_loss"], fields["step"], fields["rank"]) == ("nan", "0", "0")
    assert fields["image_id"] == "100 101" and np.isfinite(float(fields["mask_loss"]))


@pytest.mark.parametrize("accumulate_steps, optimizer", [(1, tf.keras.optimizers.legacy.SGD), (2, SGD)])
def test_a_gradient_that_is_not_finite_ends_the_run_at_once(accumulate_steps, optimizer):
    @tf.custom_gradient
    def with_broken_gradient(value):
        return tf.identity(value), lambda upstream: upstream * np.nan

    model = small_detector()
    normalized = model.normalized
    model.normalized = lambda losses: {name: with_broken_gradient(value) for name, value in normalized(losses).items()}
    model.compile(optimizer(0.1), clip_norm=10.0, accumulate_steps=accumulate_steps)
    before, ended = [v.numpy() for v in model.trainable_variables], []
    counting = tf.keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: ended.append(batch))
    with pytest.raises(tf.errors.InvalidArgumentError, match="gradient_norm="):
        model.fit(tf.data.Dataset.from_tensors(batch_of(TWO_IMAGES)).repeat(4), verbose=0, callbacks=[counting])
    assert len(ended) == accumulate_steps - 1  # steps before that of the update
    for variable, value in zip(model.trainable_variables, before):
        np.testing.assert_array_equal(variable, value)


def test_gradients_that_overflow_in_float16_lower_the_scale():
    """Their update changes no variable and the next one does, also if two steps are an update. Eager, to save time."""
    model = small_detector("model.precision=mixed_float16", detector="faster_rcnn")
    for accumulate_steps in (1, 2):
        optimizer = tf.keras.mixed_precision.LossScaleOptimizer(SGD(1e-3), initial_scale=2.0**120)
        model.compile(optimizer, accumulate_steps=accumulate_steps, run_eagerly=True)
        before = [v.numpy() for v in model.trainable_variables]
        for _ in range(accumulate_steps):
            logs = model.train_on_batch(batch_of(TWO_IMAGES), return_dict=True)
        assert np.isfinite(logs["loss"]) and not np.isfinite(logs["gradient_norm"])
        for variable, value in zip(model.trainable_variables, before):
            np.testing.assert_array_equal(variable, value)
        assert float(optimizer.loss_scale) == 2.0**119 and int(optimizer.iterations) == 1
        optimizer._loss_scale.current_loss_scale.assign(8.0)
        for _ in range(accumulate_steps):
            logs = model.train_on_batch(batch_of(TWO_IMAGES), return_dict=True)
        assert np.isfinite(logs["gradient_norm"]) and float(optimizer.loss_scale) == 8.0
        assert any(np.any(old != new) for old, new in zip(before, model.trainable_variables))


def test_run_eagerly_debugs():
    model = small_detector()
    model.compile(tf.keras.optimizers.legacy.SGD(0.01), run_eagerly=True)
    logs = model.train_on_batch(batch_of(TWO_IMAGES), return_dict=True)
    assert logs["loss"] > 0 and logs["gradient_norm"] > 0


def test_sampling_keys_differ_by_step_rank_and_name_and_repeat_by_seed():
    model = small_detector(seed=5)
    first = model.sampling_keys("rpn", [2, 9]).numpy()
    np.testing.assert_array_equal(first, small_detector(seed=5).sampling_keys("rpn", [2, 9]))
    assert np.any(first != model.sampling_keys("rcnn", [2, 9]))
    assert np.any(first != small_detector(seed=6).sampling_keys("rpn", [2, 9]))
    model.step.assign(10**7)
    assert np.any(first != model.sampling_keys("rpn", [2, 9]))
    assert small_detector(seed=2**31 - 1).sampling_keys("rpn", [3]).shape == 3


def test_detections_are_padded_sorted_and_inside_the_image():
    model = small_detector("model.box_head.score_threshold=0.0")
    data = batch_of(TWO_IMAGES)
    data["image_size"] = tf.constant([[90, 100], [96, 128]])
    found = model.detect(data)
    for image, (height, width) in enumerate(data["image_size"].numpy()):
        count = int(found["count"][image])
        assert count > 0
        boxes, scores = found["boxes"][image].numpy(), found["scores"][image].numpy()
        assert np.all(np.diff(scores[:count]) <= 0)
        assert boxes.min() >= 0 and boxes[:, 2].max() <= width and boxes[:, 3].max() <= height
        assert not boxes[count:].any() and np.all(found["classes"][image, count:] == -1)
        masks = found["masks"][image].numpy()
        assert masks.shape == (100, 28, 28) and masks[:count].min() >= 0 and masks[:count].max() <= 1


def test_finding_nothing_is_no_error():
    model = small_detector("model.box_head.score_threshold=0.999")
    found = model.detect(batch_of(TWO_IMAGES))
    assert found["count"].numpy().tolist() == [0, 0] and not found["masks"].numpy().any()


def test_settings_outside_their_choices_are_named():
    with pytest.raises(UserError, match="model.backbone.depth is 18; it must be one of 14, 26, 50, 101, 152"):
        small_detector("model.backbone.depth=18")
    with pytest.raises(UserError, match="model.precision"):
        small_detector("model.precision=half")


def test_a_model_call_is_a_detection_and_compile_names_bad_arguments():
    model = small_detector()
    found = model(batch_of(TWO_IMAGES))
    assert set(found) == {"boxes", "scores", "classes", "count", "masks"}
    with pytest.raises(ValueError, match="loss_normalizer"):
        model.compile("sgd", loss_normalizer="batch")
    for clip_norm in (-1.0, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="clip_norm"):
            model.compile("sgd", clip_norm=clip_norm)
    for threshold in (-0.1, 50, float("nan")):
        with pytest.raises(ValueError, match="score_threshold"):
            model.find(np.zeros((32, 32, 3), np.uint8), threshold)
    with pytest.raises(ValueError, match="compression is 'bf16'; it must be none or fp16"):
        model.compile("sgd", compression="bf16")
    with pytest.raises(ValueError, match="accumulate_steps is 0"):
        model.compile("sgd", accumulate_steps=0)
