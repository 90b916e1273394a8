"""Shows versions, devices and builds, and what is wrong with them.

After each thing that is broken comes the command that repairs it. The exit code is 1 if anything is broken, else 0.
"""

from awsdet.cli import diagnosis as doctor
from awsdet.cli.arguments import define_path


def define(flag_values):
    """Adds the flags of `awsdet doctor`."""
    text = "folder that runs will be written to; doctor shows its free space"
    define_path("output", ".", text, flag_values, written=True)


def run(flag_values, overrides):
    """Returns 0, or 1 if anything is broken."""
    findings = doctor.examine(flag_values.output)
    print(doctor.report(findings))
    return 1 if any(finding.cure for finding in findings) else 0
