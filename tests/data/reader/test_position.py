"""An epoch read by one number of processes after the other shows every image once."""

import json

import numpy as np
import pytest

from awsdet.data.reader import plan
from awsdet.data.reader.pipeline import steps_left
from awsdet.data.reader.position import Position
from tests.data.reader.test_plan import SIZES, make_manifest, options

BATCH = 2


def test_segments_of_one_size_are_one():
    position = Position(3).advanced(8, 2).advanced(8, 0).advanced(8, 3)
    assert position == Position(3, ((8, 5),))
    position = position.advanced(4, 1).advanced(8, 2)
    assert position.segments == ((8, 5), (4, 1), (8, 2))
    assert position.split(8) == (((8, 5), (4, 1)), 2)
    assert position.split(4) == (position.segments, 0)
    assert Position().split(4) == ((), 0)


def test_a_position_survives_json():
    position = Position(3, ((8, 5), (4, 1)))
    assert Position.of(json.loads(json.dumps(position))) == position
    assert Position.of(json.loads(json.dumps(Position()))) == Position()


def read(manifest, worlds, given, epoch=1):
    """Reads an epoch: `worlds` are (processes, steps), the last of which reads on to the end.

    Returns, of each world, the rows of its steps over all ranks: int [steps, images].
    """
    records, position, parts = np.arange(manifest.num_images), Position(epoch), []
    for number, (processes, steps) in enumerate(worlds):
        images = BATCH * processes
        left = steps_left(manifest, given, 1, position, images)
        steps = left if number == len(worlds) - 1 else min(steps, left)
        earlier, skip = position.split(images)
        if steps:
            ranks = [
                plan.train_epoch(manifest, records, given, 1, epoch, rank, processes, earlier).record
                for rank in range(processes)
            ]
            rows = np.stack([rank.reshape(-1, BATCH) for rank in ranks], axis=1).reshape(-1, images)
            assert len(rows) == skip + left
            parts.append(rows[skip : skip + steps])
        position = position.advanced(images, steps)
    return parts


WORLDS = [
    [(2, 3), (1, 4), (3, 99)],
    [(4, 1), (4, 2), (4, 99)],
    [(1, 1), (5, 1), (1, 1), (5, 1), (2, 99)],
    [(3, 99), (2, 99)],
]


@pytest.mark.parametrize("padded_sizes", ["", "auto"])
@pytest.mark.parametrize("worlds", WORLDS, ids=str)
@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_every_image_comes_once_over_all_worlds(sizes, worlds, padded_sizes):
    """Images beyond that only complete batches: less than one batch per world."""
    manifest, given = make_manifest(*sizes), options(batch_size=BATCH, padded_sizes=padded_sizes)
    parts = read(manifest, worlds, given)
    visits = np.bincount(np.concatenate([part.ravel() for part in parts]), minlength=sum(sizes))
    assert visits.min() >= 1
    assert visits.sum() - sum(sizes) < sum(BATCH * processes for processes, _ in worlds)


def test_without_the_rule_images_would_be_missed_or_repeated():
    """The batches of a world are not those that another world would have had: so the plans must be joined."""
    manifest, given = make_manifest(37, 20), options(batch_size=BATCH)
    first, second = read(manifest, [(2, 5), (1, 99)], given)
    alone = read(manifest, [(1, 99)], given)[0]
    assert set(second.ravel()) != set(alone[10:].ravel())


@pytest.mark.parametrize("padded_sizes", ["", "auto"])
def test_an_interruption_changes_nothing_if_the_processes_stay_as_many(padded_sizes):
    manifest, given = make_manifest(37, 20), options(batch_size=BATCH, padded_sizes=padded_sizes)
    whole = read(manifest, [(2, 99)], given)[0]
    parts = read(manifest, [(2, 3), (2, 5), (2, 99)], given)
    np.testing.assert_array_equal(np.concatenate(parts), whole)


def test_other_sizes_draw_other_flips():
    """A world's draws do not repeat those that its images had, or would have had, in an earlier plan."""
    manifest, given = make_manifest(64, 0), options(batch_size=BATCH)
    records = np.arange(64)
    plans = [plan.train_epoch(manifest, records, given, 1, 0, 0, 1, segments) for segments in ((), ((4, 1),))]
    assert len(plans[1].record) == 60
    assert not np.array_equal(plans[0].placement.flip[:60], plans[1].placement.flip)
