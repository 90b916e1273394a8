"""Prediction: finds objects in image files and writes them as JSON.

Images go through the network one by one, so that what is found in an image does not depend on the others; meanwhile
the next images are read. One trace of the graph serves all sizes.
"""

import concurrent.futures
import itertools
import pathlib
from typing import NamedTuple

import numpy as np

from awsdet.data.coco.images import load_image
from awsdet.detection.results import Found, coco_objects
from awsdet.runtime.errors import UserError
from awsdet.runtime.files import write_json
from awsdet.runtime.paths import given_path

IMAGE_SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
_READERS = 4


class Prediction(NamedTuple):
    """The result for one image file; if it could not be read, only `error` is set."""

    path: pathlib.Path
    image: np.ndarray | None  # uint8 [H, W, 3] RGB, upright
    found: Found | None  # in pixels of `image`
    error: str | None


def find_images(source):
    """The image files of a folder and its subfolders, ordered by path, or `source` itself if it is a file.

    Raises UserError if nothing is there.
    """
    source = pathlib.Path(given_path(source, "input"))
    if source.is_file():
        return [source]
    if not source.is_dir():
        raise UserError(f"input {source} does not exist; give an image or a folder of images")
    paths = sorted(p for p in source.rglob("*") if p.suffix.lower() in IMAGE_SUFFIXES and p.is_file())
    if not paths:
        raise UserError(f"folder {source} has no images ({', '.join(IMAGE_SUFFIXES)})")
    return paths


def predict(detector, paths, score_threshold=0.0):
    """Finds objects in image files.

    Args:
      detector: Detector.
      paths: image files.
      score_threshold: objects below it are left out, in addition to those below the detector's own threshold.

    Yields:
      A Prediction for each path, in order.
    """
    for path, image, error in _read_ahead(paths):
        if error is None:
            yield Prediction(path, image, detector.find(image, score_threshold), None)
        else:
            yield Prediction(path, None, None, error)


def prediction_entry(prediction, name, class_names, category_ids):
    """The JSON dict of one image.

    Args:
      prediction: a Prediction without error.
      name: of the image, in the JSON.
      class_names, category_ids: of each class.

    Returns:
      {"image", "height", "width", "predictions": [{"bbox": [x, y, width, height], "score", "category_id", "class_name",
      "segmentation": COCO RLE {"size", "counts"}}]} in pixels of the image, best score first; with Mask Scoring R-CNN
      also "iou_score" and "mask_score", see coco_objects.
    """
    height, width = prediction.image.shape[:2]
    objects = coco_objects(prediction.found, category_ids)
    for entry, label in zip(objects, prediction.found.classes):
        entry["class_name"] = class_names[label]
    return {"image": name, "height": height, "width": width, "predictions": objects}


def write_predictions(path, entries, skipped, class_names, category_ids):
    """Writes the JSON of all images: {"classes", "images", "skipped"}.

    Args:
      path: the file; its folder is made if needed.
      entries: dicts of `prediction_entry`.
      skipped: dicts {"image", "reason"} of the images that could not be read.
      class_names, category_ids: of each class.
    """
    classes = [{"category_id": i, "name": name} for i, name in zip(category_ids, class_names)]
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, {"classes": classes, "images": entries, "skipped": skipped})


def _read_ahead(paths):
    """Yields (path, image, None) or (path, None, reason); a few files are read ahead."""
    with concurrent.futures.ThreadPoolExecutor(_READERS) as pool:
        paths = iter(paths)
        reading = [pool.submit(_read, path) for path in itertools.islice(paths, _READERS)]
        while reading:
            result = reading.pop(0).result()
            reading += [pool.submit(_read, path) for path in itertools.islice(paths, 1)]
            yield result


def _read(path):
    try:
        return path, load_image(path), None
    except UserError as error:
        return path, None, str(error)
