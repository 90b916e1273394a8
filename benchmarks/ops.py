"""Times the compiled operators beside what TensorFlow offers without them, in the same run, on the same threads.

    python benchmarks/ops.py [--only PART] [--json FILE] [--threads N]     (PARTS are listed below)

Each line shows: the milliseconds of ours and of the peer (the shortest of alternating runs); how many times faster ours
is, and the aim; the least number of bytes that must be moved; and the share of the machine's copy bandwidth that moving
them in our time amounts to.
"""

import argparse
import importlib
import json
import pathlib
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # so that it also works if awsdet is not installed

import tensorflow as tf  # noqa: E402

from awsdet.runtime.cores import usable_cores  # noqa: E402
from benchmarks import ops_measure  # noqa: E402

# Each is a module benchmarks/ops_<name>.py with a function rows() -> list of ops_measure.Row.
PARTS = ("roi_align", "nms", "masks", "cell_windows", "update", "targets", "top_boxes")


def main(arguments):
    tf.config.threading.set_intra_op_parallelism_threads(arguments.threads)
    tf.config.threading.set_inter_op_parallelism_threads(arguments.threads)
    bandwidth = ops_measure.copy_bandwidth(arguments.threads)
    print(f"{arguments.threads} threads; copy {bandwidth / 1e9:.1f} GB/s (read + written)\n")
    print(
        f"{'operator':44} {'ours ms':>8}  {'peer':34} {'peer ms':>8} {'ratio':>6} {'aim':>5} {'MB':>7} {'of copy':>7}"
    )
    rows = []
    for part in [arguments.only] if arguments.only else PARTS:
        for row in importlib.import_module(f"benchmarks.ops_{part}").rows():
            rows.append(row)
            print(line(row, bandwidth), flush=True)
    if arguments.json:
        report = {
            "threads": arguments.threads,
            "copy_bytes_per_second": bandwidth,
            "rows": [
                {**row._asdict(), "ratio": row.ratio, "share_of_copy": row.bandwidth_share(bandwidth)} for row in rows
            ],
        }
        pathlib.Path(arguments.json).write_text(json.dumps(report, indent=2) + "\n")


def line(row, bandwidth):
    aim = f"{row.aim:5.1f}" if row.aim else " " * 5
    moved = f"{row.bytes_moved / 1e6:7.1f} {row.bandwidth_share(bandwidth):7.1%}" if row.bytes_moved else ""
    return f"{row.name:44} {row.ours:8.2f}  {row.peer_name:34} {row.peer:8.2f} {row.ratio:6.1f} {aim} {moved}".rstrip()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", choices=PARTS, help="one part instead of all")
    parser.add_argument("--json", help="also writes the rows to this file")
    parser.add_argument("--threads", type=int, default=usable_cores(), help="of TensorFlow and of the copy")
    main(parser.parse_args())
