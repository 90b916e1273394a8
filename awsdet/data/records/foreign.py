"""Shards written by the TensorFlow Object Detection API's COCO script (and by scripts made after it).

They come without a manifest, with boxes as float32 shares of the image and, if there are masks, one PNG per object.
They are indexed once. The manifest is then written beside them, or kept in memory if that folder cannot be written. A
label map (`.pbtxt`) beside them is their class list; if it changes, they are indexed again.
"""

import io
import pathlib
import re
import struct
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
import tensorflow as tf
from absl import logging
from PIL import Image

from awsdet.data.coco.anomalies import Anomalies
from awsdet.data.coco.cleaning import MIN_SIDE, Annotation
from awsdet.data.coco.ids import is_int64, numbered
from awsdet.data.coco.masks import run_lengths
from awsdet.data.coco.opening import MOST_PIXELS, ImageRefused, open_image
from awsdet.data.records import class_lists, label_map
from awsdet.data.records.manifest import (
    API,
    COLUMNS,
    FOOTER,
    HEADER,
    SUFFIX,
    AnnotationCounts,
    Manifest,
    Shard,
    manifest_to_json,
)
from awsdet.runtime.errors import UserError
from awsdet.runtime.files import write_json
from awsdet.runtime.shown import shown

DECODED = ("JPEG", "MPO", "PNG")  # formats that the reader decodes, by Pillow's names
# coco_train.record-00000-of-00100, and train-00000-of-00100.tfrecord as newer versions name them
SHARD_NAME = re.compile(
    r"(?P<split>.+?)(?:\.record|\.tfrecord)?-(?P<number>\d{5})-of-(?P<count>\d{5})(?:\.\w+)?", re.DOTALL
)


class ClassList(NamedTuple):
    """Class names, category ids, and where they come from (see class_lists.from_shards)."""

    names: tuple
    ids: tuple
    origin: str


class _Row(NamedTuple):
    """What the manifest says of a record; annotations: all of its boxes; objects: those to train on, without crowds."""

    shard: int
    offset: int
    length: int
    source_id: str
    height: int
    width: int
    num_objects: int
    has_masks: bool
    annotations: int
    objects: int


def splits_in(directory):
    """Names of the splits whose shards are in a folder, judged only by the names of the shards."""
    names = (SHARD_NAME.fullmatch(path.name) for path in pathlib.Path(directory).iterdir())
    return sorted({match["split"] for match in names if match})


def index(directory, split):
    """Indexes the shards in a folder. Returns the Manifest of `split`, or None if the folder has no such shards.

    `split` is the full prefix of the shards ("coco_train") or its last word ("train"). The class list is that of the
    label map or, without one, of all splits in the folder, since a small split may lack a class. Raises UserError for
    an incomplete split, a broken shard, and a label map that is not that of the shards.
    """
    groups = _find_shards(directory)
    ends = [name for name in groups if name.endswith(f"_{split}")]
    wanted = split if split in groups else ends[0] if len(ends) == 1 else None
    if wanted is None:
        return None
    if not _is_complete(groups[wanted]):
        found, count = len(groups[wanted]), groups[wanted][0][1]
        raise UserError(f"split {wanted} in {directory} has {found} of {count} shards; copy the missing ones")
    tables, classes = {}, set()
    for name, shards in groups.items():
        if _is_complete(shards):
            logging.info("indexing %d shards of split %s in %s", len(shards), name, directory)
            tables[name] = _index_split([path for path, _ in shards], classes)
    if tables[wanted] is None:
        raise UserError(f"{directory} lacks the manifest of its split {wanted}; run awsdet convert again")
    classes = ClassList(*class_lists.from_shards(classes, label_map.find(directory), directory))
    prefix = wanted[: len(wanted) - len(split)]
    manifests = {
        name: _manifest(directory, name[len(prefix) * name.startswith(prefix) :], groups[name], rows, classes)
        for name, rows in tables.items()
        if rows is not None
    }
    for manifest in manifests.values():
        _write(manifest)
    return manifests[wanted]


