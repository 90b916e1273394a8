"""The compiled anchors against their twin, bit for bit."""

import numpy as np
import pytest
import tensorflow as tf

from awsdet.ops.anchors import anchors
from awsdet.ops.reference import anchors as plain
from tests.ops import fuzz

ARGUMENTS = {"sizes": [[2, 3]], "image_size": [[8, 9]], "strides": (4,), "shapes": [[(-1.0, -2, 3, 4)]]}


def compare_random_images(random):
    levels, per_cell, images = int(random.integers(1, 6)), int(random.integers(1, 5)), fuzz.images(random)
    sizes = random.integers(0, 40 if images < 4 else 8, (levels, 2)).astype(np.int32)
    options = {
        "strides": tuple(int(stride) for stride in random.choice([1, 4, 7, 16, 64], levels)),
        "shapes": random.uniform(-60, 60, (levels, per_cell, 4)).tolist(),
        "pad_multiple": int(random.choice([1, 32, 50])),
        "allowed_border": float(random.choice([-1.0, 0.0, 5.5])),
    }
    image_size = random.integers(0, 400, (images, 2)).astype(np.int32)
    ours, theirs = (function(tf.constant(sizes), image_size, **options) for function in (anchors, plain.anchors))
    assert ours.boxes.shape == ((sizes[:, 0] * sizes[:, 1]).sum() * per_cell, 4)
    assert np.array_equal(ours.boxes, theirs.boxes) and np.array_equal(ours.valid, theirs.valid)
    return images


def test_random_images_equal_the_twin():
    fuzz.run(compare_random_images)


def test_shapes_in_a_graph():
    @tf.function(autograph=False, input_signature=[tf.TensorSpec([None, 2], tf.int32)])
    def fixed(image_size):
        found = anchors(**{**ARGUMENTS, "image_size": image_size})
        assert found.boxes.shape == (6, 4) and found.valid.shape.as_list() == [None, 6]
        return found.valid

    assert fixed([[8, 9]]).numpy().all()


@pytest.mark.parametrize("in_a_graph", [False, True])
@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"sizes": [[2, 3, 1]]}, r"sizes must be \[L, 2\] for 1 strides"),
        ({"sizes": [[2, 3], [1, 1]]}, r"sizes must be \[L, 2\] for 1 strides"),
        ({"sizes": [[2, -3]]}, "a level has 2 x -3 cells"),
        ({"sizes": [[60000, 60000]]}, "a level has 60000 x 60000 cells"),
        ({"image_size": [8, 9]}, r"image_size must be \[B, 2\]"),
        ({"image_size": [[8.0, 9]]}, "image_size must be int32, not float32"),
        ({"strides": (0,)}, "strides must be positive, not 0"),
        ({"shapes": [[]]}, "shapes must be 4 numbers"),
        ({"shapes": [[(-1.0, -2, 3, 4)] * 193]}, "shapes must .* for at most 192 shapes in all; got 772 numbers"),
        ({"shapes": [[(-1.0, -2, 3, 4)]] * 2}, r"shapes has \[1, 1\] boxes for 1 strides"),
        ({"strides": (1,) * 17, "shapes": [[(0.0,) * 4]] * 17, "sizes": [[1, 1]] * 17}, "strides must name 1 to 16"),
    ],
)
def test_wrong_arguments_are_named(changes, words, in_a_graph):
    call = tf.function(lambda: anchors(**{**ARGUMENTS, **changes}), autograph=False) if in_a_graph else anchors
    with pytest.raises((tf.errors.InvalidArgumentError, ValueError), match=f"anchors: {words}"):
        call() if in_a_graph else call(**{**ARGUMENTS, **changes})
