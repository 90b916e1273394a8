"""Times NMS beside TensorFlow's own, on random boxes that resemble those of training and detection.

An image is 1344 x 800. The boxes of a level are its 2000 best anchors (three shapes per cell), decoded and clipped:
  trained    20 objects; anchors near an object are pulled towards it and score high, others fill the list
  untrained  anchors hardly move and scores mean nothing, as in the first steps of training
  crowded    50 objects of every size; every box is one of them, off by a fiftieth of its size
"""

import numpy as np
import tensorflow as tf

from awsdet.ops.nms import nms
from benchmarks.ops_measure import Row, alternate

HEIGHT, WIDTH, LEVELS, BEST = 800, 1344, 5, 2000


def level_boxes(random, level, objects, kind):
    """Boxes float32 [2000, 4] and scores [2000], highest first."""
    stride = 4 << level
    rows, columns, shape = np.meshgrid(
        np.arange(-(-HEIGHT // stride)), np.arange(-(-WIDTH // stride)), np.arange(3), indexing="ij"
    )
    ratio = np.sqrt(np.array([0.5, 1.0, 2.0]))[shape.ravel()]
    center = np.stack([columns.ravel(), rows.ravel()], axis=1) * stride
    size = 8 * stride * np.stack([1 / ratio, ratio], axis=1)
    drawn = objects[random.integers(len(objects), size=len(center))]
    object_center, object_size = (drawn[:, :2] + drawn[:, 2:]) / 2, drawn[:, 2:] - drawn[:, :2]
    # Coarse levels have fewer than 2000 anchors, so theirs are used repeatedly with other errors.
    distance = np.abs((center - object_center) / size).max(axis=1) + np.abs(np.log(size / object_size)).max(axis=1)
    near = {"trained": np.exp(-distance), "untrained": 0 * distance, "crowded": distance**0}[kind][:, np.newaxis]
    noise = {"trained": 0.05, "untrained": 0.02, "crowded": 0.02}[kind]
    index = random.permutation(np.resize(np.arange(len(center)), max(len(center), BEST)))
    scores = 1 / (1 + np.exp(-6 * near[index, 0] + 3 + random.normal(size=len(index))))
    top = np.argsort(-scores, kind="stable")[:BEST]
    index, scores = index[top], scores[top]
    center = center + near * (object_center - center)
    size = np.exp(np.log(size) + near * np.log(object_size / size))
    center = center[index] + noise * size[index] * random.normal(size=(BEST, 2))
    size = size[index] * np.exp(noise * random.normal(size=(BEST, 2)))
    boxes = np.concatenate([center - size / 2, center + size / 2], axis=1)
    return np.clip(boxes, 0, [WIDTH, HEIGHT, WIDTH, HEIGHT]).astype(np.float32), scores.astype(np.float32)


def some_objects(random, count):
    size = np.exp(random.uniform(np.log(16), np.log(600), (count, 2)))
    corner = random.uniform(0, 1, (count, 2)) * np.maximum([WIDTH, HEIGHT] - size, 1)
    return np.concatenate([corner, corner + size], axis=1)


def proposals(kind, images=2):
    """Boxes [images, levels, 2000, 4] and scores [images, levels, 2000]."""
    random = np.random.default_rng(0)
    lists = []
    for _ in range(images):
        objects = some_objects(random, 50 if kind == "crowded" else 20)
        lists += [level_boxes(random, level, objects, kind) for level in range(LEVELS)]
    boxes, scores = (np.stack(parts) for parts in zip(*lists))
    return boxes.reshape(images, LEVELS, BEST, 4), scores.reshape(images, LEVELS, BEST)


def ten_lists(kind, limit):
    """NMS within each level of each image, at most `limit` boxes each: one call for all, against one call per list."""
    boxes, scores = (tf.constant(values.reshape(-1, *values.shape[2:])) for values in proposals(kind))
    pairs = list(zip(tf.unstack(boxes), tf.unstack(scores)))

    def ours():
        return nms(boxes, scores, iou_threshold=0.7, score_threshold=-1.0, max_output=limit)

    def singles():
        return [tf.image.non_max_suppression(*pair, limit, 0.7) for pair in pairs]

    def combined():
        return tf.image.combined_non_max_suppression(
            boxes[:, :, tf.newaxis], scores[..., tf.newaxis], limit, limit, 0.7, clip_boxes=False
        )

    peers = {
        "10 non_max_suppression, in turn": (singles, 10.0),
        "10 non_max_suppression in a tf.function": (tf.function(singles), None),
        "combined_non_max_suppression": (combined, 2.0),
    }
    times = alternate(ours, *(function for function, _ in peers.values()))
    kept = float(np.mean(ours().count))
    name = f"nms 10 x 2000 {kind}, {kept:.0f} of {limit}"
    return [Row(name, times[0], peer, time, aim) for time, (peer, (_, aim)) in zip(times[1:], peers.items())]


def rpn(kind, limit=1000):
    """The best boxes of each image over all levels, as the RPN needs them."""
    boxes, scores = proposals(kind)
    images = len(boxes)
    levels = np.broadcast_to(np.arange(LEVELS, dtype=np.int32)[:, np.newaxis], scores.shape)
    apart = (boxes + 2000 * levels[..., np.newaxis]).astype(np.float32)
    boxes, apart = (tf.constant(values.reshape(images, -1, 4)) for values in (boxes, apart))
    scores, levels = (tf.constant(values.reshape(images, -1)) for values in (scores, levels))
    pairs = list(zip(tf.unstack(apart), tf.unstack(scores)))

    def ours():
        return nms(boxes, scores, levels, iou_threshold=0.7, score_threshold=-1.0, max_output=limit)

    def shifted():
        return [tf.image.non_max_suppression(*pair, limit, 0.7) for pair in pairs]

    times = alternate(ours, shifted)
    name = f"nms 2 x 10000 of 5 levels {kind}, {limit}"
    return [Row(name, times[0], "2 non_max_suppression, levels apart", times[1])]


def detections(images=2, count=1000, classes=80, limit=100):
    """1000 boxes per image with scores for 80 classes, of which a few are likely, as Faster R-CNN needs them."""
    random = np.random.default_rng(1)
    objects = np.stack([some_objects(random, 20) for _ in range(images)])
    chosen = random.integers(20, size=(images, count))
    near = np.take_along_axis(objects, chosen[..., np.newaxis], axis=1)
    size = np.tile(near[..., 2:] - near[..., :2], 2)
    boxes = (near + 0.1 * size * random.normal(size=near.shape)).astype(np.float32)
    logits = random.normal(size=(images, count, classes)) + 6 * (np.arange(classes) == chosen[..., np.newaxis] * 3)
    scores = np.exp(logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))).astype(np.float32)
    each = np.broadcast_to(boxes[:, :, np.newaxis], (images, count, classes, 4))
    flat_boxes, flat_scores = tf.constant(each.reshape(images, -1, 4)), tf.constant(scores.reshape(images, -1))
    flat_classes = tf.constant(np.tile(np.arange(classes, dtype=np.int32), (images, count)))
    boxes, scores = tf.constant(boxes[:, :, np.newaxis]), tf.constant(scores)

    def ours(method="hard"):
        options = {"iou_threshold": 0.5, "score_threshold": 0.05, "max_output": limit, "method": method}
        return nms(flat_boxes, flat_scores, flat_classes, **options)

    def combined():
        return tf.image.combined_non_max_suppression(boxes, scores, limit, limit, 0.5, 0.05, clip_boxes=False)

    times = alternate(ours, lambda: ours("linear"), lambda: ours("gaussian"), combined)
    name = f"nms {images} x {count} x {classes} classes, {limit}"
    methods = ("", ", linear", ", gaussian")
    return [Row(name + method, time, "combined (hard)", times[-1]) for method, time in zip(methods, times)]


def rows():
    found = []
    for kind in ("trained", "untrained", "crowded"):
        found += ten_lists(kind, 1000) + ten_lists(kind, BEST) + rpn(kind)
    return found + detections()
