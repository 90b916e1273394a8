"""The RPN at selected anchors against the RPN at all anchors: outputs and gradients."""

import numpy as np
import pytest
import tensorflow as tf

from awsdet.models.builder import build
from awsdet.models.heads.rpn import RPNHead, best_of_batch
from awsdet.models.layers.initializers import Initializers
from awsdet.ops.nms import Kept
from awsdet.weights import mmdet
from tests.models.small_detectors import small_config

SIZES = [(5, 9), (3, 5), (1, 1)]  # odd, and a level where every window reaches beyond the border
CHANNELS, ANCHORS = 6, 3


def head_and_pyramid(dtype="float32", convs=1):
    random = np.random.default_rng(0)
    pyramid = [tf.constant(random.normal(size=(2, h, w, CHANNELS)), dtype) for h, w in SIZES]
    policy = "float32" if dtype == "float32" else f"mixed_{dtype}"
    policy = tf.keras.mixed_precision.Policy(policy)
    head = RPNHead(CHANNELS, 8, ANCHORS, convs=convs, initializers=Initializers(3), dtype=policy)
    for variable in head.trainable_variables:
        variable.assign(tf.constant(random.normal(size=variable.shape), tf.float32))
    return head, pyramid


def outputs_everywhere(head, pyramid):
    output = head(head.trunk(pyramid))
    return tuple(tf.cast(tf.concat(part, axis=1), tf.float32) for part in output)


@pytest.mark.parametrize("convs", [1, 2])
@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-5), ("bfloat16", 0.03)])
def test_every_anchor_alone_is_as_everywhere(dtype, tolerance, convs):
    head, pyramid = head_and_pyramid(dtype, convs)
    logits, deltas = outputs_everywhere(head, pyramid)
    order = tf.stack([tf.random.experimental.stateless_shuffle(tf.range(logits.shape[1]), (1, i)) for i in range(2)])
    chosen = head.at(head.trunk(pyramid), order)
    assert chosen.logits.dtype == chosen.deltas.dtype == tf.float32
    scale = float(tf.reduce_max(tf.abs(logits)))
    np.testing.assert_allclose(chosen.logits, tf.gather(logits, order, batch_dims=1), atol=tolerance * scale)
    scale = float(tf.reduce_max(tf.abs(deltas)))
    np.testing.assert_allclose(chosen.deltas, tf.gather(deltas, order, batch_dims=1), atol=tolerance * scale)


@pytest.mark.parametrize("convs", [1, 3])
def test_gradients_are_those_of_the_whole_convolution(convs):
    head, pyramid = head_and_pyramid(convs=convs)
    # One anchor twice, neighbours whose windows overlap, and both ends of every level.
    index = tf.constant([[0, 0, 1, 3, 134, 135, 179, 180, 182, 76], [181, 14, 17, 41, 44, 120, 60, 63, 66, 182]])
    weights = tf.constant(np.random.default_rng(1).normal(size=(2, 10, 5)), tf.float32)
    sources = [*pyramid, *head.trainable_variables]

    def gradients(outputs):
        with tf.GradientTape() as tape:
            tape.watch(pyramid)
            logits, deltas = outputs()
            loss = tf.reduce_sum(tf.concat([logits[..., tf.newaxis], deltas], axis=2) * weights)
        return tape.gradient(loss, sources)

    def sampled_of_all():
        return [tf.gather(part, index, batch_dims=1) for part in outputs_everywhere(head, pyramid)]

    found, expected = gradients(lambda: head.at(head.trunk(pyramid), index)), gradients(sampled_of_all)
    assert len(found) == 3 + 2 * (convs + 2)  # levels; a kernel and a bias of each convolution
    for ours, theirs in zip(found, expected):
        scale = np.abs(theirs).max()
        assert scale > 0
        np.testing.assert_allclose(tf.convert_to_tensor(ours), theirs, rtol=1e-4, atol=1e-5 * scale)


