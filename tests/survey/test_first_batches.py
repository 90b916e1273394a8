"""What training sees, on the page of its split: the batches of the reader itself."""

import io
import re

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from pycocotools import mask as coco_mask

from awsdet import config as configs
from awsdet.cli.main import main
from awsdet.data.reader.pipeline import train_dataset
from awsdet.data.records.inspection import inspect
from awsdet.inference.annotated import annotated_objects
from awsdet.runtime.errors import UserError
from awsdet.survey import builder, pictures
from awsdet.survey.first_batches import SHOWN, first_images
from tests.survey.test_pages import sections

CHANGES = ("data.canvas=96", "data.copy_paste=1", "data.boxes_from_masks=true", "data.batch_size=5", "seed=7")
TITLE = "As training sees them"


def training_of(*changes):
    config = configs.mask_rcnn()
    for change in changes:
        configs.apply_override(config, change)
    return builder.training(config)


def reader_batches(manifest, training):
    return list(train_dataset(manifest, training.options, seed=training.seed, rank=0, world_size=1, epochs=1).dataset)


@pytest.fixture(scope="module")
def train(odd_records):
    return inspect(odd_records, "train", look=True)[0]


def test_the_page_shows_the_first_batches_of_the_run(odd_records, train, tmp_path, capsys):
    flags = [f"--config.{change}" for change in CHANGES]
    assert main(["inspect", f"--records={odd_records}", f"--draw={tmp_path / 'pages'}", *flags]) == 0
    files, text = sections(tmp_path / "pages/train/index.html")[TITLE]
    batches = reader_batches(train.manifest, training_of(*CHANGES))
    ids = np.concatenate([batch["image_id"] for batch in batches])[:SHOWN]
    counts = np.concatenate([np.sum(batch["classes"].numpy() >= 0, axis=1) for batch in batches])[:SHOWN]
    assert len(files) == SHOWN and re.findall(r"image (\d+) ", text) == [str(one) for one in ids]
    assert [int(found) for found in re.findall(r"(\d+) annotations?", text)] == counts.tolist()
    assert counts.sum() > 20 and text.count("of 96 × 96 px") == SHOWN and "(seed 7)" in text
    assert all(Image.open(tmp_path / "pages/train" / name).size == (420, 420) for name in files)
    assert TITLE not in (tmp_path / "pages/val/index.html").read_text() and "no image as" not in capsys.readouterr().out


def test_pictures_are_those_of_the_batch(train):
    """Of images without objects every pixel, up to JPEG; padding too. Of others, boxes and masks are where they are."""
    training = training_of("data.canvas=448", "data.jitter_scales=0.5,0.9", "data.flip_probability=1")
    plain = 0
    for batch, index in first_images(train, training):
        picture = pictures.of_batch(train, batch, index)
        pixels = np.asarray(Image.open(io.BytesIO(picture.jpeg))).astype(int)
        expected, (height, width) = batch["image"][index].numpy(), batch["image_size"][index].numpy()
        assert pixels.shape == expected.shape and height < 448 and width < 448
        assert picture.original == (120, 160) and np.abs(pixels[height + 8 :]).max() < 12
        boxes = batch["boxes"][index].numpy()[batch["classes"][index].numpy() >= 0].astype(int)
        plain += not len(boxes)
        for x1, y1, x2, y2 in boxes:
            if x2 - x1 > 30 and y2 - y1 > 30:  # its outline
                assert np.abs(pixels - expected)[y1 + 10 : y2 - 10, x1 : x1 + 2].mean() > 15
        far = np.ones(expected.shape[:2], bool)
        for x1, y1, x2, y2 in boxes:
            far[max(y1 - 30, 0) : y2 + 9, max(x1 - 9, 0) : x2 + 9 if x2 - x1 > 200 else x1 + 260] = False
        assert np.abs(pixels - expected)[far].mean() < 4
    assert plain == 1


def test_crowds_and_masks_are_drawn_as_such():
    batch = {
        "image_size": tf.constant([[10, 20]]),
        "boxes": tf.constant([[[1.0, 2, 5, 6], [0, 0, 9, 9], [3, 3, 8, 8], [0, 0, 0, 0]]]),
        "classes": tf.constant([[1, 0, 1, -1]]),
        "is_crowd": tf.constant([[False, True, False, False]]),
        "masks": {
            "polygons": tf.ragged.constant([[[[1.0, 2, 5, 2, 5, 6, 1, 6]], [], []]]),
            "rles": tf.ragged.constant([[[], [], [30, 20, 150]]]),
        },
    }
    one, crowd, other = annotated_objects(batch, 0, ["a", "b"])
    assert (one.box, one.label, one.outline, one.class_index) == ((1, 2, 5, 6), "b", "solid", 1)
    assert (crowd.label, crowd.outline, crowd.mask) == ("a (crowd)", "dashed", None)
    assert coco_mask.decode(one.mask).sum() == 16 and coco_mask.decode(other.mask)[:, 3:5].all()
    assert coco_mask.decode(other.mask).shape == (10, 20) and coco_mask.decode(other.mask).sum() == 20


@pytest.mark.parametrize(
    "changes, replaced, words",
    [
        (
            ("data.canvas=96", "data.copy_paste=1"),
            {"has_masks": False},
            "data.copy_paste is set, but no object of split",
        ),
        (("data.keep_empty=false",), {"num_objects": np.zeros(12, np.int32)}, "has no image to train on"),
    ],
)
def test_what_a_run_would_refuse_is_told(train, changes, replaced, words):
    broken = train._replace(manifest=train.manifest._replace(**replaced))
    with pytest.raises(UserError, match=words):
        list(first_images(broken, training_of(*changes)))


def test_broken_records_are_told_on_the_page_and_other_splits_in_the_terminal(odd_records, train, tmp_path, capsys):
    with pytest.raises(UserError, match="the records are broken, so none is shown"):
        list(first_images(train._replace(faults=["shard x is broken"]), training_of()))
    manifest = train.manifest._replace(offset=train.manifest.offset + 1)
    with pytest.raises(UserError, match="a record cannot be read; awsdet convert writes it again"):
        list(first_images(train._replace(manifest=manifest), training_of()))
    flags = ["--split=val", "--config.data.batch_size=1", f"--draw={tmp_path / 'pages'}"]
    assert main(["inspect", f"--records={odd_records}", *flags]) == 0
    assert "no image as training sees it: that is split 'train' (data.train_split)" in capsys.readouterr().out
