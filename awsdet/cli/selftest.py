"""Measures how fast the processes of a run exchange gradients, and checks that the sums are right. Does not train.

Start it as you would start a training: horovodrun -np 4 awsdet selftest, or awsdet launch HOSTS selftest. It averages
gradients of the sizes of Mask R-CNN (ResNet-50 FPN, 80 classes) as training does, then lets every two ranks swap a
message. The last line is the verdict. Exit codes: 0 all sums are right; 1 a sum is wrong, or the bus bandwidth is below
--least-bandwidth; 2 a mistake in the command.
"""

import functools
import pathlib

from absl import flags

from awsdet.cli.arguments import define_check, define_path
from awsdet.cli.ranks import run_on_all
from awsdet.runtime import files


def define(flag_values):
    """Adds the flags of `awsdet selftest`."""
    flags.DEFINE_integer(
        "rounds",
        0,
        "how often to exchange the gradients of a step; 0: as often as fits in about 8 seconds, 3 to 30 times",
        flag_values=flag_values,
        lower_bound=0,
        upper_bound=10_000,
    )
    flags.DEFINE_float(
        "megabytes",
        8.0,
        "size of the message that every two ranks swap, in units of 1,000,000 bytes",
        flag_values=flag_values,
        lower_bound=0.001,
        upper_bound=1_000,
    )
    flags.DEFINE_float(
        "least_bandwidth",
        0.0,
        "fail if the bus bandwidth is below this many GB/s (1,000,000,000 bytes per second)",
        flag_values=flag_values,
        lower_bound=0.0,
    )
    flags.DEFINE_integer(
        "stall_seconds",
        120,
        "end with the name of the rank that keeps the others waiting for longer",
        flag_values=flag_values,
        lower_bound=1,
    )
    text = "file to write everything to that was measured; its folder is made if needed"
    define_path("json", "", text, flag_values, written=True)
    define_check(flag_values, "measure")


def run(flag_values, overrides):
    """Measures, then prints what was found. Returns the exit code."""
    del overrides
    if flag_values.check:
        _check_json(flag_values)
        print("ready for the self-test")
        return 0
    return run_on_all(functools.partial(_measure, flag_values), stall_seconds=flag_values.stall_seconds)


def _measure(flag_values, world):
    from awsdet.cli import selftest_report as report
    from awsdet.runtime import bandwidth, links
    from awsdet.runtime.together import together
    from awsdet.training.gradient_sizes import MASK_RCNN_R50_FPN

    log = links.NcclLog()
    try:
        together(world, lambda: _check_json(flag_values) if world.is_chief else None)
        plan = bandwidth.Plan(
            MASK_RCNN_R50_FPN, flag_values.rounds, pair_bytes=max(1, int(flag_values.megabytes * 1e6 / 4)) * 4
        )
        ranks = bandwidth.measure(world, plan)
        machines = world.gather_objects(links.look(log.read()))
    finally:
        log.close()
    summary = bandwidth.summarise(ranks, plan)
    code, verdict = report.verdict(ranks, summary, flag_values.least_bandwidth)
    if world.is_chief:
        print(report.text(world.transport, ranks, machines, summary), flush=True)
        if flag_values.json:
            content = report.as_json(world.transport, ranks, machines, summary, plan, verdict)
            pathlib.Path(flag_values.json).parent.mkdir(parents=True, exist_ok=True)
            files.write_json(flag_values.json, content, indent=1)
        print(f"awsdet selftest: {verdict}", flush=True)
    world.barrier()  # as soon as a rank ends with code 1, horovodrun ends the others
    return code


def _check_json(flag_values):
    """A long measurement must not end with a file that cannot be written."""
    if flag_values.json:
        files.check_writable(flag_values.json, "json")
