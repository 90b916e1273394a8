"""Few padded sizes, and batches of images of like shape, on invented manifests."""

import numpy as np
import pytest

from awsdet.data.reader import padding, plan
from awsdet.data.reader.augment import Augmentation
from awsdet.data.reader.pipeline import steps_per_epoch
from tests.data.reader.test_plan import make_manifest, options


def manifest_of(*kinds, seed=0):
    """`kinds`: (how many, height, width) of the images, in a random order."""
    sizes = np.concatenate([np.tile([size], (count, 1)) for count, *size in kinds])
    sizes = np.random.default_rng(seed).permutation(sizes)
    return make_manifest(len(sizes), 0)._replace(height=sizes[:, 0], width=sizes[:, 1])


PHOTOS = (
    (400, 480, 640),
    (300, 427, 640),
    (150, 640, 480),
    (60, 640, 640),
    (60, 360, 640),
    (40, 640, 427),
    (20, 300, 640),
    (9, 612, 640),
    (5, 640, 200),
    (7, 333, 500),
)


def planned(manifest, rank=0, world_size=1, epoch=0, **changes):
    records = np.arange(manifest.num_images)
    return plan.train_epoch(manifest, records, options(**changes), 1, epoch, rank, world_size)


def waste(rows):
    return 1 - rows.placement.window.prod(axis=1).sum() / rows.padded.prod(axis=1).sum()


@pytest.mark.parametrize("batch_size", [2, 4, 8])
def test_few_sizes_with_little_padding(batch_size):
    manifest = manifest_of(*PHOTOS)
    few = planned(manifest, batch_size=batch_size, padded_sizes="auto")
    free = planned(manifest, batch_size=batch_size)
    assert len(np.unique(few.padded, axis=0)) <= padding.MOST_SIZES
    assert batch_size > 2 or len(np.unique(free.padded, axis=0)) > padding.MOST_SIZES
    assert waste(few) < waste(free) and waste(few) < 0.1
    sizes = padding.sizes_of(manifest, options(batch_size=batch_size, padded_sizes="auto"))
    assert {tuple(size) for size in few.padded} <= set(map(tuple, sizes.tolist()))


@pytest.mark.parametrize(
    "changes",
    [
        {"short_sides": (800,), "max_long_side": 1333},
        {"short_sides": (500,), "max_long_side": 833},
        {"short_sides": (640, 672, 704, 736, 768, 800)},
        {"short_sides": (800,), "max_long_side": 600},
        {"short_side_range": (320, 800)},
        {"crop": (0.3, 0.3), "crop_keeps_object": True},
        {"pad_multiple": 128},
    ],
    ids=str,
)
@pytest.mark.parametrize("kinds", [PHOTOS, ((50, 1080, 1920),), ((1, 20, 3000), (1, 3000, 20), (1, 1, 1))], ids=len)
def test_every_batch_fits_one_of_the_sizes(kinds, changes):
    manifest, changes = manifest_of(*kinds), {"batch_size": 3, "padded_sizes": "auto", **changes}
    sizes = padding.sizes_of(manifest, options(**changes)).tolist()
    assert len(sizes) <= padding.MOST_SIZES and not np.any(np.array(sizes) % changes.get("pad_multiple", 32))
    for epoch in range(3):
        rows = planned(manifest, epoch=epoch, **changes)
        assert {tuple(size) for size in rows.padded.tolist()} <= set(map(tuple, sizes))
        assert (rows.padded >= rows.placement.window).all()


def test_images_of_one_size_need_one_size():
    manifest = manifest_of((50, 1080, 1920))
    rows = planned(manifest, padded_sizes="auto")
    assert np.unique(rows.padded, axis=0).tolist() == [[768, 1344]]


@pytest.mark.parametrize("world_size", [1, 3, 8])
def test_every_image_comes_once_and_all_ranks_step_alike(world_size):
    manifest, given = manifest_of(*PHOTOS), options(batch_size=2, padded_sizes="auto")
    plans = [planned(manifest, rank, world_size, batch_size=2, padded_sizes="auto") for rank in range(world_size)]
    steps = steps_per_epoch(manifest, given, world_size)
    assert {len(rows.record) for rows in plans} == {2 * steps}
    visits = np.bincount(np.concatenate([rows.record for rows in plans]), minlength=manifest.num_images)
    assert visits.min() == 1 and visits.sum() - manifest.num_images < 2 * world_size


