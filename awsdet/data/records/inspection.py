"""Reads a record set in full: reports its contents, and compares each shard with the manifest."""

import os
import pathlib
import re
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from awsdet.data.coco.images import ImageRefused, prepare_image
from awsdet.data.records import foreign
from awsdet.data.records.manifest import AWSDET, SUFFIX, Manifest, file_digest, manifest_from_json, read_json, splits_in
from awsdet.data.records.read import read_manifest
from awsdet.runtime.errors import UserError
from awsdet.runtime.files import why_no_folder
from awsdet.runtime.paths import given_path
from awsdet.runtime.progress import Progress

SMALL, MEDIUM = 32**2, 96**2  # px of area: COCO's size classes
BAR = 30  # characters of the longest bar in the histogram


class Contents(NamedTuple):
    """The annotations of a split, one array entry per annotation: class, area (px), is_crowd, is_trainable, mask.

    mask: "polygons", "RLE", "PNG" or "none".
    """

    class_index: np.ndarray
    area: np.ndarray
    is_crowd: np.ndarray
    is_trainable: np.ndarray
    mask: np.ndarray


class Inspection(NamedTuple):
    """A split that was read: its manifest, contents, and one line per fault (none: the split is whole)."""

    manifest: Manifest
    contents: Contents
    faults: list


def inspect(records_dir, split=""):
    """Reads the splits of a record set in full (or one of them). Returns an Inspection for each.

    Raises UserError if the folder or the split does not exist, or a manifest cannot be read.
    """
    directory = pathlib.Path(given_path(records_dir, "records"))
    if not str(records_dir) or not directory.is_dir():
        raise UserError(f"records folder {str(records_dir)!r} {why_no_folder(records_dir)}; awsdet convert makes one")
    if "/" in split:
        raise UserError(f"split {split!r} has a slash; it is a name, as in train")
    splits = [split] if split else splits_in(directory) or foreign.splits_in(directory)
    if not splits:
        raise UserError(f"{directory} holds no records; awsdet convert makes some")
    return [_inspect_split(directory, name) for name in splits]


def _inspect_split(directory, split):
    path = directory / f"{split}{SUFFIX}"
    # Without the check that `read_manifest` makes, so that every broken shard is named and not just the first.
    manifest = manifest_from_json(directory, read_json(path)) if path.is_file() else read_manifest(directory, split)
    faults, rows = [], []
    with Progress(manifest.num_images, f"inspect {split}", "images") as progress:
        for number in range(len(manifest.shards)):
            fault = _read_shard(manifest, number, rows, progress)
            if fault:
                faults.append(f"shard {directory / manifest.shards[number].file} is {fault}")
    columns = [np.concatenate([row[i] for row in rows]) if rows else np.zeros(0) for i in range(len(Contents._fields))]
    return Inspection(manifest, Contents(*columns), faults)


def _read_shard(manifest, number, rows, progress):
    """What is wrong with a shard, in words, or None; appends the contents of its records to `rows`."""
    shard = manifest.shards[number]
    path = manifest.directory / shard.file
    if not path.is_file():
        return "missing"
    if path.stat().st_size != shard.size:
        return f"broken: {path.stat().st_size} bytes, not {shard.size}"
    if shard.sha256 and file_digest(path) != shard.sha256:
        return "broken: its checksum differs from the manifest"
    records = np.flatnonzero(manifest.shard == number)
    read = 0
    try:
        for payload in tf.data.TFRecordDataset(os.fsencode(path)).as_numpy_iterator():
            if read == len(records) or len(payload) != manifest.length[records[read]]:
                return "not the one that the manifest describes"
            features = tf.train.Example.FromString(payload).features.feature
            if manifest.layout != AWSDET:  # awsdet decoded its own when it wrote them
                prepare_image(features["image/encoded"].bytes_list.value[0])
            rows.append(_contents(features, manifest, records[read]))
            read += 1
            progress.add()
    except tf.errors.DataLossError as error:
        what = re.search(r"\w+ record at \d+", error.message)  # the rest of the message is about TensorFlow's graph
        return f"broken: {what.group() if what else error.message}"
    except ImageRefused as refusal:
        return f"not fully readable: the image with id {manifest.image_id[records[read]]}: {refusal}"
    return None if read == len(records) else "not the one that the manifest describes"


