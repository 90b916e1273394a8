"""Counts to 60 over the ranks of an elastic world, while something happens.

python world_program.py PLAN.json WHAT
"""

import json
import os
import pathlib
import signal
import sys
import time

import tensorflow as tf
from absl import logging

from awsdet.runtime import processes
from awsdet.runtime.world import HostsChanged, LeftOut, RunFailed

PLAN, WHAT = json.loads(pathlib.Path(sys.argv[1]).read_text()), sys.argv[2]
HOST = os.environ["HOROVOD_HOSTNAME"]
logging.set_verbosity(logging.INFO)
world = processes.start(0, stall_seconds=3 if WHAT in ("stall", "freeze") else 600, elastic=True)
state = {"count": 0}


@tf.function
def exchange(value):
    average = world.average([value + tf.cast(world.rank_tensor, tf.float32)])[0]
    return average, world.sum(value), world.size_tensor


def die():
    print(f"fault in world {world.number}: {WHAT} at {time.time()}", flush=True)
    os.kill(os.getpid(), signal.SIGKILL)


def happen(count):
    first = world.number == 1 and world.rank == 0
    if WHAT == "one dies" and count == 10 and first:
        die()
    if WHAT == "each dies" and count == 10 * world.number and world.rank == 0 and world.size > 1:
        die()
    if WHAT == "leaves" and count == 10 and first:
        hosts = pathlib.Path(PLAN["hosts"])
        hosts.write_text("".join(line for line in hosts.read_text().splitlines(True) if line != f"{HOST}:1\n"))
        while not world.hosts_changed:
            time.sleep(0.1)
    if WHAT == "freeze" and count == 10 and world.number == 1 and world.rank == 0:
        os.kill(os.getpid(), signal.SIGSTOP)
    if WHAT == "stall" and count == 10 and world.number == 1 and world.rank == 1:
        time.sleep(60)


def work():
    state["count"] = max(world.gather_objects(state["count"]))
    print("world", world.number, world.rank, world.size, state["count"], flush=True)
    while state["count"] < 60:
        happen(state["count"])
        average, total, size = (float(x) for x in exchange(tf.constant(3.0)))
        found, wanted = (average, total, size), (3 + (world.size - 1) / 2, 3 * world.size, world.size)
        assert found == wanted, (found, wanted)
        state["count"] += 1
        if float(world.sum(tf.constant(float(world.hosts_changed)), "changed")):
            raise HostsChanged
    return "counted"


try:
    print(world.run(work), world.number, exchange.experimental_get_tracing_count(), flush=True)
except LeftOut as left:
    print("left out:", left, flush=True)
except RunFailed:
    sys.exit(1)
world.close()
