"""Checks the batches that a program of the user hands to `fit`, `evaluate` or `train_on_batch`, on the host.

A batch that does not fit would otherwise end in a traceback of TensorFlow, or be trained on wrongly without a word: a
class beyond the last one is background to RetinaNet, and an image of floats between 0 and 1 is black.
"""

from typing import Any

import numpy as np
import tensorflow as tf

# Key -> (dtype, rank) of the tensors that every training step reads.
_TENSORS = {
    "image": (tf.uint8, 4),
    "image_size": (tf.int32, 2),
    "boxes": (tf.float32, 3),
    "classes": (tf.int32, 2),
    "is_crowd": (tf.bool, 2),
}
_MASKS = {"polygons": (tf.float32, 4), "rles": (tf.int32, 3)}
_CURES = {"image": "give RGB pixels from 0 to 255", "boxes": "give x1, y1, x2, y2 in pixels of `image`"}
_MAKE = "awsdet.make_batch makes such a batch from plain lists"


def check_batch(batch: Any, num_classes: int, with_masks: bool) -> None:
    """Raises ValueError, in one line, unless a batch is one of `num_classes` classes (see docs/data.md).

    `with_masks`: whether the detector needs the masks of objects. The values are looked at only if they are in the
    host's memory: those on a GPU would have to be copied back at each step.
    """
    if not isinstance(batch, dict):
        raise ValueError(f"a batch is a dict, and this one is a {type(batch).__name__}; {_MAKE}")
    _check_kinds(batch, _TENSORS, "")
    if with_masks:
        masks = batch.get("masks")
        if not isinstance(masks, dict):
            raise ValueError(f"the batch has no masks, and this detector needs them; {_MAKE}")
        _check_kinds(masks, _MASKS, "masks.")
    values = [batch[name] for name in ("image_size", "boxes", "classes")]
    if all(hasattr(value, "numpy") and "GPU" not in value.backing_device for value in values):
        _check_values(batch, *(value.numpy() for value in values), num_classes)


def _check_kinds(tensors, wanted, prefix):
    for key, (dtype, rank) in wanted.items():
        tensor = tensors.get(key)
        if tensor is None:
            raise ValueError(f"the batch has no {prefix}{key}, only {', '.join(sorted(tensors))}; {_MAKE}")
        if not tf.is_tensor(tensor) or tensor.dtype != dtype or tensor.shape.rank not in (rank, None):
            found = f"{tensor.dtype.name} {tensor.shape}" if tf.is_tensor(tensor) else type(tensor).__name__
            raise ValueError(
                f"{prefix}{key} in the batch is {found}; it must be a {dtype.name} tensor with {rank} dimensions: "
                f"{_CURES.get(key, _MAKE)}"
            )


def _check_values(batch, sizes, boxes, classes, num_classes):
    wrong = (classes < -1) | (classes >= num_classes)
    if wrong.any():
        row, column = np.argwhere(wrong)[0]
        raise ValueError(
            f"class {classes[row, column]} in {_image(batch, row)}: the {num_classes} classes are 0 to "
            f"{num_classes - 1}, and -1 is padding"
        )
    upright = (boxes[..., 2] >= boxes[..., 0]) & (boxes[..., 3] >= boxes[..., 1])  # False for NaN
    wrong = (classes >= 0) & ~(upright & np.isfinite(boxes).all(axis=-1))
    if wrong.any():
        row, column = np.argwhere(wrong)[0]
        box = ", ".join(f"{value:g}" for value in boxes[row, column])
        raise ValueError(f"box ({box}) in {_image(batch, row)} is not x1, y1, x2, y2 with x1 <= x2 and y1 <= y2")
    height, width = batch["image"].shape[1:3]
    wrong = (sizes < 1).any(axis=-1) | (sizes > (height, width)).any(axis=-1)
    if wrong.any():
        row = int(np.argmax(wrong))
        raise ValueError(
            f"image_size {tuple(sizes[row].tolist())} in {_image(batch, row)} is not a height and width within the "
            f"{height} x {width} pixels of image"
        )


def _image(batch, row):
    identity = batch.get("image_id")
    return f"image {row} of the batch" + (f" (image_id {int(identity[row])})" if identity is not None else "")
