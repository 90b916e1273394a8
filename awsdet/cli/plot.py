"""Draws the losses and AP of one or several runs over their steps, from what they wrote to metrics.jsonl.

    awsdet plot runs/one runs/two --output=curves.svg

Losses are smoothed; the values as they are lie faintly behind them. A run may still be going on.
"""

import pathlib

from absl import flags

from awsdet.cli.arguments import define_path, define_paths
from awsdet.runtime.errors import UserError

POSITIONAL = ("run",)


def define(flag_values):
    """Adds the flags of `awsdet plot`."""
    define_paths("run", "folder of a run; may be given without --run, and several times", flag_values)
    define_path("output", None, "file to write: .svg or .png; its folder is made if needed", flag_values, written=True)
    flags.DEFINE_list(
        "fields", [], "fields of metrics.jsonl to draw; empty: AP, losses and learning rate", flag_values=flag_values
    )


def run(flag_values, overrides):
    """Writes the picture. Returns the exit code."""
    del overrides
    if not flag_values.run:
        raise UserError("no run is given; name the folder of one (see awsdet plot --help)")
    if not flag_values.output:
        raise UserError("--output is missing (see awsdet plot --help)")
    from awsdet.analysis.figure import file_svg
    from awsdet.analysis.raster import raster
    from awsdet.analysis.run_plot import plot
    from awsdet.analysis.runs import read_runs
    from awsdet.runtime.files import check_writable, written_aside

    path = pathlib.Path(flag_values.output)
    kind = path.suffix.lower()
    if kind not in (".svg", ".png"):
        raise UserError(f"--output={path} is neither .svg nor .png; name a file with one of these endings")
    check_writable(path, "output")
    runs = read_runs(flag_values.run)
    figure = plot(runs, flag_values.fields)
    path.parent.mkdir(parents=True, exist_ok=True)
    with written_aside(path) as aside:
        if kind == ".svg":
            aside.write_text(file_svg(figure), encoding="utf-8")
        else:
            raster(figure).save(aside, format="PNG")
    print(f"{len(runs)} run{'s' if len(runs) > 1 else ''} -> {path}")
    return 0
