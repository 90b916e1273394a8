"""Operators whose twins are good enough for a graph that runs elsewhere."""

import tensorflow as tf

from awsdet.ops.placement import Placement
from awsdet.ops.reference.anchors import anchors
from awsdet.ops.reference.decode_boxes import decode_boxes
from awsdet.ops.reference.resize import resize


def awsdet_anchors(*, sizes, image_size, strides, shapes, pad_multiple, allowed_border):
    """See `awsdet.ops.anchors.anchors`; `shapes` are all numbers in one list."""
    boxes = [shapes[first : first + 4] for first in range(0, len(shapes), 4)]
    count = len(boxes) // len(strides)
    levels = [boxes[first : first + count] for first in range(0, len(boxes), count)]
    rules = {"pad_multiple": pad_multiple, "allowed_border": allowed_border}
    return anchors(sizes, image_size, strides=strides, shapes=levels, **rules)


def awsdet_cast(*, values, T):
    """See `awsdet.ops.multi_tensor.cast`."""
    return [tf.cast(value, T) for value in values]


def awsdet_decode_boxes(**arguments):
    """See `awsdet.ops.decode_boxes.decode_boxes`."""
    return decode_boxes(**arguments)


def awsdet_resize(*, images, padded, **placement):
    """See `awsdet.ops.resize.resize`."""
    return resize(images, Placement(**placement), padded)
