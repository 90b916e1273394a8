"""Converts COCO annotations and images to a record set, shard by shard, in parallel.

A shard is written under another name and renamed. Then its state (size, checksum, index, anomalies) is written beside
it. A rerun keeps the shards whose state is that of the shard it would write. The manifest is written last and takes
over all states.
"""

import concurrent.futures
import contextlib
import hashlib
import json
import multiprocessing
import os
import pathlib
import re
import shutil
import signal
import threading
from concurrent.futures.process import BrokenProcessPool
from typing import NamedTuple

import numpy as np

from awsdet.data.coco.annotations import CocoFile, coco_of, read_coco
from awsdet.data.coco.anomalies import KINDS, Anomalies
from awsdet.data.coco.files import find_file
from awsdet.data.coco.json_file import too_deep
from awsdet.data.coco.opening import MAX_MEGAPIXELS, check_megapixels, settle_pillow
from awsdet.data.formats.translated import Translated
from awsdet.data.records.manifest import (
    AWSDET,
    FORMAT,
    SUFFIX,
    classes_to_json,
    file_digest,
    manifest_from_json,
    manifest_to_json,
    progress_folder,
    read_json,
)
from awsdet.data.records.overlap import check_whole, source_of
from awsdet.data.records.shard_writer import Task, write_shard
from awsdet.runtime import gpus, owner
from awsdet.runtime.cores import usable_cores
from awsdet.runtime.errors import UserError
from awsdet.runtime.files import check_folder, remove_leftovers, why_no_folder, write_json
from awsdet.runtime.paths import given_path
from awsdet.runtime.progress import Progress
from awsdet.runtime.room import check_room

SHARD_BYTES = 150e6  # of images per shard; large enough for sequential reads, small enough to copy and to redo
VERSION = 2  # of the conversion; raise it when its output changes, so that a rerun keeps no old shards


class NothingToTrainOn(UserError):
    """All images or all objects of an annotation file were left out; `anomalies` says why."""

    def __init__(self, message, anomalies):
        super().__init__(message)
        self.anomalies = anomalies


def convert(annotations, images, output, split, *, shards=0, workers=0, strict=False, max_megapixels=MAX_MEGAPIXELS):
    """Writes the split `split` of a COCO data set to the folder `output`. Returns its Manifest.

    annotations: JSON file, or a Translated of another format; images: folder that its file names are relative to;
    shards: number of shards (0: about 150 MB of images each); workers: processes (0: one per core); strict: raise
    instead of leaving anything out; max_megapixels: larger images are left out. Raises UserError for inputs that cannot
    be used and for a full or read-only disk, and NothingToTrainOn if no image can be used, or if the file has
    annotations but no object to train on is left.
    """
    max_pixels = check_megapixels(max_megapixels)
    annotations, images, output = places(annotations, images, output)
    coco, found = read(annotations, images, [split], strict)
    check_whole(output, split, coco.sha256)
    return write([Part(coco, split, {}, shards)], annotations, images, output, workers, strict, max_pixels, found)[0][0]


class Part(NamedTuple):
    """A split to write. holdout: how it was divided from the file; empty if it is all of it."""

    coco: CocoFile
    split: str
    holdout: dict
    shards: int


def places(annotations, images, output):
    """The paths of the annotation file, of the folder of images, and of that to write to, checked. Raises UserError.

    A Translated in place of the file stays what it is.
    """
    if not isinstance(annotations, Translated):
        annotations = pathlib.Path(given_path(annotations, "annotations"))
    images = pathlib.Path(given_path(images, "images"))
    output = pathlib.Path(given_path(output, "output", written=True))
    if not images.is_dir():
        raise UserError(f"image folder {images} {why_no_folder(images)}")
    check_folder(output, "output")
    return annotations, images, output


def read(annotations, images, splits, strict):
    """(CocoFile, Anomalies) of the annotation file. Raises UserError."""
    for split in splits:
        if not re.fullmatch(r"[\w.-]*[\w-][\w.-]*", split):  # "..": its files would be hidden
            raise UserError(f"split {split!r}: letters, digits, '_', '-' and '.' only, and not dots alone")
    found = Anomalies()
    coco = _coco(annotations, images, found)
    if not coco.images:
        reason = _reasons(found, "image_")
        what = f"no usable image: {reason}" if reason else "no images"
        raise NothingToTrainOn(f"annotation file {annotations} lists {what}", found)
    if strict:
        found.refuse_skips()
    return coco, found


def _coco(annotations, images, found):
    if not isinstance(annotations, Translated):
        return read_coco(annotations, found, images)
    found.merge(annotations.found)
    coco = coco_of(annotations, annotations.content, annotations.sha256(), found, images)
    return coco._replace(unplaced=coco.unplaced + annotations.left_out)


