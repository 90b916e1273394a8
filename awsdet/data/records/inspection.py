"""Reads a record set in full: reports its contents, and compares each shard with the manifest."""

import os
import pathlib
import re
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from awsdet.data.coco.categories import class_labels
from awsdet.data.coco.opening import ImageRefused
from awsdet.data.records import class_names, duplicates, fingerprints, foreign
from awsdet.data.records.image_check import ImageCheck, damaged_records
from awsdet.data.records.manifest import AWSDET, SUFFIX, Manifest, file_digest, manifest_from_json, read_json, splits_in
from awsdet.data.records.outlines import Outlines, bitmap_outlines, outlines
from awsdet.data.records.read import read_manifest
from awsdet.runtime.errors import UserError
from awsdet.runtime.files import why_no_folder
from awsdet.runtime.paths import given_path
from awsdet.runtime.progress import Progress
from awsdet.runtime.shown import shown

SMALL, MEDIUM = 32**2, 96**2  # px of area: COCO's size classes
TINY = 16  # px; boxes with an area of less than its square are counted
BAR = 30  # characters of the longest bar in the histogram
NAMES, LINES = 10, 20  # names in a line, and lines, of the class names to look at


class Contents(NamedTuple):
    """The annotations of a split in the order of its records, one array entry per annotation.

    mask: "polygons", "RLE", "PNG" or "none". row: its image, a position in the manifest's arrays. box: x1, y1, x2, y2
    in px, as in the annotation file. mask_box and mask_area: see `outlines.Outlines`; those of PNG masks are NaN unless
    images were looked at.
    """

    class_index: np.ndarray
    area: np.ndarray
    is_crowd: np.ndarray
    is_trainable: np.ndarray
    mask: np.ndarray
    row: np.ndarray
    id: np.ndarray
    box: np.ndarray
    mask_box: np.ndarray
    mask_area: np.ndarray

    @property
    def is_object(self):
        """Which annotations are objects to train on, and not crowds: bool."""
        return self.is_trainable.astype(bool) & ~self.is_crowd.astype(bool)


class Images(NamedTuple):
    """The N images that were read: position in the manifest's arrays, SHA-256, tiny grey version uint8 [N, 9, 9].

    grey is None unless it was asked for.
    """

    row: np.ndarray
    digest: list
    grey: np.ndarray | None


class Inspection(NamedTuple):
    """A split that was read: its manifest, contents, one line per fault (none: the split is whole), and images."""

    manifest: Manifest
    contents: Contents
    faults: list
    images: Images


def inspect(records_dir, split="", look=False):
    """Reads the splits of a record set in full (or one of them). Returns an Inspection for each.

    look: also decode masks that are PNG, and all images, coarsely, to compare them. Raises UserError if the folder or
    the split does not exist, or a manifest cannot be read.
    """
    directory = pathlib.Path(given_path(records_dir, "records"))
    if not str(records_dir) or not directory.is_dir():
        raise UserError(f"records folder {str(records_dir)!r} {why_no_folder(records_dir)}; awsdet convert makes one")
    if "/" in split:
        raise UserError(f"split {split!r} has a slash; it is a name, as in train")
    splits = [split] if split else splits_in(directory) or foreign.splits_in(directory)
    if not splits:
        raise UserError(f"{directory} holds no records; awsdet convert makes some")
    return [_inspect_split(directory, name, look) for name in splits]


def _inspect_split(directory, split, look):
    path = directory / f"{split}{SUFFIX}"
    # Without the check that `read_manifest` makes, so that every broken shard is named and not just the first.
    manifest = manifest_from_json(directory, read_json(path)) if path.is_file() else read_manifest(directory, split)
    faults, seen = [], _Seen(look)
    progress = Progress(manifest.num_images, f"inspect {split}", "images")
    with progress, ImageCheck(manifest) as images:
        for number in range(len(manifest.shards)):
            fault = _read_shard(manifest, number, seen, images, progress)
            if fault:
                faults.append(f"shard {directory / manifest.shards[number].file} is {fault}")
            faults += images.faults()
    return Inspection(manifest, seen.contents(), faults, seen.images())


