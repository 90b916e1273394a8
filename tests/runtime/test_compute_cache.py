"""CUDA's cache: where it is, marks of what was compiled into it, one process at a time, what keeps it from working."""

import json
import threading
import time

import pytest

from awsdet.runtime import compute_cache
from awsdet.runtime.compute_cache import ComputeCache, Unusable, size_problem

FACTS = {"capability": [9, 0], "driver": "libcuda.so.535.104.05"}


@pytest.fixture
def cache(tmp_path):
    return ComputeCache.find({"CUDA_CACHE_PATH": str(tmp_path / "cache")})


def give(cache, size, name="1/2/kernel"):
    """Puts so many bytes of kernels into the cache, as CUDA does."""
    path = cache.folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(bytes(size))
    return path


def never():
    raise AssertionError("nobody holds the lock")


def test_the_folder_is_that_of_cuda(tmp_path):
    home = ComputeCache.find({"HOME": str(tmp_path)})
    assert home.folder == tmp_path / ".nv" / "ComputeCache" and home.folder.is_dir()
    other = ComputeCache.find({"HOME": str(tmp_path), "CUDA_CACHE_PATH": str(tmp_path / "a" / "b")})
    assert other.folder == tmp_path / "a" / "b" and other.folder.is_dir()
    assert ComputeCache.find({"HOME": str(tmp_path), "CUDA_CACHE_DISABLE": "0"}).folder == home.folder


def test_a_mark_counts_for_its_facts_only(cache):
    assert not cache.has(FACTS)
    cache.mark(FACTS)
    assert cache.has(dict(reversed(FACTS.items()))) and not cache.has({**FACTS, "driver": "libcuda.so.550.54.14"})


def test_a_mark_is_gone_with_the_cache(cache):
    give(cache, 1000)
    cache.mark(FACTS)
    for path in cache.folder.iterdir():
        compute_cache.files.remove(path)
    assert not cache.has(FACTS)


def test_a_mark_counts_while_nearly_all_kernels_are_there(cache):
    """CUDA drops kernels from a cache that is too small, and leaves the mark."""
    kernel = give(cache, 1000)
    cache.mark(FACTS)
    assert cache.held() == 1000  # without the mark and the lock
    give(cache, 500, "other")
    assert cache.has(FACTS)
    give(cache, 0, "other")
    kernel.write_bytes(bytes(900))
    assert cache.has(FACTS)
    kernel.write_bytes(bytes(899))
    assert not cache.has(FACTS)


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"bytes": "much"}', "\udcff"])
def test_a_damaged_mark_counts_for_none(cache, content):
    cache.mark(FACTS)
    (mark,) = cache.folder.glob("*.json")
    assert json.loads(mark.read_text())["driver"] == FACTS["driver"]
    mark.write_bytes(content.encode(errors="surrogateescape"))
    assert not cache.has(FACTS)


def test_one_process_at_a_time(cache):
    waited = []

    def pause():
        waited.append(len(inside))
        time.sleep(0.01)

    def work(name):
        with cache.locked(pause):
            inside.append(name)
            time.sleep(0.1)
            assert inside == [name]
            inside.remove(name)

    inside = []
    threads = [threading.Thread(target=work, args=(name,)) for name in "abc"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert waited


@pytest.mark.parametrize("failure, wanted", [("the child failed: no room", "the child failed: no room"), ("", "")])
def test_who_waited_learns_why_the_other_failed(cache, failure, wanted):
    told = []

    def second():
        with cache.locked(lambda: time.sleep(0.01) or waits.set()) as lock:
            told.append(lock.failure)

    waits = threading.Event()
    with cache.locked(never) as lock:
        thread = threading.Thread(target=second)
        thread.start()
        assert waits.wait(10)
        lock.note(failure)
    thread.join()
    with cache.locked(never) as lock:  # one that comes later tries by itself
        assert told == [wanted] and lock.failure == ""


def test_a_pause_may_give_up(cache):
    def pause():
        raise TimeoutError

    with cache.locked(never), pytest.raises(TimeoutError), cache.locked(pause):
        raise AssertionError("two hold the lock")
    with cache.locked(never):
        pass


@pytest.mark.parametrize(
    "environment, words",
    [
        ({"HOME": "/nowhere", "CUDA_CACHE_DISABLE": "1"}, "CUDA_CACHE_DISABLE is set"),
        ({}, "set CUDA_CACHE_PATH"),
        ({"CUDA_CACHE_PATH": "/dev/null/cache"}, "/dev/null/cache cannot be written (Not a directory)"),
        ({"CUDA_CACHE_PATH": "/dev/null"}, "/dev/null cannot be written (File exists)"),
        ({"HOME": "/proc/1/nothing"}, "cannot be written (No such file or directory)"),
    ],
)
def test_what_keeps_cuda_from_keeping_kernels(environment, words):
    with pytest.raises(Unusable) as raised:
        ComputeCache.find(environment)
    assert words in str(raised.value) and "\n" not in str(raised.value)


def test_a_full_disk(tmp_path, monkeypatch):
    """Unless the kernels are there already."""
    usage = type("Usage", (), {"free": 5 * 2**20})
    monkeypatch.setattr(compute_cache.shutil, "disk_usage", lambda folder: usage)
    environment = {"CUDA_CACHE_PATH": str(tmp_path)}
    with pytest.raises(Unusable, match="has only 5 MiB left"):
        ComputeCache.find(environment)
    with (tmp_path / "kernels").open("wb") as file:
        file.truncate(2**30)  # a hole
    ComputeCache.find(environment)


def test_a_limit_that_is_too_small():
    assert size_problem("4294967296") == ""
    for limit in ("4294967295", "1073741824", "0", "", "4GiB", "-1"):
        assert f"CUDA_CACHE_MAXSIZE={limit} may be too little" in size_problem(limit)
