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

import numpy as np

from awsdet.data.coco.annotations import read_coco
from awsdet.data.coco.anomalies import KINDS, Anomalies
from awsdet.data.records.manifest import (
    AWSDET,
    FORMAT,
    SUFFIX,
    file_digest,
    manifest_from_json,
    manifest_to_json,
    progress_folder,
    read_json,
)
from awsdet.data.records.shard_writer import Task, write_shard
from awsdet.runtime import owner
from awsdet.runtime.cores import usable_cores
from awsdet.runtime.errors import UserError
from awsdet.runtime.files import check_folder, remove_leftovers, why_no_folder, write_json
from awsdet.runtime.paths import given_path
from awsdet.runtime.progress import Progress
from awsdet.runtime.room import check_room

SHARD_BYTES = 150e6  # of images per shard; large enough for sequential reads, small enough to copy and to redo
VERSION = 1  # of the conversion; raise it when its output changes, so that a rerun keeps no old shards


def convert(annotations, images, output, split, *, shards=0, workers=0, strict=False):
    """Writes the split `split` of a COCO data set to the folder `output`. Returns its Manifest.

    annotations: JSON file; images: folder that its file names are relative to; shards: number of shards (0: about 150
    MB of images each); workers: processes (0: one per core); strict: raise instead of leaving anything out. Raises
    UserError for inputs that cannot be used, if no image can be used, and for a full or read-only disk.
    """
    if not re.fullmatch(r"[\w.-]+", split):
        raise UserError(f"split {split!r}: letters, digits, '_', '-' and '.' only")
    annotations = given_path(annotations, "annotations")
    images = pathlib.Path(given_path(images, "images"))
    output = pathlib.Path(given_path(output, "output", written=True))
    if not images.is_dir():
        raise UserError(f"image folder {images} {why_no_folder(images)}")
    check_folder(output, "output")
    found = Anomalies()
    coco = read_coco(annotations, found)
    if not coco.images:
        raise UserError(f"annotation file {annotations} lists no images")
    if strict:
        found.refuse_skips()
    tasks = _plan(coco, images, output, split, shards)
    try:
        output.mkdir(parents=True, exist_ok=True)
        with _owned(output, split):
            states = _write_shards(tasks, output, split, workers, strict)
            manifest = _finish(coco, annotations, images, output, split, states, found)
    except OSError as error:
        raise UserError(f"cannot write to {output}: {error.strerror or error}") from error
    if not manifest.num_images:
        raise UserError(f"none of the {len(coco.images)} images can be used: {_first_refusal(found)}")
    return manifest


@contextlib.contextmanager
def _owned(output, split):
    """A context in which no other conversion writes this split. Raises UserError if one does."""
    ownership = owner.acquire(output / f".{split}.lock", f"split {split} in {output}")
    try:
        yield
    finally:
        ownership.release()


def _first_refusal(found):
    kind = next(kind for kind in KINDS if kind in found.counts and kind.startswith("image_") and KINDS[kind].skips)
    return f"{KINDS[kind].text}, such as {found.examples[kind][0]}"


def _plan(coco, images, output, split, count):
    """The tasks of all shards: consecutive images, about as many in each."""
    stats = [_stat(images / entry.file_name) for entry in coco.images]
    count = count or round(sum(size for size, _ in stats) / SHARD_BYTES)
    count = min(max(count, 1), len(coco.images))
    common = [VERSION, coco.sha256, str(images.resolve()), count]
    tasks = []
    for number, rows in enumerate(np.array_split(np.arange(len(coco.images)), count)):
        entries = [coco.images[row] for row in rows]
        annotations = [coco.annotations[entry.id] for entry in entries]
        described = json.dumps([*common, number, [stats[row] for row in rows]])
        path = output / f"{split}-{number:05d}-of-{count:05d}.tfrecord"
        settings = hashlib.sha256(described.encode()).hexdigest()
        tasks.append(Task(path, split, images, entries, annotations, coco.class_names, coco.category_ids, settings))
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
    images = sum(_stat(task.images_dir / entry.file_name)[0] for task in pending for entry in task.entries)
    check_room(output, images, f"the records of split {split}")
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


def _finish(coco, annotations, images, output, split, states, found):
    """Writes the manifest, then removes what was needed only during the conversion. Returns the Manifest."""
    for state in states:
        found.merge(Anomalies.from_json(state["anomalies"]))
    manifest = manifest_from_json(
        output,
        {
            "format": FORMAT,
            "split": split,
            "layout": AWSDET,
            "classes": [{"name": n, "category_id": i} for n, i in zip(coco.class_names, coco.category_ids)],
            "source": {"annotations": str(annotations), "sha256": coco.sha256, "images": str(images)},
            "has_masks": any(state["has_masks"] for state in states),
            "anomalies": found.to_json(),
            "shards": states,
        },
    )
    if manifest.num_images:
        kept = ("settings", "anomalies", "has_masks")
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
