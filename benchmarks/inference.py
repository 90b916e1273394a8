"""Times detection with Mask R-CNN R50-FPN, beside TensorFlow Model Garden's, in the same run.

    python benchmarks/inference.py [--dtype D] [--size 512] [--batch 1] [--no-peer] [--json FILE]

From uint8 pixels (Model Garden: from normalised ones) to boxes and mask probabilities, weights random. Each system runs
in a process of its own. The last line ends in our images a second.
"""

import json
import pathlib
import sys

import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from benchmarks import measure

STEPS = 12


def main(flags):
    figures, rows = [], []
    for dtype in [flags.dtype] if flags.dtype else ["float32", "bfloat16"]:
        for size in [flags.size] if flags.size else [512, 800]:
            # Model Garden wants sides that its strides divide.
            size = -(-size // 64) * 64
            for batch in [flags.batch] if flags.batch else [1, 8]:
                common = ["detect", f"--size={size}", f"--batch={batch}", f"--dtype={dtype}"]
                common += [f"--steps={max(STEPS // batch, 3)}"]
                systems = {"awsdet": measure.run(["benchmarks/systems/awsdet_step.py", *common])}
                if not flags.no_peer:
                    program = ["benchmarks/systems/model_garden.py", *common]
                    systems["Model Garden"] = measure.run(program, measure.peer_python())
                figures.append({"dtype": dtype, "size": size, "batch": batch, **systems})
                rows += [row(dtype, size, batch, name, systems) for name in systems]
    header = ["dtype", "size", "batch", "system", "img/s", "ms p50", "p90", "p99", "ours is", "peak GB"]
    measure.table(rows, header)
    measure.write_json(flags.json, {"figures": figures})
    best = max(figure["batch"] / np.median(figure["awsdet"]["seconds"]) for figure in figures)
    print(f"{json.dumps(flags.dtype or 'best of all')} img/s {best:.3f}")


def row(dtype, size, batch, name, systems):
    times = np.array(systems[name]["seconds"])
    ratio = "" if name == "awsdet" else f"{np.median(times) / np.median(systems['awsdet']['seconds']):.2f} x"
    percentiles = [f"{1e3 * np.percentile(times, p):.0f}" for p in (50, 90, 99)]
    memory = f"{systems[name]['peak_memory'] / 1e9:.1f}"
    return [dtype, size, batch, name, f"{batch / np.median(times):.3f}", *percentiles, ratio, memory]


if __name__ == "__main__":
    main(measure.parser(__doc__).parse_args())
