"""Times the training step of Mask R-CNN R50-FPN beside TensorFlow Model Garden's, in the same run.

    python benchmarks/train_step.py [--dtype D] [--size 512] [--batch 2] [--load L] [--no-peer] [--json FILE]

Load `fresh`: random weights, so few RoIs are positive. Load `trained`: RoIs are sampled around the objects, so that
128 per image are positive, as late in a real run. Model Garden computes 128 masks per image in either case. Each system
runs in a process of its own; its figure is the median step after warm-up. The last line ends with our images per
second.
"""

import json
import pathlib
import statistics
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from benchmarks import measure

RATE = "import json; from benchmarks import measure; print(json.dumps(measure.matmul_rate('{}')))"


def main(flags):
    size, batch = flags.size or 512, flags.batch or 2
    common = [f"--size={size}", f"--batch={batch}"]
    figures, rows = [], []
    for dtype in [flags.dtype] if flags.dtype else ["float32", "bfloat16"]:
        rate = measure.run(["-c", RATE.format(dtype)])
        print(f"{dtype}: matrix products at {rate / 1e9:.0f} GFLOP/s", flush=True)
        peers = {} if flags.no_peer else peer_figures(dtype, common)
        for load in [flags.load] if flags.load else ["fresh", "trained"]:
            program = ["benchmarks/systems/awsdet_step.py", "train", *common, f"--dtype={dtype}", f"--load={load}"]
            ours = measure.run([*program, "--parts"])
            figures.append({"dtype": dtype, "load": load, "matmul_rate": rate, "ours": ours, "peers": peers})
            rows += table_rows(dtype, load, batch, rate, ours, peers)
            print_parts(dtype, load, ours)
    measure.table(rows, ["dtype", "load", "system", "s/step", "img/s", "ours is", "peak GB", "of matmul rate"])
    measure.write_json(flags.json, {"size": size, "batch": batch, "figures": figures})
    best = max(batch / statistics.median(figure["ours"]["seconds"]) for figure in figures)
    print(f"{json.dumps(common)} img/s {best:.3f}")


def peer_figures(dtype, common):
    program = ["benchmarks/systems/model_garden.py", "train", *common, f"--dtype={dtype}"]
    return {
        f"Model Garden, {head}": measure.run([*program, f"--head={head}"], measure.peer_python())
        for head in ("4conv1fc", "2fc")  # its own box head, and ours
    }


def table_rows(dtype, load, batch, rate, ours, peers):
    median = statistics.median(ours["seconds"])
    share = f"{sum(ours['flops'].values()) / median / rate:.0%} ({ours['positives']} positives)"

    def row(name, figure, ratio, share):
        seconds = statistics.median(figure["seconds"])
        memory = f"{figure['peak_memory'] / 1e9:.1f}"
        return [dtype, load, name, f"{seconds:.2f}", f"{batch / seconds:.3f}", ratio, memory, share]

    rows = [row("awsdet", ours, "", share)]
    for name, figure in peers.items():
        rows.append(row(name, figure, f"{statistics.median(figure['seconds']) / median:.2f} x", ""))
    return rows


def print_parts(dtype, load, ours):
    print(f"\n{dtype}, {load}: one traced step by part")
    parts = sorted(ours["profile"], key=ours["profile"].get, reverse=True)
    rows = []
    for part in parts:
        flops, seconds = ours["flops"].get(part, 0), ours["profile"][part]
        rate = f"{flops / seconds / 1e9:.0f}" if flops and seconds else ""
        rows.append([part, f"{seconds:.3f}", f"{flops / 1e9:.1f}" if flops else "", rate])
    total = sum(ours["flops"].values()) / 1e9
    rows.append(["all", f"{sum(ours['profile'].values()):.3f}", f"{total:.1f}", ""])
    measure.table(rows, ["part", "operations' seconds", "GFLOP", "GFLOP/s"])
    print(flush=True)


if __name__ == "__main__":
    main(measure.parser(__doc__).parse_args())
