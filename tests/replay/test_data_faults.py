"""What is odd about the data of a batch."""

import numpy as np
import tensorflow as tf

from awsdet.replay.data_faults import data_faults
from tests.models.small_detectors import TWO_IMAGES, batch_of


def test_a_good_batch_has_none():
    assert data_faults(batch_of(TWO_IMAGES), ["7", "b"], 3) == []


def test_each_fault_names_its_image():
    objects = [
        [([10.0, 10, 60, 70], 0, False), ([40.0, 30, 120, 90], 2, False)],
        [([5.0, 8, 50, 40], 1, False)],
        [([5.0, 8, 50, 40], 1, True)],
    ]
    batch = batch_of(objects)
    images = batch["image"].numpy()
    images[2] = 12
    boxes, classes = batch["boxes"].numpy(), batch["classes"].numpy()
    boxes[0, 0, 2], boxes[0, 1, 2], boxes[1, 0, 3], classes[1, 0] = 10, 140, np.nan, 5
    batch |= {"image": tf.constant(images), "boxes": tf.constant(boxes), "classes": tf.constant(classes)}
    assert data_faults(batch, ["7", "b", "c"], 3) == [
        "image 7: box (10, 10, 10, 70) has no area",
        "image 7: box (40, 30, 140, 90) reaches out of the image of 128 x 96 px",
        "image b: class 5 is none of the 3 classes",
        "image b: box (5, 8, 50, nan) is not finite",
        "image c: all its pixels are 12",
    ]
