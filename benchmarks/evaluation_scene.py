"""Synthetic ground truth and detections with COCO's counts for `benchmarks/evaluation.py`. Needs NumPy, pycocotools."""

import numpy as np
from pycocotools import mask as coco_mask

CLASSES, FOUND, SIDE = 80, 100, 28
RESIZED = 800 / 480  # scale from the source image to the one that the network sees
_CORNERS = np.arange(24) * 2 * np.pi / 24


def ground_truth(images, seed=0):
    """A COCO annotation dict: 7 objects per image; 1 % are crowds and 5 % others have run lengths, else polygons."""
    random = np.random.default_rng(seed)
    frames, annotations = [], []
    share = 1 / np.arange(1, CLASSES + 1)  # a few classes have most of the objects
    for image in range(images):
        height, width = (480, 640) if random.uniform() < 0.7 else (640, 480)
        frames.append({"id": 3 * image + 1, "height": height, "width": width})
        kinds = random.choice(CLASSES, size=1 + random.integers(0, 9), p=share / share.sum())
        for _ in range(min(random.geometric(1 / 8.5) - 1, 60)):
            polygon = _outline(random, height, width)
            code = coco_mask.frPyObjects([polygon], height, width)[0]
            kind = random.uniform()
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": 3 * image + 1,
                    "category_id": int(random.choice(kinds)) + 1,
                    "segmentation": _runs(code) if kind < 0.06 else [polygon],
                    "bbox": coco_mask.toBbox(code).tolist(),
                    "area": float(coco_mask.area(code)),
                    "iscrowd": int(kind < 0.01),
                }
            )
    categories = [{"id": i + 1, "name": f"class {i}"} for i in range(CLASSES)]
    return {"images": frames, "annotations": annotations, "categories": categories}


def _outline(random, height, width):
    extent = np.exp(random.uniform(np.log(12), np.log(360), 2))
    low = random.uniform(0, 1, 2) * (np.array([width, height]) - extent)
    radius = random.uniform(0.3, 0.5, len(_CORNERS))
    points = low + extent * (0.5 + radius[:, None] * np.stack([np.cos(_CORNERS), np.sin(_CORNERS)], axis=1))
    return np.round(points, 2).reshape(-1).tolist()


def _runs(code):
    flat = coco_mask.decode(code).reshape(-1, order="F")
    changes = np.flatnonzero(np.diff(flat, prepend=0))
    return {"size": code["size"], "counts": np.diff(changes, prepend=0, append=flat.size).tolist()}


def batches(truth, size, seed=1):
    """Yields what a detector returns for `size` images at a time, with their ids, resized sizes and source sizes.

    About three detections per object lie near it, the rest lie anywhere. Scores are multiples of 1/1000, so some are
    equal.
    """
    random = np.random.default_rng(seed)
    y, x = np.meshgrid(*[np.linspace(-1, 1, SIDE)] * 2, indexing="ij")
    waves = random.uniform(2, 7, (64, 1, 1)), random.uniform(0, 6, (64, 1, 1))
    outlines = 0.8 + 0.15 * np.sin(np.round(waves[0]) * np.arctan2(y, x) + waves[1])
    blobs = (1 / (1 + np.exp(-10 * (outlines - np.hypot(x, y))))).astype(np.float32)
    objects = {frame["id"]: [] for frame in truth["images"]}
    for annotation in truth["annotations"]:
        objects[annotation["image_id"]].append(annotation)
    for start in range(0, len(truth["images"]), size):
        frames = truth["images"][start : start + size]
        sizes = np.array([[frame["height"], frame["width"]] for frame in frames], np.int32)
        rows = [_detections(random, objects[frame["id"]], *shape) for frame, shape in zip(frames, sizes)]
        outputs = {name: np.stack([row[name] for row in rows]) for name in rows[0]}
        outputs["masks"] = blobs[random.integers(0, len(blobs), (len(rows), FOUND))]
        outputs["count"] = np.full(len(rows), FOUND, np.int32)
        resized = np.round(sizes * RESIZED).astype(np.int32)
        yield [frame["id"] for frame in frames], outputs, resized, sizes


def _detections(random, objects, height, width):
    near = [o for o in objects for _ in range(random.integers(1, 6))][:FOUND]
    extent = np.exp(random.uniform(np.log(12), np.log(360), (FOUND, 2)))
    low = random.uniform(0, 1, (FOUND, 2)) * (np.array([width, height]) - extent)
    boxes = np.concatenate([low, extent], axis=1)
    present = [o["category_id"] - 1 for o in objects] or [0]
    classes = np.where(
        random.uniform(size=FOUND) < 0.5, random.choice(present, FOUND), random.integers(0, CLASSES, FOUND)
    )
    scores = random.beta(1, 5, FOUND)
    if near:
        true = np.array([o["bbox"] for o in near])
        boxes[: len(near)] = true + random.normal(0, 0.08, true.shape) * np.tile(true[:, 2:], 2)
        classes[: len(near)] = [o["category_id"] - 1 for o in near]
        scores[: len(near)] = random.beta(2, 2, len(near))
    boxes[:, 2:] = boxes[:, :2] + np.maximum(boxes[:, 2:], 1)
    order = np.argsort(-np.round(scores, 3), kind="stable")
    return {
        "boxes": (boxes[order] * RESIZED).astype(np.float32),
        "scores": np.round(scores, 3)[order].astype(np.float32),
        "classes": classes[order].astype(np.int32),
    }
