"""Copy-paste in the reader: what the plan draws, and whole batches against the slow twin."""

import numpy as np
import pytest
import tensorflow as tf

from awsdet.data.reader import parsing, plan
from awsdet.data.reader.pipeline import train_dataset
from awsdet.data.records.read import read_manifest
from awsdet.ops.annotations import Annotations
from awsdet.ops.copy_paste import Scenes
from awsdet.ops.reference import copy_paste as plain
from awsdet.ops.reference.bitmap import box_around, mask_of
from awsdet.runtime.errors import UserError
from tests.data.reader.test_plan import epoch_plans, make_manifest, options

CANVAS = {"canvas": 128, "jitter_scales": (0.5, 1.6)}
PASTED = {**CANVAS, "copy_paste": 0.7, "copy_paste_objects": 3}


@pytest.fixture(scope="module")
def manifest(shapes_records):
    return read_manifest(shapes_records, "val")


def batches(manifest, epochs=1, **changes):
    given = options(batch_size=3, boxes_from_masks=True, **changes)
    return list(train_dataset(manifest, given, seed=5, rank=0, world_size=1, epochs=epochs).dataset)


def test_what_is_drawn_for_partners():
    """They are the same over all ranks; their own jitter and flip; with objects; and the images stay as they were."""
    manifest = make_manifest(300, 200)
    changes = {"batch_size": 4, "canvas": 1024}
    (before,) = epoch_plans(manifest, 1, **changes)
    (found,) = epoch_plans(manifest, 1, copy_paste=0.25, copy_paste_objects=9, **changes)
    for name in ("record", "placement", "others", "padded"):
        tf.nest.map_structure(np.testing.assert_array_equal, getattr(before, name), getattr(found, name))
    partner = found.partner
    present = partner["present"]
    assert before.partner == {} and present.mean() == pytest.approx(0.25, abs=0.06)
    assert (manifest.num_objects[partner["record"]] > 0).all()
    assert len(np.unique(partner["record"])) > 250 and (partner["record"] != found.record).mean() > 0.9
    placement = partner["placement"]
    assert (placement.corner + placement.window <= placement.size).all() and (placement.window <= 1024).all()
    for part in (*placement[:1], placement.window, partner["original_size"]):
        assert (part[~present] == 1).all() and (part[present] > 1).all()
    assert 0.4 < placement.flip.mean() < 0.6 and 0.4 < (placement.flip != found.placement.flip).mean() < 0.6
    pasted = np.minimum(np.where(present, manifest.num_objects[partner["record"]], 0), 9)
    rows = (manifest.num_objects[found.record] + pasted).reshape(-1, 4).max(axis=1)
    np.testing.assert_array_equal(found.objects, np.repeat(np.maximum(rows, 1), 4))
    assert partner["share"].dtype == np.float32 and 0 <= partner["share"].min() and partner["share"].max() < 1
    assert len(np.unique(partner["key"])) == len(found.record)


