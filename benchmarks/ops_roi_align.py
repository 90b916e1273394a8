"""Times RoIAlign beside a pyramid of tf.image.crop_and_resize, forward and with gradient.

The peer is what TensorFlow users write: for each level, crop_and_resize of its RoIs to twice the output size, 2 x 2
average pooling, and a gather that brings the RoIs back into order. It takes exactly 2 x 2 samples per bin, however many
pixels the bin has. Ours follows the reference and takes as many samples as the bin has pixels (sampling_ratio 0),
unless a row says otherwise.
"""

import numpy as np
import tensorflow as tf

from awsdet.ops.reference.roi_align import assign_levels
from awsdet.ops.roi_align import roi_align
from benchmarks.ops_measure import Row, alternate

STRIDES, CHANNELS, IMAGES = (4, 8, 16, 32), 256, 2
PEER = "crop_and_resize pyramid"


def rows():
    found = []
    for height, width in ((512, 512), (800, 1344)):
        for count, size in ((512 * IMAGES, 7), (128 * IMAGES, 14)):
            found += _compare(height, width, count, size)
    found += _compare(512, 512, 512 * IMAGES, 7, sampling_ratio=2)
    return found + _compare(512, 512, 512 * IMAGES, 7, dtype=tf.float16)  # crop_and_resize does not take bfloat16


def _compare(height, width, count, size, sampling_ratio=0, dtype=tf.float32):
    random = np.random.default_rng(0)
    pyramid = [
        tf.constant(random.normal(size=(IMAGES, height // s, width // s, CHANNELS)).astype(np.float32), dtype)
        for s in STRIDES
    ]
    boxes, index = random_rois(random, height, width, count)
    weights = tf.constant(random.normal(size=(count, size, size, CHANNELS)).astype(np.float32), dtype)

    @tf.function
    def ours():
        return roi_align(
            pyramid, boxes, index, strides=STRIDES, output_size=size, sampling_ratio=sampling_ratio, aligned=True
        )

    @tf.function
    def peer():
        return crop_and_resize_pyramid(pyramid, boxes, index, size)

    def with_gradient(pool):
        @tf.function
        def run():
            with tf.GradientTape() as tape:
                tape.watch(pyramid)
                pooled = pool()
            return [tf.convert_to_tensor(g) for g in tape.gradient(pooled, pyramid, weights)], pooled

        return run

    name = f"roi_align {count} x {size} x {size}, {height} x {width}"
    name += f", ratio {sampling_ratio}" * (sampling_ratio > 0) + f", {dtype.name}" * (dtype != tf.float32)
    pooled, features = weights.numpy().nbytes, sum(f.numpy().nbytes for f in pyramid)
    read = _pixels_read(pyramid, boxes, index) * CHANNELS * dtype.size
    forward = alternate(ours, peer)
    both = alternate(with_gradient(ours), with_gradient(peer))
    return [
        Row(name, forward[0], PEER, forward[1], 4, read + pooled),
        # The gradient of every feature is written, even if it is zero.
        Row(f"{name}, gradient", both[0], PEER, both[1], 4, read + pooled + pooled + features),
    ]


def _pixels_read(pyramid, boxes, index):
    """The number of feature pixels that lie in any RoI, each counted once."""
    touched = [np.zeros(features.shape[:3], bool) for features in pyramid]
    for level, image, box in zip(assign_levels(boxes, 56.0, len(pyramid)).numpy(), index.numpy(), boxes.numpy()):
        x1, y1, x2, y2 = box / STRIDES[level] - 0.5
        rows, columns = (slice(max(int(low), 0), int(np.ceil(high)) + 1) for low, high in ((y1, y2), (x1, x2)))
        touched[level][image, rows, columns] = True
    return sum(int(level.sum()) for level in touched)


def random_rois(random, height, width, count):
    """Boxes as a detector samples them. The side (square root of the area) is log-uniform from 16 px to the image's
    shorter side, the aspect is log-uniform from 1:2 to 2:1, the centre lies anywhere; boxes end at the image's border.

    Returns boxes float32 [count, 4] and the image of each, int32 [count], with equally many per image.
    """
    side = np.exp(random.uniform(np.log(16), np.log(min(height, width)), count))
    aspect = np.exp(random.uniform(np.log(0.5), np.log(2), count) / 2)
    centre = random.uniform((0, 0), (width, height), (count, 2))
    half = np.stack([side * aspect, side / aspect], axis=1) / 2
    limit = np.array([width, height, width, height])
    boxes = np.clip(np.concatenate([centre - half, centre + half], axis=1), 0, limit)
    return tf.constant(boxes, tf.float32), tf.constant(np.arange(count) * IMAGES // count, tf.int32)


def crop_and_resize_pyramid(pyramid, boxes, image_index, size):
    """Float32 [R, size, size, C]: crop_and_resize returns float32 for features of any dtype."""
    levels = assign_levels(boxes, 56.0, len(pyramid))
    parts, order = [], []
    for level, (features, stride) in enumerate(zip(pyramid, STRIDES)):
        rows = tf.where(levels == level)[:, 0]
        normalized = _sample_corners(tf.gather(boxes, rows) / stride, tf.shape(features)[1:3], 2 * size)
        crops = tf.image.crop_and_resize(features, normalized, tf.gather(image_index, rows), [2 * size, 2 * size])
        parts.append(tf.nn.avg_pool2d(crops, 2, 2, "VALID"))
        order.append(rows)
    pooled = tf.gather(tf.concat(parts, axis=0), tf.math.invert_permutation(tf.concat(order, axis=0)))
    return tf.cast(pooled, pyramid[0].dtype)


def _sample_corners(boxes, extent, samples):
    """The y1, x1, y2, x2 for crop_and_resize that put its samples into the middles of `samples` equal parts of a box.

    `boxes` are in feature pixels. In the result 0 is the centre of the first feature pixel and 1 that of the last.
    """
    low, high = boxes[:, 1::-1], boxes[:, 3:1:-1]
    step = (high - low) / samples
    last = tf.cast(extent - 1, tf.float32)
    return tf.concat([(low + step / 2 - 0.5) / last, (high - step / 2 - 0.5) / last], axis=1)
