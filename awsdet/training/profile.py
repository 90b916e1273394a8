"""Where the time of training steps goes: by part of the model and by operation, from TensorFlow's profiler.

The profiler writes an XSpace (tsl/profiler/protobuf/xplane.proto) of planes, lines and events. On a CPU, each thread is
a line of the plane /host:CPU, and what an operation took is an event "name:type". On a GPU, the streams are lines of
the planes /device:GPU:…, and the statistic tf_op of a kernel names the operation that launched it in the same way.
"""

import collections
import pathlib
import time
from typing import NamedTuple

import numpy as np
import tensorflow as tf
from absl import logging
from tensorflow.tsl.profiler.protobuf import xplane_pb2

from awsdet.runtime.errors import first_line
from awsdet.runtime.files import write_text

# An operation belongs to the first of these parts of which its name contains a mark.
_PARTS = (
    ("backbone", ("backbone.",)),
    ("FPN", ("neck.",)),
    ("RPN head", ("rpn_head", "rpn_samples")),
    ("mask head", ("mask_head",)),
    ("box head", ("bbox_head",)),
    ("RoIAlign", ("RoiAlign",)),
    ("proposals", ("proposals/",)),
    ("targets", ("targets/",)),
    ("losses", ("losses/",)),
    ("update", ("update/", "SGD/", "global_norm")),
)
# Operations that only run other operations, which have times of their own.
_CALLS = ("StatefulPartitionedCall", "PartitionedCall", "If", "StatelessIf", "While", "StatelessWhile")
_WORDS = {
    "Conv2D": "convolution",
    "_FusedConv2D": "convolution with what follows it",
    "FusedConv2D": "convolution with what follows it",
    "Conv2DBackpropInput": "gradient of a convolution's features",
    "Conv2DBackpropFilter": "gradient of a convolution's kernel",
    "MatMul": "matrix product",
    "_FusedMatMul": "matrix product with what follows it",
    "HorovodAllreduce": "exchange of gradients",
    "HorovodGroupedAllreduce": "exchange of gradients",
    "FusedBatchNormEx": "batch norm with what follows it",
    "FusedBatchNormV3": "batch norm",
    "FusedBatchNormGradV3": "gradient of a batch norm",
}
_HOST, _GPU, _STREAM = "/host:CPU", "/device:GPU:", "Stream #"
_ROWS = 20
_PS = 1e-12
_ONEDNN = "_MklNative"  # begins the name of an operation that oneDNN carries out on a CPU


class Row(NamedTuple):
    """All operations of one type in one part of the model. kind: as TensorFlow names it."""

    part: str
    kind: str
    seconds: float  # all of them together; on a CPU, over all threads
    calls: int


class Trace(NamedTuple):
    """What a trace tells of some steps."""

    rows: list  # of Row, the costliest first
    device: str  # GPU or CPU
    busy: float  # seconds in which the GPU ran something, the mean over all GPUs; 0 of a CPU


class Profiling(tf.keras.callbacks.Callback):
    """Traces some steps, and writes the trace and a table of it. For rank 0; comes after Steps.

    Args:
        steps: Steps.
        between: (first, last) of the steps, counted from 1. If an epoch ends between them, so does the trace, since an
            evaluation may follow.
        folder: for the trace, which TensorBoard shows, and for table.txt.
    """

    _supports_tf_logs = True

    def __init__(self, steps, between, folder):
        super().__init__()
        self._steps, (self._first, self._last), self._folder = steps, between, pathlib.Path(folder)
        self._began = None  # (step, time, seconds waited for data) at the beginning of the trace
        self._done = False

    def on_train_batch_begin(self, batch, logs=None):
        """Begins the trace before its first step."""
        if self._done or self._steps.step + 1 != self._first:
            return
        self._done = True  # once, even if Keras calls fit again
        try:
            tf.profiler.experimental.start(str(self._folder))
        except tf.errors.OpError as error:
            logging.warning("train.profile_steps: the profiler does not start: %s", first_line(error))
        else:
            self._began = self._steps.step, time.perf_counter(), self.model.train_function.data_seconds

    def on_train_batch_end(self, batch, logs=None):
        """Ends the trace after its last step."""
        if self._began is not None and (self._steps.step == self._last or self._steps.at_epoch_end):
            for value in (logs or {}).values():
                np.asarray(value)  # waits for a GPU
            self._end()

    def on_train_end(self, logs=None):
        """Ends a trace that is not at its end, as of a run that is stopped. Says so if there was nothing to trace."""
        if self._began is not None:
            self._end()
        if not self._done and self._steps.step == self._steps.total:
            logging.warning(
                "train.profile_steps is %d,%d, and this part of the run had no step %d: nothing was profiled",
                self._first,
                self._last,
                self._first,
            )

    def _end(self):
        (before, start, waited), self._began = self._began, None
        seconds, waited = time.perf_counter() - start, self.model.train_function.data_seconds - waited
        try:
            tf.profiler.experimental.stop()
            trace = read(self._folder)
        except (tf.errors.OpError, OSError, ValueError) as error:
            logging.warning("train.profile_steps: no profile was written: %s", first_line(error))
            return
        text = table(trace, range(before + 1, self._steps.step + 1), seconds, waited)
        write_text(self._folder / "table.txt", text)
        logging.info("%s\nthe whole table: %s", text.split("\n\n")[0], self._folder / "table.txt")


def read(folder):
    """The Trace in the newest file of a folder. Raises ValueError if there is none."""
    files = sorted(pathlib.Path(folder).rglob("*.xplane.pb"), key=lambda path: path.stat().st_mtime)
    if not files:
        raise ValueError(f"the profiler has left no trace in {folder}")
    space = xplane_pb2.XSpace()
    space.ParseFromString(files[-1].read_bytes())
    return trace_of(space)