def write(parts, annotations, images, output, workers, strict, max_pixels, found):
    """Writes the splits of some `Part`s of an annotation file. Returns [(Manifest, set of the classes with objects)].

    max_pixels: larger images are left out. `found`: Anomalies of the file, which the first manifest gets. Raises
    UserError.
    """
    planned = [(part, _plan(part, images, output, max_pixels)) for part in parts]
    written = []
    try:
        output.mkdir(parents=True, exist_ok=True)
        with contextlib.ExitStack() as owned:
            for part in parts:
                owned.enter_context(_owned(output, part.split))
            for part in parts:  # before any split changes: two splits that overlap must not stand side by side
                before = source_of(output, part.split)
                if part.holdout and (before.get("holdout"), before.get("sha256")) != (part.holdout, part.coco.sha256):
                    _forget_manifest(output, part.split, _known_states(output, part.split))
            for part, tasks in planned:
                states = _write_shards(tasks, output, part.split, workers, strict)
                manifest = _finish(part, annotations, images, output, states, found)
                _refuse_nothing(manifest, annotations, len(part.coco.images))
                written.append((manifest, {c for state in states for c in state["classes"]}))
                found = Anomalies()
    except OSError as error:
        raise UserError(f"cannot write to {output}: {error.strerror or error}") from error
    except RecursionError:
        raise too_deep(annotations) from None
    return written


def _refuse_nothing(manifest, annotations, images):
    """Raises NothingToTrainOn if all images or all objects were left out."""
    found, counts = manifest.anomalies, manifest.annotations
    if not manifest.num_images:
        reason = _reasons(found, "image_")
        raise NothingToTrainOn(f"none of the {images} images can be used: {reason}", found)
    if counts.in_file and not counts.objects:
        reason = _reasons(found, "") or "they are crowd regions"
        raise NothingToTrainOn(
            f"none of the {counts.in_file} annotations of {annotations} is an object to train on: {reason}", found
        )


def _reasons(found, start):
    """Why things were left out: the two most frequent kinds whose names begin with `start`, with an example each."""
    kinds = [kind for kind in found.counts if kind.startswith(start) and KINDS[kind].skips]
    kinds = sorted(kinds, key=found.counts.get, reverse=True)[:2]
    return "; ".join(f"{KINDS[k].text} ({found.counts[k]:,}), such as {found.examples[k][0]}" for k in kinds)


@contextlib.contextmanager
def _owned(output, split):
    """A context in which no other conversion writes this split. Raises UserError if one does."""
    ownership = owner.acquire(output / f".{split}.lock", f"split {split} in {output}")
    try:
        yield
    finally:
        ownership.release()


def _plan(part, images, output, max_pixels):
    """The tasks of all shards of a `Part`: consecutive images, about as many in each."""
    coco, split, holdout, count = part
    stats = [_stat(find_file(images, entry.file_name).path) for entry in coco.images]
    count = count or round(sum(size for size, _ in stats) / SHARD_BYTES)
    count = min(max(count, 1), len(coco.images))
    common = [VERSION, coco.sha256, str(images.resolve()), count, max_pixels]
    common += [holdout, [entry.id for entry in coco.images]] if holdout else []
    tasks = []
    for number, rows in enumerate(np.array_split(np.arange(len(coco.images)), count)):
        entries = [coco.images[row] for row in rows]
        annotations = [coco.annotations[entry.id] for entry in entries]
        described = json.dumps([*common, number, [stats[row] for row in rows]])
        path = output / f"{split}-{number:05d}-of-{count:05d}.tfrecord"
        settings = hashlib.sha256(described.encode()).hexdigest()
        classes = coco.class_names, coco.category_ids
        tasks.append(Task(path, split, images, entries, annotations, *classes, settings, max_pixels))
    return tasks


def _stat(path):
    """(size, time of change) of a file; zeros if it does not exist."""
    try:
        stat = path.stat()
    except (OSError, ValueError):  # ValueError: no path can have this name
        return 0, 0
    return stat.st_size, stat.st_mtime_ns


def _write_shards(tasks, output, split, workers, strict):
    """Writes the shards that do not exist yet. Returns the states of all shards, in order."""
    known = _known_states(output, split)
    states = {task.path: _reusable(task, known.get(task.path.name)) for task in tasks}
    pending = [task for task in tasks if states[task.path] is None]
    if not pending:
        return [_checked(states[task.path], strict) for task in tasks]
    paths = (find_file(task.images_dir, entry.file_name).path for task in pending for entry in task.entries)
    check_room(output, sum(_stat(path)[0] for path in paths), f"the records of split {split}")
    _forget_manifest(output, split, known)
    workers = min(workers or usable_cores(), len(pending))
    run = _run_processes if workers > 1 else _run_here
    with Progress(sum(len(task.entries) for task in tasks), f"convert {split}", "images") as progress:
        progress.add(sum(len(task.entries) for task in tasks if states[task.path]))
        for task, state in run(pending, workers, progress):
            states[task.path] = _checked(state, strict)
    return [_checked(states[task.path], strict) for task in tasks]


def _checked(state, strict):
    if strict:
        Anomalies.from_json(state["anomalies"]).refuse_skips()
    return state


