"""A batch from plain lists."""

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from pycocotools import mask as coco_mask

from awsdet.data.coco.masks import run_lengths
from awsdet.data.reader.make_batch import BATCH_SPEC, make_batch
from awsdet.models.heads.mask_head import mask_targets

GREY = np.full((40, 50), 90, np.uint8)
BOX = [8.0, 4.0, 32.0, 28.0]
POLYGON = [8.0, 4, 32, 4, 32, 28, 8, 28]


def bitmap(size=(40, 50), box=BOX):
    mask = np.zeros(size, bool)
    x1, y1, x2, y2 = map(int, box)
    mask[y1:y2, x1:x2] = True
    return mask


def targets(batch, roi, side=14):
    """The mask target of the first object of the first image."""
    rois, first = tf.constant([roi], tf.float32), tf.constant([0])
    return mask_targets(batch["masks"], batch["image_size"], rois, first, first, side)[0].numpy()


MASKS = {
    "polygons": [POLYGON],
    "polygon as points": [np.reshape(POLYGON, (4, 2))],
    "array": bitmap(),
    "array of other numbers": bitmap().astype(np.uint8) * 255,
    "compressed RLE": coco_mask.encode(np.asfortranarray(bitmap().astype(np.uint8))),
    "uncompressed RLE": {"size": [40, 50], "counts": run_lengths(bitmap())},
    "uncompressed RLE as an array": {"size": [40, 50], "counts": np.array(run_lengths(bitmap()))},
}


@pytest.mark.parametrize("kind", MASKS)
def test_every_kind_of_mask_gives_the_same_targets(kind):
    batch = make_batch([GREY], [[BOX]], [[0]], [[MASKS[kind]]])
    expected = np.zeros((14, 14))
    expected[:, :7] = 1  # the RoI is as high as the object and twice as wide
    np.testing.assert_array_equal(targets(batch, [8, 4, 56, 28]), expected)


@pytest.mark.parametrize("full", [True, False])
def test_masks_that_are_full_or_empty(full):
    """Run lengths begin with zeros: those of a full mask with a run of none."""
    batch = make_batch([GREY], [[BOX]], [[0]], [[np.full(GREY.shape, full)]])
    assert (targets(batch, BOX) == full).all()


def test_object_without_a_mask_among_others():
    batch = make_batch([GREY, GREY], [[BOX, BOX], [BOX]], [[0, 1], [1]], [[None, bitmap()], [[POLYGON]]])
    assert not targets(batch, BOX).any()
    rois, images = tf.constant([BOX, BOX], tf.float32), tf.constant([0, 1])
    for side in (7, 28):
        shown = mask_targets(batch["masks"], batch["image_size"], rois, images, tf.constant([1, 0]), side)
        assert shown.numpy().all()


def test_images_of_all_kinds_and_sizes(tmp_path):
    colours = np.random.default_rng(1).integers(0, 256, (64, 33, 3)).astype(np.uint8)
    Image.fromarray(colours).save(tmp_path / "a.png")
    images = [tmp_path / "a.png", str(tmp_path / "a.png"), colours, Image.fromarray(colours), GREY]
    batch = make_batch(images, [[]] * 5, [[]] * 5)
    assert batch["image"].shape == (5, 64, 64, 3) and batch["image"].dtype == tf.uint8
    assert batch["image_size"].numpy().tolist() == [[64, 33]] * 4 + [[40, 50]]
    np.testing.assert_array_equal(batch["image_size"], batch["original_size"])
    for image in batch["image"][:4].numpy():
        np.testing.assert_array_equal(image[:64, :33], colours)
        assert not image[:, 33:].any()
    assert (batch["image"][4, :40, :50].numpy() == 90).all()
    assert make_batch([GREY], [[]], [[]], pad_multiple=64)["image"].shape == (1, 64, 64, 3)


def test_batch_is_what_the_reader_makes():
    batch = make_batch([GREY, GREY], [[BOX, BOX], []], [[2, 0], []], [[[POLYGON], bitmap()], []], [[False, True], []])
    assert set(batch) == set(BATCH_SPEC)
    assert batch["classes"].numpy().tolist() == [[2, 0], [-1, -1]]
    assert batch["is_crowd"].numpy().tolist() == [[False, True], [False, False]]
    assert batch["boxes"].numpy().tolist() == [[BOX, BOX], [[0.0] * 4] * 2]
    assert batch["masks"]["polygons"].to_list() == [[[POLYGON], []], []]
    assert batch["image_id"].numpy().tolist() == [0, 1]


def test_batches_of_a_generator():
    """Batches of any number and size of images make a data set with one signature."""
    made = [
        make_batch([GREY], [[BOX]], [[0]], [[[POLYGON]]]),
        make_batch([GREY.T, GREY.T], [[], [BOX, BOX]], [[], [1, 2]], [[], [None, bitmap((50, 40))]]),
    ]
    dataset = tf.data.Dataset.from_generator(lambda: iter(made), output_signature=BATCH_SPEC)
    for ours, theirs in zip(dataset, made):
        for part, again in zip(tf.nest.flatten(ours, True), tf.nest.flatten(theirs, True)):
            np.testing.assert_array_equal(part, again)