def _index_split(paths, classes):
    """The rows of a split's records; None for records of awsdet itself, whose conversion did not finish."""
    rows = []
    for number, path in enumerate(paths):
        for offset, payload in _scan(path):
            features = _parse(path, payload).features.feature
            if "awsdet/id" in features:
                return None
            for key in _object_keys(features):
                classes.add(key)
            rows.append(_measure(path, features, number, offset, len(payload), len(rows)))
    return rows


def _manifest(directory, split, shards, rows, classes):
    numbers, own = _image_ids([row.source_id for row in rows])
    columns = {name: [getattr(row, name) for row in rows] for name in COLUMNS if name != "image_id"}
    columns["image_id"] = numbers
    arrays = {name: np.array(columns[name], kind) for name, kind in COLUMNS.items()}
    state = label_map_state(directory)
    return Manifest(
        directory=pathlib.Path(directory),
        split=split,
        layout=API,
        class_names=classes.names,
        category_ids=classes.ids,
        shards=tuple(Shard(path.name, path.stat().st_size, "") for path, _ in shards),
        source={
            "shards": "TensorFlow Object Detection API",
            "category_ids": classes.origin,
            **({"label_map": state} if state else {}),
        },
        anomalies=Anomalies(),
        has_masks=any(row.has_masks for row in rows),
        shard=np.array([row.shard for row in rows], np.int32),
        **arrays,
        image_ids=MappingProxyType(own),
        annotations=AnnotationCounts(
            sum(row.annotations for row in rows), sum(row.annotations for row in rows), sum(row.objects for row in rows)
        ),
    )


def label_map_state(directory):
    """A text that changes with the label map in a folder; empty if there is none."""
    found = label_map.find(directory)
    return f"{found.path.name} {found.sha256}" if found else ""


def _image_ids(sources):
    """(numbers of the records in batches, the records' own ids by number if they are others) from `image/source_id`.

    If some have no id, or two have the same one, nothing tells them apart, and all are numbered 1, 2, …
    """
    sources = [int(text) if _is_int64(text) else text for text in sources]
    if "" in sources or len(set(sources)) < len(sources):
        return list(range(1, len(sources) + 1)), {}
    numbers = numbered(sources)
    return list(numbers.values()), {number: one for one, number in numbers.items() if number != one}


def _is_int64(text):
    return len(text) < 20 and text.isascii() and text.isdigit() and str(int(text)) == text and is_int64(int(text))


def _write(manifest):
    try:
        write_json(manifest.directory / f"{manifest.split}{SUFFIX}", manifest_to_json(manifest))
    except OSError as error:
        logging.warning("%s: %s; its shards will be indexed again in every run", manifest.directory, error.strerror)


def decode_annotations(features, height, width, manifest, first_id):
    """The Annotations of a record whose image has height x width px, in its order; ids count up from `first_id`."""
    boxes = box_array(features) * [width, height, width, height]
    crowds = crowd_flags(features, len(boxes))
    areas = features["image/object/area"].float_list.value
    masks = features["image/object/mask"].bytes_list.value
    annotations = []
    for row, class_index in enumerate(class_indices(features, manifest)):
        x1, y1, x2, y2 = boxes[row].tolist()
        counts = _mask_counts(masks[row]) if masks else None
        area = sum(counts[1::2]) if counts else (x2 - x1) * (y2 - y1)
        annotations.append(
            Annotation(
                id=first_id + row,
                class_index=class_index,
                bbox=(x1, y1, x2 - x1, y2 - y1),
                area=float(areas[row] if len(areas) else area),
                is_crowd=crowds[row],
                polygons=[],
                counts=counts,
                trainable=True,
                order=row,
            )
        )
    return annotations


def class_indices(features, manifest):
    """The class of each object of a record, 0 … C-1."""
    classes = {number: c for c, number in enumerate(manifest.category_ids)}
    names = {name: c for c, name in enumerate(manifest.class_names)}
    return [names[text] if label is None else classes[label] for label, text in _object_keys(features)]


def crowd_flags(features, count):
    """Whether each of the `count` objects of a record is a crowd; without the key, none is."""
    return [flag == 1 for flag in features["image/object/is_crowd"].int64_list.value] or [False] * count


