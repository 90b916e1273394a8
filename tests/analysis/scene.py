"""Random ground truth and detections in COCO's format, with all kinds of errors in them."""

import numpy as np
from pycocotools import mask as coco_mask

from awsdet.analysis.matching import match
from awsdet.analysis.pairs import pair
from awsdet.evaluation.sides import Places, box_sides, mask_sides

HEIGHT, WIDTH = 160, 200


def scene(seed, images=14, classes=5, objects=5, crowds=0.0, clutter=4, masks=False, empty=3):
    """(ground truth, results). No two scores are equal, and each class has objects.

    objects: most per image; crowds: the share that are crowd regions; clutter: most false detections per image; empty:
    every so many images have no objects.
    """
    rng = np.random.default_rng(seed)
    truth = {
        "images": [
            {"id": 10 * i + 3, "height": HEIGHT, "width": WIDTH, "file_name": f"{i}.jpg"} for i in range(images)
        ],
        "categories": [
            {"id": 2 * k + 1, "name": f"class {k}", "supercategory": f"kind {k % 2}"} for k in range(classes)
        ],
        "annotations": [],
    }
    results = []
    for index, image in enumerate(truth["images"]):
        count = 0 if empty and index % empty == empty - 1 else int(rng.integers(1, objects + 1))
        for _ in range(count):
            number = len(truth["annotations"])
            crowd = bool(rng.random() < crowds) and number >= classes
            box = _random_box(rng)
            annotation = {"id": number + 1, "image_id": image["id"], "category_id": 2 * (number % classes) + 1}
            annotation |= {"bbox": box, "iscrowd": int(crowd), "area": box[2] * box[3] * 0.9}
            truth["annotations"].append(annotation)
            results += _answers(rng, annotation, classes)
        for _ in range(int(rng.integers(0, clutter + 1))):
            results.append(_result(image["id"], 2 * int(rng.integers(classes)) + 1, _random_box(rng)))
    order = rng.permutation(len(results)).tolist()
    for result, place in zip(results, order):
        result["score"] = (place + 1) / (len(results) + 1)
    results = [results[i] for i in rng.permutation(len(results))]
    if masks:
        for entry in (*truth["annotations"], *results):
            entry["segmentation"] = ellipse(entry["bbox"])
    return truth, results


def _random_box(rng):
    size = np.exp(rng.uniform(np.log(8), np.log(120), 2)).round(1)
    corner = (rng.random(2) * np.maximum([WIDTH, HEIGHT] - size, 1)).round(1)
    return [*corner.tolist(), *size.tolist()]


def _answers(rng, annotation, classes):
    """None to three detections of an object, near and far, of its class or of another one."""
    found = []
    for _ in range(int(rng.integers(0, 4))):
        category = annotation["category_id"] if rng.random() < 0.75 else 2 * int(rng.integers(classes)) + 1
        x, y, width, height = annotation["bbox"]
        shift = rng.choice([0.04, 0.25, 0.6]) * rng.uniform(-1, 1, 4) * [width, height, width, height]
        box = [x + shift[0], y + shift[1], max(width + shift[2], 2), max(height + shift[3], 2)]
        found.append(_result(annotation["image_id"], category, [round(float(v), 2) for v in box]))
    return found


def _result(image, category, box):
    return {"image_id": image, "category_id": category, "bbox": box}


def ellipse(box):
    """The ellipse in a box as RLE."""
    y, x = np.mgrid[:HEIGHT, :WIDTH] + 0.5
    left, top, width, height = box
    inside = np.hypot((x - left) / width - 0.5, (y - top) / height - 0.5) < 0.5
    code = coco_mask.encode(np.asfortranarray(inside, np.uint8))
    return {"size": list(code["size"]), "counts": code["counts"].decode()}


def small(objects, detections, classes=3, images=1, crowds=()):
    """(ground truth, results) written by hand.

    objects: (image, class, box); detections: (image, class, box, score); classes and images count from 0; crowds:
    positions of the objects that are crowd regions.
    """
    truth = {
        "images": [{"id": i, "height": HEIGHT, "width": WIDTH, "file_name": f"{i}.jpg"} for i in range(images)],
        "categories": [{"id": k, "name": f"class {k}"} for k in range(classes)],
        "annotations": [
            {"id": n + 1, "image_id": i, "category_id": k, "bbox": box, "area": box[2] * box[3], "iscrowd": n in crowds}
            for n, (i, k, box) in enumerate(objects)
        ],
    }
    results = [{"image_id": i, "category_id": k, "bbox": box, "score": s} for i, k, box, s in detections]
    return truth, results


def pairs_of(truth, results, masks=False):
    """(Pairs, Matches at IoU 0.5, number of classes)."""
    pairs = pair((mask_sides if masks else box_sides)(Places(truth), results))
    return pairs, match(pairs, 0.5), len(truth["categories"])
