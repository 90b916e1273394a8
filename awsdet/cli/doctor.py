"""Shows versions, devices and builds, and what is wrong with them.

Whatever is broken is followed by the one command that mends it. The exit code is 1 if something is broken, else 0.
"""

from absl import flags

from awsdet.cli import diagnosis as doctor


def define(flag_values):
    """Adds the flags of `awsdet doctor`."""
    flags.DEFINE_string(
        "output", ".", "folder that runs will be written to; its free space is shown", flag_values=flag_values
    )


def run(flag_values, overrides):
    """Returns 0, or 1 where something is broken."""
    findings = doctor.examine(flag_values.output)
    print(doctor.report(findings))
    return 1 if any(finding.cure for finding in findings) else 0
