"""Pictures of records: an image as the reader decodes it, with its annotations drawn in."""

import io
from typing import NamedTuple

import numpy as np
import tensorflow as tf
from PIL import Image
from pycocotools import mask as coco_mask

from awsdet.data.coco.categories import class_labels
from awsdet.data.coco.decoding import decode_image
from awsdet.data.coco.rle import to_rle
from awsdet.data.records.read import read_example, record_annotations
from awsdet.inference.annotated import annotated_objects
from awsdet.inference.drawing import DrawnObject, class_color, draw_objects
from awsdet.inference.fonts import font_for
from awsdet.survey.choice import Shown

LONG_SIDE = 960  # px of a picture
_LEAST_SIDE = 420  # px; smaller images are enlarged to this
_SURROUNDINGS, _LEAST_WINDOW = 4, 56  # a window is this many times as large as its object, and this many px at least
_MOST_LABELS = 25  # in a picture; with more, nothing of the image is seen
_QUALITY = 85  # of JPEG


class Kind(NamedTuple):
    """A class in a picture: its number, name, colour, how often it occurs, and whether its name could be written."""

    index: int
    name: str
    color: tuple
    count: int
    written: bool


class Picture(NamedTuple):
    """A drawn image: its JPEG and the size of that, the name and size (height, width) of the image, and its classes.

    problem: why nothing of the image itself can be seen; empty otherwise.
    """

    jpeg: bytes
    size: tuple
    file_name: str
    original: tuple
    kinds: list
    problem: str


def plain(inspection, row, long_side):
    """The Picture of an image without annotations, `long_side` px large at most."""
    features, image, problem = read_picture(inspection.manifest, row)
    drawn = draw_objects(image, [], min(1.0, long_side / max(image.shape[:2])))
    return Picture(jpeg(drawn), drawn.size, _file_name(features), image.shape[:2], [], problem)


def draw(inspection, shown: Shown) -> Picture:
    """The Picture of an image with its annotations. Raises UserError if its record is broken."""
    features, image, problem = read_picture(inspection.manifest, shown.row)
    annotations = record_annotations(features, inspection.manifest, shown.row)
    first = int(np.searchsorted(inspection.contents.row, shown.row))
    marked = [int(position) - first for position in shown.marked]
    trainable = inspection.contents.is_trainable[first : first + len(annotations)]
    names = class_labels(inspection.manifest.class_names, inspection.manifest.category_ids)
    objects = [
        _object(annotation, names, image.shape[:2], not shown.marked or index in marked, bool(trainable[index]))
        for index, annotation in enumerate(annotations)
    ]
    if len(objects) > _MOST_LABELS and not marked:
        objects = [item._replace(label="") for item in objects]
    objects = [objects[i] for i in marked] + [item for i, item in enumerate(objects) if i not in marked]
    kinds = _kinds([annotation.class_index for annotation in annotations], names)
    file_name, original = _file_name(features), image.shape[:2]
    if shown.zoom:
        image, objects = window(image, objects)
    side = max(image.shape[:2])
    drawn = draw_objects(image, objects, min(LONG_SIDE, max(side, _LEAST_SIDE)) / side)
    return Picture(jpeg(drawn), drawn.size, file_name, original, kinds, problem)


def of_batch(inspection, batch, index) -> Picture:
    """The Picture of an image of a training batch, with its padding and its annotations as the network gets them."""
    manifest, image = inspection.manifest, batch["image"][index].numpy()
    names = class_labels(manifest.class_names, manifest.category_ids)
    objects = annotated_objects(batch, index, names)
    kinds = _kinds([item.class_index for item in objects], names)
    if len(objects) > _MOST_LABELS:
        objects = [item._replace(label="") for item in objects]
    row = int(np.flatnonzero(manifest.image_id == int(batch["image_id"][index]))[0])
    name = _file_name(read_example(manifest, row).features.feature)
    # Masks are those of the valid part, which begins at the top left.
    height, width = image.shape[:2]
    objects = [item._replace(mask=_enlarged(item.mask, height, width)) for item in objects]
    side = max(height, width)
    drawn = draw_objects(image, objects, min(LONG_SIDE, max(side, _LEAST_SIDE)) / side)
    return Picture(jpeg(drawn), drawn.size, name, tuple(batch["original_size"][index].numpy().tolist()), kinds, "")


