"""The runs of benchmarks/finetune.py: their data, one run, its scores.

A finished run has figures.json in its folder and is never run again; one that was cut off begins anew.
"""

import json
import pathlib
import resource
import shutil
import subprocess
import sys
import time
from typing import NamedTuple

from awsdet.runtime.errors import UserError
from benchmarks.learn import jobs
from benchmarks.tune.candidates import CONFIG, overrides
from benchmarks.tune.config import NETWORK

PHOTOS, OBJECTS = "photos", "COCO's objects"  # the data sets
SIDES = {PHOTOS: (96, 128), OBJECTS: (160, 214)}  # px, short and long
SHARES = ("--holdout=0.2", "--test=0.2")
START_SEED = 2  # of the photos that the start is trained on; those of the candidates have seed 1
DIVERGED = "is not finite, so training stops"  # what `awsdet train` says


class Job(NamedTuple):
    """One run of a candidate on a data set. folder: of its files; start: the run whose detector it goes on from."""

    name: str
    folder: pathlib.Path
    records: pathlib.Path
    start: pathlib.Path
    sides: tuple
    changes: dict
    seed: int


class Scores(NamedTuple):
    """COCO APs of a run at its end; `seconds`, `cpu`: of the whole run, with its evaluation.

    diverged: its loss became infinite or NaN; the APs are 0.
    """

    box_ap: float
    mask_ap: float
    seconds: float = 0.0
    cpu: float = 0.0
    diverged: bool = False

    @property
    def ap(self):
        """The mean of both, by which candidates are compared."""
        return (self.box_ap + self.mask_ap) / 2


def awsdet(job, *arguments):
    """Runs a command as a user does. Raises UserError if it fails."""
    command = [sys.executable, "-m", "awsdet.cli.main", *map(str, arguments)]
    jobs.checked(subprocess.run(command, check=False, **jobs.options(job)).returncode, job)


def make_start(job, shapes, images):
    """Trains the detector that all candidates go on from: on drawn photos, from `shapes`, a run of `make train`."""
    awsdet(job, "shapes", "--style=photos", f"--images={images}", f"--seed={START_SEED}", f"--output={job.folder}")
    _convert(job, job.folder / "photos.json", job.folder / "photos")
    changes = {"data.train_records": job.records, "train.init_from": shapes, "train.evaluate_every_epochs": 8}
    awsdet(job, "train", f"--config={NETWORK}", f"--output={job.folder / 'run'}", *overrides(changes))


def make_photos(job, images):
    """Draws other photos, whose classes have other names, and converts them into train, val and test.

    job: folder of the data, and of the log.
    """
    awsdet(job, "shapes", "--style=photos", f"--images={images}", f"--output={job.folder}")
    file = job.folder / "photos.json"
    content = json.loads(file.read_text())
    for category in content["categories"]:  # so that the outputs of classes begin at random values
        category["name"] = f"own {category['name']}"
    file.write_text(json.dumps(content))
    _convert(job, file, job.folder / "photos")


def make_objects(job, coco):
    """Converts all images of `coco`, a folder in COCO's layout, into train, val and test, with one class for all."""
    parts = {split: coco / f"annotations/instances_{split}.json" for split in ("train2017", "val2017")}
    for file in parts.values():
        if not file.is_file():
            raise UserError(f"{file} does not exist; --coco names a folder with annotations/, train2017/ and val2017/")
    merged = one_class({split: json.loads(file.read_text()) for split, file in parts.items()})
    (job.folder / "objects.json").write_text(json.dumps(merged))
    _convert(job, job.folder / "objects.json", coco)


def one_class(parts):
    """The COCO dict of several: folder of the images -> COCO dict. All annotations are of one class, `object`."""
    images, annotations = [], []
    for folder, part in parts.items():
        images += [{**image, "file_name": f"{folder}/{image['file_name']}"} for image in part["images"]]
        annotations += [{**annotation, "category_id": 1} for annotation in part["annotations"]]
    annotations = [{**annotation, "id": number} for number, annotation in enumerate(annotations, 1)]
    return {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "object"}]}


def _convert(job, annotations, images):
    places = (f"--annotations={annotations}", f"--images={images}", f"--output={job.folder / 'records'}")
    awsdet(job, "convert", *places, "--split=train", *SHARES, "--shards=1", "--workers=1")


def trained(job):
    """The Scores of a Job on val; it is run if it is not finished."""
    done = job.folder / "figures.json"
    if not done.exists():
        shutil.rmtree(job.folder, ignore_errors=True)
        job.folder.mkdir(parents=True)
        short, long = job.sides
        sides = {"data.short_sides": short, "data.eval_short_side": short, "data.max_long_side": long}
        changes = {"data.train_records": job.records, "train.init_from": job.start, "seed": job.seed, **sides}
        begin, cpu = time.monotonic(), _cpu_seconds()
        flags = overrides({**changes, **job.changes})
        diverged = False
        try:
            awsdet(job, "train", f"--config={CONFIG}", f"--output={job.folder / 'run'}", *flags)
        except UserError:
            diverged = DIVERGED in (job.folder / "log.txt").read_text(errors="replace")
            if not diverged:
                raise
        aps = (0.0, 0.0) if diverged else last_scores(job.folder / "run")
        scores = Scores(*aps, time.monotonic() - begin, _cpu_seconds() - cpu, diverged)
        done.write_text(json.dumps(scores._asdict()) + "\n")
        print(f"{job.name}: val AP {scores.ap:.4f} after {scores.seconds:.0f} s ({scores.cpu:.0f} of CPU)", flush=True)
    return Scores(**json.loads(done.read_text()))


def _cpu_seconds():
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def last_scores(run):
    """(box AP, mask AP) of the last evaluation of a run. Raises UserError if there was none."""
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    evaluated = [line for line in lines if "box_ap" in line]
    if not evaluated:
        raise UserError(f"{run} ended without an evaluation; see {run.parent / 'log.txt'}")
    return evaluated[-1]["box_ap"], evaluated[-1]["mask_ap"]


def tested(job):
    """The Scores of a finished Job on test; it is evaluated if it was not yet."""
    done = job.folder / "test.json"
    if not done.exists():
        results = job.folder / "test_results.json"
        flags = (f"--checkpoint={job.folder / 'run'}", f"--records={job.records}", "--split=test")
        awsdet(job, "evaluate", *flags, f"--output={results}")
        done.write_text(json.dumps(_scored(job.records, json.loads(results.read_text()))) + "\n")
    return Scores(**json.loads(done.read_text()))


def _scored(records, results):
    from awsdet.data.records.read import read_ground_truth, read_manifest  # here, since it loads TensorFlow
    from awsdet.evaluation import coco_metrics

    metrics = coco_metrics(read_ground_truth(read_manifest(records, "test")), results, with_masks=True)
    return {name: metrics[name] for name in ("box_ap", "mask_ap")}