def test_steps_are_shared_by_images_of_one_group_but_for_a_few():
    manifest = manifest_of(*PHOTOS)
    group = padding.groups(manifest, "auto")
    plans = [planned(manifest, rank, 4, batch_size=4, padded_sizes="auto") for rank in range(4)]
    steps = np.stack([group[rows.record].reshape(-1, 4) for rows in plans], axis=1).reshape(-1, 16)
    mixed = (steps != steps[:, :1]).any(axis=1).sum()
    assert 0 < mixed < padding.MOST_SIZES < len(steps)
    # Those that are mixed have neighbours, so that landscapes and portraits hardly meet.
    assert (np.ptp(steps, axis=1) <= group.max() - 1).all()


def test_groups_do_not_depend_on_the_settings_that_may_change_within_an_epoch():
    manifest = manifest_of(*PHOTOS)
    first = planned(manifest, batch_size=4, padded_sizes="auto")
    changes = {"short_sides": (320, 480), "max_long_side": 700, "pad_multiple": 64}
    for other in (
        planned(manifest, batch_size=4, padded_sizes="auto", **changes),
        planned(manifest, batch_size=4, padded_sizes="800x1344,1344x800"),
    ):
        np.testing.assert_array_equal(first.record, other.record)


def test_groups_are_numbered_by_shape_from_wide_to_high():
    manifest = manifest_of(*PHOTOS)
    group, shape = padding.groups(manifest, "auto"), manifest.width / manifest.height
    means = [shape[group == number].mean() for number in range(group.max() + 1)]
    assert len(means) == padding.MOST_SIZES - 1 and means == sorted(means, reverse=True)
    np.testing.assert_array_equal(padding.groups(manifest, ()), shape < 1)


def test_a_batch_takes_the_smallest_size_that_holds_it_or_else_multiples():
    sizes = np.array(padding.parse("800x1344, 1344x800,800x1088,1344x1344", 32))
    windows = np.array([[800, 1067], [800, 1089], [1067, 800], [801, 1089], [1345, 10], [1, 1]])
    found = padding.pad(windows, sizes, 32)
    wanted = [[800, 1088], [800, 1344], [1344, 800], [1344, 1344], [1376, 32], [800, 1088]]
    assert found.tolist() == wanted
    assert padding.pad(windows[:1], (), 32).tolist() == [[800, 1088]]
    text = padding.described(windows, found, sizes)
    assert "1 of 6 images are in batches that fit none of data.padded_sizes, and are padded to 1 other size" in text
    assert "other" not in padding.described(windows[:2], found[:2], sizes)


def test_larger_batches_are_expected_to_draw_larger_sides():
    fields = dict.fromkeys(Augmentation._fields, 0)
    rules = Augmentation(**{**fields, "short_sides": (640, 800), "short_side_range": (0, 0)})
    assert list(padding._largest_short_sides(rules, 1, 32)) == [(640, 0.5), (800, 0.5)]
    assert list(padding._largest_short_sides(rules, 2, 32)) == [(640, 0.25), (800, 0.75)]
    rules = rules._replace(short_side_range=(601, 664))
    assert list(padding._largest_short_sides(rules, 1, 32)) == [(608, 0.125), (640, 0.5), (664, 0.375)]


def test_a_setting_is_read_and_its_faults_are_named():
    assert padding.parse("", 32) == () and padding.parse("auto", 32) == "auto"
    assert padding.parse("64x32,32x32,32x64,32x64", 32) == ((32, 32), (32, 64), (64, 32))
    for text in ("gpu", "800", "800x", "800x1344;64x64", "800 x 1344", "-32x32", ","):
        with pytest.raises(ValueError, match="as in 800x1344,1344x800"):
            padding.parse(text, 32)
    for text in ("800x1333", "0x32", "64x64,96x64"):
        with pytest.raises(ValueError, match="multiples of pad_multiple, 64" if "96" in text else "pad_multiple, 32"):
            padding.parse(text, 64 if "96" in text else 32)