def box_array(features):
    """float64 [objects, 4]: xmin, ymin, xmax, ymax as shares of the image."""
    sides = [features[f"image/object/bbox/{side}"].float_list.value for side in ("xmin", "ymin", "xmax", "ymax")]
    return np.array(sides, np.float64).T.reshape(-1, 4)


def _find_shards(directory):
    """Split -> list of (path, total number of shards according to the name)."""
    groups = {}
    for path in sorted(pathlib.Path(directory).iterdir()):
        match = SHARD_NAME.fullmatch(path.name)
        if match:
            groups.setdefault(match["split"], []).append((path, int(match["count"])))
    return groups


def _is_complete(shards):
    return all(count == len(shards) for _, count in shards)


def _scan(path):
    """Yields (offset, payload) of each record of a TFRecord file."""
    size = path.stat().st_size
    with open(path, "rb") as file:
        offset = 0
        while offset < size:
            header = file.read(HEADER)
            length = struct.unpack("<Q", header[:8])[0] if len(header) == HEADER else size
            if offset + HEADER + length + FOOTER > size:
                raise UserError(f"shard {path} is broken at byte {offset}: it ends within a record; write it again")
            payload = file.read(length)
            file.seek(FOOTER, io.SEEK_CUR)
            yield offset, payload
            offset += HEADER + length + FOOTER


def _parse(path, payload):
    try:
        return tf.train.Example.FromString(payload)
    except Exception as error:  # protobuf's DecodeError has no public home
        raise UserError(f"shard {path} holds something other than tf.train.Example: {error}") from None


def _measure(path, features, shard, offset, length, row):
    """The _Row of a record, the `row`th of its split; checks what the reader needs."""
    if not features["image/encoded"].bytes_list.value:
        raise UserError(f"shard {path}: record {row} has no image/encoded; it is not an object detection record")
    name = shown(b"".join(features["image/filename"].bytes_list.value).decode(errors="surrogateescape"))
    which = f"the image of record {row}" + (f" ({name})" if name else "")
    try:
        image = open_image(features["image/encoded"].bytes_list.value[0], MOST_PIXELS)
    except ImageRefused as refusal:
        raise UserError(f"shard {path}: {which} cannot be read: {refusal}; write the shard again") from None
    if image.format not in DECODED:
        raise UserError(
            f"shard {path}: {which} is of the format {image.format}, and the reader decodes JPEG and PNG only; write "
            "the shard again with such images"
        )
    width, height = image.size
    boxes, masks = box_array(features), features["image/object/mask"].bytes_list.value
    if masks and len(masks) != len(boxes):
        raise UserError(f"shard {path}: record {row} has {len(masks)} masks for {len(boxes)} boxes")
    if len(_object_keys(features)) != len(boxes):
        raise UserError(f"shard {path}: record {row} has boxes without a class")
    source_id = b"".join(features["image/source_id"].bytes_list.value).decode("utf-8", "backslashreplace")
    usable = usable_rows(boxes, height, width)
    objects = int((usable & ~np.array(crowd_flags(features, len(boxes)), bool)).sum())
    return _Row(shard, offset, length, source_id, height, width, int(usable.sum()), bool(masks), len(boxes), objects)


def usable_rows(boxes, height, width):
    """bool [objects]: the boxes (shares of the image) that are at least one pixel wide and high."""
    size = np.clip(boxes[:, 2:], 0, 1) - np.clip(boxes[:, :2], 0, 1)
    return (size * [width, height] >= MIN_SIDE).all(axis=1)


def _object_keys(features):
    """(category id or None, name or None) of each object."""
    labels = features["image/object/class/label"].int64_list.value
    texts = [text.decode() for text in features["image/object/class/text"].bytes_list.value]
    count = max(len(labels), len(texts))
    return list(zip(labels or [None] * count, texts or [None] * count))


def bitmaps(features):
    """The masks of a record, bool [height, width] each; none if it has none."""
    return [_bitmap(png) for png in features["image/object/mask"].bytes_list.value]


def _mask_counts(png):
    """Run lengths (column-major, zeros first) of a PNG mask."""
    return run_lengths(_bitmap(png))


def _bitmap(png):
    """A PNG mask as bool [height, width]; every value other than 0 belongs to the object."""
    return np.asarray(Image.open(io.BytesIO(png))) != 0
