import json
import shutil

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from pycocotools import mask as coco_mask

from awsdet import config
from awsdet.data.reader.builder import reader_options
from awsdet.data.reader.pipeline import eval_dataset, train_dataset
from awsdet.data.records.convert import convert
from awsdet.data.records.read import read_ground_truth, read_manifest
from awsdet.runtime.errors import UserError


def options(**changes):
    settings = config.mask_rcnn().data
    settings.update({"short_sides": (96,), "eval_short_side": 96, "max_long_side": 160, **changes})
    return reader_options(settings)


def train(manifest, *, seed=1, rank=0, world_size=1, epochs=1, start_step=0, **changes):
    return train_dataset(
        manifest,
        options(**changes),
        seed=seed,
        rank=rank,
        world_size=world_size,
        epochs=epochs,
        start_step=start_step,
    )


def flat(batch):
    """Every tensor of a batch; ragged tensors as their values and splits."""
    return tf.nest.flatten(batch, expand_composites=True)


def assert_same(batches, others):
    assert len(batches) == len(others)
    for batch, other in zip(batches, others):
        for value, expected in zip(flat(batch), flat(other)):
            np.testing.assert_array_equal(value.numpy(), expected.numpy())


@pytest.fixture(scope="module")
def manifest(shapes_records):
    return read_manifest(shapes_records, "train")


def test_a_batch_is_what_the_design_says(manifest):
    data = train(manifest, batch_size=3)
    batch = next(iter(data.dataset))
    height, width = batch["image"].shape[1:3]
    objects = batch["boxes"].shape[1]
    expected = {
        "image": (tf.uint8, (3, height, width, 3)),
        "image_size": (tf.int32, (3, 2)),
        "original_size": (tf.int32, (3, 2)),
        "image_id": (tf.int64, (3,)),
        "boxes": (tf.float32, (3, objects, 4)),
        "classes": (tf.int32, (3, objects)),
        "is_crowd": (tf.bool, (3, objects)),
    }
    assert {key: (batch[key].dtype, tuple(batch[key].shape)) for key in expected} == expected
    assert set(batch) == {*expected, "masks"} and height % 32 == width % 32 == 0
    polygons, rles = batch["masks"]["polygons"], batch["masks"]["rles"]
    assert (polygons.dtype, polygons.ragged_rank) == (tf.float32, 3)
    assert (rles.dtype, rles.ragged_rank) == (tf.int32, 2)
    spec = data.dataset.element_spec
    assert spec["image"].shape.as_list() == [3, None, None, 3] and spec["boxes"].shape.as_list() == [3, None, 4]
    for row in range(3):
        h, w = batch["image_size"][row].numpy()
        assert not batch["image"][row, h:].numpy().any() and not batch["image"][row, :, w:].numpy().any()
        real = int((batch["classes"][row] >= 0).numpy().sum())
        assert polygons[row].nrows() == rles[row].nrows() == real
        assert not batch["boxes"][row, real:].numpy().any() and not batch["is_crowd"][row, real:].numpy().any()


def test_ranks_share_out_an_epoch(manifest):
    for world_size in (1, 3):
        ranks = [train(manifest, rank=r, world_size=world_size, batch_size=2) for r in range(world_size)]
        ids = [[batch["image_id"].numpy() for batch in data.dataset] for data in ranks]
        assert {len(batches) for batches in ids} == {ranks[0].steps_per_epoch}
        seen = np.concatenate([batch for batches in ids for batch in batches])
        assert set(seen) == set(manifest.image_id) and len(seen) - 41 == ranks[0].repeated


@pytest.mark.parametrize("start", [1, 10, 11, 12, 21, 22, 50])
def test_a_run_that_resumes_sees_the_same_batches(manifest, start):
    changes = {"batch_size": 4, "short_sides": (64, 96), "epochs": 2}
    data = train(manifest, **changes)
    assert data.steps_per_epoch == 11
    whole = list(data.dataset)
    assert len(whole) == 22
    assert_same(list(train(manifest, start_step=start, **changes).dataset), whole[start:])


def test_damaged_records_are_named(shapes_records, tmp_path):
    records = tmp_path / "records"
    shutil.copytree(shapes_records, records)
    manifest = read_manifest(records, "train")
    shard = records / manifest.shards[manifest.shard[5]].file
    data = bytearray(shard.read_bytes())
    data[manifest.offset[5] + 300] ^= 1
    shard.write_bytes(data)
    with pytest.raises(
        tf.errors.DataLossError, match=rf"{shard.name} is damaged: the record at byte {manifest.offset[5]} "
    ):
        list(train(manifest).dataset)


