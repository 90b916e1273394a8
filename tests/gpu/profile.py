"""What the GPU did in some steps, from the trace of TensorFlow's own profiler (an XSpace, tsl/profiler/protobuf).

A GPU's plane has a line per stream, whose events are kernels, copies and fills with their times in picoseconds.
"""

import collections
import pathlib
import re
import tempfile
from typing import NamedTuple

import tensorflow as tf
from tensorflow.tsl.profiler.protobuf import xplane_pb2

PLANE, LINE = "/device:GPU:", "Stream #"
_KERNEL, _COPY, _FILL = "kernel_details", "memcpy_details", "memset_details"  # statistics of an event, by their names
_NAMED = 8  # kernels that are listed


class Activity(NamedTuple):
    """One event of a GPU: kind is kernel, copy or fill; begin and end in ps; size in bytes, 0 if it is not known."""

    kind: str
    name: str
    begin: int
    end: int
    size: int = 0


def trace(call):
    """Calls `call` under the profiler. Returns (the Activities of all GPUs, "") or ([], why there are none)."""
    options = tf.profiler.experimental.ProfilerOptions(
        host_tracer_level=0, python_tracer_level=0, device_tracer_level=1
    )
    with tempfile.TemporaryDirectory() as folder:
        try:
            tf.profiler.experimental.start(folder, options)
        except tf.errors.OpError as error:
            return [], f"the profiler does not start: {error.message.splitlines()[0]}"
        try:
            call()
        finally:
            try:
                tf.profiler.experimental.stop()
            except tf.errors.OpError as error:
                return [], f"the profiler does not stop: {error.message.splitlines()[0]}"
        files = list(pathlib.Path(folder).rglob("*.xplane.pb"))
        if not files:
            return [], "the profiler has written no trace"
        space = xplane_pb2.XSpace()
        space.ParseFromString(files[0].read_bytes())
    found = activities(space)
    if found:
        return found, ""
    words = [*space.errors, *space.warnings, "the trace holds no events of a GPU (is libcupti there?)"]
    return [], words[0].splitlines()[0]


def activities(space):
    """The Activities in an XSpace."""
    found = []
    for plane in space.planes:
        if not plane.name.startswith(PLANE):
            continue
        for line in plane.lines:
            if line.name.startswith(LINE):  # others repeat the events by the operation that launched them
                found += [_activity(plane, line, event) for event in line.events]
    return found


def _activity(plane, line, event):
    name = plane.event_metadata[event.metadata_id].name
    begin = 1000 * line.timestamp_ns + event.offset_ps
    stats = {plane.stat_metadata[stat.metadata_id].name: stat for stat in event.stats}
    kind = "copy" if _COPY in stats else "fill" if _FILL in stats else "kernel"
    if _KERNEL not in stats and kind == "kernel":
        kind = "copy" if name.startswith("Memcpy") else "fill" if name.startswith("Memset") else "kernel"
    size = 0
    if _COPY in stats:
        stat = stats[_COPY]
        words = stat.str_value or plane.stat_metadata[stat.ref_value].name
        size = int((re.search(r"size:(\d+)", words) or [0, 0])[1])
    return Activity(kind, name, begin, begin + event.duration_ps, size)


def summary(found, steps):
    """What is told of `steps` equal steps: a dict for JSON, of numbers per step.

    The idle share is that of the time from the first event to the last in which no kernel, copy or fill ran.
    """
    kernels = [activity for activity in found if activity.kind == "kernel"]
    down = [activity for activity in found if activity.name == "MemcpyD2H"]
    span = max(a.end for a in found) - min(a.begin for a in found)
    busy = _union(found)
    costs = collections.Counter()
    for kernel in kernels:
        costs[kernel.name] += kernel.end - kernel.begin
    return {
        "launches": round(len(kernels) / steps, 2),
        "copies_to_host": round(len(down) / steps, 2),
        "bytes_to_host": round(sum(activity.size for activity in down) / steps),
        "ms": round(span / 1e9 / steps, 3),
        "idle_share": round(1 - busy / span, 4) if span else 0.0,
        "costliest_kernels_ms": {name: round(cost / 1e9 / steps, 3) for name, cost in costs.most_common(_NAMED)},
    }


def _union(found):
    """The ps in which at least one activity ran."""
    busy, until = 0, None
    for activity in sorted(found, key=lambda a: a.begin):
        begin = activity.begin if until is None else max(activity.begin, until)
        busy += max(0, activity.end - begin)
        until = activity.end if until is None else max(until, activity.end)
    return busy
