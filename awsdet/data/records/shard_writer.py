"""Writes one shard of a record set: reads and checks images, cleans their annotations. Runs in worker processes."""

import contextlib
import os
import pathlib
import re
from typing import NamedTuple

import tensorflow as tf

from awsdet.data.coco.anomalies import Anomalies
from awsdet.data.coco.cleaning import clean_annotations
from awsdet.data.coco.files import find_file, read_file
from awsdet.data.coco.ids import numbered
from awsdet.data.coco.images import MAX_PIXELS, ImageRefused, prepare_image
from awsdet.data.records.examples import encode_example
from awsdet.data.records.manifest import COLUMNS, FOOTER, HEADER, file_digest, progress_folder
from awsdet.runtime.files import write_json, written_aside
from awsdet.runtime.overheard import overheard

# What decoders write to the terminal, and which of it are warnings of libjpeg about an image that it has decoded.
DECODERS = "(?i)jpeg|bogus|huffman|quantization|scan|marker|sampling|component|progressi|input file"
WARNING = re.compile("(Corrupt JPEG|Premature end of JPEG|Invalid (JPEG|progressive)|Inconsistent progression)")


class Task(NamedTuple):
    """A shard to write: everything that a worker needs."""

    path: pathlib.Path
    split: str
    images_dir: pathlib.Path
    entries: list
    annotations: list  # raw, one list per entry
    class_names: tuple
    category_ids: tuple
    settings: str  # digest of everything that the shard depends on
    max_pixels: int = MAX_PIXELS  # of an image


def write_shard(task, count):
    """Writes one shard and its state. count: called with 1 after each image. Returns the state, a JSON-ready dict."""
    with written_aside(task.path) as aside:
        state = _write_records(task, aside, count)
    write_json(progress_folder(task.path.parent, task.split) / f"{task.path.name}.json", state)
    return state


def _write_records(task, path, count):
    """Writes the shard of a task to `path`. Returns its state."""
    found, columns, has_masks, seen = Anomalies(), {name: [] for name in COLUMNS}, False, set()
    classes, labels = {one: c for c, one in enumerate(task.category_ids)}, tuple(numbered(task.category_ids).values())
    offset = kept = without_crowds = 0
    with _writing(path) as writer:
        for entry, raw in zip(task.entries, task.annotations):
            image = _read_image(task, entry, raw, found)
            if image is not None:
                objects = clean_annotations(raw, image.height, image.width, classes, found)
                record = encode_example(entry, image, objects, task.class_names, labels)
                writer.write(record)
                trainable = [a for a in objects if a.trainable]
                seen.update(a.class_index for a in trainable if not a.is_crowd)
                kept += len(objects)
                without_crowds += sum(not a.is_crowd for a in trainable)
                has_masks |= any((a.polygons or a.counts) and not a.is_crowd for a in trainable)
                row = (offset, len(record), entry.id, image.height, image.width, len(trainable))
                for column, value in zip(columns.values(), row):
                    column.append(value)
                offset += HEADER + len(record) + FOOTER
            count(1)
    size = path.stat().st_size
    if size != offset:
        raise OSError(f"{path} has {size} bytes, not the {offset} written")
    return {
        "file": task.path.name,
        "size": size,
        "sha256": file_digest(path),
        "settings": task.settings,
        "has_masks": has_masks,
        "classes": sorted(seen),
        "kept": kept,
        "objects": without_crowds,
        "anomalies": found.to_json(),
        "records": columns,
    }


def _read_image(task, entry, raw, found):
    """The StoredImage of an entry, or None if it cannot be used; adds its anomalies to `found`."""
    name = f"{entry.file_name} (id {entry.source_id})"
    file = find_file(task.images_dir, entry.file_name)
    try:
        with overheard(DECODERS) as said:
            image = prepare_image(read_file(file.path), entry.height, entry.width, task.max_pixels)
    except ImageRefused as refusal:
        found.add(refusal.kind, f"{name}: {refusal}")
    except (FileNotFoundError, NotADirectoryError) as error:
        found.add("image_missing", f"{name}: {error.strerror}")
    except OSError as error:
        found.add("image_no_access", f"{name}: {error.strerror}")
    else:
        if file.renamed:
            found.add("image_renamed", f"{name}: {file.path.name}")
        warning = next(filter(WARNING.match, said), None)
        if warning:
            found.add("image_damaged", f"{name}: {warning}")
        for note in image.notes:
            found.add(note, name)
        if not raw:
            found.add("image_empty", name)
        return image
    for annotation in raw:
        found.add("annotation_of_skipped_image", f"annotation {annotation['id']}")
    return None


@contextlib.contextmanager
def _writing(path):
    try:
        with tf.io.TFRecordWriter(os.fsencode(path)) as writer:
            yield writer
    except tf.errors.OpError as error:  # a full or read-only disk
        raise OSError(error.message) from None
