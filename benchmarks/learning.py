"""Trains our Mask R-CNN and torchvision's from the same weights on the same images, and compares how they learn.

    make benchmark-torch && python benchmarks/learning.py [--seeds 3] [--epochs 5] [--variants] [--write-docs]

docs/learning.md tells what is compared. Finished runs are kept in --output and not run again, so a benchmark that was
cut off goes on with the same command. --tiny shows in a few minutes that everything works; its figures mean nothing.
Exit code 1: something is missing, or a run failed; the last line says which.
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from awsdet.data.coco import shapes
from awsdet.runtime.errors import UserError
from benchmarks import measure
from benchmarks.learn import jobs, report
from benchmarks.learn.config import BATCH, SIDES

RUNS = measure.ROOT / "runs/learning"
DOCS = measure.ROOT / "docs/learning.md"
SYSTEMS = {"ours": "awsdet", "torchvision": "torchvision", "unshifted": "torchvision, unshifted targets"}


def main(flags):
    flags.output.mkdir(parents=True, exist_ok=True)
    prepare(flags)
    runs = {
        SYSTEMS[name]: [trained(job, flags) for job in jobs_of(name, flags)] for name in SYSTEMS if name in flags.only
    }
    parts = [report.tables(runs, flags.thresholds)]
    if "ours" in flags.only and "unshifted" in flags.only:
        parts.append(report.verdicts(runs[SYSTEMS["ours"]], runs[SYSTEMS["unshifted"]]))
    variants = {}
    if flags.variants:
        updates = updates_of(flags)
        base = trained(jobs.ours(flags.output, 1, flags.epochs, updates, BATCH), flags)
        for name in flags.variants:
            variants[name] = trained(jobs.ours(flags.output, 1, flags.epochs, updates, BATCH, name), flags)
        parts.append(report.variants_table(base, variants))
    if flags.only != ["ours"]:
        parts.append(report.same_table(compared(flags)))
    text = "\n\n".join(parts)
    finish(flags, runs, variants, text)


def prepare(flags):
    """Makes the data and what torchvision starts from. Raises UserError if --output holds those of other flags."""
    settings = {name: getattr(flags, name) for name in ("seeds", "epochs", "train_images", "val_images")}
    done = flags.output / "flags.json"
    if done.exists():
        earlier = json.loads(done.read_text())
        if earlier != settings:
            raise UserError(f"{flags.output} holds runs of {earlier}, not of {settings}; give another --output")
        return
    data = flags.output / "data"
    sizes = {"train_images": flags.train_images, "val_images": flags.val_images, "test_images": 0}
    shapes.generate(data, **sizes, image_size=SIDES[1])
    for split in ("train", "val"):
        files = [f"--annotations={data}/annotations/instances_{split}.json", f"--images={data}/images/{split}"]
        program = ["-m", "awsdet.cli.main", "convert", *files, f"--output={data}/records", f"--split={split}"]
        call([sys.executable, *program, "--shards=1", "--workers=1"])
    seeds = range(1, flags.seeds + 1)
    call([sys.executable, jobs.PROGRAMS / "learn_prepare.py", data, flags.output, flags.epochs, *seeds])
    done.write_text(json.dumps(settings) + "\n")


def call(command):
    """Runs a program that is not measured. Returns what it prints. Raises UserError if it fails."""
    command = [str(part) for part in command]
    environment = {**os.environ, **measure.ENVIRONMENT, "PYTHONPATH": str(measure.ROOT)}
    options = {"cwd": measure.ROOT, "env": environment, "capture_output": True, "text": True}
    done = subprocess.run(command, check=False, **options)
    if done.returncode:
        raise UserError(f"{command[1]} failed: {(done.stderr or done.stdout).strip().splitlines()[-1:]}")
    return done.stdout


def updates_of(flags):
    """The number of updates of a run."""
    return -(-flags.train_images // BATCH) * flags.epochs


def jobs_of(system, flags):
    """The Jobs of a system, one per seed."""
    for seed in range(1, flags.seeds + 1):
        common = (flags.output, seed, flags.epochs, updates_of(flags), BATCH)
        yield jobs.ours(*common) if system == "ours" else jobs.theirs(*common, unshifted=system == "unshifted")


def trained(job, flags):
    """The Run of a Job, which is run if it is not finished."""
    jobs.run(job, flags.output / "data")
    return jobs.read(job)


def compared(flags):
    """The differences between both networks for one batch; see benchmarks/systems/learn_same_torch.py."""
    done = flags.output / "same.json"
    if not done.exists():
        arguments = [flags.output / "data", flags.output, 1, flags.output / "same.npz"]
        call([sys.executable, jobs.PROGRAMS / "learn_same.py", *arguments])
        printed = call([jobs.torch_python(), jobs.PROGRAMS / "learn_same_torch.py", *arguments])
        done.write_text(printed.splitlines()[-1] + "\n")
    return json.loads(done.read_text())


def finish(flags, runs, variants, text):
    """Writes learning.json, learning.md and learning.png; with --write-docs, docs/ too."""
    figures = {
        "flags": json.loads((flags.output / "flags.json").read_text()),
        "systems": {name: [run._asdict() for run in of_system] for name, of_system in runs.items()},
        "variants": {name: run._asdict() for name, run in variants.items()},
    }
    (flags.output / "learning.json").write_text(json.dumps(figures) + "\n")
    (flags.output / "learning.md").write_text(text + "\n")
    picture = flags.output / "learning.png"
    if flags.only != ["ours"]:  # matplotlib is in torchvision's environment
        call([jobs.torch_python(), jobs.PROGRAMS / "learn_plot.py", flags.output / "learning.json", picture])
    print(f"\n{text}\n\n{flags.output / 'learning.json'}, learning.md" + (", learning.png" if picture.exists() else ""))
    if flags.write_docs:
        picture_link = "![Losses and AP over the steps: means and bands of the seeds](learning.png)"
        DOCS.write_text(report.put_into(DOCS.read_text(), f"{text}\n\n{picture_link}"))
        (DOCS.parent / "learning.png").write_bytes(picture.read_bytes())
        print(f"{DOCS} has these figures now")


def parsed():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--output", type=pathlib.Path, default=measure.ROOT / "runs/learning", help="folder of all runs"
    )
    parser.add_argument("--seeds", type=int, default=3, help="runs of each system, with seeds 1, 2, …")
    parser.add_argument("--epochs", type=int, default=5, help="each ends with an evaluation")
    parser.add_argument("--train-images", type=int, default=800, help=f"an epoch, in steps of {BATCH} images")
    parser.add_argument("--val-images", type=int, default=100)
    parser.add_argument("--only", nargs="+", choices=list(SYSTEMS), default=list(SYSTEMS), help="these systems alone")
    parser.add_argument(
        "--variants",
        nargs="*",
        choices=list(jobs.VARIANTS),
        default=None,
        help="ours in other ways; all if none is named",
    )
    parser.add_argument("--thresholds", nargs="+", type=float, default=[0.1, 0.2, 0.3], help="box APs to be timed")
    parser.add_argument("--tiny", action="store_true", help="one seed, two epochs of 10 steps, 16 images to evaluate")
    parser.add_argument("--write-docs", action="store_true", help="put tables and picture into docs/learning.md")
    flags = parser.parse_args()
    if flags.variants == []:
        flags.variants = list(jobs.VARIANTS)
    if flags.tiny:
        flags.seeds, flags.epochs, flags.train_images, flags.val_images = 1, 2, 80, 16
    if flags.write_docs and (flags.tiny or set(flags.only) != set(SYSTEMS)):
        parser.error("--write-docs wants the figures of all systems, and not those of --tiny")
    if min(flags.seeds, flags.epochs, flags.val_images) < 1 or flags.train_images < BATCH:
        parser.error(f"--seeds, --epochs and --val-images must be 1 or more, --train-images {BATCH} or more")
    flags.output = flags.output.resolve()
    return flags


if __name__ == "__main__":
    try:
        main(parsed())
    except UserError as error:
        print(error, file=sys.stderr)
        sys.exit(1)
