"""Times the exchange of a step's gradients over two processes of this machine: each alone, or in groups.

    python benchmarks/gradient_groups.py [--rounds N]

The gradients are those of Mask R-CNN R50-FPN, 177 MB, by Horovod with Gloo. A group is one `grouped_allreduce`, of
neighbours whose bytes are about equal; it is sent when all its members are there. All gradients are there from the
start here, so that this is the exchange alone: what a step hides behind its computation is not in it, and a group,
which waits for its last member, can hide less. The ways take turns.
"""

import argparse
import os
import subprocess
import sys
import time

import numpy as np

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
RANKS = 2
GROUPS = (0, 1, 4, 16)  # 0: each gradient alone


def main(rounds):
    """Starts the ranks, or is one of them."""
    if "HOROVOD_RANK" not in os.environ:
        horovodrun = os.path.join(os.path.dirname(sys.executable), "horovodrun")
        command = [horovodrun, "-np", str(RANKS), sys.executable, os.path.abspath(__file__), f"--rounds={rounds}"]
        sys.exit(subprocess.run(command, env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "2"}, check=False).returncode)

    import horovod.tensorflow as hvd
    import tensorflow as tf

    sys.path.insert(0, ROOT)  # so that it also works if awsdet is not installed
    from awsdet.training.gradient_sizes import MASK_RCNN_R50_FPN

    hvd.init()
    gradients = [tf.ones([size]) for size in MASK_RCNN_R50_FPN]
    exchanges = {count: exchange(tf, hvd, gradients, count) for count in GROUPS}
    seconds = {count: [] for count in GROUPS}
    for _ in range(rounds + 1):
        for count, function in exchanges.items():
            start = time.perf_counter()
            mean = function(gradients)
            assert float(mean[-1][0]) == 1.0
            seconds[count].append(time.perf_counter() - start)
    if hvd.rank() == 0:
        for count, times in seconds.items():
            name = f"{count} groups" if count else "each alone"
            middle, low, high = np.median(times[1:]), min(times[1:]), max(times[1:])
            print(f"{name:12} {1000 * middle:6.0f} ms ({1000 * low:.0f} to {1000 * high:.0f})")


def exchange(tf, hvd, gradients, count):
    """A compiled function that averages a list of gradients in `count` groups."""
    ends = np.cumsum([gradient.shape[0] for gradient in gradients])
    group = np.minimum((ends - 1) * max(count, 1) // ends[-1], max(count, 1) - 1)

    @tf.function
    def function(values):
        if not count:
            return [hvd.allreduce(value, op=hvd.Average, name=f"alone_{i}") for i, value in enumerate(values)]
        means = []
        for number in range(count):
            members = [value for value, own in zip(values, group) if own == number]
            means += hvd.grouped_allreduce(members, op=hvd.Average, name=f"of_{count}_{number}") if members else []
        return means

    return function


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9)
    main(parser.parse_args().rounds)
