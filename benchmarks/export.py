"""What each detector can be exported to, how large that is, how fast, and how near to the checkpoint's numbers.

    python benchmarks/export.py [--detectors …] [--targets …] [--sides 800 1333] [--calls 3] [--write-docs]

The detectors are untrained, with random weights and a low score threshold, so that an image is full of objects: NMS and
masks have the most work that they can have. A call is `find` on one drawn image, from pixels to run lengths; those of
the checkpoint and of the exported model take turns. Where what ONNX needs is missing (docs/export.md), the row says so.
Random weights give scores that lie close together, so models in fewer bits find other objects; benchmarks/precision.py
tells what they cost a trained detector.
"""

import argparse
import dataclasses
import os
import pathlib
import re
import shlex
import statistics
import sys
import tempfile
import time
from typing import NamedTuple

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

import numpy as np
import tensorflow as tf
from PIL import Image

from awsdet import config as config_lib
from awsdet.cli.diagnosis import judge_processor
from awsdet.data.coco.shapes import draw_image
from awsdet.data.reader.sizes import Canvas, InputSize
from awsdet.export import contract, onnx_model
from awsdet.export.check import compare
from awsdet.export.export import write
from awsdet.export.exported import Exported
from awsdet.inference.fast_convolutions import use_fast_convolutions
from awsdet.models import builder
from awsdet.runtime.errors import UserError
from awsdet.runtime.files import write_json
from benchmarks import measure

CONFIGS = {
    "RetinaNet": "retinanet_r50_fpn_1x",
    "Faster R-CNN": "faster_rcnn_r50_fpn_1x",
    "Mask R-CNN": "mask_rcnn_r50_fpn_1x",
    "Mask Scoring R-CNN": "mask_scoring_rcnn_r50_fpn_1x",
    "Cascade R-CNN": "cascade_rcnn_r50_fpn_1x",
    "Cascade Mask R-CNN": "cascade_mask_rcnn_r50_fpn_1x",
}


class Kind(NamedTuple):
    """How a detector is exported. fixed: to one size of image."""

    target: str
    fixed: bool = False
    precision: str = "float32"
    operators: str = "plain"


KINDS = {
    "SavedModel": Kind("savedmodel"),
    "SavedModel, compiled operators": Kind("savedmodel", operators="compiled"),
    "SavedModel, fixed size": Kind("savedmodel", True),
    "SavedModel, bfloat16": Kind("savedmodel", precision="bfloat16"),
    "ONNX": Kind("onnx"),
    "ONNX, fixed size": Kind("onnx", True),
    "ONNX, fixed size, float16": Kind("onnx", True, "float16"),
    "TensorFlow Lite, fixed size": Kind("tflite", True),
    "TensorFlow Lite, fixed size, float16": Kind("tflite", True, "float16"),
    "TensorFlow Lite, fixed size, int8": Kind("tflite", True, "int8"),
}
HEADER = ["detector", "exported as", "MB", "export s", "ms", "checkpoint ms", "objects", "boxes px", "scores", "masks"]
CLASSES = 80
SCORE_THRESHOLD = 0.005  # so low that untrained detectors fill an image with objects
DOCS = measure.ROOT / "docs/export.md"


def main(flags):
    processor = judge_processor(pathlib.Path("/proc/cpuinfo").read_text(), len(os.sched_getaffinity(0))).value
    command = shlex.join(["python", *sys.argv])
    sides = " x ".join(map(str, flags.sides))
    words = f"{processor}, load average at the start {os.getloadavg()[0]:.1f}, an image of {sides} px"
    print(words)
    rows = []
    for name in flags.detectors:
        for target in flags.targets:
            rows.append([name, target, *row(name, target, flags)])
            print(*rows[-1], sep=" | ", flush=True)
    measure.table(rows, HEADER)
    if flags.write_docs:
        write_docs(rows, HEADER, f"`{command}` on {words}:", "figures")


