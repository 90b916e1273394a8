"""Predictions in the JSON that MindSpore's Mask Scoring R-CNN writes.

    {path: {"height", "width", "predictions": [{"bbox": {"x_min", "y_min", "width", "height"}, "class": {"label",
    "category_id", "name"}, "mask": {"size", "counts"}, "score", "iou_score"}]}}

label counts from 0 in the order of the detector's classes. iou_score is the score times the IoU that the mask is
expected to have; in the files that MindSpore's model wrote it is never above score. Detectors that expect no IoU leave
it out, and those without masks leave out mask.
"""

import pathlib

from awsdet.runtime.files import write_json

_BOX = ("x_min", "y_min", "width", "height")


def write_msrcnn(path, entries, root, category_ids):
    """Writes the file.

    Args:
      path: the file; its folder is made if needed.
      entries: dicts of `predict.prediction_entry`, whose images are named relative to `root`.
      root: folder; images are called by their paths.
      category_ids: of each class.
    """
    labels = {category: label for label, category in enumerate(category_ids)}
    images = {str(pathlib.Path(root) / entry["image"]): _image(entry, labels) for entry in entries}
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, images)


def _image(entry, labels):
    predictions = [_prediction(one, labels) for one in entry["predictions"]]
    return {"height": entry["height"], "width": entry["width"], "predictions": predictions}


def _prediction(one, labels):
    category = one["category_id"]
    found = {
        "bbox": dict(zip(_BOX, one["bbox"])),
        "class": {"label": labels[category], "category_id": category, "name": one["class_name"]},
    }
    if "segmentation" in one:
        found["mask"] = one["segmentation"]
    found["score"] = one["score"]
    if "mask_score" in one:
        found["iou_score"] = one["mask_score"]
    return found