def _enlarged(mask, height, width):
    """A COCO RLE with the size of an image that begins with the mask's."""
    if mask is None:
        return None
    whole = np.zeros((height, width), np.uint8, order="F")
    whole[: mask["size"][0], : mask["size"][1]] = coco_mask.decode(mask)
    return coco_mask.encode(whole)


def read_picture(manifest, row):
    """(features, uint8 [H, W, 3], what is wrong with the image) of record `row`. Raises UserError if it is broken."""
    features = read_example(manifest, row).features.feature
    try:
        return features, decode_image(features["image/encoded"].bytes_list.value[0]).numpy(), ""
    except tf.errors.OpError:
        grey = np.full((manifest.height[row], manifest.width[row], 3), 128, np.uint8)
        return features, grey, "the reader of training cannot decode this image"


def _file_name(features):
    names = features["image/filename"].bytes_list.value
    return names[0].decode(errors="replace") if names else ""


def _object(annotation, names, size, marked, trainable):
    """The DrawnObject of an Annotation; only a marked one has a label and a mask."""
    x, y, width, height = np.clip(annotation.bbox, -1e6, 1e6).tolist()
    label, outline = names[annotation.class_index], "solid"
    short = f"class {annotation.class_index}"
    if annotation.is_crowd:
        label, short, outline = f"{label} (crowd)", f"{short} (crowd)", "dashed"
    if not trainable:
        label, short, outline = f"{label} (not trained on)", f"{short} (not trained on)", "dotted"
    mask = _mask(annotation, size) if marked else None
    box = (x, y, x + width, y + height)
    return DrawnObject(box, label if marked else "", annotation.class_index, mask, outline, short)


def _mask(annotation, size):
    """COCO RLE of an annotation's mask; None if it has none, or run lengths that do not fit the image."""
    segmentation = annotation.polygons or {"size": list(size), "counts": annotation.counts}
    try:
        return to_rle(segmentation, size) if annotation.polygons or annotation.counts else None
    except ValueError:
        return None


def _kinds(classes, names):
    found, counts = np.unique(np.array(classes, int), return_counts=True)
    order = np.argsort(-counts, kind="stable")
    return [
        Kind(index, names[index], class_color(index), count, font_for(names[index], 12) is not None)
        for index, count in zip(found[order].tolist(), counts[order].tolist())
    ]


def window(image, objects):
    """(the part of an image [H, W, 3] around its first DrawnObject, the objects in it, moved)."""
    height, width = image.shape[:2]
    x1, y1, x2, y2 = np.clip(objects[0].box, 0, [width, height, width, height])
    side = max(_SURROUNDINGS * max(x2 - x1, y2 - y1), _LEAST_WINDOW)
    left, right = _span((x1 + x2) / 2, side, width)
    top, bottom = _span((y1 + y2) / 2, side, height)
    moved = []
    for item in objects:
        box = item.box[0] - left, item.box[1] - top, item.box[2] - left, item.box[3] - top
        if box[0] >= right - left or box[1] >= bottom - top or box[2] <= 0 or box[3] <= 0:
            continue
        mask = item.mask
        if mask is not None:
            mask = coco_mask.encode(np.asfortranarray(coco_mask.decode(mask)[top:bottom, left:right]))
        moved.append(item._replace(box=box, mask=mask))
    return image[top:bottom, left:right], moved


def _span(centre, side, limit):
    """(first, end) of `side` px around a centre, moved into 0 … limit; all of it if that is smaller."""
    side = min(round(side), limit)
    first = min(max(round(centre - side / 2), 0), limit - side)
    return first, first + side


def jpeg(picture: Image.Image, quality: int = _QUALITY) -> bytes:
    """The picture as JPEG."""
    out = io.BytesIO()
    picture.save(out, "JPEG", quality=quality)
    return out.getvalue()
