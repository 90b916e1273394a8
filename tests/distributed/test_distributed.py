"""The world of a run: its size, its exchanges, what happens when a rank crashes."""

import json
import os
import sys

import numpy as np
import pytest
import tensorflow as tf

from awsdet.runtime import processes
from awsdet.runtime.cores import usable_cores
from awsdet.runtime.errors import UserError
from awsdet.runtime.horovod import build_features
from tests.runtime.thread_world import ThreadWorld

# One program for several tests, since most of its time goes into starting.
EXCHANGES = """
    import json, time
    import tensorflow as tf
    from awsdet.runtime import processes
    from awsdet.runtime.errors import UserError

    results = {}
    try:
        processes.start(3)
    except UserError as error:
        results["wrong size"] = str(error)
    world = processes.start(2)
    rank = world.rank
    gradients = [tf.fill([3, 2], float(rank)), tf.constant([1.0, 2.0]) * (rank + 1)]
    average = tf.function(world.average)
    wide = tf.constant([0.0, 1.0, -1e-3, 3e-6, 500.0, 1e-7]) * (1 + 2 * rank)
    half = tf.function(lambda *values: world.average(values, half=True))
    mine = tf.Variable([float(rank), 5.0])
    world.broadcast_variables([mine])
    results.update({
        "average": [g.numpy().tolist() for g in average(gradients)],
        "eager average": [g.numpy().tolist() for g in world.average(gradients)],
        "half": [[str(g.dtype.name), g.numpy().tolist()] for g in half(wide / 3, tf.constant([rank, 5]))],
        "beyond half": [bool(tf.math.is_finite(half(tf.constant([x]))[0])) for x in (510.0, 1e9, float("nan"))],
        "sum": world.sum(tf.constant([rank + 1, 10])).numpy().tolist(),
        "variables": mine.numpy().tolist(),
        "objects": world.gather_objects({"rank": rank, "text": "x" * 100 * rank}),
        "chief's": world.broadcast_object([rank, "from the chief"] if world.is_chief else None),
        "ranks": [rank, world.size, world.local_rank, world.local_size],
        "threads": tf.config.threading.get_intra_op_parallelism_threads(),
    })
    world.barrier()
    print(json.dumps(results), flush=True)
    if rank == 1:
        raise RuntimeError("rank 1 breaks")
    time.sleep(300)
"""


def test_exchanges_of_two_processes_until_one_crashes(horovodrun):
    done, halves = horovodrun(2, EXCHANGES, timeout=300), []
    for rank in range(2):
        results = json.loads(done.lines(rank)[-1])
        assert "3 processes were requested but 2 are running" in results["wrong size"]
        assert results["average"] == results["eager average"] == [[[0.5, 0.5]] * 3, [1.5, 3.0]]
        (dtype, half), (kept, integers) = results["half"]
        assert (dtype, kept, integers) == ("float32", "int32", [0, 5])
        wanted = np.array([0.0, 1.0, -1e-3, 3e-6, 500.0, 1e-7]) * 2 / 3
        np.testing.assert_allclose(half, wanted, rtol=2**-10, atol=1e-9)
        assert not np.array_equal(np.float32(half), np.float32(wanted))  # they went as float16
        halves.append(half)
        assert results["beyond half"] == [True, False, False]
        assert results["sum"] == [3, 20]
        assert results["variables"] == [0.0, 5.0]
        assert results["objects"] == [{"rank": 0, "text": ""}, {"rank": 1, "text": "x" * 100}]
        assert results["chief's"] == [0, "from the chief"]
        assert results["ranks"] == [rank, 2, rank, 2]
        assert results["threads"] == max(1, usable_cores() // 2)
    assert halves[0] == halves[1]
    # The crash ended the whole job, long before rank 0 was done.
    assert done.code != 0 and "rank 1 breaks" in done.output


def test_two_ranks_with_the_same_gpu_stop_both():
    """As if both saw one GPU; what they do then needs none."""
    identities = {0: "gpu a", 1: "gpu a", 2: "gpu b"}
    found = ThreadWorld.run(3, lambda world: processes._compare_gpus(world, identities[world.rank]))
    assert all(isinstance(error, UserError) and "ranks 0 and 1 would use the same GPU" in str(error) for error in found)
    assert ThreadWorld.run(3, lambda world: processes._compare_gpus(world, f"gpu {world.rank}")) == [None] * 3


def test_one_process_has_the_same_face():
    world = processes.start()
    assert (world.rank, world.size, world.local_rank, world.local_size, world.is_chief) == (0, 1, 0, 1, True)
    assert [g.numpy().tolist() for g in world.average([tf.constant([2.0])])] == [[2.0]]
    assert world.sum(tf.constant(3)).numpy() == 3
    assert world.gather_objects("a") == ["a"] and world.broadcast_object("a") == "a"
    world.barrier()
    world.close()


def test_one_process_loads_no_horovod():
    program = "import sys; from awsdet.runtime import processes; processes.start(1); sys.exit('horovod' in sys.modules)"
    assert os.spawnv(os.P_WAIT, sys.executable, [sys.executable, "-c", program]) == 0


def test_more_processes_asked_for_than_started():
    with pytest.raises(UserError, match="horovodrun -np 4"):
        processes.start(4)


def test_more_processes_than_gpus_stop(monkeypatch):
    gpus = [tf.config.PhysicalDevice(f"GPU:{i}", "GPU") for i in range(2)]
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: gpus)
    with pytest.raises(UserError, match=r"8 processes .* but it has 2 GPU\(s\); start at most 2"):
        processes.check_gpus(8)
    assert processes.check_gpus(2) == gpus


def test_horovod_can_start_processes():
    features = build_features()
    assert set(features) == {"gloo", "mpi", "nccl"} and (features["gloo"] or features["mpi"])
