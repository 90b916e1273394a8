"""What a program of the user may hand to `fit`, and what it is told if that is not a batch."""

import numpy as np
import pytest
import tensorflow as tf

from awsdet.models.batch_check import check_batch
from tests.models.small_detectors import TWO_IMAGES, batch_of, small_detector

BATCH = batch_of(TWO_IMAGES)
NAN = np.full((2, 2, 4), np.nan, np.float32)


def changed(**parts):
    """The batch with other parts; None leaves one out."""
    return {key: value for key, value in {**BATCH, **parts}.items() if value is not None}


def test_batches_that_are_fine():
    check_batch(BATCH, 3, with_masks=True)
    check_batch(changed(masks=None, image_id=None, original_size=None), 3, with_masks=False)
    empty = batch_of([[], []])
    check_batch(empty, 3, with_masks=True)


@pytest.mark.parametrize(
    "batch, says",
    [
        ([BATCH], "a batch is a dict, and this one is a list"),
        (changed(boxes=None), "the batch has no boxes, only classes, image"),
        (changed(masks=None), "the batch has no masks, and this detector needs them"),
        (changed(masks={"polygons": BATCH["masks"]["polygons"]}), "the batch has no masks.rles"),
        (changed(image=tf.cast(BATCH["image"], tf.float32) / 255), "image in the batch is float32 (2, 96, 128, 3)"),
        (changed(image=BATCH["image"][0]), "it must be a uint8 tensor with 4 dimensions"),
        (changed(boxes=BATCH["boxes"].numpy()), "boxes in the batch is ndarray"),
        (changed(classes=tf.cast(BATCH["classes"], tf.int64)), "classes in the batch is int64"),
        (
            changed(classes=BATCH["classes"] + 1),
            "class 3 in image 0 of the batch (image_id 100): the 3 classes are 0 to 2",
        ),
        (changed(classes=BATCH["classes"] - 1), "class -2 in image 1 of the batch (image_id 101)"),
        (changed(boxes=tf.constant(NAN)), "box (nan, nan, nan, nan) in image 0 of the batch"),
        (changed(boxes=BATCH["boxes"][..., ::-1]), "is not x1, y1, x2, y2"),
        (changed(image_size=BATCH["image_size"] * 2), "image_size (192, 256) in image 0 of the batch (image_id 100)"),
        (changed(image_size=BATCH["image_size"] * 0), "is not a height and width within the 96 x 128 pixels"),
    ],
)
def test_what_is_wrong_is_one_line(batch, says):
    with pytest.raises(ValueError, match="^[^\n]*$") as caught:
        check_batch(batch, 3, with_masks=True)
    assert says in str(caught.value)


@pytest.mark.parametrize("detector, needs", [("mask_rcnn", True), ("faster_rcnn", False), ("retinanet", False)])
def test_fit_and_evaluate_check(detector, needs):
    """Without tracing anything: the batch is refused before."""
    model = small_detector(detector=detector)
    model.compile("sgd")
    assert model.needs_masks == needs
    wrong = tf.data.Dataset.from_tensors(changed(classes=BATCH["classes"] + 3))
    for call in (lambda: model.fit(wrong, verbose=0), lambda: model.evaluate(wrong, verbose=0)):
        with pytest.raises(ValueError, match="class 3 in image 0"):
            call()
    if needs:
        with pytest.raises(ValueError, match="needs them"):
            model.fit(tf.data.Dataset.from_tensors(changed(masks=None)), verbose=0)
