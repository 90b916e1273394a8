"""Exported detectors of the whole family give the numbers of the detectors; none needs awsdet's operators."""

import numpy as np
import pytest
import tensorflow as tf

from awsdet.data.coco.shapes import draw_image
from awsdet.export import contract
from awsdet.export.check import compare
from awsdet.export.export import WRITERS
from awsdet.export.exported import Exported
from awsdet.models import builder
from awsdet.runtime.files import write_json
from tests.training import tiny_run

NAMES, IDS = ("box", "disc", "star"), (7, 2, 90)
# With the tests below these are all parts of all six detectors.
CASES = {
    "mask scoring": ("mask_scoring_rcnn",),
    "cascade with masks": ("cascade_mask_rcnn",),
    "RetinaNet": ("retinanet",),
    "in 16 bits": ("mask_rcnn", "model.precision=mixed_bfloat16"),
}


def built(folder, detector, *overrides):
    """An untrained detector whose scores and boxes are spread, as those of a trained one are."""
    path = tiny_run.write_config(folder / "config.py", folder / "no_records")
    own = ["model.rpn.channels=8", f"model.detector={detector}", *overrides]
    made = builder.build(tiny_run.load_config(path, *own), NAMES)
    random = np.random.default_rng(5)
    for variable in made.trainable_variables:
        if "kernel" in variable.name:
            variable.assign(variable + 0.05 * random.normal(size=variable.shape).astype(np.float32))
    return made


def saved(made, folder, masks, target="savedmodel", precision="float32", **options):
    """The Exported of a detector, written to `folder`. options: of the writer."""
    about = {
        "format": contract.FORMAT,
        "target": target,
        "precision": precision,
        "name": made.name,
        "class_names": list(NAMES),
        "category_ids": list(IDS),
        "masks": masks,
        "size": made.input_size._asdict(),
        "mask_threshold": made.mask_threshold,
    }
    WRITERS[target](made, folder, about, **options)
    write_json(folder / contract.INFO, about)
    return Exported(folder)


def pictures(*sizes):
    random = np.random.default_rng(1)
    return [draw_image(size, random)[0] for size in sizes]


@pytest.mark.parametrize("name", CASES)
def test_the_numbers_of_the_detector(tmp_path, name):
    made = built(tmp_path, *CASES[name])
    exported = saved(made, tmp_path / "1", "crop" if builder.has_masks(CASES[name][0]) else "none")
    proto = (tmp_path / "1/saved_model.pb").read_bytes()
    assert b"Awsdet" not in proto
    found = compare(made, exported, pictures(64, 150))
    assert found.objects >= 5
    if "bfloat16" in made.precision:
        assert found.objects > 2 * found.unmatched and found.scores < 0.05  # 8 bits of mantissa
    else:
        assert found.holds(), found
    assert (found.masks is not None) == builder.has_masks(CASES[name][0])


def test_full_masks_and_a_batch_of_encoded_images(tmp_path):
    """Images of two sizes in one request: each gets what it gets alone, with masks in its own frame."""
    made = built(tmp_path, "mask_rcnn")
    exported = saved(made, tmp_path / "1", "full")
    images = pictures(64, 150)
    assert compare(made, exported, images).holds()
    encoded = [tf.io.encode_png(image).numpy() for image in images]
    outputs = exported.signatures[contract.ENCODED](image_bytes=tf.constant(encoded))
    assert outputs["masks"].shape[2:] == tuple(np.max([image.shape[:2] for image in images], axis=0))
    for index, image in enumerate(images):
        alone = exported.find(image)
        count = int(outputs["count"][index])
        assert count == len(alone.scores) > 0
        height, width = image.shape[:2]
        assert outputs["image_size"][index].numpy().tolist() == [height, width]
        np.testing.assert_allclose(outputs["boxes"][index, :count], alone.boxes, atol=1e-3)
        np.testing.assert_array_equal(outputs["masks"][index, :count, :height, :width], alone.bitmaps())
        assert not np.any(outputs["masks"][index, :, height:]) and not np.any(outputs["masks"][index, :, :, width:])
        names = [name.decode() for name in outputs["class_names"][index, :count].numpy()]
        assert names == alone.names and set(outputs["class_names"][index, count:].numpy()) <= {b""}
        ids = outputs["category_ids"][index].numpy().tolist()
        assert ids == [IDS[NAMES.index(name)] for name in names] + [-1] * (len(ids) - count)


def test_a_batch_of_pixels_and_no_masks(tmp_path):
    made = built(tmp_path, "faster_rcnn")
    exported = saved(made, tmp_path / "1", "none")
    image = pictures(100)[0]
    batch = np.stack([image, image[::-1], image[:, ::-1]])
    outputs = exported.signatures[contract.PIXELS](image=tf.constant(batch))
    assert "masks" not in outputs
    for index, one in enumerate(batch):
        alone = exported.find(np.ascontiguousarray(one))
        assert alone.masks is None
        np.testing.assert_allclose(outputs["scores"][index, : len(alone.scores)], alone.scores, atol=1e-5)
