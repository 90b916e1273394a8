"""The boxes that a box head's deltas make of its RoIs, for every class, clipped to the image; compiled.

`awsdet.ops.reference.decode_boxes` is its twin in plain TensorFlow.

Symbols: B images, N boxes per image, C classes.
"""

from typing import NamedTuple

import tensorflow as tf

from awsdet.ops import library

tf.no_gradient("AwsdetDecodeBoxes")

DTYPES = (tf.float32, tf.float16, tf.bfloat16)


class ClassBoxes(NamedTuple):
    """The boxes of all classes, class by class of each RoI."""

    boxes: tf.Tensor  # float32 [B, N * C, 4], image pixels
    classes: tf.Tensor  # int32 [B, N * C], 0 … C-1, 0 … C-1, …


def decode_boxes(deltas, boxes, image_size, *, num_classes, stds, max_log_ratio):
    """Moves each of `boxes` by the deltas of each class, and clips the result to its image.

    Args:
        deltas: float32, float16 or bfloat16 [B, N, C, 4], dx, dy, dw, dh; or [B, N, 1, 4], shared by all classes.
            Everything is computed in float32.
        boxes: float32 [B, N, 4]; image_size: int32 [B, 2], height and width.
        num_classes: C, a Python int.
        stds: four numbers that the deltas are multiplied by. max_log_ratio: dw and dh are clamped to plus or minus
            this, at most 80.

    Returns ClassBoxes, which have no gradient. They differ from the twin's by TensorFlow's rounding of exp, and are the
    same bits on CPUs and GPUs. NaN stays NaN.

    Raises ValueError or tf.errors.InvalidArgumentError naming the argument for a wrong dtype, shape or value.
    """
    deltas, boxes, image_size = (tf.convert_to_tensor(value) for value in (deltas, boxes, image_size))
    for name, tensor, dtypes in (
        ("deltas", deltas, DTYPES),
        ("boxes", boxes, (tf.float32,)),
        ("image_size", image_size, (tf.int32,)),
    ):
        if tensor.dtype not in dtypes:
            names = " or ".join(dtype.name for dtype in dtypes)
            raise ValueError(f"decode_boxes: {name} must be {names}, not {tensor.dtype.name}")
    return ClassBoxes(
        *library.load().awsdet_decode_boxes(
            deltas=deltas,
            boxes=boxes,
            image_size=image_size,
            num_classes=num_classes,
            stds=stds,
            max_log_ratio=max_log_ratio,
        )
    )
