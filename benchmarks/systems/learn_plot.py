"""Draws the curves of the learning benchmark; runs in .venv-torch, which has matplotlib.

    .venv-torch/bin/python benchmarks/systems/learn_plot.py learning.json learning.png

Lines are means over the seeds, bands reach from the lowest to the highest seed.
"""

import json
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot

from benchmarks.learn.curves import SMOOTH, Run, ap_curve, loss_curve

PANELS = {
    "box_ap": "box AP",
    "mask_ap": "mask AP",
    "loss": "sum of all losses",
    "rpn_class_loss": "RPN, objectness",
    "rpn_box_loss": "RPN, boxes",
    "class_loss": "classes",
    "box_loss": "boxes",
    "mask_loss": "masks",
}
COLOURS = ("#0072b2", "#d55e00", "#009e73")  # told apart by the colour-blind too
STYLES = ("-", "--", "-.")


def main(source, target):
    systems = json.loads(pathlib.Path(source).read_text())["systems"]
    figure, axes = pyplot.subplots(2, 4, figsize=(13, 6), layout="constrained")
    for panel, (name, title) in zip(axes.flat, PANELS.items()):
        for (system, runs), colour, style in zip(systems.items(), COLOURS, STYLES):
            runs = [Run(**run) for run in runs]
            is_ap = name.endswith("_ap")
            curve = ap_curve(runs, name) if is_ap else loss_curve(runs, name)
            panel.plot(curve.steps, curve.mean, style, color=colour, label=system, marker="o" if is_ap else None, ms=4)
            panel.fill_between(curve.steps, curve.low, curve.high, color=colour, alpha=0.15, linewidth=0)
        panel.set_title(title)
        panel.set_xlabel("step")
        panel.set_ylabel("AP" if name.endswith("_ap") else f"loss (mean of {SMOOTH} steps)")
        panel.set_ylim(0, 1.05 * panel.dataLim.y1 or 1)
        panel.grid(alpha=0.3)
    handles, labels = axes.flat[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=len(labels))
    figure.savefig(target, dpi=90)


if __name__ == "__main__":
    main(*sys.argv[1:])
