"""Decodes the images of records with the decoder that training reads them with, on all cores."""

import collections
import concurrent.futures

import numpy as np
import tensorflow as tf

from awsdet.data.coco.decoding import decoded
from awsdet.data.records.manifest import AWSDET, Manifest
from awsdet.ops.read_record import read_record
from awsdet.runtime.cores import usable_cores
from awsdet.runtime.shown import shown

NAMED = 20  # faults that are told one by one


class ImageCheck:
    """A context that decodes the images of a split while its records are read. Use it as

    with ImageCheck(manifest) as images:
        images.add(row, features)
        faults = images.faults()
    """

    def __init__(self, manifest: Manifest):
        cores = usable_cores()
        self._manifest, self._most = manifest, 2 * cores
        self._pool = concurrent.futures.ThreadPoolExecutor(cores)
        self._waiting, self._found, self._count = collections.deque(), [], 0

    def __enter__(self):
        return self

    def __exit__(self, *failure):
        self._pool.shutdown(cancel_futures=True)

    def add(self, row, features):
        """Checks the image of record `row` of the manifest; features: a mapping of keys to `tf.train.Feature`.

        Waits while many images wait for a core, so that few are in memory.
        """
        while len(self._waiting) >= self._most:
            self._take()
        encoded = b"".join(features["image/encoded"].bytes_list.value[:1])
        name = b"".join(features["image/filename"].bytes_list.value[:1]).decode(errors="surrogateescape")
        size = int(self._manifest.height[row]), int(self._manifest.width[row])
        self._waiting.append((row, name, self._pool.submit(_fault, encoded, size)))

    def faults(self):
        """A line for each image so far that the reader cannot decode, and one for the rest if many; forgets them."""
        while self._waiting:
            self._take()
        lines, more = self._found, self._count - len(self._found)
        if more:
            lines.append(f"{more} more images of split {self._manifest.split} cannot be decoded")
        self._found, self._count = [], 0
        return lines

    def _take(self):
        row, name, future = self._waiting.popleft()
        fault = future.result()
        if fault is None:
            return
        self._count += 1
        if len(self._found) < NAMED:
            manifest = self._manifest
            path = manifest.directory / manifest.shards[manifest.shard[row]].file
            cure = "" if manifest.layout == AWSDET else "; write its shard again"
            which = f"the image with id {manifest.own_image_id(manifest.image_id[row])}" + (
                f" ({shown(name)})" if name else ""
            )
            self._found.append(f"shard {path} is not fully readable: {which}: {shown(fault)}{cure}")


def damaged_records(manifest, number):
    """Which records of shard `number` do not have their checksum, in words that follow others; empty if all have."""
    path = str(manifest.directory / manifest.shards[number].file)
    rows = np.flatnonzero(manifest.shard == number)
    damaged = [row for row in rows if not _is_whole(path, manifest.offset[row], manifest.length[row])]
    if not damaged:
        return ""
    ids = ", ".join(str(manifest.own_image_id(manifest.image_id[row])) for row in damaged[:5])
    return f"; damaged are {len(damaged)} of its {len(rows)} records, image ids {ids}{', …' * (len(damaged) > 5)}"


def _fault(encoded, size):
    """Why the reader cannot decode an image to height x width `size`, or None."""
    try:
        found = decoded(encoded).shape[:2]
    except ValueError as error:
        return str(error)
    if found == size:
        return None
    return f"it has {found[1]} x {found[0]} pixels, but the manifest says {size[1]} x {size[0]}"


def _is_whole(path, offset, length):
    try:
        read_record(path, tf.constant(offset, tf.int64), tf.constant(length, tf.int64))
    except tf.errors.OpError:
        return False
    return True