def trace_of(space):
    """The Trace in an XSpace: of its GPUs, or of its CPU if it has none."""
    gpus = [plane for plane in space.planes if plane.name.startswith(_GPU)]
    events = [event for plane in gpus for event in _kernels(plane)]
    device, busy = "GPU", 0.0
    if events:
        busy = sum(map(_busy, gpus)) / len(gpus)
    else:
        device = "CPU"
        events = [event for plane in space.planes if plane.name == _HOST for event in _operations(plane)]
    seconds, calls = collections.Counter(), collections.Counter()
    for part, kind, duration in events:
        seconds[part, kind] += duration
        calls[part, kind] += 1
    return Trace([Row(*key, total, calls[key]) for key, total in seconds.most_common()], device, busy)


def seconds_by_part(rows):
    """A Counter of the seconds of Rows by part of the model."""
    totals = collections.Counter()
    for row in rows:
        totals[row.part] += row.seconds
    return totals


def part_of(name):
    """The part of the model of an operation, by its name in the graph, which contains the name of its layer."""
    gradient = ", gradient" if "gradient_tape" in name else ""
    return next((part for part, marks in _PARTS if any(mark in name for mark in marks)), "the rest") + gradient


def table(trace, steps, seconds, waited):
    """The table as text, whose first paragraph tells in words what it shows.

    Args:
        trace: Trace.
        steps: range of the steps of the trace.
        seconds: what they took.
        waited: for how many of these seconds the steps waited for their images.
    """
    rows, device = trace.rows, trace.device
    count, total = len(steps), sum(row.seconds for row in rows) or 1.0
    parts = seconds_by_part(rows).most_common()
    what = "kernels of the GPU" if device == "GPU" else "all threads together"
    lines = [
        f"Steps {steps[0]} to {steps[-1]} on rank 0 took {1000 * seconds / count:.1f} ms each under the profiler, of "
        f"which {1000 * waited / count:.1f} ms were waiting for images."
    ]
    if device == "GPU":
        lines.append(f"The GPU was busy for {trace.busy / seconds:.0%} of the time.")
    if rows:
        part, most = parts[0]
        lines.append(
            f"Most time goes to: {part} ({most / total:.0%}). Costliest operation: {_named(rows[0].kind)} "
            f"({rows[0].part}, {rows[0].seconds / total:.0%})."
        )
    else:
        lines.append("The trace names no operations.")
    text = [" ".join(lines), f"Milliseconds per step, {what}:", _columns(_part_cells(parts, count, total))]
    text.append(_columns(_row_cells(rows[:_ROWS], count, total)))
    if len(rows) > _ROWS:
        rest = sum(row.seconds for row in rows[_ROWS:])
        text.append(f"{len(rows) - _ROWS} other rows: {1000 * rest / count:.2f} ms ({rest / total:.0%})")
    return "\n\n".join(text) + "\n"


def _part_cells(parts, count, total):
    yield "part of the model", "ms", "share"
    for part, seconds in parts:
        yield part, f"{1000 * seconds / count:.2f}", f"{seconds / total:.1%}"


def _row_cells(rows, count, total):
    yield "operation", "part of the model", "ms", "share", "calls"
    for row in rows:
        cells = f"{1000 * row.seconds / count:.2f}", f"{row.seconds / total:.1%}", f"{row.calls / count:g}"
        yield row.kind, row.part, *cells


def _columns(rows):
    """Rows of cells as aligned columns: texts to the left, numbers to the right."""
    rows = list(rows)
    widths = [max(map(len, column)) for column in zip(*rows)]
    left = [title not in ("ms", "share", "calls") for title in rows[0]]
    aligned = [
        [cell.ljust(width) if is_left else cell.rjust(width) for cell, width, is_left in zip(row, widths, left)]
        for row in rows
    ]
    return "\n".join("  ".join(cells).rstrip() for cells in aligned)


def _named(kind):
    return f"{_WORDS[kind]} ({kind})" if kind in _WORDS else kind


def _streams(plane):
    return [line for line in plane.lines if line.name.startswith(_STREAM)]  # the other lines repeat their events


def _kernels(plane):
    """Yields (part, kind, seconds) of each event of a GPU's streams; copies and kernels that no operation names too."""
    for line in _streams(plane):
        for event in line.events:
            known = _split(_operation_of(plane, event))
            name = plane.event_metadata[event.metadata_id].name
            yield (*(known or ("no operation", name[:60])), event.duration_ps * _PS)


def _busy(plane):
    """The seconds in which at least one stream of a GPU ran something."""
    spans = sorted(
        (1000 * line.timestamp_ns + event.offset_ps, event.duration_ps)
        for line in _streams(plane)
        for event in line.events
    )
    busy = until = 0
    for begin, duration in spans:
        busy += max(0, begin + duration - max(begin, until))
        until = max(until, begin + duration)
    return busy * _PS


def _operation_of(plane, event):
    for stat in event.stats:
        if plane.stat_metadata[stat.metadata_id].name == "tf_op":
            return stat.str_value or plane.stat_metadata[stat.ref_value].name
    return ""


def _operations(plane):
    """Yields (part, kind, seconds) of each operation on a CPU."""
    for line in plane.lines:
        for event in line.events:
            known = _split(plane.event_metadata[event.metadata_id].name)
            if known:
                yield (*known, event.duration_ps * _PS)


def _split(name):
    """(part, kind) of an operation "name:type"; None for anything else, and for what only calls operations."""
    operation, _, kind = name.rpartition(":")
    if not operation or operation.strip("$:") != operation or not kind.isidentifier() or kind in _CALLS:
        return None
    return part_of(operation), kind.removeprefix(_ONEDNN).removeprefix("_Mkl")
