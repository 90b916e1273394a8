"""Tries settings of the fine-tuning recipe one at a time, on drawn photos and on real images; val chooses.

    make train && nice python benchmarks/finetune.py [--seeds 2] [--only NAME …] [--write-docs]

docs/recipes.md tells what is tried and what it can tell. Finished runs are kept in --output and not run again, so a
benchmark that was cut off goes on with the same command. --list shows the names of the settings. --tiny shows in a few
minutes that everything works; its figures mean nothing. Exit code 1: something is missing, or a run failed; the last
line says which.
"""

import argparse
import json
import pathlib
import shutil
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from awsdet.runtime.errors import UserError
from benchmarks import measure
from benchmarks.learn.report import put_into
from benchmarks.tune import report, runs
from benchmarks.tune.candidates import NOW, candidates
from benchmarks.tune.config import STEPS

DOCS = measure.ROOT / "docs/recipes.md"
COCO = measure.ROOT.parent / "shared/data/coco_tiny"
START = "start"  # the folder of the detector that all candidates go on from
CONTENDERS = 2  # of the candidates that are better on photos, as many are tried on COCO's objects too
TINY_STEPS = 4


def main(flags):
    flags.output.mkdir(parents=True, exist_ok=True)
    prepare(flags)
    val = {runs.PHOTOS: scores_of(runs.PHOTOS, flags.only, flags)}
    if flags.coco:
        names = [NOW, *report.contenders(val[runs.PHOTOS])[:CONTENDERS]]
        val[runs.OBJECTS] = scores_of(runs.OBJECTS, names, flags)
    choice = report.chosen(val)
    test = {data: {name: tested(data, name, flags) for name in dict.fromkeys([NOW, choice])} for data in val}
    finish(flags, val, choice, test)


def prepare(flags):
    """Makes the data. Raises UserError if --output holds that of other flags, or if there is nothing to start from."""
    if not (flags.start / "checkpoints").is_dir():
        raise UserError(
            f"{flags.start} holds no checkpoints to start from; make train makes some, or --start names a run"
        )
    settings = {"photos": flags.photos, "steps": flags.steps, "start": str(flags.start)}
    noted = flags.output / "flags.json"
    if noted.exists() and json.loads(noted.read_text()) != settings:
        earlier = json.loads(noted.read_text())
        raise UserError(f"{flags.output} holds runs of {earlier}, not of {settings}; give another --output")
    noted.write_text(json.dumps(settings) + "\n")
    make = {
        START: lambda job: runs.make_start(job, flags.start, flags.photos),
        runs.PHOTOS: lambda job: runs.make_photos(job, flags.photos),
    }
    if flags.coco:
        make[runs.OBJECTS] = lambda job: runs.make_objects(job, flags.coco)
    for name, call in make.items():
        records = records_of(name, flags)
        if not (records.parent / "done").exists():
            shutil.rmtree(records.parent, ignore_errors=True)
            records.parent.mkdir(parents=True)
            call(runs.Job(f"making {name}", records.parent, records, flags.start, (), {}, 0))
            (records.parent / "done").touch()


def records_of(data, flags):
    """The folder of the records of a data set."""
    return flags.output / "data" / _slug(data) / "records"


def job_of(data, name, seed, flags):
    """The Job of a candidate."""
    sides = runs.SIDES[data]
    changes = candidates(sides[0])[name]
    if flags.steps != STEPS:
        changes = {"train.max_steps": flags.steps, "train.epochs": flags.steps, **changes}
    folder = flags.output / "runs" / _slug(data) / f"{_slug(name)}-seed-{seed}"
    start = records_of(START, flags).parent / "run"
    return runs.Job(f"{data}, {name}, seed {seed}", folder, records_of(data, flags), start, sides, changes, seed)


def _slug(text):
    return "".join(letter if letter.isalnum() else "-" for letter in text)


def scores_of(data, names, flags):
    """Name -> the Scores on val, one per seed. All candidates of a seed come before the next seed."""
    jobs = {(name, seed): job_of(data, name, seed, flags) for seed in range(1, flags.seeds + 1) for name in names}
    done = {key: runs.trained(job) for key, job in jobs.items()}
    return {name: [done[name, seed] for seed in range(1, flags.seeds + 1)] for name in names}


def tested(data, name, flags):
    """The Scores of a candidate on test, one per seed."""
    return [runs.tested(job_of(data, name, seed, flags)) for seed in range(1, flags.seeds + 1)]


def finish(flags, val, choice, test):
    """Writes finetune.json and finetune.md; with --write-docs, docs/ too."""
    seeds = f"{flags.seeds} seed" + ("s" if flags.seeds > 1 else "")
    parts = [report.val_table(data, scores) for data, scores in val.items()]
    parts.append(f"Means of {seeds} ± half of their spread. Chosen on val: **{choice}**.")
    parts.append(report.test_table(test))
    text = "\n\n".join(parts)
    figures = {"val": val, "chosen": choice, "test": test}
    (flags.output / "finetune.json").write_text(json.dumps(figures) + "\n")
    (flags.output / "finetune.md").write_text(text + "\n")
    print(f"\n{text}\n\n{flags.output / 'finetune.json'}, finetune.md")
    if flags.write_docs:
        DOCS.write_text(put_into(DOCS.read_text(), text, "docs/recipes.md"))
        print(f"{DOCS} has these figures now")


def parsed():
    names = list(candidates(runs.SIDES[runs.PHOTOS][0]))
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    where = measure.ROOT / "runs"
    parser.add_argument("--output", type=pathlib.Path, default=where / "finetune", help="folder of all runs")
    parser.add_argument("--start", type=pathlib.Path, default=where / "shapes", help="run of make train")
    parser.add_argument("--coco", type=pathlib.Path, default=COCO, help="folder of few images in COCO's layout")
    parser.add_argument("--no-coco", dest="coco", action="store_const", const=None, help="drawn photos alone")
    parser.add_argument("--seeds", type=int, default=2, help="runs of each candidate, with seeds 1, 2, …")
    parser.add_argument("--photos", type=int, default=400, help="three fifths are trained on")
    parser.add_argument("--only", nargs="+", choices=names, default=names, metavar="NAME", help="these settings alone")
    parser.add_argument("--list", action="store_true", help="show the names of the candidates and do nothing")
    parser.add_argument("--tiny", action="store_true", help=f"one seed, {TINY_STEPS} steps, 20 photos, one setting")
    parser.add_argument("--write-docs", action="store_true", help="put the tables into docs/recipes.md")
    flags = parser.parse_args()
    flags.steps = STEPS
    if flags.list:
        print("\n".join(names))
        parser.exit()
    if flags.tiny and flags.write_docs:
        parser.error("--write-docs wants figures that are not those of --tiny")
    if flags.tiny:
        flags.seeds, flags.photos, flags.steps, flags.only = 1, 20, TINY_STEPS, names[:2]
    if flags.seeds < 1 or flags.photos < 20:
        parser.error("--seeds must be 1 or more, --photos 20 or more")
    flags.only = list(dict.fromkeys([NOW, *flags.only]))
    flags.output, flags.start = flags.output.resolve(), flags.start.resolve()
    return flags


if __name__ == "__main__":
    try:
        main(parsed())
    except UserError as error:
        print(error, file=sys.stderr)
        sys.exit(1)
