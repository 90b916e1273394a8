"""`awsdet train` that records what every rank does at each step, and in which things go wrong as a test has planned.

    python watched_run.py PLAN.json train --config=… --output=…

PLAN.json: {"folder": where records go, "hosts": the file that the discovery script shows, "events": [event, …]}. An
event has `world`, `rank` or `host`, and a moment: `step`, `checkpoint` or `commit` (the number of a step), `evaluation`
(true). Then what happens: "kill" true, "hang" true, "error" text, or "hosts" text for the hosts file, after which it
waits until the launcher has told this rank of it.
"""

import hashlib
import json
import os
import pathlib
import signal
import sys
import time

import tensorflow as tf

from awsdet import evaluation
from awsdet.cli.main import main
from awsdet.models.keras_steps import TimedSteps
from awsdet.runtime.elastic import ElasticWorld
from awsdet.training import committing, starting
from awsdet.training.snapshot import Snapshot

PLAN = json.loads(pathlib.Path(sys.argv[1]).read_text())
WORLDS, RUNS = [], []


def record(**what):
    world = WORLDS[-1]
    line = {"world": world.number, "rank": world.rank, "size": world.size, "at": time.time(), **what}
    with open(os.path.join(PLAN["folder"], f"{os.getpid()}.jsonl"), "a") as file:
        file.write(json.dumps(line) + "\n")


def happen(moment, value):
    me = {"world": WORLDS[-1].number, "rank": WORLDS[-1].rank, "host": os.environ["HOROVOD_HOSTNAME"], moment: value}
    for event in PLAN["events"]:
        if moment in event and all(me[key] == event[key] for key in me if key in event):
            print(f"fault in world {me['world']}: {json.dumps(event)} at {time.time()}", flush=True)
            if "hosts" in event:
                pathlib.Path(PLAN["hosts"]).write_text(event["hosts"])
                while not WORLDS[-1].hosts_changed:
                    time.sleep(0.1)
            if "error" in event:
                raise tf.errors.UnknownError(None, None, event["error"])
            if event.get("hang"):
                print("hangs in world", me["world"], flush=True)
                while True:
                    time.sleep(60)
            if event.get("kill"):
                os.kill(os.getpid(), signal.SIGKILL)


def before(owner, name, first):
    """Has `first(*arguments)` called before each call of a function; what it returns is called with the result."""
    function = getattr(owner, name)

    def replaced(*arguments, **options):
        then = first(*arguments)
        result = function(*arguments, **options)
        return then(result) if then else result

    setattr(owner, name, replaced)


def state_hash(run):
    state = committing.state_of(run.detector, run.optimizer, accumulated=False)
    return hashlib.sha256(b"".join(state[name].numpy().tobytes() for name in sorted(state))).hexdigest()


def watch_start(parts, origin):
    def started(result):
        run = result[0]
        RUNS.append(run)
        record(start=run.steps.step, state=state_hash(run), accumulate=run.pace.accumulate)
        return result

    return started


def watch_step(steps, element_spec):
    def watched(function):
        def step(batch):
            run = RUNS[-1]
            number = run.steps.step
            happen("step", number)
            logs = function(batch)
            traces = function.experimental_get_tracing_count()
            record(step=number, ids=batch["image_id"].numpy().tolist(), loss=float(logs["loss"]), traces=traces)
            return logs

        return step

    return watched if WORLDS else None


def watch_checkpoint(snapshot, prefix):
    return lambda result: happen("checkpoint", int(prefix.split("step-")[1][:8]))  # written, but not yet in its place


before(ElasticWorld, "run", lambda world, work: WORLDS.append(world))
before(starting, "begin", watch_start)
before(TimedSteps, "compiled", watch_step)
before(evaluation, "evaluate", lambda *_: happen("evaluation", True))
before(committing, "commit_of", lambda run, *_: happen("commit", run.steps.step))
before(Snapshot, "write", watch_checkpoint)

if __name__ == "__main__":
    from awsdet.training import loop

    loop.begin = starting.begin
    sys.exit(main(sys.argv[2:]))
