"""How far a run has got, over worlds of different sizes; and what checkpoints say of it."""

import json

import pytest

from awsdet.data.reader.position import Position
from awsdet.training.pace import Pace, Reference
from awsdet.training.progress import Progress
from awsdet.training.steps import Mark, Steps


def walk(steps, count):
    for _ in range(count):
        steps.on_train_batch_end(0)
    return steps


def test_steps_of_a_run_that_does_not_change():
    steps = Steps(0, per_epoch=5, total=12)
    seen = []
    for _ in range(12):
        walk(steps, 1)
        seen.append((steps.step, steps.epoch, steps.rest, steps.at_epoch_end, steps.current_epoch, steps.epochs))
    assert seen[0] == (1, 0, 4, False, 1, 0.2) and seen[4] == (5, 1, 5, True, 1, 1.0)
    assert seen[6] == (7, 1, 3, False, 2, 1.4) and seen[11] == (12, 2, 3, True, 3, 2.4)
    assert steps.last_epoch == 3 and steps.updated == steps.mark


@pytest.mark.parametrize(
    "per_epoch, total, count, wanted",
    [
        (5, 100, 4, [25, 50, 75, 100]),
        (10, 100, 3, [40, 70, 100]),  # the ends of the epochs in which 33.3 and 66.7 lie
        (30, 100, 8, [30, 60, 90, 100]),  # fewer epochs than that
        (7, 20, 1, [20]),
        (50, 20, 8, [20]),
        (1, 5, 8, [1, 2, 3, 4, 5]),
    ],
)
def test_even_shares_of_a_run_end_with_epochs(per_epoch, total, count, wanted):
    steps = Steps(0, per_epoch, total)
    assert [steps.step for _ in range(total) if walk(steps, 1).at_share(count)] == wanted


def test_an_epoch_that_other_processes_began_ends_where_its_images_do():
    """3 steps of 4 images are behind it; 5 steps of 2 are left, then come epochs of 11."""
    start = Mark(3, 12, Position(0, ((4, 3),)))
    steps = Steps(start, per_epoch=11, total=3 + 5 + 11, left=5, images=2)
    assert not steps.at_epoch_end and (steps.epoch, steps.rest, steps.last_epoch) == (0, 5, 2)
    walk(steps, 4)
    assert steps.mark == Mark(7, 20, Position(0, ((4, 3), (2, 4)))) and steps.current_epoch == 1
    walk(steps, 1)
    assert steps.at_epoch_end and steps.mark == Mark(8, 22, Position(1)) and steps.epochs == 1.0
    walk(steps, 2)
    assert steps.mark.position == Position(1, ((2, 2),)) and steps.rest == 9
    walk(steps, 9)
    assert steps.at_epoch_end and steps.step == steps.total and steps.epoch == 2


def test_the_last_update_is_known_across_an_epoch():
    start = Mark(3, 12, Position(0, ((4, 3),)))
    steps = Steps(start, per_epoch=11, total=100, left=5, images=2, accumulate=3)
    assert steps.updated == start and steps.at_update
    assert walk(steps, 2).updated == start and not steps.at_update
    assert walk(steps, 1).updated == Mark(6, 18, Position(0, ((4, 3), (2, 3)))) and steps.at_update
    assert walk(steps, 4).updated == Mark(9, 24, Position(1, ((2, 1),)))  # step 10 lies in an update


def test_a_run_resumed_within_an_update_knows_where_that_began():
    steps = Steps(Mark(5, 10), 20, 40, 20, 2, accumulate=4, updated=Mark(4, 8))
    assert walk(steps, 2).updated.step == 4 and walk(steps, 1).updated.step == 8


PROGRESS = Progress(
    mark=Mark(7, 20, Position(1, ((4, 2), (2, 3)))),
    updated=Mark(6, 18, Position(1, ((4, 2), (2, 2)))),
    images=2,
    accumulate=2,
    processes=1,
    reference=Reference(4, 1),
    schedule=4.5,
    seconds=12.5,
    metrics={"box_ap": 0.1},
    elastic=True,
)


def test_a_checkpoint_says_how_far_the_run_had_got():
    info = json.loads(json.dumps(PROGRESS.as_info()))
    assert Progress.from_info(info) == PROGRESS
    assert (info["step"], info["epoch"], info["images_per_step"]) == (7, 1, 2)


def test_a_checkpoint_older_than_elastic_runs():
    config = {"train": {"accumulate_steps": 2}, "data": {"batch_size": 2}}
    info = {"step": 7, "steps_per_epoch": 5, "images_per_step": 4, "seconds": 9.0, "metrics": None, "config": config}
    found = Progress.from_info(info)
    assert found.mark == Mark(7, 28, Position(1, ((4, 2),))) and found.updated == Mark(6, 24, Position(1, ((4, 1),)))
    assert found.reference == Reference(4, 2) and found.processes == 2 and not found.elastic


@pytest.mark.parametrize(
    "pace, processes, step",
    [
        (Pace(2, 2, 1.0), 1, 7),  # goes on within the update
        (Pace(2, 2, 1.0), 2, 6),  # the checkpoint has the sums of rank 0 only
        (Pace(4, 1, 1.0), 1, 6),
        (Pace(2, 1, 0.5), 1, 6),
    ],
)
def test_other_processes_go_on_at_the_last_update(pace, processes, step):
    found = PROGRESS.at(pace, processes)
    assert found.mark.step == step and (found.metrics is None) == (step == 6)
    whole = PROGRESS._replace(updated=PROGRESS.mark)
    assert whole.at(pace, processes) == whole