def test_arrays_do_as_well_as_lists():
    """A data set in NumPy has its boxes and masks in arrays."""
    masks = np.stack([bitmap(), bitmap()])
    batch = make_batch(GREY[np.newaxis], np.array([[BOX, BOX]]), np.array([[1, 0]]), masks[np.newaxis])
    expected = make_batch([GREY], [[BOX, BOX]], [[1, 0]], [[bitmap(), bitmap()]])
    for ours, theirs in zip(tf.nest.flatten(batch, True), tf.nest.flatten(expected, True)):
        np.testing.assert_array_equal(ours, theirs)


def test_images_without_objects():
    for boxes in ([[]], [np.zeros((0, 4))]):
        batch = make_batch([GREY], boxes, [[]])
        assert batch["boxes"].shape == (1, 1, 4) and batch["classes"].numpy().tolist() == [[-1]]
        assert batch["masks"]["polygons"].shape[0] == batch["masks"]["rles"].shape[0] == 1
        assert batch["masks"]["rles"].to_list() == [[]]


def test_hundreds_of_objects():
    corners = np.random.default_rng(2).integers(0, 30, (400, 2))
    boxes = np.concatenate([corners, corners + 9], axis=1)
    batch = make_batch([GREY], [boxes], [np.arange(400) % 7], [[bitmap(box=box) for box in boxes]])
    rois, image = tf.constant(boxes, tf.float32), tf.zeros([400], tf.int32)
    assert mask_targets(batch["masks"], batch["image_size"], rois, image, tf.range(400), 7).numpy().all()


WRONG = {
    "a batch needs one image at least": {"images": [], "boxes": [], "classes": []},
    "pad_multiple is 48; it must be a multiple of 32": {"pad_multiple": 48},
    "boxes has 2 entries for 1 images": {"boxes": [[BOX], [BOX]]},
    "classes has 0 entries for 1 images": {"classes": []},
    "masks has 2 entries for 1 images": {"masks": [[None], [None]]},
    "crowds has 2 entries for 1 images": {"crowds": [[False], [False]]},
    "image 0 has 1 boxes and 2 classes": {"classes": [[0, 1]]},
    "image 0 has 1 boxes and 0 masks": {"masks": [[]]},
    "image 0 has 1 boxes and 2 crowds": {"crowds": [[True, False]]},
    r"boxes of image 0 have the shape \(1, 3\), not \[N, 4\]": {"boxes": [[[1, 2, 3]]]},
    "image 0 has a class below 0": {"classes": [[-1]]},
    r"classes \[1.7\]; classes are whole numbers": {"classes": [[1.7]]},
    r"classes \[1099511627777\]; classes are whole numbers": {"classes": [[2**40 + 1]]},
    r"image 0 of 50 x 40 px has the box \[nan, ": {"boxes": [[[np.nan, 1, 2, 3]]]},
    r"box \[30.0, 30.0, 10.0, 8.0\]; a box is .* \(not x, y, width, height\)": {"boxes": [[[30, 30, 10, 8]]]},
    r"box \[3.0, 3.0, 3.0, 8.0\]; a box is x1": {"boxes": [[[3, 3, 3, 8]]]},
    r"box \[60.0, 3.0, 70.0, 8.0\]; .* in part in its image": {"boxes": [[[60, 3, 70, 8]]]},
    "a polygon has a number that is not finite": {"masks": [[[[1, 2, 3, 4, 5, np.nan]]]]},
    "rows of an array as lists": {"masks": [[np.ones((40, 50), int).tolist()]]},
    r"a mask has the keys \['counts'\]": {"masks": [[{"counts": [2000]}]]},
    "have the number -5, which is below 0": {"masks": [[{"size": [40, 50], "counts": [-5, 2005]}]]},
    "a mask has a number that is not finite": {"masks": [[np.full((40, 50), np.nan)]]},
    "three points or more": {"masks": [[[[1, 2, 3, 4]]]]},
    r"a mask has the size \[40, 51\] in an image of \[40, 50\]": {"masks": [[np.zeros((40, 51), bool)]]},
    r"a mask has the size \[50, 40\] in an image of": {"masks": [[{"size": [50, 40], "counts": [2000]}]]},
    "run lengths of a mask sum to 1999, not to 40 x 50": {"masks": [[{"size": [40, 50], "counts": [1999]}]]},
    "run lengths of a mask sum to 5, not to 40 x 50": {"masks": [[{"size": [40, 50], "counts": "5"}]]},
    "a compressed RLE ends within a number": {"masks": [[{"size": [40, 50], "counts": b"o"}]]},
    "a number of a compressed RLE has more than 60 bits": {"masks": [[{"size": [40, 50], "counts": "o" * 50}]]},
    "an image must be uint8": {"images": [GREY.astype(np.float32)]},
}


@pytest.mark.parametrize("message", WRONG)
def test_what_does_not_fit_is_named(message):
    with pytest.raises(ValueError, match=message):
        make_batch(**{"images": [GREY], "boxes": [[BOX]], "classes": [[0]], **WRONG[message]})
