"""Times detection with Mask R-CNN R50-FPN, beside TensorFlow Model Garden's, in the same run.

    python benchmarks/inference.py [--dtype D] [--size 512] [--batch 1] [--load L] [--no-peer]
                                   [--same-head] [--json FILE]

The timed work leads from uint8 pixels (Model Garden: from normalised pixels) to boxes and mask probabilities. Both
systems have 80 classes, 1000 proposals and at most 100 detections per image, random weights, and square images of the
same padded size. That size is a multiple of 64, as Model Garden requires: 832 instead of 800.

Load `trained`: random weights score more than 100 boxes per image above the threshold, so both compute 100 masks.
Load `fresh`: the background wins everywhere, so nothing is found and we compute no mask. Model Garden computes 100
masks in either case, so one measurement of it serves both loads. The column "objects" gives the objects found per
image. Model Garden's own box head has four convolutions; --same-head also measures it with our two dense layers.

Each system runs in a process of its own. "CPU s" is the processor time per image; a busy machine affects it less than
the latency. The last line ends with our images per second.
"""

import pathlib
import sys

import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from benchmarks import measure

HEADER = ["dtype", "size", "batch", "load", "system", "img/s", "ms p50", "p90", "p99", "ours is", "CPU s", "by CPU"]
HEADER += ["objects", "peak GB"]


def main(flags):
    figures, rows = [], []
    loads = [flags.load] if flags.load else ["fresh", "trained"]
    for dtype in [flags.dtype] if flags.dtype else ["float32", "bfloat16"]:
        for size in [flags.size] if flags.size else [512, 800]:
            for batch in [flags.batch] if flags.batch else [1, 8]:
                combination = {"dtype": dtype, "size": -(-size // 64) * 64, "batch": batch}
                heads = () if flags.no_peer else ("4conv1fc", "2fc") if flags.same_head else ("4conv1fc",)
                peers = peer_figures(combination, heads)
                for load in loads:
                    ours = measured("awsdet_step.py", combination, f"--load={load}")
                    figures.append({**combination, "load": load, "ours": ours, "peers": peers})
                    rows += table_rows(figures[-1])
                    print(
                        f"{dtype} {size} x {batch} {load}: {batch / np.median(ours['seconds']):.3f} img/s", flush=True
                    )
    measure.table(rows, HEADER)
    measure.write_json(flags.json, {"figures": figures})
    best = max(figure["batch"] / np.median(figure["ours"]["seconds"]) for figure in figures)
    print(f"the most of {len(figures)} measured: img/s {best:.3f}")


def measured(program, combination, *options, python=sys.executable):
    """The figures of one system, a dict."""
    steps = max(16 // combination["batch"], 3)
    common = [f"--{name}={value}" for name, value in combination.items()]
    return measure.run([f"benchmarks/systems/{program}", "detect", *common, f"--steps={steps}", *options], python)


def peer_figures(combination, heads):
    return {
        f"Model Garden, {head}": measured(
            "model_garden.py", combination, f"--head={head}", python=measure.peer_python()
        )
        for head in heads
    }


def table_rows(figure):
    batch, ours = figure["batch"], figure["ours"]
    rows = []
    for name, system in {"awsdet": ours, **figure["peers"]}.items():
        times = np.array(system["seconds"])
        median, processor = (float(np.median(system[key])) for key in ("seconds", "cpu_seconds"))
        ratios = [median / np.median(ours["seconds"]), processor / np.median(ours["cpu_seconds"])]
        wall, by_processor = ["" if system is ours else f"{ratio:.2f} x" for ratio in ratios]
        rows.append([figure["dtype"], figure["size"], batch, figure["load"], name, f"{batch / median:.3f}"])
        rows[-1] += [f"{1e3 * np.percentile(times, p):.0f}" for p in (50, 90, 99)]
        rows[-1] += [wall, f"{processor / batch:.2f}", by_processor, f"{np.mean(system['detections']):.0f}"]
        rows[-1].append(f"{system['peak_memory'] / 1e9:.1f}")
    return rows


if __name__ == "__main__":
    parser = measure.parser(__doc__, sizes="512 and 800", batches="1 and 8")
    parser.add_argument("--same-head", action="store_true", help="Model Garden with our box head, too")
    main(parser.parse_args())