def test_batches_do_not_depend_on_threads_or_repetition(manifest):
    first = list(train(manifest, batch_size=4, reader_threads=1).dataset)
    assert_same(list(train(manifest, batch_size=4, reader_threads=7).dataset), first)
    data = train(manifest, batch_size=4)
    assert_same(list(data.dataset), first)
    assert_same(list(data.dataset), first)  # a second pass over the same object
    assert not np.array_equal(
        next(iter(train(manifest, seed=9, batch_size=4).dataset))["image_id"], first[0]["image_id"]
    )


def rasterise(masks, row, size):
    """bool [objects, H, W] of a batch's masks."""
    height, width = size
    pictures = []
    for parts, runs in zip(masks["polygons"][row].to_list(), masks["rles"][row].to_list()):
        picture = np.zeros((height, width), bool)
        if parts:
            picture = coco_mask.decode(coco_mask.merge(coco_mask.frPyObjects(parts, height, width))) > 0
        elif runs:
            assert sum(runs) == height * width
            picture = (
                coco_mask.decode(coco_mask.frPyObjects({"size": [height, width], "counts": runs}, height, width)) > 0
            )
        pictures.append(picture)
    return np.array(pictures).reshape(-1, height, width)


def by_image(dataset):
    """image id -> the image's part of its batch, without padding, masks rasterised."""
    found = {}
    for batch in dataset:
        for row, image_id in enumerate(batch["image_id"].numpy()):
            height, width = batch["image_size"][row].numpy()
            real = batch["classes"][row].numpy() >= 0
            found[int(image_id)] = {
                "image": batch["image"][row, :height, :width].numpy().astype(int),
                "boxes": batch["boxes"][row].numpy()[real],
                "classes": batch["classes"][row].numpy()[real],
                "is_crowd": batch["is_crowd"][row].numpy()[real],
                "masks": rasterise(batch["masks"], row, (height, width)),
            }
    return found


def test_a_flip_mirrors_image_boxes_and_masks_alike(manifest):
    plain = by_image(train(manifest, flip_probability=0.0).dataset)
    flipped = by_image(train(manifest, flip_probability=1.0).dataset)
    assert set(plain) == set(flipped) == set(manifest.image_id)
    compared = 0
    for image_id, one in plain.items():
        other = flipped[image_id]
        width = one["image"].shape[1]
        assert np.abs(other["image"] - one["image"][:, ::-1]).max() <= 1
        np.testing.assert_array_equal(other["classes"], one["classes"])
        np.testing.assert_array_equal(other["is_crowd"], one["is_crowd"])
        mirrored = np.stack([width - one["boxes"][:, 2], one["boxes"][:, 1], width - one["boxes"][:, 0]], axis=1)
        np.testing.assert_allclose(other["boxes"][:, :3], mirrored, atol=1e-4)
        np.testing.assert_array_equal(other["boxes"][:, 3], one["boxes"][:, 3])
        for mask, mirror in zip(other["masks"], one["masks"][:, :, ::-1]):
            assert (mask & mirror).sum() >= 0.97 * (mask | mirror).sum()  # pycocotools rounds edges one way
            compared += 1
    assert compared > 100


def test_masks_fill_their_boxes_and_crowds_have_none(manifest):
    kinds = set()
    for part in by_image(train(manifest).dataset).values():
        for box, is_crowd, mask in zip(part["boxes"], part["is_crowd"], part["masks"]):
            kinds.add(bool(is_crowd))
            if is_crowd:
                assert not mask.any()
                continue
            rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
            np.testing.assert_allclose([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1], box, atol=2.5)
    assert kinds == {False, True}


