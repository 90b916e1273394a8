"""Times the 3x3 windows of the RPN's samples beside TensorFlow's gathers, forward and with gradient.

The peer is the plain twin: for each level a gather of all windows, of which those of other levels count as zeros. Its
gradient adds all windows to every level, in the type of the features. The pyramid is that of images of 800 x 1344.
"""

import numpy as np
import tensorflow as tf

from awsdet.ops.cell_windows import cell_windows
from awsdet.ops.reference import cell_windows as plain
from benchmarks.ops_measure import Row, alternate

STRIDES, CHANNELS, IMAGES, SAMPLES, ANCHORS = (4, 8, 16, 32, 64), 256, 2, 256, 3
HEIGHT, WIDTH = 800, 1344
PEER = "gather of each level"


def rows():
    return [row for dtype in (tf.float32, tf.bfloat16) for row in _compare(dtype)]


def _compare(dtype):
    random = np.random.default_rng(0)
    sizes = [(-(-HEIGHT // s), -(-WIDTH // s)) for s in STRIDES]
    pyramid = [tf.cast(random.normal(size=(IMAGES, h, w, CHANNELS)).astype(np.float32), dtype) for h, w in sizes]
    anchors = ANCHORS * sum(h * w for h, w in sizes)
    index = tf.constant(random.integers(0, anchors, (IMAGES, SAMPLES)), tf.int32)
    weights = tf.cast(random.normal(size=(IMAGES, SAMPLES, 9, CHANNELS)).astype(np.float32), dtype)

    def forward(operator):
        return tf.function(lambda: operator(pyramid, index, ANCHORS)[0])

    def with_gradient(operator):
        @tf.function
        def run():
            with tf.GradientTape() as tape:
                tape.watch(pyramid)
                windows = operator(pyramid, index, ANCHORS)[0]
            return [tf.convert_to_tensor(g) for g in tape.gradient(windows, pyramid, weights)], windows

        return run

    name = f"cell_windows {IMAGES} x {SAMPLES}, {HEIGHT} x {WIDTH}" + f", {dtype.name}" * (dtype != tf.float32)
    windows = weights.shape.num_elements() * dtype.size
    features = sum(part.shape.num_elements() for part in pyramid) * dtype.size
    once = alternate(forward(cell_windows), forward(plain.cell_windows))
    both = alternate(with_gradient(cell_windows), with_gradient(plain.cell_windows))
    return [
        Row(name, once[0], PEER, once[1], 1, 2 * windows),
        Row(f"{name}, gradient", both[0], PEER, both[1], 1, 4 * windows + features),
    ]
