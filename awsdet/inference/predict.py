"""Prediction: finds objects in image files and writes them as JSON.

Images go through the network one by one, so that what is found in an image does not depend on the others; meanwhile
the next images are read. One trace of the graph serves all sizes.
"""

import concurrent.futures
import itertools
import pathlib
from typing import NamedTuple

import numpy as np

from awsdet.data.coco.images import MAX_PIXELS, read_image
from awsdet.detection.found import Found, coco_objects
from awsdet.runtime.errors import UserError
from awsdet.runtime.files import write_json

_READERS = 4


class Prediction(NamedTuple):
    """The result for one image file; if it could not be read, only `error` is set. notes: kinds of anomalies."""

    path: pathlib.Path
    image: np.ndarray | None  # uint8 [H, W, 3] RGB, upright
    found: Found | None  # in pixels of `image`
    error: str | None
    notes: tuple = ()


def predict(detector, paths, score_threshold=0.0, max_pixels=MAX_PIXELS):
    """Finds objects in image files.

    Args:
      detector: Detector.
      paths: image files.
      score_threshold: objects below it are left out, in addition to those below the detector's own threshold.
      max_pixels: larger images are not read.

    Yields:
      A Prediction for each path, in order.
    """
    for path, image, error in _read_ahead(paths, max_pixels):
        if error is None:
            found = detector.find(image.pixels, score_threshold)
            yield Prediction(path, image.pixels, found, None, image.notes)
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


def write_predictions(path, entries, skipped, class_names, category_ids, others=None):
    """Writes the JSON of all images: {"classes", "images", "skipped", "other_files"}.

    Args:
      path: the file; its folder is made if needed.
      entries: dicts of `prediction_entry`.
      skipped: dicts {"image", "reason"} of the images that could not be read.
      class_names, category_ids: of each class.
      others: suffix -> number of files that are no images.
    """
    classes = [{"category_id": i, "name": name} for i, name in zip(category_ids, class_names)]
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, {"classes": classes, "images": entries, "skipped": skipped, "other_files": others or {}})


def _read_ahead(paths, max_pixels):
    """Yields (path, image, None) or (path, None, reason); a few files are read ahead."""
    with concurrent.futures.ThreadPoolExecutor(_READERS) as pool:
        paths = iter(paths)
        reading = [pool.submit(_read, path, max_pixels) for path in itertools.islice(paths, _READERS)]
        while reading:
            result = reading.pop(0).result()
            reading += [pool.submit(_read, path, max_pixels) for path in itertools.islice(paths, 1)]
            yield result


def _read(path, max_pixels):
    try:
        return path, read_image(path, max_pixels), None
    except UserError as error:
        return path, None, str(error)