@pytest.mark.parametrize("world_size", [2, 3])
def test_partners_do_not_depend_on_the_number_of_ranks(world_size):
    manifest = make_manifest(31, 17)
    ranks = epoch_plans(manifest, world_size, batch_size=6 // world_size, canvas=1024, copy_paste=0.5)
    (whole,) = epoch_plans(manifest, 1, batch_size=6, canvas=1024, copy_paste=0.5)

    def dealt(*parts):
        return np.concatenate([p.reshape(-1, 6 // world_size, *p.shape[1:]) for p in parts], axis=1).reshape(
            -1, *parts[0].shape[1:]
        )

    together = tf.nest.map_structure(dealt, *(part.partner for part in ranks))
    tf.nest.map_structure(np.testing.assert_array_equal, together, whole.partner)


def test_every_image_comes_once_over_changes_of_the_number_of_processes():
    """Partners come in addition, and those of the rest of an epoch are drawn anew."""
    manifest, given = make_manifest(40, 24), options(batch_size=2, canvas=1024, copy_paste=1.0)
    records = np.arange(64)
    first = plan.train_epoch(manifest, records, given, 1, 0, 0, 2)
    rest = plan.train_epoch(manifest, records, given, 1, 0, 0, 1, ((4, 3),))
    other = plan.train_epoch(manifest, records, given, 1, 0, 1, 2)
    seen = [first.record[:6], other.record[:6], rest.record]
    assert sorted(np.concatenate(seen)) == list(range(64))
    assert (rest.partner["record"][:32] != first.partner["record"]).mean() > 0.8


def scenes(batch):
    annotations = Annotations(batch["boxes"], batch["classes"], batch["is_crowd"], *batch["masks"].values())
    return Scenes(batch["image"], batch["image_size"], annotations)


def test_batches_are_those_of_the_slow_twin(manifest):
    """Bases as they are without copy-paste, partners read one by one; then pixels, windows, boxes, masks and order."""
    given = options(batch_size=3, boxes_from_masks=True, **PASTED)
    rows = plan.train_epoch(manifest, np.arange(manifest.num_images), given, 5, 0, 0, 1)
    paths = [str(manifest.directory / shard.file) for shard in manifest.shards]
    payloads = list(tf.data.TFRecordDataset(paths).as_numpy_iterator())
    parse = parsing.parser(manifest, given.augmentation)
    pasted = unlike = 0
    found, bases = batches(manifest, **PASTED), batches(manifest, **CANVAS)
    assert len(found) == len(bases) == 5
    for step, (batch, base) in enumerate(zip(found, bases)):
        mine = tf.nest.map_structure(lambda part, step=step: part[3 * step : 3 * step + 3], rows)
        partner = mine.partner
        theirs = dict(partner, others={}, partner={}, padded=mine.padded[0], objects=np.int32(30))
        theirs["image_id"] = manifest.image_id[partner["record"]]
        original = np.stack([manifest.height[partner["record"]], manifest.width[partner["record"]]], axis=1)
        one = parse([payloads[record] for record in partner["record"]], [], {**theirs, "original_size": original})
        absent = ~partner["present"]
        classes = tf.where(absent[:, None], -1, one["classes"])
        empty = {kind: ragged_without(one["masks"][kind], absent) for kind in ("polygons", "rles")}
        one.update(classes=classes, masks=empty, image_size=tf.where(absent[:, None], 1, one["image_size"]))
        draws = {"share": partner["share"], "key": partner["key"], "rows": int(mine.objects[0]), "most": 3}
        expected = plain.copy_paste(scenes(base), scenes(one), **draws)
        compare(scenes(batch), expected)
        np.testing.assert_array_equal(batch["image_id"], base["image_id"])
        alone = ~np.any(batch["image"] != base["image"], axis=(1, 2, 3))
        assert alone[absent].all()
        pasted += int((batch["classes"].numpy() >= 0).sum() - (base["classes"].numpy() >= 0).sum())
        unlike += int((~alone).sum())
        assert batch["image"].shape == (3, 128, 128, 3)
    assert pasted > 3 and 3 < unlike < 12


def ragged_without(ragged, absent):
    rows = [[] if gone else row for gone, row in zip(absent, ragged.to_list())]
    return tf.ragged.constant(rows, ragged.dtype, ragged.ragged_rank, row_splits_dtype=tf.int64)


def compare(found, expected):
    for one, other in zip(*(tf.nest.flatten(value, expand_composites=True) for value in (found, expected))):
        np.testing.assert_array_equal(one, other)


def test_boxes_from_masks_change_the_boxes_of_what_is_cut(manifest):
    changes = {"canvas": 96, "jitter_scales": (1.5, 2.0), "batch_size": 3}
    ranks = {"seed": 2, "rank": 0, "world_size": 1, "epochs": 1}
    given = [options(boxes_from_masks=value, **changes) for value in (True, False)]
    changed = same = 0
    for batch, plain_batch in zip(*(train_dataset(manifest, one, **ranks).dataset for one in given)):
        np.testing.assert_array_equal(batch["image"], plain_batch["image"])
        for i in range(3):
            polygons, runs = batch["masks"]["polygons"][i].to_list(), batch["masks"]["rles"][i].to_list()
            known = {str(mask): row for row, mask in enumerate(plain_batch["masks"]["polygons"][i].to_list())}
            for row, own in enumerate(polygons):
                if not own:
                    continue
                box, other = batch["boxes"][i, row].numpy(), plain_batch["boxes"][i, known[str(own)]].numpy()
                if (box == other).all():
                    same += 1
                    continue
                changed += 1
                np.testing.assert_array_equal(box, box_around(mask_of(own, runs[row], batch["image_size"][i].numpy())))
    assert changed > 5 and same > 5


def test_records_from_which_nothing_can_be_pasted_are_refused(manifest):
    given = options(batch_size=2, **PASTED)
    ranks = {"seed": 1, "rank": 0, "world_size": 1, "epochs": 1}
    for changes in ({"has_masks": False}, {"num_objects": np.zeros_like(manifest.num_objects)}):
        with pytest.raises(UserError, match="^data.copy_paste is set, but no object of split val in .* has a mask"):
            train_dataset(manifest._replace(**changes), given, **ranks)
