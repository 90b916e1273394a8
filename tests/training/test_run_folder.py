"""The folder of a run belongs to one run at a time."""

import json
import threading

import pytest

from awsdet.config import mask_rcnn
from awsdet.runtime.errors import UserError
from awsdet.training import starting
from awsdet.training.loop import train
from awsdet.training.run_folder import RunFolder
from tests.runtime.thread_world import ThreadWorld
from tests.training.tiny_run import QUICK, load_config


def test_a_folder_that_was_made_for_nothing_is_gone_again(tmp_path):
    folder = RunFolder(tmp_path / "new" / "run")
    token = folder.take()
    assert folder.take() == token and (tmp_path / "new" / "run" / "run.lock").exists()
    folder.release()
    folder.release()
    assert list(tmp_path.iterdir()) == []


def test_another_run_is_refused_and_leaves_the_folder_as_it_is(tmp_path, config_file):
    """Plain and with --resume, before anything is read or written there."""
    first = RunFolder(tmp_path / "run")
    first.take()
    for resume in (False, True):
        with pytest.raises(UserError, match="run is being written by another run"):
            train(load_config(config_file, *QUICK), tmp_path / "run", resume=resume)
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["run.lock"]
    with pytest.raises(UserError, match="is being written by another run"):
        RunFolder(tmp_path / "run").check_free()
    first.release()


def test_a_run_that_ends_with_a_mistake_gives_its_folder_back(tmp_path, config_file):
    with pytest.raises(UserError, match="nothing to resume"):
        train(load_config(config_file, *QUICK), tmp_path / "run", resume=True)
    assert not (tmp_path / "run").exists()


def test_a_run_that_lost_its_folder_is_told(tmp_path):
    first, second = RunFolder(tmp_path), RunFolder(tmp_path)
    token = first.take()
    first.check_owned()
    second.take(known={token})
    with pytest.raises(UserError, match="now belongs to another run"):
        first.check_owned()
    first.release()
    second.check_owned()
    second.release()


def test_a_new_run_takes_over_nothing_that_another_left(tmp_path):
    """Somebody removed the checkpoints of a run whose score was outstanding; a rank was killed in a failed step."""
    half = tmp_path / "failed" / ".aside-step-00000007-rank-5.12345678"
    half.mkdir(parents=True)
    (tmp_path / "scoring").mkdir()
    (tmp_path / "scoring" / "detections.npz").write_bytes(b"of another run")
    RunFolder(tmp_path).open(mask_rcnn(), 0)
    assert not half.exists() and not (tmp_path / "scoring").exists()


@pytest.mark.parametrize("gone", ["lock", "folder"])
def test_a_lock_that_somebody_removed_is_made_again(tmp_path, gone):
    folder = RunFolder(tmp_path / "run")
    folder.take()
    (tmp_path / "run" / "run.lock").unlink()
    if gone == "folder":
        (tmp_path / "run").rmdir()
    folder.check_owned()
    with pytest.raises(UserError, match="is being written by another run"):
        RunFolder(tmp_path / "run").take()
    folder.release()


@pytest.mark.parametrize("make", ["file", "below a file"])
def test_what_is_no_folder(tmp_path, make):
    (tmp_path / "file").touch()
    folder = RunFolder(tmp_path / "file" if make == "file" else tmp_path / "file" / "run")
    for attempt in (folder.take, folder.check_free):
        with pytest.raises(UserError, match="is a file; give a folder|cannot be written: Not a directory|is no folder"):
            attempt()


class Rank:
    """What `own_folder` needs of the parts of a run, in a thread that is a rank."""

    def __init__(self, world, path):
        self.world, self.token = world, ""
        self.inputs = type("Inputs", (), {"folder": RunFolder(path)})


def test_in_an_elastic_run_the_next_chief_takes_over_at_once(tmp_path):
    """Rank 0 of the first world is lost without giving the lock back, or has another rank in the next world."""
    worlds, here = {}, threading.local()

    def first(world):
        world.broadcast_object = lambda item, root=0: world.gather_objects(item)[root]
        here.rank = worlds[world.rank] = Rank(world, tmp_path / "run")
        starting.own_folder(here.rank)
        return here.rank.token

    tokens = ThreadWorld.run(2, first)
    assert tokens[0] == tokens[1] == json.loads((tmp_path / "run" / "run.lock").read_text())["token"]

    def second(world):
        world.broadcast_object = lambda item, root=0: world.gather_objects(item)[root]
        # The ranks change places, and a process joins that knows nothing.
        rank = worlds[1 - world.rank] if world.rank < 2 else Rank(world, tmp_path / "run")
        rank.world = world
        starting.own_folder(rank)
        return rank.token

    again = ThreadWorld.run(3, second)
    assert len(set(again)) == 1 and again[0] != tokens[0]
    worlds[0].inputs.folder.release()  # no longer its own
    assert (tmp_path / "run" / "run.lock").exists()
    worlds[1].inputs.folder.check_owned()
    worlds[1].inputs.folder.release()
    assert list((tmp_path / "run").iterdir()) == []


def test_a_stranger_in_the_way_ends_all_ranks(tmp_path):
    stranger = RunFolder(tmp_path / "run")
    stranger.take()

    def work(world):
        world.broadcast_object = lambda item, root=0: world.gather_objects(item)[root]
        starting.own_folder(Rank(world, tmp_path / "run"))

    found = ThreadWorld.run(2, work)
    assert all(isinstance(error, UserError) and "written by another run" in str(error) for error in found)
    stranger.release()