def test_what_is_read_at_full_size_is_what_the_file_says(shapes_set, manifest):
    """Without a change of size, a batch must hold the very pixels, boxes, polygons and runs of the source."""
    truth = read_ground_truth(manifest)
    annotations = {}
    for annotation in truth["annotations"]:
        annotations.setdefault(annotation["image_id"], []).append(annotation)
    names = {image["id"]: image["file_name"] for image in truth["images"]}
    checked = 0
    dataset = train(manifest, batch_size=1, short_sides=(72,), max_long_side=96, flip_probability=0.0).dataset
    for batch in dataset:
        image_id = int(batch["image_id"][0])
        height, width = batch["original_size"][0].numpy()
        np.testing.assert_array_equal(batch["image_size"][0], [height, width])
        expected = np.asarray(Image.open(shapes_set / "images" / "train" / names[image_id]))
        np.testing.assert_array_equal(batch["image"][0, :height, :width], expected)
        objects = sorted(annotations.get(image_id, []), key=lambda a: a["iscrowd"])
        if not objects:
            assert batch["classes"].numpy().tolist() == [[-1]] and batch["masks"]["rles"].shape[0] == 1
            continue
        x, y, w, h = np.array([a["bbox"] for a in objects]).T
        np.testing.assert_allclose(batch["boxes"][0], np.stack([x, y, x + w, y + h], axis=1), rtol=1e-6)
        classes = [manifest.category_ids.index(a["category_id"]) for a in objects]
        assert batch["classes"][0].numpy().tolist() == classes
        for row, annotation in enumerate(objects):
            polygons, runs = (batch["masks"][key][0, row] for key in ("polygons", "rles"))
            segmentation = annotation["segmentation"]
            if annotation["iscrowd"]:
                assert polygons.nrows() == 0 and not len(runs)
            elif isinstance(segmentation, list):
                np.testing.assert_allclose(polygons.flat_values, np.concatenate(segmentation), rtol=1e-6)
                assert polygons.row_lengths().numpy().tolist() == list(map(len, segmentation)) and not len(runs)
            else:
                assert runs.numpy().tolist() == segmentation["counts"] and polygons.nrows() == 0
            checked += 1
    assert checked == len(truth["annotations"])


def test_evaluation_gives_every_rank_the_batches_of_one(shapes_records):
    manifest = read_manifest(shapes_records, "val")
    settings = options(eval_batch_size=3)
    whole = list(eval_dataset(manifest, settings, rank=0, world_size=1))
    assert len(whole[-1]["image_id"]) == len(manifest.image_id) % 3 == 1  # the last one is short
    for world_size in (2, 7):
        ranks = [list(eval_dataset(manifest, settings, rank=r, world_size=world_size)) for r in range(world_size)]
        dealt = [ranks[i % world_size][i // world_size] for i in range(len(whole))]
        assert sum(map(len, ranks)) == len(whole)
        assert_same(dealt, whole)
    ids = np.concatenate([batch["image_id"] for batch in whole])
    assert sorted(ids) == sorted(manifest.image_id)


def test_images_without_objects_can_be_left_out(manifest):
    empty = int((manifest.num_objects == 0).sum())
    assert empty > 0
    assert train(manifest).num_images == 41
    data = train(manifest, keep_empty=False)
    assert data.num_images == 41 - empty
    assert all((batch["classes"].numpy() >= 0).any(axis=1).all() for batch in data.dataset)


def test_a_set_without_objects_can_be_trained_on_or_is_refused(tmp_path):
    Image.new("RGB", (100, 80)).save(tmp_path / "a.png")
    content = {
        "images": [{"id": 1, "file_name": "a.png", "height": 80, "width": 100}],
        "annotations": [],
        "categories": [{"id": 1, "name": "cat"}],
    }
    (tmp_path / "a.json").write_text(json.dumps(content))
    manifest = convert(tmp_path / "a.json", tmp_path, tmp_path / "records", "train", workers=1)
    batch = next(iter(train(manifest, batch_size=2).dataset))
    assert batch["image_id"].numpy().tolist() == [1, 1]  # the one image, shown twice
    assert batch["classes"].numpy().tolist() == [[-1], [-1]]
    assert batch["masks"]["polygons"].to_list() == [[], []] == batch["masks"]["rles"].to_list()
    with pytest.raises(UserError, match="no image to train on"):
        train(manifest, keep_empty=False)


def test_real_coco_is_read_in_full(coco_tiny, coco_records):
    manifest = read_manifest(coco_records, "train")
    source = json.loads((coco_tiny / "annotations" / "instances_train2017.json").read_text())
    areas = {}
    for annotation in source["annotations"]:
        areas.setdefault(annotation["image_id"], []).append(annotation)
    seen = 0
    settings = {"batch_size": 4, "short_sides": (256,), "max_long_side": 512}
    for image_id, part in by_image(train(manifest, **settings).dataset).items():
        objects = sorted(areas.get(image_id, []), key=lambda a: a["iscrowd"])
        row = manifest.image_id.tolist().index(image_id)
        scale_y, scale_x = np.array(part["image"].shape[:2]) / (manifest.height[row], manifest.width[row])
        for annotation, box, is_crowd, mask in zip(objects, part["boxes"], part["is_crowd"], part["masks"]):
            assert is_crowd == annotation["iscrowd"]
            w, h = annotation["bbox"][2] * scale_x, annotation["bbox"][3] * scale_y
            np.testing.assert_allclose([box[2] - box[0], box[3] - box[1]], [w, h], atol=1e-3)
            if not is_crowd and annotation["area"] * scale_x * scale_y > 200:
                assert mask.sum() == pytest.approx(annotation["area"] * scale_x * scale_y, rel=0.25)
            seen += 1
    assert seen == 705
