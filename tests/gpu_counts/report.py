"""Counts training steps and a detection, prints them part by part, and says which budgets hold.

    scripts/gpu_counts.sh --train 2:mixed_bfloat16:90 --detect 1:mixed_bfloat16:90 --json counts.json

Exit code 0: all budgets hold; 1: one does not.
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys
from concurrent import futures
from typing import NamedTuple

from tests.gpu_counts import budgets

DEFAULT_TRAIN = (
    "2:mixed_bfloat16:90",
    "8:mixed_bfloat16:90",
    "2:mixed_float16:80",
    "2:mixed_float16:80:mask_rcnn:adamw",
    "2:mixed_bfloat16:90:cascade_mask_rcnn",
    "2:mixed_bfloat16:90:retinanet",
)
DEFAULT_DETECT = (
    "2:mixed_bfloat16:90",
    "2:mixed_bfloat16:90:cascade_mask_rcnn",
    "2:mixed_bfloat16:90:retinanet",
)


class Case(NamedTuple):
    """What is counted."""

    work: str  # train or detect
    batch: int  # images
    precision: str
    capability: int  # compute capability of the GPU, times 10
    detector: str = "mask_rcnn"  # a family of awsdet.config
    optimizer: str = "sgd"

    @property
    def title(self):
        """For a reader."""
        what = "training step" if self.work == "train" else "detection"
        what += "" if self.optimizer == "sgd" else f" with {self.optimizer}"
        capability = f"{self.capability // 10}.{self.capability % 10}"
        return f"{self.detector}, {what}, batch {self.batch}, {self.precision}, compute capability {capability}"

    def count(self, host_shapes):
        """Runs the counting program. Returns its result, a dict (see `count.summary`)."""
        command = [sys.executable, "-m", "tests.gpu_counts.count", self.work]
        command += [f"--batch={self.batch}", f"--precision={self.precision}", f"--detector={self.detector}"]
        command += [f"--optimizer={self.optimizer}"]
        command += ["--host_shapes"] if host_shapes else []
        environment = {**os.environ, "AWSDET_HOLLOW_CAPABILITY": str(self.capability)}
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
        if done.returncode:
            sys.exit(f"{done.stderr[-6000:]}\ngpu_counts: the {self.title} could not be counted (its errors are above)")
        return json.loads(done.stdout.splitlines()[-1])


def main(flags):
    cases = [_case("train", text) for text in flags.train] + [_case("detect", text) for text in flags.detect]
    results, broken = [], 0
    with futures.ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:  # each case is a process of about one core
        counts = [pool.submit(case.count, flags.host_shapes) for case in cases]
    for case, count in zip(cases, counts):
        result = count.result()
        results.append({**case._asdict(), **result})
        print(f"\n{case.title}\n")
        print("\n".join(_table(result)))
        if flags.operations:
            print("\n".join(f"{count:6}  {name}" for name, count in result["operations"]))
        for line, holds in budgets.check(case.work, case.precision, result, case.detector):
            broken += not holds
            print(f"  {'holds ' if holds else 'BROKEN'}  {line}")
    if flags.json:
        pathlib.Path(flags.json).write_text(json.dumps(results, indent=1))
    if broken and not flags.no_budgets:
        sys.exit(f"\ngpu_counts: {broken} budgets are exceeded")


def _case(work, text):
    batch, precision, capability, *others = text.split(":")
    return Case(work, int(batch), precision, int(capability), *others)


_COLUMNS = (
    ("launches", "launch", 0),
    ("library calls", "library", 0),
    ("fills", "memset", 0),
    ("to host", "d2h", 0),
    ("bytes", "d2h", 1),
    ("to device", "h2d", 0),
    ("bytes", "h2d", 1),
)


def _table(result):
    """The counts by part and what the host waits for: lines of text."""
    total = {}
    for row in result["parts"].values():
        for kind, pair in row.items():
            total[kind] = [value + more for value, more in zip(total.get(kind, (0, 0)), pair)]
    yield "".join([f"  {'part':<22}", *(f"{title:>14}" for title, _, _ in _COLUMNS)])
    for part, row in [*result["parts"].items(), ("all", total)]:
        numbers = (row.get(kind, (0, 0))[which] for _, kind, which in _COLUMNS)
        yield "".join([f"  {part:<22}", *(f"{number:>14,}" if number else " " * 14 for number in numbers)])
    yield f"  waits of the host, one after the other: {len(result['waits'])}"
    yield from (f"      {name}" for name in result["waits"])
    yield f"  shape operations that the host did in place of the device, each one more wait: {len(result['moved'])}"
    yield f"  most device memory in use: {result['peak_bytes'] / 1e9:.2f} GB"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], prog="scripts/gpu_counts.sh")
    case = "BATCH:PRECISION:CAPABILITY[:DETECTOR[:OPTIMIZER]]"
    parser.add_argument("--train", nargs="*", default=DEFAULT_TRAIN, metavar=case, help="training steps to count")
    parser.add_argument("--detect", nargs="*", default=DEFAULT_DETECT, metavar=case, help="detections to count")
    parser.add_argument("--operations", action="store_true", help="list the launches of each operation")
    parser.add_argument("--no-budgets", action="store_true", help="end with code 0 though a budget is exceeded")
    parser.add_argument("--host-shapes", action="store_true", help="let the host compute shapes of gradients")
    parser.add_argument("--json", metavar="FILE", help="write all counts there")
    main(parser.parse_args())
