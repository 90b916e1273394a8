"""Times the evaluation of synthetic detections with masks, beside the usual use of pycocotools, in the same run.

    python benchmarks/evaluation.py [--images 5000] [--batch 8] [--no-peer] [--json FILE]

The timed work leads from a detector's outputs in memory (100 detections per image, 28 x 28 masks) to AP of boxes and
masks; the ground truth has COCO's counts. The usual way turns each mask into an image of full size by the same rule,
encodes it with pycocotools and gives the results to COCOeval. Both must agree in AP to 1e-9. Each runs in a process of
its own. The last line ends with our images per second.
"""

import pathlib
import sys

import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from benchmarks import measure

STAGES = {
    "masks": "masks to run-length codes",
    "gather": "gathered (packed, pickled, read)",
    "file": "written for another process",
    "results": "results as dicts",
    "scores": "scores of boxes and masks",
}


def main(flags):
    batch = flags.batch or 8
    systems = {}
    for system in ["ours"] if flags.no_peer else ["ours", "usual"]:
        systems[system] = measure.run(["benchmarks/systems/evaluate.py", system, flags.images, batch])
    seconds = {name: [*(figures["seconds"].get(key, 0.0) for key in STAGES)] for name, figures in systems.items()}
    rows = []
    processor = systems["ours"]["processor"]
    for i, stage in enumerate([*STAGES, "all"]):
        times = {name: sum(values) if stage == "all" else values[i] for name, values in seconds.items()}
        used = sum(processor.values()) if stage == "all" else processor[stage]
        faster = [f"{times['usual'] / times['ours']:.1f} x"] if "usual" in times else []
        rows.append([STAGES.get(stage, stage), f"{used:.2f}", *(f"{t:.2f}" for t in times.values()), *faster])
    empty = [""] * (len(systems) - 1)
    rows.append(["peak GB", "", *(f"{figures['peak_memory'] / 1e9:.1f}" for figures in systems.values()), *empty])
    rows.append(
        ["AP box, mask", "", *("{:.6f}, {:.6f}".format(*figures["ap"]) for figures in systems.values()), *empty]
    )
    header = ["seconds", "ours, of the processor", "ours", "pycocotools", "ours is faster by"]
    measure.table(rows, header[: len(rows[0])])
    measure.write_json(flags.json, {"images": flags.images, "batch": batch, **systems})
    if not flags.no_peer:
        np.testing.assert_allclose(systems["ours"]["ap"], systems["usual"]["ap"], rtol=0, atol=1e-9)
    print(f"{flags.images} images img/s {flags.images / sum(seconds['ours']):.1f}")


if __name__ == "__main__":
    arguments = measure.parser(__doc__, sizes="COCO's", batches="8")
    arguments.add_argument("--images", type=int, default=5000)
    main(arguments.parse_args())
