"""The highest scored boxes of each level of a dense head, decoded and clipped, compiled.

`awsdet.ops.reference.top_boxes` is its twin in plain TensorFlow.

Symbols: B images, N anchors of a level, C classes, M boxes chosen per image.
"""

from typing import NamedTuple

import tensorflow as tf

from awsdet.ops import library

tf.no_gradient("AwsdetTopBoxes")

DTYPES = (tf.float32, tf.float16, tf.bfloat16)


class TopBoxes(NamedTuple):
    """The M best pairs of anchor and class of each image: level by level, each by falling logit."""

    boxes: tf.Tensor  # float32 [B, M, 4], image pixels
    logits: tf.Tensor  # float32 [B, M], minus infinity for a box that must not be used
    classes: tf.Tensor  # int32 [B, M]
    levels: tf.Tensor  # int32 [B, M], the place of the level in the list


def top_boxes(logits, deltas, anchors, image_size, *, limit, stds, max_log_ratio, min_size=0.0):
    """The `limit` pairs of anchor and class with the highest logits of each level and image; all if there are fewer.

    Of equal logits the lower index (anchor * C + class) comes first. NaN counts as lower than any logit. A box gets the
    logit minus infinity if it is not larger than `min_size` or has a side that is NaN, or if its logit is NaN; a
    logit that was minus infinity itself becomes the lowest finite number. No gradient.

    Args:
        logits: list of [B, N, C], one per level; deltas: list of [B, N, 4], dx, dy, dw, dh; all float32, float16 or
            bfloat16. Everything is computed in float32.
        anchors: float32 [sum of N, 4], of all levels one after the other, in the order of their numbers.
        image_size: int32 [B, 2], height and width, which boxes are clipped to.
        limit: at least 1, a Python int.
        stds: four numbers that the deltas are multiplied by. max_log_ratio: dw and dh are clamped to plus or minus
            this, at most 80.
        min_size: px; boxes must be wider and higher.

    Returns TopBoxes. Chosen pairs and their order equal the twin's; boxes differ from it by TensorFlow's rounding of
    exp, here they are the same bits on CPUs and GPUs, on any number of threads.

    Raises ValueError or tf.errors.InvalidArgumentError naming the argument for a wrong dtype, shape or value.
    """
    logits, deltas = ([tf.convert_to_tensor(part) for part in parts] for parts in (logits, deltas))
    _check(logits, deltas)
    return TopBoxes(
        *library.load().awsdet_top_boxes(
            logits=logits,
            deltas=deltas,
            anchors=_tensor("anchors", anchors, tf.float32),
            image_size=_tensor("image_size", image_size, tf.int32),
            limit=limit,
            min_size=min_size,
            stds=stds,
            max_log_ratio=max_log_ratio,
        )
    )


def _check(logits, deltas):
    """What TensorFlow itself would refuse without naming the argument."""
    if not logits:
        raise ValueError("top_boxes: logits is an empty list; at least one level is needed")
    if len(logits) != len(deltas):
        raise ValueError(f"top_boxes: deltas has {len(deltas)} levels, but logits has {len(logits)}")
    for name, parts in (("logits", logits), ("deltas", deltas)):
        dtypes = [part.dtype for part in parts]
        if dtypes[0] not in DTYPES or any(dtype != logits[0].dtype for dtype in dtypes):
            names = [dtype.name for dtype in dtypes]
            raise ValueError(f"top_boxes: {name} must be all float32, float16 or bfloat16 like logits, but is {names}")


def _tensor(name, value, dtype):
    value = tf.convert_to_tensor(value, dtype_hint=dtype)
    if value.dtype != dtype:
        raise ValueError(f"top_boxes: {name} must be {dtype.name}, not {value.dtype.name}")
    return value