def test_convolutions_before_the_outputs_are_one_upon_the_other():
    head, pyramid = head_and_pyramid(convs=3)
    first, second = head.first_convs
    hidden = pyramid[0]
    for conv in (first, second, head.conv):
        hidden = tf.nn.relu(tf.nn.conv2d(hidden, conv.kernel, 1, "SAME") + conv.bias)
    logits = tf.nn.conv2d(hidden, head.logits.kernel, 1, "SAME") + head.logits.bias
    found = head(head.trunk(pyramid)).logits[0]
    np.testing.assert_allclose(found, tf.reshape(logits, [2, -1]), rtol=1e-4, atol=1e-4 * np.abs(logits).max())


def test_several_convolutions_have_the_names_of_the_reference():
    """mmdetection's RPNHead with num_convs; one alone has no number."""
    config = small_config("model.rpn.convs=2", detector="faster_rcnn")
    names = {key for key in mmdet.table(build(config, ["a"])) if "rpn_conv" in key}
    assert names == {f"rpn_head.rpn_conv.{i}.conv.{kind}" for i in range(2) for kind in ("weight", "bias")}
    assert {v.name for v in head_and_pyramid()[0].conv.variables} == {
        "rpn_head.rpn_conv.kernel:0",
        "rpn_head.rpn_conv.bias:0",
    }


def test_bias_gradients_are_sums_in_float32():
    """Of 2,000 samples: in bfloat16, whole numbers cannot be counted beyond 256."""
    head, pyramid = head_and_pyramid("bfloat16")
    index = tf.zeros([2, 1000], tf.int32)
    with tf.GradientTape() as tape:
        loss = tf.add_n([tf.reduce_sum(part) for part in head.at(pyramid, index)])
    logits, deltas = tape.gradient(loss, [head.logits.bias, head.deltas.bias])
    np.testing.assert_array_equal(logits, [2000, 0, 0])
    np.testing.assert_array_equal(deltas, [2000] * 4 + [0] * 8)


def test_other_anchors_of_a_cell_do_not_matter():
    """Not even if their outputs are not finite."""
    head, pyramid = head_and_pyramid()
    index = tf.constant([[4], [7]])  # the second anchor of a cell
    expected = head.at(pyramid, index)
    head.logits.bias.assign([np.inf, head.logits.bias[1], np.nan])
    with tf.GradientTape() as tape:
        found = head.at(pyramid, index)
    np.testing.assert_array_equal(found.logits, expected.logits)
    np.testing.assert_array_equal(tape.gradient(found.logits, head.logits.bias), [0, 2, 0])


@pytest.mark.parametrize("limit", [1, 4, 7, 100])
def test_best_of_all_images_together(limit):
    """Against a plain sort. Scores fall and have ties; an image is full, one is empty; there are logits below zero."""
    counts, places = [5, 0, 3], 5
    rows = [[3.0, 1.0, 1.0, -2.0, -9.0], [0.0] * 5, [2.0, 1.0, -2.0, 0.0, 0.0]]
    valid = np.arange(places) < np.array(counts)[:, np.newaxis]
    boxes = np.where(valid[..., np.newaxis], np.random.default_rng(0).uniform(1, 9, (3, places, 4)), 0.0)
    kept = Kept(None, tf.constant(rows), tf.constant(counts), tf.constant(boxes, tf.float32), None, tf.constant(valid))
    ranked = sorted((-rows[i][j], i, j) for i in range(3) for j in range(counts[i]))[:limit]
    wanted = [sum(i == image for _, i, _ in ranked) for image in range(3)]
    for function in (best_of_batch, tf.function(best_of_batch)):
        best = function(kept, limit)
        assert best.count.numpy().tolist() == wanted and best.count.dtype == tf.int32
        there = np.arange(places) < np.array(wanted)[:, np.newaxis]
        np.testing.assert_array_equal(best.valid, there)
        np.testing.assert_array_equal(best.boxes, np.where(there[..., np.newaxis], boxes.astype(np.float32), 0.0))
