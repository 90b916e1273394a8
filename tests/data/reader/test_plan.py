"""The plan of an epoch, on invented manifests; no image is read."""

import numpy as np
import pytest
import tensorflow as tf

from awsdet import config
from awsdet.data.coco.anomalies import Anomalies
from awsdet.data.reader import padding, plan
from awsdet.data.reader.builder import reader_options
from awsdet.data.records.manifest import AWSDET, Manifest


def make_manifest(landscapes, portraits, seed=0):
    rng = np.random.default_rng(seed)
    count = landscapes + portraits
    short, long = rng.integers(300, 480, count), rng.integers(480, 641, count)
    portrait = rng.permutation(count) < portraits
    return Manifest(
        directory=None,
        split="train",
        layout=AWSDET,
        class_names=("a",),
        category_ids=(1,),
        shards=(),
        source={},
        anomalies=Anomalies(),
        has_masks=True,
        shard=np.zeros(count, np.int32),
        offset=np.zeros(count, np.int64),
        length=np.zeros(count, np.int64),
        image_id=np.arange(count),
        height=np.where(portrait, long, short).astype(np.int32),
        width=np.where(portrait, short, long).astype(np.int32),
        num_objects=rng.integers(0, 20, count).astype(np.int32),
    )


def options(**changes):
    settings = config.mask_rcnn().data
    settings.update(changes)
    return reader_options(settings)


def epoch_plans(manifest, world_size, seed=1, epoch=0, **changes):
    records, given = np.arange(manifest.num_images), options(**changes)
    return [plan.train_epoch(manifest, records, given, seed, epoch, r, world_size) for r in range(world_size)]


SIZES = [(37, 20), (64, 0), (0, 5), (1, 0), (3, 2), (101, 99)]


@pytest.mark.parametrize("world_size", [1, 2, 3, 8])
@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_an_epoch_visits_every_image_once_over_all_ranks(sizes, world_size):
    manifest = make_manifest(*sizes)
    plans = epoch_plans(manifest, world_size, batch_size=2)
    steps = plan.steps_per_epoch(np.arange(sum(sizes)), padding.groups(manifest, ()), 2 * world_size)
    assert {len(p.record) for p in plans} == {steps * 2}
    visits = np.bincount(np.concatenate([p.record for p in plans]), minlength=sum(sizes))
    repeated = steps * 2 * world_size - sum(sizes)
    assert visits.min() >= 1 and 0 <= repeated < 2 * world_size
    assert (visits - 1).sum() == repeated  # images repeat only to complete the last global batch,
    assert visits.max() - visits.min() <= 1  # and evenly, however few images there are


@pytest.mark.parametrize("world_size", [1, 3])
def test_a_global_batch_has_one_orientation_but_for_the_last_ones(world_size):
    manifest = make_manifest(101, 58)
    plans = epoch_plans(manifest, world_size, batch_size=4)
    landscape = (manifest.width >= manifest.height)[np.stack([p.record.reshape(-1, 4) for p in plans], axis=1)]
    mixed = [step for step in landscape if step.any() and not step.all()]
    assert len(mixed) <= 1
    # Even in the mixed batch at most one rank has both.
    assert all(sum(rank.any() and not rank.all() for rank in step) <= 1 for step in mixed)


def test_order_flips_and_scales_follow_seed_and_epoch():
    manifest = make_manifest(50, 30)
    changes = {"batch_size": 4, "short_sides": (640, 720, 800), "max_long_side": 2000}
    (first,), (again,) = (epoch_plans(manifest, 1, **changes) for _ in range(2))
    tf.nest.map_structure(np.testing.assert_array_equal, first, again)
    for other in (epoch_plans(manifest, 1, seed=2, **changes)[0], epoch_plans(manifest, 1, epoch=1, **changes)[0]):
        assert (other.record != first.record).mean() > 0.5
        assert (other.placement.flip != first.placement.flip).mean() > 0.2
    assert 0.3 < first.placement.flip.mean() < 0.7
    shorts = np.unique(first.placement.size.min(axis=1), return_counts=True)
    assert shorts[0].tolist() == [640, 720, 800] and shorts[1].min() > 10
    assert not epoch_plans(manifest, 1, flip_probability=0.0)[0].placement.flip.any()
    assert epoch_plans(manifest, 1, flip_probability=1.0)[0].placement.flip.all()
    assert not np.array_equal(epoch_plans(manifest, 1, seed=-3)[0].record, first.record)


def test_the_world_size_does_not_change_which_images_an_epoch_shows():
    manifest = make_manifest(32, 16)  # nothing to complete
    for world_size in (1, 2, 4):
        records = np.concatenate([p.record for p in epoch_plans(manifest, world_size)])
        assert sorted(records) == list(range(48))


@pytest.mark.parametrize("multiple", [32, 64, 96])
def test_a_batch_is_padded_to_its_own_largest(multiple):
    manifest = make_manifest(21, 20)
    for part in epoch_plans(manifest, 2, batch_size=3, pad_multiple=multiple):
        sizes, padded, objects = (
            part.placement.window.reshape(-1, 3, 2),
            part.padded.reshape(-1, 3, 2),
            part.objects.reshape(-1, 3),
        )
        assert (padded == padded[:, :1]).all() and (objects == objects[:, :1]).all()
        assert (padded % multiple == 0).all()
        largest = sizes.max(axis=1)
        assert (padded[:, 0] >= largest).all() and (padded[:, 0] < largest + multiple).all()
        expected = np.maximum(manifest.num_objects[part.record].reshape(-1, 3).max(axis=1), 1)
        np.testing.assert_array_equal(objects[:, 0], expected)


def test_a_batch_without_objects_has_room_for_one():
    manifest = make_manifest(4, 0)._replace(num_objects=np.zeros(4, np.int32))
    assert set(epoch_plans(manifest, 1)[0].objects) == {1}


def test_only_the_images_asked_for_are_shown():
    manifest = make_manifest(30, 17)
    records = np.flatnonzero(manifest.num_objects > 9)
    part = plan.train_epoch(manifest, records, options(batch_size=2), 1, 0, 0, 1)
    assert set(part.record) == set(records)


@pytest.mark.parametrize("world_size", [1, 2, 3, 8, 100])
@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_an_evaluation_sees_each_image_once_in_the_same_batches(sizes, world_size):
    manifest = make_manifest(*sizes)
    given = options(eval_batch_size=4)

    def batches(part):
        starts = range(0, len(part.record), 4)
        return [tuple(map(tuple, (part.record[s : s + 4], *part.padded[s : s + 4]))) for s in starts]

    whole = batches(plan.evaluation(manifest, given, 0, 1))
    dealt = [batches(plan.evaluation(manifest, given, rank, world_size)) for rank in range(world_size)]
    assert sorted(batch for rank in dealt for batch in rank) == sorted(whole)
    assert sorted(np.concatenate([batch[0] for batch in whole])) == list(range(sum(sizes)))
    assert all(len(batch[0]) == 4 for batch in whole[:-1])
    assert max(map(len, dealt)) - min(map(len, dealt)) <= 1


def test_an_evaluation_wastes_little_padding():
    manifest = make_manifest(400, 100)
    part = plan.evaluation(manifest, options(eval_batch_size=4), 0, 1)
    share = part.placement.size.prod(axis=1).sum() / part.padded.prod(axis=1).sum()
    assert share > 0.95
    assert not part.placement.flip.any() and not part.placement.corner.any()
