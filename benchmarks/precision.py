"""What fewer bits cost a trained detector: its AP on records, its size and its time.

    python benchmarks/precision.py --checkpoint=runs/shapes --records=data/shapes/records [--split=test] [--write-docs]

Each row is an export to a target in a precision; its AP is that of `lost_ap`, beside the checkpoint's in float32 on the
same images. "ms" is the mean time of `find` over them; that of the checkpoint is in the first row.
"""

import argparse
import os
import pathlib
import shlex
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from awsdet.cli.diagnosis import judge_processor
from awsdet.cli.evaluated import split_for
from awsdet.data.records.images import image_of, spread
from awsdet.evaluation.lost_ap import KINDS, lost_ap
from awsdet.export.export import Judge, Options, export
from awsdet.inference import checkpoint
from awsdet.runtime.errors import UserError
from benchmarks import measure
from benchmarks.export import write_docs

ROWS = [
    ("savedmodel", "float32"),
    ("savedmodel", "float16"),
    ("savedmodel", "bfloat16"),
    ("onnx", "float16"),
    ("tflite", "float32"),
    ("tflite", "float16"),
    ("tflite", "int8"),
]
HEADER = ["target", "precision", "MB", "box AP", "lost", "mask AP", "lost", "ms"]


class Timed:
    """Something with `find`, and the seconds and calls that it took."""

    def __init__(self, finder):
        self._finder, self.seconds, self.calls = finder, 0.0, 0

    def find(self, image):
        """See `Detector.find`. The first call, which makes the graph, does not count."""
        begin = time.perf_counter()
        found = self._finder.find(image)
        self.seconds += (time.perf_counter() - begin) * (self.calls > 0)
        self.calls += 1
        return found

    def mean(self):
        """Milliseconds per call."""
        return f"{1000 * self.seconds / max(self.calls - 1, 1):.0f}"


def main(flags):
    processor = judge_processor(pathlib.Path("/proc/cpuinfo").read_text(), len(os.sched_getaffinity(0))).value
    words = f"{processor}, load average at the start {os.getloadavg()[0]:.1f}"
    info = checkpoint.read_info(checkpoint.find(flags.checkpoint))
    manifest = split_for(info, flags.records, flags.split)
    train = split_for(info, flags.records, info["config"]["data"]["train_split"])
    calibration = [image_of(train, row) for row in spread(train, flags.calibration_images)]
    rows = []
    for target, precision in ROWS:
        rows.append([target, precision, *row(flags, target, precision, manifest, calibration)])
        print(*rows[-1], sep=" | ", flush=True)
    measure.table(rows, HEADER)
    if flags.write_docs:
        command = shlex.join(["python", *sys.argv])
        write_docs(rows, HEADER, f"`{command}` on {words}:", "precision")


def row(flags, target, precision, manifest, calibration):
    """The cells of a target and a precision, from the third on."""
    times = {}

    def judge(detector, exported):
        timed = Timed(detector), Timed(exported)
        result = lost_ap(*timed, manifest, flags.images, allowed=1.0)
        times.update(zip(("checkpoint", "exported"), (one.mean() for one in timed)))
        return result

    size = tuple(flags.size) if target in ("tflite", "onnx") else None
    options = Options(target, size=size, precision=precision)
    with tempfile.TemporaryDirectory() as folder:
        try:
            done = export(flags.checkpoint, folder, options, judge=Judge(judge, calibration))
        except UserError as error:
            return [str(error), *["-"] * (len(HEADER) - 3)]
        size = sum(path.stat().st_size for path in done.folder.rglob("*") if path.is_file())
    cells = [f"{size / 1e6:.2f}"]
    for kind in KINDS:
        there = kind in done.result.exported
        cells += [f"{done.result.exported[kind]:.4f}", f"{done.result.lost(kind):+.4f}"] if there else ["-", "-"]
    first = (target, precision) == ROWS[0]
    return [*cells, times["exported"] + (f" (checkpoint: {times['checkpoint']})" if first else "")]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--checkpoint", required=True, help="a run or a checkpoint")
    parser.add_argument("--records", required=True, help="folder of records with the splits of the run")
    parser.add_argument("--split", default="", help="on which AP is compared; without it the run's eval_split")
    parser.add_argument("--images", type=int, default=500, help="the most images that AP is compared on")
    parser.add_argument("--calibration-images", type=int, default=100)
    parser.add_argument("--size", nargs=2, type=int, default=[128, 128], help="px, of ONNX and TensorFlow Lite models")
    parser.add_argument("--write-docs", action="store_true", help="put the table into docs/export.md")
    main(parser.parse_args())