def _known_states(output, split):
    """States by shard name, from the folder of an unfinished conversion and from the manifest of a finished one."""
    states = {}
    manifest = output / f"{split}{SUFFIX}"
    for path in (*[manifest][: manifest.is_file()], *sorted(progress_folder(output, split).glob("*.json"))):
        try:
            content = read_json(path)
        except UserError:  # damaged: its shards are written again
            continue
        if content.get("layout", AWSDET) != AWSDET:
            raise UserError(f"{output} holds a split {split} that awsdet did not write; choose another folder")
        states.update({shard["file"]: shard for shard in content.get("shards", [content])})
    return states


def _reusable(task, state):
    """The state of a shard if it exists, is whole and is what the task would write; else None."""
    if not state or state.get("settings") != task.settings or not task.path.is_file():
        return None
    whole = task.path.stat().st_size == state["size"] and file_digest(task.path) == state["sha256"]
    return state if whole else None


def _forget_manifest(output, split, known):
    """Deletes the manifest before its shards change; their states are kept in the progress folder."""
    folder = progress_folder(output, split)
    folder.mkdir(exist_ok=True)
    remove_leftovers(output, f"{split}-?????-of-?????.tfrecord")
    for name, state in known.items():
        write_json(folder / f"{name}.json", state)
    (output / f"{split}{SUFFIX}").unlink(missing_ok=True)


def _finish(part, annotations, images, output, states, found):
    """Writes the manifest, then removes what was needed only during the conversion. Returns the Manifest."""
    coco, split, holdout, _ = part
    source = {"annotations": str(annotations), "sha256": coco.sha256, "images": str(images)}
    for state in states:
        found.merge(Anomalies.from_json(state["anomalies"]))
    found.judge_file(sum(map(len, coco.annotations.values())))
    manifest = manifest_from_json(
        output,
        {
            "format": FORMAT,
            "split": split,
            "layout": AWSDET,
            "classes": classes_to_json(coco.class_names, coco.category_ids),
            "image_ids": [[entry.id, entry.source_id] for entry in coco.images if entry.id != entry.source_id],
            "source": {**source, **({"holdout": holdout} if holdout else {})},
            "has_masks": any(state["has_masks"] for state in states),
            "annotations": {
                "in_file": coco.unplaced + sum(map(len, coco.annotations.values())),
                "kept": sum(state["kept"] for state in states),
                "objects": sum(state["objects"] for state in states),
            },
            "anomalies": found.to_json(),
            "shards": states,
        },
    )
    if manifest.num_images and (manifest.annotations.objects or not manifest.annotations.in_file):
        kept = ("settings", "anomalies", "has_masks", "classes", "kept", "objects")
        extra = [{key: state[key] for key in kept} for state in states]
        write_json(output / f"{split}{SUFFIX}", manifest_to_json(manifest, extra))
        folder = progress_folder(output, split)
        for stale in {path.stem for path in folder.glob("*.json")} - {state["file"] for state in states}:
            (output / stale).unlink(missing_ok=True)  # left by an earlier conversion into another number of shards
        shutil.rmtree(folder, ignore_errors=True)
    return manifest


def _run_here(tasks, workers, progress):
    """Writes shards one after the other; yields (task, state)."""
    del workers
    for task in tasks:
        yield task, write_shard(task, progress.add)


def _run_processes(tasks, workers, progress):
    """Writes shards in `workers` processes; yields (task, state) as they are done."""
    context = multiprocessing.get_context("spawn")  # TensorFlow's threads do not survive a fork
    done, stop = context.Value("q", 0), context.Event()
    pool = concurrent.futures.ProcessPoolExecutor(workers, context, _start_worker, (done, stop))
    shown = 0
    try:
        futures = {pool.submit(_write_shard_in_worker, task): task for task in tasks}
        waiting = set(futures)
        while waiting:
            finished, waiting = concurrent.futures.wait(waiting, timeout=0.2, return_when="FIRST_COMPLETED")
            count = done.value
            progress.add(count - shown)
            shown = count
            for future in finished:
                yield futures[future], future.result()
    except BrokenProcessPool:
        message = "a conversion process was killed (out of memory?); run it again with fewer --workers"
        raise UserError(f"{message}: finished shards are kept") from None
    finally:
        stop.set()
        pool.shutdown(cancel_futures=True)


_worker = {}  # in a worker process: the counter and the stop flag that its parent gave it


def _start_worker(done, stop):
    _worker.update(done=done, stop=stop)
    gpus.hide()
    settle_pillow()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent gets it too, and stops its workers
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent():
    multiprocessing.parent_process().join()
    os._exit(1)  # the parent was killed, and this process would wait for work for ever


def _write_shard_in_worker(task):
    def count(number):
        if _worker["stop"].is_set():
            raise UserError("the conversion was stopped")
        with _worker["done"].get_lock():
            _worker["done"].value += number

    return write_shard(task, count)
