"""Whether accumulated batches learn as whole ones do: 8 images per update, at once and as 2 x 4, over several seeds.

    python benchmarks/accumulation.py --records=FOLDER [--seeds 5] [--epochs 4] [--output=runs/accumulation]

The network has norms of fixed statistics, so that an image's gradient does not depend on the others in its batch; what
then differs between the two are the draws of the samplers and rounding. It is narrow and its images are small: a run
takes a minute. Runs that are finished are not run again. Prints the mean loss over parts of the run, and how far seeds
are apart. FOLDER: records with a split train, as `awsdet shapes` and `awsdet convert` make them.
"""

import argparse
import json
import pathlib
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

import numpy as np

from benchmarks import measure

PARTS = 8  # of a run, for each of which the mean loss is printed
WAYS = {"8 at once": (8, 1), "2 x 4": (4, 2)}  # images per step, steps per update
SETTINGS = [
    "model.backbone.norm=frozen_batch_norm",
    "model.fpn.norm=none",
    "train.allow_random_frozen=true",
    "optimizer.learning_rate=0.02",
    "train.log_every_steps=1",
    "train.evaluate_every_epochs=0",
    "data.short_sides=(48,)",
    "data.max_long_side=64",
    "data.pad_multiple=64",
    "model.backbone.depth=14",
    "model.backbone.base_width=8",
    "model.fpn.channels=32",
    "model.rpn.channels=32",
    "model.box_head.channels=64",
    "model.mask_head.channels=16",
]


def main(flags):
    losses = {
        way: np.array([parts(trained(flags, way, seed), steps) for seed in range(1, flags.seeds + 1)])
        for way, (_, steps) in WAYS.items()
    }
    header = ["images per update", "", *(f"part {number + 1}" for number in range(PARTS))]
    rows = []
    for way, of_seeds in losses.items():
        rows.append([way, "mean loss", *(f"{value:.3f}" for value in of_seeds.mean(axis=0))])
        rows.append(["", "deviation", *(f"{value:.3f}" for value in of_seeds.std(axis=0, ddof=1))])
    measure.table(rows, header)


def trained(flags, way, seed):
    """The run folder of a way and a seed."""
    images, steps = WAYS[way]
    folder = flags.output / f"{images}x{steps}-seed-{seed}"
    if (folder / "ended.json").exists():
        return folder
    own = {"seed": seed, "train.epochs": flags.epochs, "data.train_records": flags.records}
    own |= {"data.batch_size": images, "train.accumulate_steps": steps}
    settings = [*SETTINGS, *(f"{key}={value}" for key, value in own.items())]
    command = [
        sys.executable,
        "-m",
        "awsdet.cli.main",
        "train",
        f"--config={measure.ROOT / 'benchmarks/learn/config.py'}",
    ]
    command += [f"--output={folder}", *(f"--config.{setting}" for setting in settings)]
    print(folder.name, flush=True)
    done = subprocess.run(command, check=False, cwd=measure.ROOT, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{folder.name} failed: {done.stderr.strip().splitlines()[-1]}")
    return folder


def parts(folder, steps):
    """Mean loss per update over each of the parts of a run: [PARTS]."""
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    losses = np.array([line["loss"] for line in lines if "loss" in line]).reshape(-1, steps).mean(axis=1)
    return [part.mean() for part in np.array_split(losses, PARTS)]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--records", required=True, type=pathlib.Path)
    parser.add_argument("--seeds", type=int, default=5, help="at least 2")
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--output", type=pathlib.Path, default=measure.ROOT / "runs/accumulation")
    main(parser.parse_args())
