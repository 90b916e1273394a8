"""Cleans the annotations of an image: what a record keeps of each.

Coordinates are pixels of the image as it is stored; 0 is its left and its top edge.
"""

from typing import NamedTuple

from awsdet.data.coco.masks import finite_numbers, polygon_area, read_mask

CLIP_TOLERANCE = 1.0  # px that a box may reach out of the image without being counted: tools round by as much
MIN_SIDE = 1.0  # px of the original image; smaller boxes are not trained on (mmdetection's rule)


class Annotation(NamedTuple):
    """A cleaned annotation. Its numbers are the file's own, as float64, so that COCOeval gives the same results.

    bbox: x, y, width, height. polygons: list of flat coordinate lists; counts: COCO run lengths (column-major, zeros
    first) or None. An object without a mask has no polygons, and its counts are None. trainable: False for boxes
    that are kept for evaluation only. order: the place among the image's annotations in the file.
    """

    id: int
    class_index: int
    bbox: tuple
    area: float
    is_crowd: bool
    polygons: list
    counts: list
    trainable: bool
    order: int


def clean_annotations(raw, height, width, classes, anomalies):
    """Cleans the annotations of one image of `height` x `width` px.

    raw: dicts of a CocoFile; classes: category id -> class. Returns Annotations in the order of the records: objects,
    then crowds, then annotations for evaluation only.
    """
    cleaned = []
    for order, annotation in enumerate(raw):
        name = f"annotation {annotation['id']} (image {annotation['image_id']})"
        bbox = finite_numbers(annotation.get("bbox"))
        if bbox is None or len(bbox) != 4:
            anomalies.add("annotation_malformed", name)
            continue
        mask = read_mask(annotation.get("segmentation"), height, width, name, anomalies)
        if mask is None:
            continue
        polygons, counts = mask
        cleaned.append(
            Annotation(
                id=annotation["id"],
                class_index=classes[annotation["category_id"]],
                bbox=tuple(bbox),
                area=_area(annotation, bbox, polygons, counts, name, anomalies),
                is_crowd=annotation.get("iscrowd") in (1, True, "1"),
                polygons=polygons,
                counts=counts,
                trainable=_is_trainable(bbox, height, width, name, anomalies),
                order=order,
            )
        )
    return sorted(cleaned, key=lambda a: (not a.trainable, a.is_crowd))


def _is_trainable(bbox, height, width, name, anomalies):
    x, y, w, h = bbox
    inside_w = min(x + w, width) - max(x, 0.0)
    inside_h = min(y + h, height) - max(y, 0.0)
    if inside_w < MIN_SIDE or inside_h < MIN_SIDE:
        anomalies.add("box_degenerate", name)
        return False
    if max(-x, -y, x + w - width, y + h - height) > CLIP_TOLERANCE:
        anomalies.add("box_clipped", name)
    return True


def _area(annotation, bbox, polygons, counts, name, anomalies):
    area = finite_numbers([annotation.get("area")])
    if area is not None:
        return area[0]
    anomalies.add("area_absent", name)
    if polygons:
        return sum(abs(polygon_area(polygon)) for polygon in polygons)
    return float(sum(counts[1::2])) if counts else bbox[2] * bbox[3]
