"""What the processes of an elastic run have recorded (see watched_run.py), and what must hold of it."""

import json
import pathlib
import re
from typing import NamedTuple


class Finished(NamedTuple):
    """A job that has ended. records: what its processes recorded, in the order of worlds and steps."""

    code: int
    output: str
    records: list


def read_records(folder: pathlib.Path) -> list:
    """The records of all processes in a folder, in that order."""
    records = [json.loads(line) for file in folder.iterdir() for line in file.read_text().splitlines()]
    return sorted(records, key=lambda r: (r["world"], r.get("step", -1), r["rank"]))


def starts(job):
    """World -> the records of its ranks at its start."""
    found = {}
    for record in job.records:
        if "start" in record:
            found.setdefault(record["world"], []).append(record)
    return found


def lasting_steps(job):
    """Step -> records of its ranks, without the steps that were lost: each world replaces those from its start on."""
    found = {}
    for record in sorted(job.records, key=lambda r: (r["world"], r.get("step", -1))):
        if "start" in record:
            found = {step: records for step, records in found.items() if step < record["start"]}
        else:
            found.setdefault(record["step"], []).append(record)
    return found


def check_images(job, images, epoch_ends):
    """Each of `images` once per epoch, but for those that complete a batch: less than a batch per world and epoch."""
    steps, begin = lasting_steps(job), 0
    assert sorted(steps) == list(range(epoch_ends[-1]))
    for end in epoch_ends:
        records = [record for step in range(begin, end) for record in steps[step]]
        for step in range(begin, end):
            assert sorted(r["rank"] for r in steps[step]) == list(range(steps[step][0]["size"]))
        shown = [image for record in records for image in record["ids"]]
        assert len(set(shown)) == images
        worlds = {record["world"]: record["size"] for record in records}
        assert len(shown) - images <= sum(size - 1 for size in worlds.values())
        begin = end


def check_worlds(job, sizes):
    """All ranks of each world began with the same weights, momentum and counters."""
    worlds = starts(job)
    assert [len(worlds[number]) for number in sorted(worlds)] == sizes
    for records in worlds.values():
        assert len({(r["state"], r["start"], r["accumulate"]) for r in records}) == 1


def print_times(job, end):
    """Prints how long after each fault training went on in a later world, or the job ended; pytest -rP shows it.

    end: the time at which the job ended.
    """
    lines = [line for line in job.output.splitlines() if line.strip()]
    for world, what, at in re.findall(r"fault in world (\d+): (.*) at ([\d.]+)$", job.output, re.MULTILINE):
        went_on = [r["at"] for r in job.records if r["world"] > int(world) and "step" in r and r["at"] > float(at)]
        if went_on:
            print(f"{what}: training went on {min(went_on) - float(at):.1f} s later")
        else:
            print(f"{what}: ended {end - float(at):.1f} s later with code {job.code}: {lines[-1]}")
    print(*(line for line in lines if line.startswith("awsdet launch: ")), sep="\n")
