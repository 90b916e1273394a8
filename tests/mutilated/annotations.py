"""Mutilates COCO files and converts them: each must be refused in one line, or be converted with everything counted.

    python -m tests.mutilated.annotations [--count=1000] [--seed=1] [--keep=FOLDER]

A file is made (`tests/data/random_coco.py`). Then bytes are flipped, cut out or put in, keys deleted, and values
swapped with others of any type. What converts is read as training and evaluation read it: records, batches with their
masks, COCO metrics. Each batch of files has a process of its own, so that a signal is noticed and its file named.
Prints a table of what happened. The exit code is 1 if that was anything but a UserError or a conversion in which
everything is counted; the files are then kept.
"""

import argparse
import collections
import json
import pathlib
import random
import re
import shutil
import subprocess
import sys
import tempfile
import traceback

ROOT = pathlib.Path(__file__).parents[2]
PROGRAM = ("-m", "tests.mutilated.annotations")
BATCH = 125  # files per process
SECONDS = 900  # that a batch may take; 125 files take 15 on an idle core
VALUES = (None, True, False, 0, -1, 1, 0.5, 3, 2**31, 2**63, -(2**63) - 1, 2**64, 10**400, 1e308, -1e308, 1e-320)
VALUES += (
    float("nan"),
    float("inf"),
    -float("inf"),
    "",
    "x",
    "1_0",
    "7",
    "NaN",
    "\ud800",
    "a\0b",
    "../..",
    "/",
    "ä" * 300,
)
VALUES += ([], {}, [[]], [None], {"x": 1}, [1, 2], [[1, 2], [3, 4], [5, 6]], {"size": [3, 3], "counts": "P1"})
# Kinds that say that an annotation is in no record.
LOST = ("annotation_of_unknown_image", "annotation_of_unknown_category", "annotation_of_skipped_image")
LOST += ("annotation_malformed",)


# --------------------------------------------------------------------------------------------------------- mutilations


def mutilated(number, seed):
    """The bytes of the mutilated file of a number."""
    from tests.data.random_coco import random_file

    rng = random.Random(f"{seed} {number}")
    content = random_file(rng)
    try:
        for _ in range(rng.choice((0, 1, 1, 2, 4))):
            _change_values(rng, content)
        data = json.dumps(content).encode()
    except RecursionError:  # nested too deeply to be written by json
        data = b"[" * 100_000
    for _ in range(rng.choice((0, 0, 0, 1))):
        data = rng.choice(BYTES)(rng, data)
    return data


def _change_values(rng, content):
    """Changes one place in nested lists and dicts."""
    holder, key = rng.choice(list(_places(content)))
    other_holder, other_key = rng.choice(list(_places(content)))
    action = rng.choice(("delete", "value", "value", "value", "swap", "nest", "rename", "scale", "repeat"))
    if action == "delete":
        del holder[key]
    elif action == "swap":
        first, second = _copy(holder[key]), _copy(other_holder[other_key])
        holder[key], other_holder[other_key] = second, first
    elif action == "nest":
        for _ in range(rng.choice((1, 2, 30, 700))):
            holder[key] = [holder[key]]
    elif action == "rename" and isinstance(holder, dict):
        holder[rng.choice(("id", "bbox", "image_id", "segmentation", "Id", ""))] = holder.pop(key)
    elif action == "scale" and isinstance(holder[key], int | float):
        holder[key] = holder[key] * rng.choice((-1, 0, 1000, 2**33, 2**70))
    elif action == "repeat" and isinstance(holder[key], list):
        holder[key] = holder[key] * rng.choice((2, 3, 50))
    else:
        holder[key] = _copy(rng.choice(VALUES))


def _copy(value):
    return json.loads(json.dumps(value))


def _places(content):
    """Yields (list or dict, index or key) of all values; those near the top come as often as those below."""
    waiting = [content]
    while waiting:
        holder = waiting.pop()
        keys = list(holder) if isinstance(holder, dict) else range(len(holder))
        for key in keys:
            yield holder, key
            if isinstance(holder[key], dict | list):
                waiting.append(holder[key])


def _flip(rng, data):
    changed = bytearray(data)
    for _ in range(rng.choice((1, 2, 10))):
        if changed:
            changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def _cut(rng, data):
    return data[: rng.randrange(len(data) + 1)]


def _drop(rng, data):
    start = rng.randrange(len(data) + 1)
    return data[:start] + data[start + rng.choice((1, 5, 60)) :]


def _double(rng, data):
    start = rng.randrange(len(data) + 1)
    end = start + rng.choice((1, 5, 60))
    return data[:end] + data[start:end] * rng.choice((1, 3)) + data[end:]


def _insert(rng, data):
    start = rng.randrange(len(data) + 1)
    put = (b"0", b"-", b"e9", b'"', b"{", b"]", b"\\u0000", b"\xff", b"NaN", b",", b"[" * 2000, b"9" * 5000)
    return data[:start] + rng.choice(put) + data[start:]


BYTES = (_flip, _flip, _flip, _cut, _drop, _drop, _double, _insert)


# ---------------------------------------------------------------------------------------------- the outcome of one file


def outcome(path, images, folder):
    """What became of a file, in a few words. An error that is not expected is raised."""
    from awsdet.data.records.convert import NothingToTrainOn, convert
    from awsdet.runtime.errors import UserError

    try:
        manifest = convert(path, images, folder, "train", workers=1, shards=1)
    except NothingToTrainOn as error:
        _check_line(error)
        return "refused: nothing to train on, with the reasons"
    except UserError as error:
        _check_line(error)
        return f"refused: {_sort_of(str(error))}"
    _check_counts(manifest)
    _read(manifest)
    skipped = any(kind in manifest.anomalies.counts for kind in LOST) or manifest.num_images < 3
    return "converted, with skips that are counted" if skipped else "converted whole"


