"""A batch from plain lists, for notebooks, programs and tests; the reader makes those of records."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from awsdet.data.coco.images import as_array
from awsdet.data.coco.masks import decompress_counts

_LARGEST_CLASS = np.iinfo(np.int32).max

# The `output_signature` of tf.data.Dataset.from_generator for a generator of batches: of any number and size of images.
BATCH_SPEC = {
    "image": tf.TensorSpec([None, None, None, 3], tf.uint8),
    "image_size": tf.TensorSpec([None, 2], tf.int32),
    "original_size": tf.TensorSpec([None, 2], tf.int32),
    "image_id": tf.TensorSpec([None], tf.int64),
    "boxes": tf.TensorSpec([None, None, 4], tf.float32),
    "classes": tf.TensorSpec([None, None], tf.int32),
    "is_crowd": tf.TensorSpec([None, None], tf.bool),
    "masks": {
        "polygons": tf.RaggedTensorSpec([None, None, None, None], tf.float32, 3),
        "rles": tf.RaggedTensorSpec([None, None, None], tf.int32, 2),
    },
}


def make_batch(
    images: Sequence[Any],
    boxes: Sequence[Any],
    classes: Sequence[Any],
    masks: Sequence[Any] | None = None,
    crowds: Sequence[Any] | None = None,
    pad_multiple: int = 32,
) -> dict[str, Any]:
    """The dict that detectors train on (docs/data.md). Images are not resized, only padded to the largest.

    Args:
        images: B images, of any sizes: paths, uint8 arrays [H, W, 3] or [H, W], or Pillow images.
        boxes: for each image a list of its N objects' boxes x1, y1, x2, y2 in pixels.
        classes: for each image a list of its objects' class numbers, 0 … C-1.
        masks: for each image a list of its objects' masks, each one of: a list of polygons [[x0, y0, x1, y1, …], …];
            an array [H, W], not 0 where the object is; a COCO RLE {"size", "counts"}; None, for an object that takes no
            part in the losses of masks. None: no masks at all.
        crowds: for each image a list of bool, True for a region that is to be ignored; None: none is.
        pad_multiple: height and width of the batch are multiples of this, itself a multiple of 32.

    Raises ValueError if lists do not fit together, for an invalid box or class, or if a mask does not fit its image.
    """
    images = [as_array(image) for image in images]
    masks = [[None] * len(of_image) for of_image in boxes] if masks is None else masks
    crowds = [[False] * len(of_image) for of_image in boxes] if crowds is None else crowds
    _check(images, boxes, classes, masks, crowds, pad_multiple)
    sizes = np.array([image.shape[:2] for image in images], np.int32)
    height, width = (-(-int(side) // pad_multiple) * pad_multiple for side in sizes.max(axis=0))
    slots = max(1, *map(len, boxes))
    pixels = np.zeros((len(images), height, width, 3), np.uint8)
    placed = np.zeros((len(images), slots, 4), np.float32)
    labels, is_crowd = np.full((len(images), slots), -1, np.int32), np.zeros((len(images), slots), bool)
    for i, image in enumerate(images):
        count = len(boxes[i])
        pixels[i, : image.shape[0], : image.shape[1]] = image
        placed[i, :count] = np.reshape(boxes[i], (-1, 4))
        labels[i, :count], is_crowd[i, :count] = classes[i], crowds[i]
    rows = [[_mask(mask, image.shape[:2]) for mask in of_image] for image, of_image in zip(images, masks)]
    return {
        "image": tf.constant(pixels),
        "image_size": tf.constant(sizes),
        "original_size": tf.constant(sizes),
        "image_id": tf.range(len(images), dtype=tf.int64),
        "boxes": tf.constant(placed),
        "classes": tf.constant(labels),
        "is_crowd": tf.constant(is_crowd),
        "masks": {
            "polygons": _ragged([[polygons for polygons, _ in row] for row in rows], 3, tf.float32),
            "rles": _ragged([[runs for _, runs in row] for row in rows], 2, tf.int32),
        },
    }


def _check(images, boxes, classes, masks, crowds, pad_multiple):
    if not images:
        raise ValueError("a batch needs one image at least")
    if pad_multiple < 1 or pad_multiple % 32:
        raise ValueError(f"pad_multiple is {pad_multiple}; it must be a multiple of 32")
    for name, lists in {"boxes": boxes, "classes": classes, "masks": masks, "crowds": crowds}.items():
        if len(lists) != len(images):
            raise ValueError(f"{name} has {len(lists)} entries for {len(images)} images")
        for i, (entries, of_image) in enumerate(zip(lists, boxes)):
            if len(entries) != len(of_image):
                raise ValueError(f"image {i} has {len(of_image)} boxes and {len(entries)} {name}")
    for i, of_image in enumerate(boxes):
        if len(of_image) and np.shape(of_image) != (len(of_image), 4):
            raise ValueError(f"the boxes of image {i} have the shape {np.shape(of_image)}, not [N, 4]")
        height, width = images[i].shape[:2]
        for box in np.reshape(np.asarray(of_image, np.float64), (-1, 4)):
            x1, y1, x2, y2 = box
            if not (np.isfinite(box).all() and x1 < x2 and y1 < y2 and x1 < width and y1 < height and min(x2, y2) > 0):
                raise ValueError(
                    f"image {i} of {width} x {height} px has the box {box.tolist()}; a box is x1, y1, x2, y2 in pixels "
                    "(not x, y, width, height), with x1 < x2 and y1 < y2, and lies at least in part in its image"
                )
        if any(number < 0 for number in classes[i]):
            raise ValueError(f"image {i} has a class below 0; classes are 0 … C-1")
        if any(number != int(number) or number > _LARGEST_CLASS for number in classes[i]):
            raise ValueError(f"image {i} has the classes {list(classes[i])}; classes are whole numbers 0 … C-1")


def _mask(mask, size):
    """(polygons, column-major runs) of one object; one of them is empty."""
    if mask is None:
        return [], []
    if isinstance(mask, list | tuple):
        polygons = [np.ravel(part).astype(float).tolist() for part in mask]
        if any(len(part) % 2 or len(part) < 6 for part in polygons):
            raise ValueError("a polygon must be x0, y0, x1, y1, … of three points or more")
        if not np.isfinite(np.concatenate([[], *polygons])).all():
            raise ValueError("a polygon has a number that is not finite")
        if len(polygons) == size[0] and all(len(part) == size[1] and set(part) <= {0.0, 1.0} for part in polygons):
            raise ValueError("a mask is the rows of an array as lists, which would be polygons; give a NumPy array")
        return polygons, []
    if isinstance(mask, dict):
        if not {"size", "counts"} <= set(mask):
            raise ValueError(f"a mask has the keys {sorted(mask)}; run lengths need size and counts")
        if tuple(mask["size"]) != tuple(size):
            raise ValueError(f"a mask has the size {list(mask['size'])} in an image of {list(size)}")
        return [], _runs(mask["counts"], size)
    mask = np.asarray(mask)
    if mask.shape != tuple(size):
        raise ValueError(f"a mask has the size {list(mask.shape)} in an image of {list(size)}")
    if mask.dtype.kind == "f" and not np.isfinite(mask).all():
        raise ValueError("a mask has a number that is not finite")
    flat = (mask != 0).ravel(order="F")
    ends = np.append(np.flatnonzero(flat != np.append(False, flat[:-1])), flat.size)
    return [], np.diff(np.append(0, ends)).tolist()


def _runs(counts, size):
    """Run lengths of a mask of `size`, from a list, an array or COCO's compressed text."""
    if isinstance(counts, bytes):
        counts = counts.decode("latin-1")
    runs = decompress_counts(counts) if isinstance(counts, str) else [int(run) for run in counts]
    if min(runs, default=0) < 0:
        raise ValueError(f"the run lengths of a mask have the number {min(runs)}, which is below 0")
    if sum(runs) != size[0] * size[1]:
        raise ValueError(f"the run lengths of a mask sum to {sum(runs)}, not to {size[0]} x {size[1]}")
    return runs


def _ragged(rows, depth, dtype):
    """A ragged tensor [B, (N), …] of `depth` ragged axes from nested lists, which may be empty at any level."""
    splits, values = [], rows
    for _ in range(depth):
        splits.append(np.append(0, np.cumsum([len(entry) for entry in values])).astype(np.int64))
        values = [item for entry in values for item in entry]
    return tf.RaggedTensor.from_nested_row_splits(tf.constant(values, dtype, [len(values)]), splits)