def _contents(features, manifest, row):
    if manifest.layout == AWSDET:
        classes, crowds, parts, runs = (
            np.array(features[f"awsdet/{name}"].int64_list.value, np.int64)
            for name in ("class", "is_crowd", "polygon_parts", "rle_runs")
        )
        area = np.frombuffer(features["awsdet/area"].bytes_list.value[0], "<f8")
        trainable = np.arange(len(classes)) < features["awsdet/trainable"].int64_list.value[0]
        mask = np.where(parts > 0, "polygons", np.where(runs > 0, "RLE", "none"))
        return Contents(classes, area, crowds > 0, trainable, mask)
    height, width = int(manifest.height[row]), int(manifest.width[row])
    boxes = foreign.box_array(features)
    area = (boxes[:, 2] - boxes[:, 0]) * width * (boxes[:, 3] - boxes[:, 1]) * height
    mask = "PNG" if features["image/object/mask"].bytes_list.value else "none"
    return Contents(
        class_index=np.array(foreign.class_indices(features, manifest), np.int64),
        area=area,
        is_crowd=np.array(foreign.crowd_flags(features, len(boxes)), bool),
        is_trainable=foreign.usable_rows(boxes, height, width),
        mask=np.full(len(boxes), mask),
    )


def report(inspection):
    """The inspection as a text of several lines."""
    manifest, contents, faults = inspection
    state = "all shards whole" if not faults else "BROKEN:\n  " + "\n  ".join(faults)
    megabytes = sum(shard.size for shard in manifest.shards) / 1e6
    lines = [
        f"{manifest.split}: {manifest.num_images} images, {len(contents.area)} annotations, "
        f"{len(manifest.class_names)} classes, {len(manifest.shards)} shards, {megabytes:.1f} MB; {state}",
        *(f"  {name:<12} {value}" for name, value in manifest.source.items() if name != "sha256"),
    ]
    if manifest.num_images:
        lines += _size_lines(manifest)
    lines += _object_lines(manifest, contents)
    lines += _histogram(manifest, contents)
    table = manifest.anomalies.table()
    lines.append(f"  anomalies found when the records were written:\n{table}" if table else "  no anomalies")
    return "\n".join(lines)


def _size_lines(manifest):
    spans = [
        f"{name} {side.min()} to {side.max()} px (median {int(np.median(side))})"
        for name, side in (("width", manifest.width), ("height", manifest.height))
    ]
    portraits = int((manifest.width < manifest.height).sum())
    return [f"  image sizes  {', '.join(spans)}; {portraits} of {manifest.num_images} are portraits"]


def _object_lines(manifest, contents):
    objects = contents.is_trainable.astype(bool) & ~contents.is_crowd.astype(bool)
    area = contents.area[objects]
    sizes = [(area < SMALL).sum(), ((area >= SMALL) & (area < MEDIUM)).sum(), (area >= MEDIUM).sum()]
    masks = [f"{(contents.mask == kind).sum()} {kind}" for kind in ("polygons", "RLE", "PNG", "none")]
    most = int(manifest.num_objects.max()) if manifest.num_images else 0
    return [
        f"  objects      {objects.sum()}: {sizes[0]} small, {sizes[1]} medium, {sizes[2]} large; "
        f"{int(contents.is_crowd.sum())} crowd regions, {int((contents.is_trainable == 0).sum())} for evaluation only",
        f"  per image    {most} at most; {(manifest.num_objects == 0).sum()} images have none",
        f"  masks        {', '.join(text for text in masks if not text.startswith('0 ')) or 'none'}",
    ]


def _histogram(manifest, contents):
    counts = np.bincount(contents.class_index.astype(int), minlength=len(manifest.class_names))
    width = max((len(name) for name in manifest.class_names), default=0)
    lines = ["  annotations per class (category id, name):"]
    for number, name, count in zip(manifest.category_ids, manifest.class_names, counts):
        bar = "#" * int(np.ceil(BAR * count / max(counts.max(), 1)))
        lines.append(f"  {number:>8} {name:<{width}} {count:>8} {bar}".rstrip())
    return lines
