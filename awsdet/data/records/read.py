"""Record sets: TFRecord shards `<split>-00000-of-00064.tfrecord` and their index, `<split>.manifest.json`."""

import os
import pathlib

import numpy as np
import tensorflow as tf
from absl import logging

from awsdet.data.records import examples, foreign
from awsdet.data.records.manifest import (
    AWSDET,
    HEADER,
    SUFFIX,
    Manifest,
    check_shards,
    manifest_from_json,
    progress_folder,
    read_json,
    splits_in,
)
from awsdet.runtime.errors import UserError
from awsdet.runtime.files import why_no_folder
from awsdet.runtime.paths import given_path

__all__ = ["Manifest", "NoSuchSplit", "read_example", "read_examples", "read_ground_truth", "read_manifest"]


class NoSuchSplit(UserError):
    """A records folder has splits, or none, but not the one that was asked for."""


def read_manifest(records_dir, split):
    """Reads the manifest of a split and checks that its shards exist and have the right size. Returns a Manifest.

    Shards of the Object Detection API, which come without one, are indexed first. Raises UserError for a missing
    folder, an unfinished conversion, and a missing or damaged shard, and NoSuchSplit for a missing split.
    """
    directory = pathlib.Path(given_path(records_dir, "records"))
    if "/" in split:
        raise UserError(f"split {split!r} has a slash; it is a name, as in train")
    if not str(records_dir) or not directory.is_dir():
        raise UserError(f"records folder {str(records_dir)!r} {why_no_folder(records_dir)}; awsdet convert makes one")
    path = directory / f"{split}{SUFFIX}"
    if path.is_file():
        manifest = check_shards(manifest_from_json(directory, read_json(path)))
        if manifest.layout == AWSDET or manifest.source.get("label_map", "") == foreign.label_map_state(directory):
            return manifest
        logging.info("the label map in %s is another one than when its shards were indexed", directory)
    if progress_folder(directory, split).is_dir():
        raise UserError(f"the conversion of split {split} in {directory} has not finished; run awsdet convert again")
    found = foreign.index(directory, split)
    if found is not None:
        return found
    there = dict.fromkeys([*splits_in(directory), *foreign.splits_in(directory)])
    raise NoSuchSplit(f"records folder {directory} has no split {split}; it has {', '.join(there) or 'none'}")


def read_examples(manifest):
    """Yields the `tf.train.Example` of every record, in the manifest's order. Raises UserError for a broken one."""
    for number, shard in enumerate(manifest.shards):
        path = manifest.directory / shard.file
        with open(path, "rb") as file:
            for row in np.flatnonzero(manifest.shard == number):
                yield _read(file, path, manifest, row)


def read_example(manifest, row):
    """The `tf.train.Example` of one record, entry `row` of the manifest's arrays. Raises UserError for a broken one."""
    path = manifest.directory / manifest.shards[manifest.shard[row]].file
    with open(path, "rb") as file:
        return _read(file, path, manifest, row)


def _read(file, path, manifest, row):
    file.seek(int(manifest.offset[row]) + HEADER)
    try:
        return tf.train.Example.FromString(file.read(int(manifest.length[row])))
    except Exception as error:  # protobuf's DecodeError has no public home
        raise UserError(f"shard {path} is broken: {error}; run awsdet convert again") from None


def read_ground_truth(manifest):
    """The split as a COCO detection dict: images, annotations, categories. Image ids are the numbers in the records.

    The numbers are those of the annotation file, bit for bit, and the annotations of each image are in the file's
    order, so COCOeval gives the same results as with the file. An object without a mask has an empty RLE. Records of
    the Object Detection API are less exact: they hold float32 boxes, as shares of the image, and PNG masks.
    """
    images, annotations = [], []
    for row, example in enumerate(read_examples(manifest)):
        features = example.features.feature
        image_id, height, width = (int(getattr(manifest, key)[row]) for key in ("image_id", "height", "width"))
        name = os.fsdecode(b"".join(features["image/filename"].bytes_list.value[:1]))
        images.append({"id": image_id, "file_name": name, "height": height, "width": width})
        objects = record_annotations(features, manifest, row, first_id=len(annotations) + 1)
        objects = sorted(objects, key=lambda a: a.order)
        annotations += [_coco_annotation(a, image_id, height, width, manifest.category_ids) for a in objects]
    categories = [{"id": number, "name": name} for number, name in zip(manifest.category_ids, manifest.class_names)]
    return {"images": images, "annotations": annotations, "categories": categories}


def record_annotations(features, manifest, row, first_id=1):
    """The Annotations of record `row` in its own order. first_id: ids count up from it if the records have none."""
    if manifest.layout == AWSDET:
        return examples.decode_annotations(features)
    size = int(manifest.height[row]), int(manifest.width[row])
    return foreign.decode_annotations(features, *size, manifest, first_id=first_id)


def _coco_annotation(annotation, image_id, height, width, category_ids):
    rle = {"size": [height, width], "counts": annotation.counts or [height * width]}
    return {
        "id": annotation.id,
        "image_id": image_id,
        "category_id": category_ids[annotation.class_index],
        "bbox": list(annotation.bbox),
        "area": annotation.area,
        "iscrowd": int(annotation.is_crowd),
        "segmentation": annotation.polygons or rle,
    }
