"""Where the ranks of a world go on: they agree on the newest commit, and a process that does not fit leaves."""

import types

import numpy as np
import pytest
import tensorflow as tf

from awsdet import config as config_module
from awsdet.runtime.errors import UserError
from awsdet.runtime.world import Unfit, World
from awsdet.training import starting
from awsdet.training.batches import DatasetBatches
from awsdet.training.committing import Commit
from awsdet.training.fingerprint import sources_digest
from awsdet.training.pace import Pace, Reference
from awsdet.training.progress import Progress
from awsdet.training.run import Timer
from awsdet.training.snapshot import Snapshot
from awsdet.training.steps import Mark
from tests.runtime.thread_world import ThreadWorld


def progress(step):
    mark = Mark(step, 4 * step)
    return Progress(mark, mark, images=4, accumulate=1, processes=2, reference=Reference(4), elastic=True)


def parts_of(world, commit=None, problem=None, names=("a",), epochs=1, sources="1"):
    config = config_module.mask_rcnn()
    config.train.epochs = epochs
    made = starting.Parts(config, world, False, None)
    made.inputs = types.SimpleNamespace(images=6, class_names=names, start=None, train=None, evaluation=None)
    made.detector = None if problem else types.SimpleNamespace(variables=[])
    made.commit, made.problem, made.sources = commit, problem, sources
    return made


def origins(*arguments, find=starting.find_origin):
    """What `find` says on each rank; `arguments`: of `parts_of`."""

    def work(world):
        world.elastic = True
        world.broadcast_object = lambda item, root=0: world.gather_objects(item)[root]
        return find(parts_of(world, **arguments[world.rank]))

    return ThreadWorld.run(len(arguments), work)


def commit(world, step):
    return Commit(world, progress(step), Snapshot({}))


def test_the_newest_commit_counts_whoever_has_it():
    """That of the last world, even if an earlier world had got to a later step; among equals that of the first rank."""
    found = origins(
        {"commit": None},
        {"commit": commit(1, 9)},
        {"commit": commit(2, 8)},
        {"commit": commit(2, 8)},
        {"commit": commit(2, 6)},
    )
    assert [origin.root for origin in found] == [2] * 5 and all(origin.committed for origin in found)
    assert {origin.progress.mark.step for origin in found} == {8}


def test_a_process_that_does_not_fit_leaves_and_the_others_go_on():
    """They have agreed already when it leaves, so they notice at their next exchange."""
    good = {"commit": commit(1, 4)}
    broken = {"problem": UserError("no such records")}
    others = [{"names": ("b",)}, {"epochs": 2}, {"sources": "2"}, {"epochs": 2, "sources": "2"}]
    found = origins(good, broken, *others, good, find=starting._newest_commit)
    assert found[0] == found[6] == 0
    assert isinstance(found[1], Unfit) and "no such records" in str(found[1])
    words = ("class names", "config", "version of awsdet", "config, version of awsdet")
    for error, differing in zip(found[2:6], words):
        assert isinstance(error, Unfit)
        assert str(error) == f"this process differs from the run that it was to join: {differing}"


def test_only_an_elastic_process_reads_its_own_sources():
    """When it starts: the files may be replaced while it runs."""
    world = World()
    assert starting.Parts(None, world, False, None).sources == ""
    world.elastic = True
    assert starting.Parts(None, world, False, None).sources == sources_digest()


def test_the_seconds_before_a_resume_count_once():
    """The first world of a resumed run may break before its commit; the next one resumes again."""
    timer = Timer()
    for _ in range(2):
        timer.resume(10_000.0)
    assert 10_000 <= timer.seconds() < 20_000


def test_at_the_start_a_mistake_on_one_rank_ends_all():
    found = origins({}, {"problem": UserError("no such records")})
    assert all(isinstance(error, UserError) and not isinstance(error, Unfit) for error in found)
    assert str(found[0]) == "no such records (on rank 1)"


class Batches:
    """Epochs of 24 images, of which 10 are left in the one that has begun."""

    def __init__(self, images):
        self.images = images
        self.per_epoch = 24 // images

    def left(self, position):
        return -(-10 // self.images) if position.segments else self.per_epoch


def steps(epochs, max_steps, mark, images, left=None):
    config = config_module.mask_rcnn()
    config.train.update(epochs=epochs, max_steps=max_steps)
    where = progress(0)._replace(mark=mark, updated=mark) if mark else None
    batches = Batches(images)
    if left is not None:
        batches.left = lambda position: left
    return starting._steps(config, batches, where, Pace(images, 1, 1.0), Reference(4))


def test_the_end_of_a_run_follows_the_size_of_its_steps():
    assert steps(3, 0, None, 4).total == 18
    begun = Mark(9, 38, starting.Mark().position.advanced(4, 3)._replace(epoch=1))
    assert steps(3, 0, begun, 2).total == 9 + 5 + 12
    # Ten steps of the first world are 40 images, of which 38 have been read.
    assert steps(3, 10, begun, 2).total == 10 and steps(3, 11, begun, 4).total == 11
    assert steps(3, 11, begun, 2).total == 12


def test_an_epoch_that_others_have_read_to_its_end_is_over():
    found = steps(3, 0, Mark(9, 48, starting.Mark().position.advanced(4, 3)._replace(epoch=1)), 2, left=0)
    assert found.epoch == 2 and found.at_epoch_end and found.total == 9 + 12 and found.rest == 12


def test_a_dataset_of_the_user_is_refused_in_an_elastic_world():
    world = World()
    world.elastic = True
    with pytest.raises(UserError, match="an elastic run cannot train on a dataset of your own"):
        DatasetBatches(config_module.mask_rcnn(), tf.data.Dataset.range(3), world)


def test_a_snapshot_puts_back_what_it_held():
    variables = {"a": tf.Variable([1.0, 2.0]), "b": tf.Variable(3)}
    kept = Snapshot(variables)
    for _ in range(2):
        variables["a"].assign_add([1.0, 1.0])
        variables["b"].assign(7)
        kept.put_back(variables)
        np.testing.assert_array_equal(variables["a"], [1.0, 2.0])
        assert int(variables["b"]) == 3
