"""Our exported detectors beside those of TensorFlow Model Garden's exporter: times, sizes, and what they answer.

    make benchmark-peers && python benchmarks/export_beside.py [--sides 512 640] [--calls 7] [--write-docs]

Both are Mask R-CNN and RetinaNet with ResNet-50-FPN as each system configures them, for 80 classes, with random
weights, a score threshold so low that an image is full of objects, and one size for all images inside. A call leads
from a JPEG's bytes, or from its pixels, to all outputs as arrays. Each model is loaded by TensorFlow alone in a process
of its own with as many threads as there are cores; the two processes take turns, call by call. "export s" is the
writing of a detector that is built, without the comparison of numbers that `awsdet export` makes afterwards.
"""

import argparse
import os
import pathlib
import shlex
import statistics
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

import numpy as np
from PIL import Image

from awsdet.cli.diagnosis import judge_processor
from awsdet.data.coco.shapes import draw_image
from awsdet.export import contract, saved_model
from benchmarks import measure
from benchmarks.export import CLASSES, DOCS, SCORE_THRESHOLD, Kind, about, made
from benchmarks.learn import report
from benchmarks.versions import Program

DETECTORS = ("Mask R-CNN", "RetinaNet")
INPUTS = {"image_bytes": contract.ENCODED, "image_tensor": contract.PIXELS}  # Model Garden's word -> our signature
HEADER = ["detector", "from", "exporter", "MB", "export s", "load s", "ms", "CPU ms", "peak GB", "objects", "nodes"]
HEADER += ["heeds EXIF", "images of two sizes in a request"]
FROM = {"image_bytes": "JPEG", "image_tensor": "pixels"}
SIDES_MULTIPLE = 128  # of the coarsest level of a RetinaNet, so that neither system pads
MARKS = "<!-- beside Model Garden: begin -->", "<!-- beside Model Garden: end -->"


def main(flags):
    peer = measure.peer_python()
    processor = judge_processor(pathlib.Path("/proc/cpuinfo").read_text(), len(os.sched_getaffinity(0))).value
    sides = " x ".join(map(str, flags.sides))
    words = f"{processor}, load average at the start {os.getloadavg()[0]:.1f}, an image of {sides} px"
    print(words)
    rows = []
    for name in flags.detectors:
        with tempfile.TemporaryDirectory() as folder:
            for row in rows_of(name, pathlib.Path(folder), peer, flags):
                rows.append(row)
                print(*row, sep=" | ", flush=True)
    measure.table(rows, HEADER)
    if flags.write_docs:
        title = f"`{shlex.join(['python', *sys.argv])}` on {words}:"
        figures = f"{title}\n\n{report.table(HEADER, rows)}"
        DOCS.write_text(report.put_into(DOCS.read_text(), figures, "docs/export.md", MARKS))


def rows_of(name, folder, peer, flags):
    """Yields the rows of a detector: for each input, ours and Model Garden's."""
    image = folder / "drawn.jpg"
    height, width = flags.sides
    drawn = Image.fromarray(draw_image(width, np.random.default_rng(1))[0])
    drawn.resize((width, height)).save(image, quality=95)
    ours = folder / "ours"
    took = {"awsdet": written(name, ours, flags.sides)}
    for kind, signature in INPUTS.items():
        theirs = folder / kind
        command = ["benchmarks/systems/garden_export.py", name, theirs, f"--input={kind}", f"--classes={CLASSES}"]
        command += [f"--score-threshold={SCORE_THRESHOLD}", "--sides", *flags.sides]
        took["Model Garden"] = measure.run(command, peer)["export_seconds"]
        folders = {"awsdet": (ours, signature), "Model Garden": (theirs, "serving_default")}
        for system, figures in in_turns(folders, image, flags.calls).items():
            yield [name, FROM[kind], system, *cells(folders[system][0], took[system], figures)]


def written(name, folder, sides):
    """Writes our detector as a SavedModel of one size. Returns the seconds that this took."""
    detector = made(name, sides, fixed=True)
    begin = time.perf_counter()
    saved_model.save(detector, folder, about(detector, name, Kind("savedmodel", fixed=True)))
    return time.perf_counter() - begin


def in_turns(folders, image, calls):
    """Calls SavedModels in processes of their own, by turns. `folders`: name -> (folder, signature).

    Returns name -> what saved_model_calls.py prints.
    """
    program = "benchmarks/systems/saved_model_calls.py"
    programs = {
        name: Program(measure.ROOT, [program, str(folder), str(image), f"--signature={signature}", f"--steps={calls}"])
        for name, (folder, signature) in folders.items()
    }
    while any([one.take_turn() for one in programs.values()]):
        pass
    return {name: one.figures for name, one in programs.items()}


def cells(folder, took, figures):
    """The cells of a row from the fourth on."""
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    return [
        f"{size / 1e6:.0f}",
        f"{took:.0f}",
        f"{figures['load_seconds']:.1f}",
        f"{1e3 * statistics.median(figures['seconds']):.0f}",
        f"{1e3 * statistics.median(figures['cpu_seconds']):.0f}",
        f"{figures['peak_memory'] / 1e9:.1f}",
        figures["objects"],
        figures["nodes"],
        *({True: "yes", False: "no", None: "-"}[figures.get(key)] for key in ("turns", "mixes")),
    ]


def sides_of(text):
    """A side in px. Raises ArgumentTypeError if it is not a multiple of what both systems take without padding."""
    side = int(text) if text.isdecimal() else 0
    if side < 1 or side % SIDES_MULTIPLE:
        raise argparse.ArgumentTypeError(f"{text} is not a multiple of {SIDES_MULTIPLE}, so a system would pad it")
    return side


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--detectors", nargs="+", choices=DETECTORS, default=list(DETECTORS))
    parser.add_argument("--sides", nargs=2, type=sides_of, default=[512, 640], help="px, height and width of the image")
    parser.add_argument("--calls", type=int, default=7, help="of each, after two that do not count")
    parser.add_argument("--write-docs", action="store_true", help="put the table into docs/export.md")
    main(parser.parse_args())