class _Seen:
    """Gathers what is in the records."""

    def __init__(self, look):
        self._look = look
        self._parts, self._rows, self._digests, self._grey = [], [], [], []

    def add(self, features, manifest, row):
        """Adds a record, which is number `row` of the manifest. Raises ImageRefused for a broken image or mask."""
        masks = []
        if self._look:
            try:
                self._grey.append(fingerprints.tiny(features["image/encoded"].bytes_list.value[0]))
                masks = foreign.bitmaps(features) if manifest.layout != AWSDET else []
            except Exception as error:  # Pillow's decoders raise many types on broken files
                raise ImageRefused("image_unreadable", str(error)) from None
        self._digests.append(fingerprints.digest(features))
        self._rows.append(row)
        self._parts.append(_contents(features, manifest, row, masks))

    def contents(self):
        """Contents of all records that were added."""
        return Contents(*(np.concatenate(columns) for columns in zip(_NO_CONTENTS, *self._parts)))

    def images(self):
        """Images of all records that were added."""
        side = fingerprints.SIDE
        grey = np.array(self._grey, np.uint8).reshape(-1, side, side) if self._look else None
        return Images(np.array(self._rows, np.int64), self._digests, grey)


def _read_shard(manifest, number, seen, images, progress):
    """What is wrong with a shard, in words, or None; adds its records to `seen`, a `_Seen`.

    images: ImageCheck that its images are given to.
    """
    shard = manifest.shards[number]
    path = manifest.directory / shard.file
    if not path.is_file():
        return "missing"
    if path.stat().st_size != shard.size:
        return f"broken: {path.stat().st_size} bytes, not {shard.size}"
    if shard.sha256 and file_digest(path) != shard.sha256:
        return f"broken: its checksum differs from the manifest{damaged_records(manifest, number)}"
    records = np.flatnonzero(manifest.shard == number)
    read = 0
    try:
        for payload in tf.data.TFRecordDataset(os.fsencode(path)).as_numpy_iterator():
            if read == len(records) or len(payload) != manifest.length[records[read]]:
                return "not the one that the manifest describes"
            features = tf.train.Example.FromString(payload).features.feature
            images.add(records[read], features)
            seen.add(features, manifest, records[read])
            read += 1
            progress.add()
    except tf.errors.DataLossError as error:
        what = re.search(r"\w+ record at \d+", error.message)  # the rest of the message is about TensorFlow's graph
        return f"broken: {what.group() if what else error.message}"
    except ImageRefused as refusal:
        one = shown(manifest.own_image_id(manifest.image_id[records[read]]))
        return f"not fully readable: the image with id {one}: {refusal}"
    return None if read == len(records) else "not the one that the manifest describes"


def _contents(features, manifest, row, masks):
    """The Contents of one record. masks: its decoded PNG masks, if there are any and they are wanted."""
    if manifest.layout == AWSDET:
        return _own_contents(features, int(manifest.height[row]), row)
    height, width = int(manifest.height[row]), int(manifest.width[row])
    boxes = foreign.box_array(features)
    count = len(boxes)
    outline = bitmap_outlines(masks) if masks else Outlines(np.full((count, 4), np.nan), np.full(count, np.nan))
    mask = "PNG" if features["image/object/mask"].bytes_list.value else "none"
    box = boxes * [width, height, width, height]
    return Contents(
        class_index=np.array(foreign.class_indices(features, manifest), np.int64),
        area=_given_areas(features, box, outline.area),
        is_crowd=np.array(foreign.crowd_flags(features, count), bool),
        is_trainable=foreign.usable_rows(boxes, height, width),
        mask=np.full(count, mask),
        row=np.full(count, row, np.int64),
        id=np.arange(count),
        box=box,
        mask_box=outline.bounds,
        mask_area=outline.area,
    )


def _given_areas(features, boxes, mask_areas):
    """The areas of a record of the Object Detection API: its own, or those of its masks, or of its boxes."""
    given = np.array(features["image/object/area"].float_list.value, np.float64)
    if len(given) == len(boxes):
        return given
    return np.where(np.isnan(mask_areas), np.prod(boxes[:, 2:] - boxes[:, :2], axis=1), mask_areas)


_NO_CONTENTS = Contents(
    *(np.zeros(0, kind) for kind in (np.int64, np.float64, bool, bool, "<U8", np.int64, np.int64)),
    *(np.zeros(shape) for shape in ((0, 4), (0, 4), 0)),
)


