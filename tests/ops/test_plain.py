"""Plain TensorFlow operators, which exported models are made of, against the compiled ones."""

import numpy as np
import pytest
import tensorflow as tf

from awsdet.ops import affine, anchors, decode_boxes, library, nms, plain, roi_align, top_boxes
from tests.ops.test_nms import METHODS, random_scene
from tests.ops.test_roi_align import random_case


def both(call):
    """(compiled, plain): the result of `call` eagerly, and of a graph of plain operators."""

    @tf.function(autograph=False)
    def graph():
        with library.replaced(plain):
            return call()

    found = graph.get_concrete_function()
    names = {node.op for part in (found.graph.as_graph_def(),) for node in part.node}
    names |= {node.op for function in found.graph.as_graph_def().library.function for node in function.node_def}
    assert not any(name.startswith("Awsdet") for name in names)
    return call(), found()


@pytest.mark.parametrize("seed", range(24))
def test_roi_align(seed):
    pyramid, boxes, index, settings = random_case(seed)
    compiled, found = both(lambda: roi_align.roi_align(pyramid, boxes, index, **settings))
    np.testing.assert_allclose(found, compiled, rtol=0, atol=4e-5)


@pytest.mark.parametrize("aligned", [True, False])
def test_roi_align_of_odd_boxes(aligned):
    """More than are pooled at once, of all shapes; none, far outside, inside out, infinite, no number."""
    random = np.random.default_rng(3)
    pyramid = [tf.constant(random.normal(size=(2, 256 // s, 384 // s, 4)), tf.float32) for s in (4, 8)]
    corner = random.uniform(-50, 400, (90, 2))
    boxes = np.concatenate([corner, corner + np.exp(random.uniform(-3, 6.5, (90, 2)))], axis=1)
    odd = [[0, 0, 384, 3], [0, 0, 3, 256], [9, 9, 9, 9], [50, 50, 20, 20], [1e9, 0, 2e9, 9], [-1e30, -1e30, 1e30, 1e30]]
    boxes = np.concatenate([boxes, odd, [[0, 0, np.inf, 9], [np.nan, 0, 9, 9], [0, 0, 9, np.nan]]])
    boxes, index = tf.constant(boxes, tf.float32), tf.constant(random.integers(0, 2, len(boxes)), tf.int32)
    options = {"strides": (4, 8), "output_size": 7, "finest_scale": 56.0, "aligned": aligned}
    for sampling_ratio in (0, 2):
        compiled, found = both(
            lambda: roi_align.roi_align(pyramid, boxes, index, sampling_ratio=sampling_ratio, **options)  # noqa: B023
        )
        np.testing.assert_allclose(found, compiled, rtol=0, atol=4e-5)


def test_roi_align_of_nothing_and_in_16_bits():
    pyramid = [tf.random.stateless_normal([1, 16, 16, 8], [1, 2])]
    options = {"strides": (4,), "output_size": 2}
    _, found = both(lambda: roi_align.roi_align(pyramid, tf.zeros([0, 4]), tf.zeros([0], tf.int32), **options))
    assert found.shape == [0, 2, 2, 8]
    half = [tf.cast(features, tf.float16) for features in pyramid]
    boxes = tf.constant([[3.0, 4, 40, 33]])
    compiled, found = both(lambda: roi_align.roi_align(half, boxes, tf.constant([0]), **options))
    assert found.dtype == tf.float16
    np.testing.assert_allclose(found, compiled, rtol=2e-3, atol=1e-3)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("images,count,most", [(1, 40, 7), (3, 700, 20), (2, 900, 600), (2, 0, 5), (1, 3, 400)])
def test_nms(method, images, count, most):
    boxes, scores, classes = random_scene(np.random.default_rng(count), images, count)
    if count > 3:
        boxes[0, 1], boxes[0, 2, 3], scores[0, 3] = np.nan, np.inf, np.nan
        scores[0, 5:9] = scores[0, 4]  # equal ones keep their order
    options = {"iou_threshold": 0.4, "score_threshold": 0.1, "max_output": most, "method": method}
    compiled, found = both(lambda: nms.nms(boxes, scores, classes, **options))
    for name, one, other in zip(compiled._fields, compiled, found):
        np.testing.assert_allclose(other, one, rtol=1e-5, atol=1e-6, err_msg=name)


def test_nms_of_many_that_hide_one_another():
    """Chains within one tile and over tiles: each box overlaps its neighbours alone."""
    left = np.arange(1000, dtype=np.float32)
    boxes = np.stack([left * 4, 0 * left, left * 4 + 10, 0 * left + 10], axis=1)[np.newaxis]
    scores = np.linspace(0.99, 0.2, 1000, dtype=np.float32)[np.newaxis]
    options = {"iou_threshold": 0.3, "score_threshold": 0.0, "max_output": 1000}
    compiled, found = both(lambda: nms.nms(boxes, scores, **options))
    assert 400 < compiled.count[0] < 600
    np.testing.assert_array_equal(found.indices, compiled.indices)


@pytest.mark.parametrize("classes,limit", [(1, 50), (3, 7), (2, 100_000)])
def test_top_boxes(classes, limit):
    random = np.random.default_rng(limit)
    sizes = (300, 80, 9)
    logits = [tf.constant(random.normal(size=(2, size, classes)), tf.float32) for size in sizes]
    deltas = [tf.constant(random.normal(size=(2, size, 4)), tf.float32) for size in sizes]
    logits[0] = tf.where(logits[0] > 2, float("nan"), tf.round(logits[0] * 8) / 8)  # with ties
    corner = random.uniform(0, 90, (sum(sizes), 2))
    anchors_ = tf.constant(np.concatenate([corner, corner + random.uniform(1, 30, corner.shape)], 1), tf.float32)
    options = {"limit": limit, "stds": (1.0, 1, 0.5, 0.5), "max_log_ratio": 4.0, "min_size": 2.0}
    compiled, found = both(lambda: top_boxes.top_boxes(logits, deltas, anchors_, [[100, 90], [60, 100]], **options))
    used = np.isfinite(compiled.logits)
    np.testing.assert_array_equal(np.isfinite(found.logits), used)
    for name, one, other in zip(compiled._fields, compiled, found):
        np.testing.assert_allclose(other.numpy()[used], one.numpy()[used], rtol=1e-5, atol=1e-4, err_msg=name)


def test_anchors_and_class_boxes():
    sizes, shapes = [[5, 7], [3, 4]], [[(-2.0, -4, 2, 4), (-4, -2, 4, 2)]] * 2
    for one, other in zip(*both(lambda: anchors.anchors(sizes, [[18, 27]], strides=(4, 8), shapes=shapes))):
        np.testing.assert_array_equal(other, one)
    random = np.random.default_rng(0)
    boxes = tf.constant([[[2.0, 3, 30, 40], [5, 5, 9, 9]]])
    deltas = tf.constant(random.normal(size=(1, 2, 3, 4)), tf.float32)
    options = {"num_classes": 3, "stds": (0.1, 0.1, 0.2, 0.2), "max_log_ratio": 4.0}
    for one, other in zip(*both(lambda: decode_boxes.decode_boxes(deltas, boxes, [[50, 60]], **options))):
        np.testing.assert_allclose(other, one, rtol=1e-6)


@pytest.mark.parametrize("dtype", [tf.float32, tf.float16, tf.bfloat16], ids=lambda dtype: dtype.name)
def test_affine(dtype):
    random = np.random.default_rng(1)
    features, residual = (tf.constant(random.normal(size=(2, 3, 4, 5)), dtype) for _ in range(2))
    gamma, beta, mean = (tf.constant(random.normal(size=5), tf.float32) for _ in range(3))
    variance = tf.constant(random.uniform(0.5, 2, 5), tf.float32)
    tolerance = {tf.float32: 1e-6, tf.float16: 2e-3, tf.bfloat16: 2e-2}[dtype]
    for added in (None, residual):
        calls = (
            lambda: affine.batch_norm(features, gamma, beta, mean, variance, 1e-5, residual=added, relu=True),  # noqa: B023
            lambda: affine.bias(features, beta, residual=added),  # noqa: B023
        )
        for compiled, found in map(both, calls):
            np.testing.assert_allclose(
                tf.cast(found, tf.float32), tf.cast(compiled, tf.float32), rtol=tolerance, atol=tolerance
            )