def row(name, target, flags):
    """The cells of a detector and a target, from the third on."""
    kind = KINDS[target]
    detector = made(name, flags.sides, kind.fixed)
    info = about(detector, name, kind)
    height, width = flags.sides
    drawn = Image.fromarray(draw_image(width, np.random.default_rng(1))[0])
    image = np.asarray(drawn.resize((width, height)))
    with tempfile.TemporaryDirectory() as folder:
        version = pathlib.Path(folder) / "1"
        begin = time.perf_counter()
        try:
            if kind.target == "onnx":
                onnx_model.check_packages()
            write(lambda precision: made(name, flags.sides, kind.fixed, precision), version, info, [image])
        except UserError as error:
            return [str(error), *["-"] * (len(HEADER) - 3)]
        took = time.perf_counter() - begin
        write_json(version / contract.INFO, info)
        size = sum(path.stat().st_size for path in version.rglob("*") if path.is_file())
        exported = Exported(version)
        use_fast_convolutions(detector)
        found = compare(detector, exported, [image])
        ours, theirs = [], []
        for _ in range(flags.calls):
            for times, one in ((theirs, exported), (ours, detector)):
                begin = time.perf_counter()
                one.find(image)
                times.append(1000 * (time.perf_counter() - begin))
    return [
        f"{size / 1e6:.0f}",
        f"{took:.0f}",
        f"{statistics.median(theirs):.0f}",
        f"{statistics.median(ours):.0f}",
        f"{found.objects}{f', {found.unmatched} unmatched' if found.unmatched else ''}",
        f"{found.boxes:.1g}",
        f"{found.scores:.1g}",
        "-" if found.masks is None else f"{found.masks:.4%}",
    ]


def about(detector, name, kind):
    """The dict of awsdet.json of a detector of `made`, as far as writers and readers need it. `kind`: Kind."""
    return {
        "format": contract.FORMAT,
        "target": kind.target,
        "precision": kind.precision,
        "operators": kind.operators,
        "name": "detector",
        "class_names": list(detector.class_names),
        "category_ids": list(range(CLASSES)),
        "masks": "crop" if builder.has_masks(detector_name(name)) else "none",
        "size": detector.input_size._asdict(),
        "mask_threshold": detector.mask_threshold,
    }


def detector_name(name):
    """config.model.detector of a row."""
    return config_lib.load(measure.ROOT / f"configs/{CONFIGS[name]}.py", []).model.detector


def made(name, sides, fixed, precision="float32"):
    """The detector with random weights, always the same; it finds as many objects as it may."""
    config = config_lib.load(measure.ROOT / f"configs/{CONFIGS[name]}.py", [f"model.precision={precision}"])
    tf.keras.utils.set_random_seed(7)
    detector = builder.build(config, [f"class {index}" for index in range(CLASSES)])
    detector.input_size = Canvas(*sides) if fixed else InputSize(min(sides), max(sides))
    random = np.random.default_rng(5)
    for variable in detector.trainable_variables:
        if "kernel" in variable.name:
            value = variable.numpy()
            variable.assign(value + 0.1 * value.std() * random.normal(size=value.shape).astype(np.float32))
    detector.suppression = dataclasses.replace(detector.suppression, score_threshold=SCORE_THRESHOLD)
    return detector


def write_docs(rows, header, title, name):
    """Puts a table between the marks `name` of docs/export.md."""
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    lines = ["| " + " | ".join(cells) + " |" for cells in (header, ["---"] * len(header), *rows)]
    figures = "\n".join([begin, title, "", *lines, end])
    DOCS.write_text(re.sub(f"{begin}.*{end}", lambda _: figures, DOCS.read_text(), flags=re.S))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--detectors", nargs="+", choices=list(CONFIGS), default=list(CONFIGS))
    parser.add_argument("--targets", nargs="+", choices=list(KINDS), default=list(KINDS))
    parser.add_argument("--sides", nargs=2, type=int, default=[800, 1333], help="px, height and width of the image")
    parser.add_argument("--calls", type=int, default=3, help="of each, after one that does not count")
    parser.add_argument("--write-docs", action="store_true", help="put the table into docs/export.md")
    main(parser.parse_args())
