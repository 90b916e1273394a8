"""Runs a step again in which a loss or gradient was not finite, and tells where the first such number appears.

    awsdet replay runs/mine/failed/step-00001234-rank-0

A run that fails in this way saves the step and names its folder. The step runs on this machine, in one process: with
the same batch, weights and random keys. Nothing is written.
"""

from absl import flags

from awsdet.cli.arguments import define_path
from awsdet.runtime.errors import UserError

POSITIONAL = ("step",)
_PRECISIONS = {"float32": "float32", "float16": "mixed_float16", "bfloat16": "mixed_bfloat16"}


def define(flag_values):
    """Adds the flags of `awsdet replay`."""
    define_path("step", None, "folder of a failed step; may be given without --step", flag_values)
    flags.DEFINE_enum(
        "precision", None, [*_PRECISIONS], "precision to run it in; not given: that of the run", flag_values=flag_values
    )


def run(flag_values, overrides):
    """Runs the step and prints what was found. Returns the exit code."""
    del overrides
    if not flag_values.step:
        raise UserError("no step is given; name a folder RUN/failed/step-… (see awsdet replay --help)")
    from awsdet.replay.failed_step import read
    from awsdet.replay.report import report

    failed = read(flag_values.step)
    for line in report(failed, _PRECISIONS.get(flag_values.precision, "")):
        print(line, flush=True)
    return 0
