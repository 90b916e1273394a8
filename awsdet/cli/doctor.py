"""Shows versions, devices and builds, and what is wrong with them; with --config, what a run would do.

After each thing that is broken comes the command that repairs it. The exit code is 1 if anything is broken, else 0.

With --config it tells what awsdet train would do with that file: data, model, steps, learning rates, evaluations, and
which losses to expect first. Nothing is trained. The exit code is 2 for what would end the run at its start.
"""

import textwrap

from absl import flags, logging

from awsdet.cli.arguments import define_path
from awsdet.runtime.errors import UserError

_WIDTH = 120  # of what is printed, in letters


def define(flag_values):
    """Adds the flags of `awsdet doctor`."""
    text = "folder that runs will be written to; doctor shows its free space"
    define_path("output", ".", text, flag_values, written=True)
    text = "config file of a run to describe, instead of this machine; --config.KEY=VALUE changes a setting"
    define_path("config", "", text, flag_values)
    flags.DEFINE_integer(
        "processes", 1, "with --config: how many processes there will be", flag_values=flag_values, lower_bound=1
    )


def run(flag_values, overrides):
    """Returns 0, or 1 if anything is broken. Raises UserError for what would end a run at its start."""
    if flag_values.config:
        return _describe(flag_values, overrides)
    if overrides or flag_values["processes"].present:
        given = f"--config.{overrides[0]}" if overrides else "--processes"
        raise UserError(f"{given} is of a run; name its config file by --config=FILE too")
    from awsdet.cli import diagnosis

    findings = diagnosis.examine(flag_values.output)
    print(diagnosis.report(findings))
    return 1 if any(finding.cure for finding in findings) else 0


def _describe(flag_values, overrides):
    from awsdet import config as config_module
    from awsdet.config.idle import idle_overrides
    from awsdet.runtime import gpus
    from awsdet.training import forecast, summary

    gpus.hide()  # so that a run which has them is left alone
    logging.set_verbosity(logging.WARNING)
    config = config_module.load(flag_values.config, overrides)
    facts, cautions = forecast.of_config(config, flag_values.processes)
    print(f"What awsdet train does with {flag_values.config}:\n")
    for label, text in summary.lines(facts):
        print(textwrap.fill(text, _WIDTH, initial_indent=f"  {label:<14} ", subsequent_indent=" " * 17))
    print("\nParameters:\n")
    for row in summary.table(facts.parts):
        print(f"  {row}")
    if facts.train is None:
        print("\ndata.train_records is empty; with --config.data.train_records=DIR, steps and data are known too.")
        print("The classes are taken to be the 80 of COCO.")
    print(f"\n{_warnings([*idle_overrides(config, overrides), *cautions])}")
    return 0


def _warnings(cautions):
    if not cautions:
        return "Nothing looks unusual."
    return "\n".join(["Look at:", *(textwrap.fill(f"- {line}", _WIDTH, subsequent_indent="  ") for line in cautions)])
