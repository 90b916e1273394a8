"""Runs that start from weights by name: rank 0 fetches them, all ranks learn of a failure."""

import hashlib
import threading

import numpy as np
import pytest

from awsdet.cli import main as cli
from awsdet.inference import checkpoint
from awsdet.runtime.errors import UserError
from awsdet.runtime.world import World
from awsdet.training import loop, pretrained
from awsdet.training.inputs import prepare
from awsdet.training.transfer import read
from awsdet.weights import download, load, mmdet
from awsdet.weights.cache import Cache
from awsdet.weights.catalogue import ENTRIES, Entry
from tests.runtime.thread_world import ThreadWorld
from tests.training.tiny_run import load_config
from tests.weights.serving import serving

NAME = "made-r50"


@pytest.fixture
def named(finished_run, tmp_path, monkeypatch):
    """A name for the backbone of the finished run, on a server of this machine. Returns (server, arrays)."""
    weights = read(finished_run[0])
    arrays = {key: value for key, value in weights.arrays.items() if key.startswith("backbone.")}
    load.write(tmp_path / "made.npz", arrays, preset=weights.preset)
    content = (tmp_path / "made.npz").read_bytes()
    checksum = f"sha256:{hashlib.sha256(content).hexdigest()[:8]}"
    entry = Entry(NAME, "https://weights.example/made.npz", len(content), "MIT", checksum, "torchvision", "a test's")
    monkeypatch.setitem(ENTRIES, NAME, entry)
    monkeypatch.setenv("AWSDET_WEIGHTS", str(tmp_path / "cache"))
    with serving() as server:
        server.does.content = content
        monkeypatch.setenv("AWSDET_WEIGHTS_MIRROR", f"http://127.0.0.1:{server.server_port}")
        yield server, arrays


def test_a_run_starts_from_a_name(named, config_file, tmp_path, log):
    server, arrays = named
    changes = ("train.evaluate_every_epochs=0", "train.max_steps=1", "optimizer.learning_rate=1e-30", "seed=9")
    config = load_config(config_file, f"train.init_from={NAME}", *changes)
    assert loop.train(config, tmp_path / "run", World()).exit_code == 0
    after = mmdet.export(checkpoint.load(tmp_path / "run")[0])
    for key in (key for key in arrays if key.endswith(("conv1.weight", "bn1.bias"))):
        np.testing.assert_array_equal(after[key], arrays[key], key)
    assert f"weights {NAME}: {tmp_path / 'cache' / 'made.npz'}" in log.text and len(server.does.asked) == 1
    assert set(read(NAME).arrays) == set(arrays) and len(server.does.asked) == 1  # it is in the cache now


def test_a_mistyped_name_is_refused_before_anything_is_made(config_file, tmp_path):
    config = load_config(config_file, "train.init_from=imagenet-r5O")
    with pytest.raises(UserError, match="no pretrained weights are called so; did you mean imagenet-r50"):
        prepare(config, tmp_path / "run", resume=False, processes=1)


def test_rank_0_alone_fetches_while_the_others_exchange_words(named, monkeypatch):
    server, _ = named
    server.does.held = threading.Event()
    monkeypatch.setattr(pretrained, "_WORD_SECONDS", 0.02)
    words = []

    def work(world):
        broadcast = world.broadcast_object

        def counting(item):
            words.append(world.rank)
            if words.count(2) == 3:
                server.does.held.set()
            return broadcast(item)

        world.broadcast_object = counting
        pretrained.fetch_on_chief(world, NAME)
        return "done"

    assert ThreadWorld.run(3, work) == ["done"] * 3
    assert len(server.does.asked) == 1 and words.count(2) == words.count(0) >= 3


def test_all_ranks_raise_what_rank_0_met(named, monkeypatch):
    server, _ = named
    server.does.code = 404
    results = ThreadWorld.run(3, lambda world: pretrained.fetch_on_chief(world, NAME))
    assert all(isinstance(result, UserError) for result in results)
    assert len({str(result) for result in results}) == 1 and "answers 404" in str(results[2])


def test_a_world_that_changes_ends_the_fetch(named, monkeypatch):
    """An elastic world may change meanwhile; the next one goes on with what has come."""
    server, _ = named
    server.does.slow = 0.1
    monkeypatch.setattr(pretrained, "_WORD_SECONDS", 0.01)
    world, before = World(), threading.active_count()
    world.broadcast_object = lambda item: 1 / 0
    with pytest.raises(ZeroDivisionError):
        pretrained.fetch_on_chief(world, NAME)
    pretrained.fetch_on_chief(World(), NAME)
    assert (Cache.from_environment().folder / "made.npz").read_bytes() == server.does.content
    assert threading.active_count() <= before + 2


def test_a_path_is_none_of_its_business(monkeypatch):
    monkeypatch.setattr(download, "fetch", lambda *_, **__: 1 / 0)
    pretrained.fetch_on_chief(World(), "weights.npz")


def test_check_says_whether_the_weights_are_there(named, config_file, tmp_path, capsys):
    """The check says that weights will be fetched, that they cannot be, or that they are there; it fetches nothing."""
    server, _ = named
    command = [
        "train",
        "--check",
        f"--config={config_file}",
        f"--output={tmp_path}",
        f"--config.train.init_from={NAME}",
    ]
    assert cli.main(command) == 0
    said = capsys.readouterr().out
    assert (
        f"weights {NAME} (size: " in said and f"are not in {tmp_path / 'cache'} and will be fetched by rank 0" in said
    )
    assert server.does.asked == [("/made.npz", "bytes=0-0")]
    server.does.code = 404
    assert cli.main(command) == 2
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert f"answers 404 Not Found; by hand: fetch {download.address(ENTRIES[NAME], Cache.from_environment())}" in said
    server.does.code = 0
    assert cli.main(["weights", f"--get={NAME}"]) == 0
    assert capsys.readouterr().out.strip() == str(tmp_path / "cache" / "made.npz")
    server.does.code = 404
    assert cli.main(command) == 0 and "are not in" not in capsys.readouterr().out