def _own_contents(features, height, row):
    classes, crowds, ids, parts, runs, lengths, counts = (
        np.array(features[f"awsdet/{name}"].int64_list.value, np.int64)
        for name in ("class", "is_crowd", "id", "polygon_parts", "rle_runs", "polygon_lengths", "rle_counts")
    )
    bbox, area, numbers = (
        np.frombuffer(features[f"awsdet/{name}"].bytes_list.value[0], "<f8")
        for name in ("bbox", "area", "polygon_numbers")
    )
    corner, size = np.split(bbox.reshape(-1, 4), 2, axis=1)
    outline = outlines(parts, lengths, numbers, runs, counts, height)
    return Contents(
        class_index=classes,
        area=area,
        is_crowd=crowds > 0,
        is_trainable=np.arange(len(classes)) < features["awsdet/trainable"].int64_list.value[0],
        mask=np.where(parts > 0, "polygons", np.where(runs > 0, "RLE", "none")),
        row=np.full(len(classes), row, np.int64),
        id=ids,
        box=np.concatenate([corner, corner + size], axis=1),
        mask_box=outline.bounds,
        mask_area=outline.area,
    )


def report(inspection):
    """The inspection as a text of several lines."""
    manifest, contents, faults, images = inspection
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
    lines += _shape_lines(contents)
    lines += _repetition_lines(contents, images)
    lines += _histogram(manifest, contents)
    lines += _name_lines(manifest, contents)
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
    objects = contents.is_object
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


def _shape_lines(contents):
    size = (contents.box[:, 2:] - contents.box[:, :2])[contents.is_object]
    if not len(size):
        return []
    low, middle, high = np.percentile(size[:, 0] / size[:, 1], [1, 50, 99])
    tiny = int((np.sqrt(size.prod(axis=1)) < TINY).sum())
    return [
        f"  boxes        width / height {low:.2f} to {high:.2f} for 98 % of them (median {middle:.2f}); "
        f"{tiny} ({percent(tiny / len(size))}) are smaller than {TINY} x {TINY} px",
    ]


def percent(share):
    """A share as whole percents, which are 0 or 100 only if it is exactly that."""
    rounded = round(100 * share)
    if rounded in (0, 100) and share not in (0, 1):
        return "under 1 %" if rounded == 0 else "over 99 %"
    return f"{rounded} %"


def _repetition_lines(contents, images):
    groups = duplicates.equal_images(images.digest)
    pairs = repeated(contents)
    again = len(np.unique(pairs[:, 1]))
    return [
        f"  duplicates   {sum(map(len, groups)) - len(groups)} images repeat the bytes of another; "
        f"{again} objects repeat another of their image and class (IoU > {duplicates.SAME_OBJECT})"
    ]


def repeated(contents):
    """Pairs of objects that are annotated twice: int [pairs, 2], positions in `contents`; see `duplicates`."""
    objects = np.flatnonzero(contents.is_object)
    columns = contents.row[objects], contents.class_index[objects], contents.box[objects]
    return objects[duplicates.repeated_objects(*columns)]


def _name_lines(manifest, contents):
    names, counts = manifest.class_names, class_counts(manifest, contents)
    lines = [
        f"{names[a]!r} ({counts[a]}) and {names[b]!r} ({counts[b]}) {why}"
        for a, b, why in class_names.similar_names(names)
    ]
    for what, found in (
        ("only a number", class_names.number_names(names)),
        ("blank", class_names.blank_names(names)),
        ("without annotations", np.flatnonzero(counts == 0).tolist()),
    ):
        if found:
            more = f" and {len(found) - NAMES} more" if len(found) > NAMES else ""
            lines.append(f"{what}: {', '.join(repr(names[i]) for i in found[:NAMES])}{more}")
    more = [f"    … and {len(lines) - LINES} more"] if len(lines) > LINES else []
    return ["  class names to look at:", *(f"    {line}" for line in lines[:LINES]), *more] if lines else []


def class_counts(manifest, contents):
    """The number of annotations of each class, crowds included: int64 [C]."""
    return np.bincount(contents.class_index.astype(int), minlength=len(manifest.class_names))


def _histogram(manifest, contents):
    counts = class_counts(manifest, contents)
    labels = class_labels(manifest.class_names, manifest.category_ids)
    width = max((len(label) for label in labels), default=0)
    lines = ["  annotations per class (category id, name):"]
    for one, label, count in zip(manifest.category_ids, labels, counts):
        bar = "#" * int(np.ceil(BAR * count / max(counts.max(), 1)))
        lines.append(f"  {one:>8} {label:<{width}} {count:>8} {bar}".rstrip())
    return lines