def _check_line(error):
    text = str(error)
    assert len(text.splitlines()) == 1 and len(text) < 1000 and text.isprintable(), f"no line: {text!r}"


def _sort_of(text):
    """The kind of a refusal: its words without names and numbers."""
    known = ("is not valid JSON: it ends", "is not valid JSON", "is empty", "nests lists", "4300 digits", "has no list")
    known += ("given to two files", "is used twice", "has no usable id", "has no categories", "inside the entries")
    known += ("twice in one object", "captions", "keypoints", "holds a", "segments_info", "Create ML")
    return next((words for words in known if words in text), re.sub(r"\S*[/\d']\S*", "…", text)[:60])


def _check_counts(manifest):
    """Every annotation of the file is in a record, or counted as left out."""
    counts = manifest.anomalies.counts
    lost = sum(counts.get(kind, 0) for kind in LOST)
    in_file, kept, _ = manifest.annotations
    assert kept + lost == in_file, f"{in_file} annotations: {kept} kept, {lost} counted as left out"
    for text in (manifest.anomalies.table(), json.dumps(manifest.anomalies.to_json())):
        assert text.encode() is not None  # can be printed


def _read(manifest):
    """Reads records as training and evaluation do; the metrics use pycocotools and our own operators."""
    from awsdet import config
    from awsdet.data.reader.builder import reader_options
    from awsdet.data.reader.pipeline import eval_dataset
    from awsdet.data.records.read import read_ground_truth
    from awsdet.evaluation.coco_metric import coco_metrics

    truth = read_ground_truth(manifest)
    assert len(truth["annotations"]) == manifest.annotations.kept
    results = [{**a, "score": 0.5} for a in truth["annotations"] if not a["iscrowd"]]
    found = [{k: v for k, v in r.items() if k != "segmentation"} for r in results]
    coco_metrics(truth, found, with_masks=False)
    coco_metrics(truth, [], with_masks=True)
    data = config.mask_rcnn().data
    data.update(eval_batch_size=4, eval_short_side=32, max_long_side=64, reader_threads=1)
    objects = 0
    for batch in eval_dataset(manifest, reader_options(data), rank=0, world_size=1):
        objects += int((batch["classes"].numpy() >= 0).sum())
    assert objects == int(manifest.num_objects.sum())


# ------------------------------------------------------------------------------------------------------------ processes


def child(numbers, seed, folder):
    """Converts the files of some numbers; prints a JSON line when a file begins, and one with what became of it."""
    from tests.data.random_coco import write_images

    folder = pathlib.Path(folder)
    images = write_images(folder / "images")
    for number in numbers:
        print(json.dumps({"begun": number}), flush=True)
        path, records = folder / f"{number}.json", folder / f"records{number}"
        path.write_bytes(mutilated(number, seed))
        try:
            line = {"done": number, "outcome": outcome(path, images, records)}
        except BaseException:
            line = {"done": number, "outcome": "FAULT", "traceback": traceback.format_exc()}
        print(json.dumps(line), flush=True)
        if line["outcome"] != "FAULT":
            path.unlink()
        shutil.rmtree(records, ignore_errors=True)


def run(count, seed, folder):
    """Runs all files in processes. Returns (Counter of outcomes, [(number, what went wrong)])."""
    outcomes, faults, waiting = collections.Counter(), [], list(range(count))
    while waiting:
        numbers, waiting = waiting[:BATCH], waiting[BATCH:]
        command = [sys.executable, *PROGRAM, "--child", f"--seed={seed}", f"--keep={folder}", *map(str, numbers)]
        try:
            done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=SECONDS)
            printed, code, said = done.stdout, done.returncode, done.stderr
        except subprocess.TimeoutExpired as error:
            printed, code, said = (error.stdout or b"").decode(), f"none in {SECONDS} s", ""
        lines = [json.loads(line) for line in printed.splitlines() if line.startswith("{")]
        for line in (line for line in lines if "done" in line):
            outcomes[line["outcome"]] += 1
            if line["outcome"] == "FAULT":
                faults.append((line["done"], line["traceback"]))
        finished = {line["done"] for line in lines if "done" in line}
        left = [number for number in numbers if number not in finished]
        if left:  # the process ended within the first of them
            outcomes["FAULT"] += 1
            faults.append((left[0], f"the process ended with exit code {code}\n{said[-2000:]}"))
            waiting = left[1:] + waiting
    return outcomes, faults


def main():
    """Returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=1000, help="number of files")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", help="folder for the files that went wrong")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("numbers", type=int, nargs="*", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        child(given.numbers, given.seed, given.keep)
        return 0
    folder = pathlib.Path(given.keep or tempfile.mkdtemp(prefix="mutilated-"))
    folder.mkdir(parents=True, exist_ok=True)
    outcomes, faults = run(given.count, given.seed, folder)
    print(f"{given.count} mutilated annotation files, seed {given.seed}:")
    for name, count in sorted(outcomes.items(), key=lambda item: (-item[1], item[0])):
        print(f"  {count:>6}  {name}")
    for number, what in faults[:20]:
        print(f"\n{folder}/{number}.json:\n{what}")
    if not faults and not given.keep:
        shutil.rmtree(folder, ignore_errors=True)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
