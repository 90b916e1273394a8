"""A record: a `tf.train.Example` with an image, its objects and the exact numbers of its annotations.

The keys `image/…` are those of the TensorFlow Object Detection API, so its readers can read the records. The keys
`awsdet/…` hold what that format cannot: float64 numbers exactly as in the annotation file (as little-endian bytes),
polygons and run lengths. In both, the rows are the objects and then the crowds; in `awsdet/…` the annotations that are
for evaluation only follow.

| key | what | type |
|---|---|---|
| awsdet/image_id | COCO image id; if that is no int64, the number that the manifest gives it | int64 |
| awsdet/trainable | rows to train on, crowds included | int64 |
| awsdet/id, class, is_crowd, order | of each row: annotation id, class 0 … C-1, 0 or 1, place in the file | int64 |
| awsdet/bbox, awsdet/area | x, y, width, height [rows, 4]; area [rows] | float64 bytes |
| awsdet/polygon_parts | number of polygons of each row | int64 |
| awsdet/polygon_lengths | numbers in each polygon | int64 |
| awsdet/polygon_numbers | x0, y0, x1, … of all polygons | float64 bytes |
| awsdet/rle_runs, awsdet/rle_counts | number of runs of each row; run lengths, column-major, zeros first | int64 |
"""

import hashlib
import os

import numpy as np
import tensorflow as tf

from awsdet.data.coco.cleaning import Annotation


def encode_example(entry, image, annotations, class_names, labels):
    """Serialises one image.

    entry: its ImageEntry; image: its StoredImage; annotations: its Annotations as `clean_annotations` orders them;
    labels: the int64 number that stands for each class in the Object Detection API's keys.
    """
    features = {
        "image/height": _ints([image.height]),
        "image/width": _ints([image.width]),
        "image/filename": _bytes([os.fsencode(entry.file_name)]),
        "image/source_id": _bytes([str(entry.source_id).encode("utf-8", "backslashreplace")]),
        "image/key/sha256": _bytes([hashlib.sha256(image.encoded).hexdigest().encode()]),
        "image/encoded": _bytes([image.encoded]),
        "image/format": _bytes([image.format.encode()]),
        "awsdet/image_id": _ints([entry.id]),
    }
    features.update(_api_objects(image, [a for a in annotations if a.trainable], class_names, labels))
    features.update(_exact_objects(annotations))
    return tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString(deterministic=True)


def _api_objects(image, annotations, class_names, labels):
    x, y, w, h = np.array([a.bbox for a in annotations], np.float64).reshape(-1, 4).T
    return {
        "image/object/bbox/xmin": _floats(np.clip(x / image.width, 0, 1)),
        "image/object/bbox/xmax": _floats(np.clip((x + w) / image.width, 0, 1)),
        "image/object/bbox/ymin": _floats(np.clip(y / image.height, 0, 1)),
        "image/object/bbox/ymax": _floats(np.clip((y + h) / image.height, 0, 1)),
        "image/object/class/text": _bytes([class_names[a.class_index].encode() for a in annotations]),
        "image/object/class/label": _ints([labels[a.class_index] for a in annotations]),
        "image/object/is_crowd": _ints([a.is_crowd for a in annotations]),
        "image/object/area": _floats([a.area for a in annotations]),
    }


def _exact_objects(annotations):
    polygons = [polygon for a in annotations for polygon in a.polygons]
    return {
        "awsdet/trainable": _ints([sum(a.trainable for a in annotations)]),
        "awsdet/id": _ints([a.id for a in annotations]),
        "awsdet/class": _ints([a.class_index for a in annotations]),
        "awsdet/is_crowd": _ints([a.is_crowd for a in annotations]),
        "awsdet/order": _ints([a.order for a in annotations]),
        "awsdet/bbox": _doubles([number for a in annotations for number in a.bbox]),
        "awsdet/area": _doubles([a.area for a in annotations]),
        "awsdet/polygon_parts": _ints([len(a.polygons) for a in annotations]),
        "awsdet/polygon_lengths": _ints([len(polygon) for polygon in polygons]),
        "awsdet/polygon_numbers": _doubles([number for polygon in polygons for number in polygon]),
        "awsdet/rle_runs": _ints([len(a.counts or ()) for a in annotations]),
        "awsdet/rle_counts": _ints([count for a in annotations for count in a.counts or ()]),
    }


def decode_annotations(features):
    """The Annotations of a record, in its row order, from `features`: a mapping of keys to `tf.train.Feature`."""
    ints = {
        name: list(features[f"awsdet/{name}"].int64_list.value)
        for name in ("id", "class", "is_crowd", "order", "polygon_parts", "polygon_lengths", "rle_runs", "rle_counts")
    }
    doubles = {
        name: np.frombuffer(features[f"awsdet/{name}"].bytes_list.value[0], "<f8").tolist()
        for name in ("bbox", "area", "polygon_numbers")
    }
    trainable = features["awsdet/trainable"].int64_list.value[0]
    polygons = _take(doubles["polygon_numbers"], ints["polygon_lengths"])
    polygons = _take(polygons, ints["polygon_parts"])
    counts = _take(ints["rle_counts"], ints["rle_runs"])
    return [
        Annotation(
            id=number,
            class_index=ints["class"][row],
            bbox=tuple(doubles["bbox"][4 * row : 4 * row + 4]),
            area=doubles["area"][row],
            is_crowd=bool(ints["is_crowd"][row]),
            polygons=polygons[row],
            counts=counts[row] or None,
            trainable=row < trainable,
            order=ints["order"][row],
        )
        for row, number in enumerate(ints["id"])
    ]


def _take(items, lengths):
    """Consecutive pieces of `items`, of the given lengths."""
    ends = np.cumsum(lengths, dtype=np.int64)
    return [items[end - length : end] for end, length in zip(ends, lengths)]


def _ints(values):
    return tf.train.Feature(int64_list=tf.train.Int64List(value=[int(value) for value in values]))


def _floats(values):
    return tf.train.Feature(float_list=tf.train.FloatList(value=values))


def _bytes(values):
    return tf.train.Feature(bytes_list=tf.train.BytesList(value=values))


def _doubles(values):
    return _bytes([np.asarray(values, "<f8").tobytes()])
