"""What TensorBoard shows of an evaluation, read back from the event file."""

import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from awsdet.evaluation import coco_metrics
from awsdet.training.board import write_evaluation


def points_of(folder):
    """(tag, step) -> value of the points in a folder of event files: number, Pillow image or histogram."""
    points = {}
    for file in folder.iterdir():
        for event in tf.compat.v1.train.summary_iterator(str(file)):
            for value in event.summary.value:
                points[value.tag, event.step] = _value(value)
    return points


def _value(value):
    array = tf.make_ndarray(value.tensor)
    kind = value.metadata.plugin_data.plugin_name
    return Image.open(io.BytesIO(array[2])) if kind == "images" else array if array.ndim else float(array)


def metrics_of(classes):
    """Metrics of images with one object each, of which every second one is found."""
    ids = range(1, classes + 1)
    truth = {
        "images": [{"id": one, "width": 100, "height": 100} for one in ids],
        "categories": [{"id": one, "name": f"kind {one}"} for one in range(1, classes + 2)],  # the last has no object
        "annotations": [
            {"id": one, "image_id": one, "category_id": one, "bbox": [9, 9, 40, 40], "area": 1600, "iscrowd": 0}
            for one in ids
        ],
    }
    results = [{"image_id": one, "category_id": one, "bbox": [9, 9, 40, 40], "score": 0.9} for one in ids if one % 2]
    return coco_metrics(truth, results, with_masks=False)


def written(folder, metrics):
    writer = tf.summary.create_file_writer(str(folder))
    write_evaluation(writer, {"step": 12, "epoch": 2, **metrics})
    writer.close()
    return points_of(folder)


def test_numbers_classes_and_curves(tmp_path):
    points = written(tmp_path, metrics_of(4))
    assert points["evaluation/box_ap", 12] == pytest.approx(0.5) and points["evaluation/epoch", 12] == 2
    classes = {tag: value for (tag, _), value in points.items() if tag.startswith("classes")}
    assert classes == {f"classes_box_ap/kind {one}": pytest.approx(one % 2) for one in (1, 2, 3, 4)}
    picture = points["evaluation/precision over recall", 12]
    colors = {color for _, color in picture.convert("RGB").getcolors(picture.width * picture.height)}
    assert (0xD5, 0x5E, 0x00) in colors  # the line of IoU 0.75, which lies on that of 0.50


def test_many_classes_are_one_chart(tmp_path):
    points = written(tmp_path, metrics_of(101))
    assert not [tag for tag, _ in points if tag.startswith("classes_")]
    buckets = points["classes/box_ap", 12]
    assert np.sum(buckets[:, 2]) == 101 and buckets[0, 2] == 50 and buckets[-1, 2] == 51


def test_without_any_object_there_is_no_curve(tmp_path):
    metrics = metrics_of(0)
    assert metrics["curves"] == {}
    assert set(tag for tag, _ in written(tmp_path, metrics)) >= {"evaluation/box_ap"}
