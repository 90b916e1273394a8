"""RoIAlign in plain TensorFlow."""

import numpy as np
import tensorflow as tf

from awsdet.ops.reference.roi_align import assign_levels, roi_align


def test_known_example():
    """Detectron2's example: 5 x 5 ascending numbers, box (1, 1, 3, 3) to 4 x 4."""
    features = tf.reshape(tf.range(25.0), [1, 5, 5, 1])
    pooled = roi_align([features], tf.constant([[1.0, 1, 3, 3]]), tf.constant([0]), strides=[1], output_size=4)
    expected = [[4.5, 5, 5.5, 6], [7, 7.5, 8, 8.5], [9.5, 10, 10.5, 11], [12, 12.5, 13, 13.5]]
    np.testing.assert_allclose(pooled[0, :, :, 0], expected, rtol=1e-6)


def direct(features, box, size, ratio, aligned):
    """One RoI by the definition, sample by sample, float64: an independent implementation."""
    height, width, channels = features.shape
    x1, y1, x2, y2 = box - 0.5 * aligned
    if not aligned:
        x2, y2 = max(x2, x1 + 1), max(y2, y1 + 1)
    out = np.zeros((size, size, channels))
    bin_h, bin_w = (y2 - y1) / size, (x2 - x1) / size
    rows, columns = (ratio, ratio) if ratio else (int(np.ceil(bin_h)), int(np.ceil(bin_w)))
    for p in range(size):
        for q in range(size):
            for i in range(rows):
                for j in range(columns):
                    y, x = y1 + (p + (i + 0.5) / rows) * bin_h, x1 + (q + (j + 0.5) / columns) * bin_w
                    if y < -1 or y > height or x < -1 or x > width:
                        continue
                    y, x = min(max(y, 0), height - 1), min(max(x, 0), width - 1)
                    top, left = int(y), int(x)
                    bottom, right = min(top + 1, height - 1), min(left + 1, width - 1)
                    dy, dx = y - top, x - left
                    upper = (1 - dx) * features[top, left] + dx * features[top, right]
                    lower = (1 - dx) * features[bottom, left] + dx * features[bottom, right]
                    out[p, q] += (1 - dy) * upper + dy * lower
    return out / max(rows * columns, 1)


def test_equals_the_definition_on_awkward_boxes():
    random = np.random.default_rng(0)
    features = random.normal(size=(2, 11, 17, 3)).astype(np.float32)
    boxes = [[-30, -5, 4, 9], [2, 3, 2, 3], [15, 9, 40, 50], [-9, -9, -2, -2], [0, 0, 17, 11], [3.2, 1.7, 3.9, 10.1]]
    boxes = np.array(boxes, np.float32)
    index = np.array([0, 1, 0, 1, 1, 0], np.int32)
    for aligned in (True, False):
        for ratio in (0, 2):
            ours = roi_align(
                [tf.constant(features)],
                tf.constant(boxes),
                tf.constant(index),
                strides=[1],
                output_size=3,
                sampling_ratio=ratio,
                aligned=aligned,
            )
            theirs = [direct(features[i], box, 3, ratio, aligned) for i, box in zip(index, boxes.astype(np.float64))]
            np.testing.assert_allclose(ours, theirs, atol=2e-5)


def test_levels_follow_the_size_of_the_box():
    sizes = np.array([1, 55, 56, 111, 112, 223, 224, 447, 448, 5000], np.float32)
    boxes = np.stack([sizes * 0, sizes * 0, sizes, sizes], axis=1)
    assert assign_levels(tf.constant(boxes), 56.0, 4).numpy().tolist() == [0, 0, 0, 0, 1, 1, 2, 2, 3, 3]


def test_each_roi_reads_its_level_and_image():
    pyramid = [tf.fill([2, 64 // s, 64 // s, 1], float(s)) * tf.reshape([1.0, 10.0], [2, 1, 1, 1]) for s in (4, 8)]
    boxes = tf.constant([[8.0, 8, 24, 24], [8, 8, 56, 56], [8, 8, 24, 24]])
    pooled = roi_align(pyramid, boxes, tf.constant([0, 1, 1]), strides=[4, 8], output_size=2, finest_scale=16.0)
    np.testing.assert_allclose(pooled[:, 0, 0, 0], [4, 80, 40])


def test_no_rois_and_low_precision():
    features = tf.cast(tf.reshape(tf.range(32.0), [1, 4, 4, 2]), tf.bfloat16)
    pooled = roi_align([features], tf.zeros([0, 4]), tf.zeros([0], tf.int32), strides=[4], output_size=7)
    assert pooled.shape == (0, 7, 7, 2) and pooled.dtype == tf.bfloat16
    with tf.GradientTape() as tape:
        tape.watch(features)
        total = tf.reduce_sum(
            roi_align([features], tf.zeros([0, 4]), tf.zeros([0], tf.int32), strides=[4], output_size=7)
        )
    np.testing.assert_array_equal(tf.cast(tf.convert_to_tensor(tape.gradient(total, features)), tf.float32), 0)


def test_one_trace_serves_all_sizes():
    @tf.function(
        input_signature=[
            tf.TensorSpec([None, None, None, 3]),
            tf.TensorSpec([None, 4]),
            tf.TensorSpec([None], tf.int32),
        ]
    )
    def pool(features, boxes, index):
        pooled = roi_align([features], boxes, index, strides=[1], output_size=7)
        assert pooled.shape.as_list() == [None, 7, 7, 3]
        return pooled

    for height, width, count in ((5, 9, 1), (16, 3, 4), (8, 8, 0)):
        boxes = tf.ones([count, 4]) * [0.0, 0.0, 3.0, 3.0]
        np.testing.assert_allclose(pool(tf.ones([1, height, width, 3]), boxes, tf.zeros([count], tf.int32)), 1.0)
