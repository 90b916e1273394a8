"""Times a commit of an elastic run: what it adds to the updates of Mask R-CNN R50-FPN's weights.

    python benchmarks/commit.py [--rounds N]

An update (SGD with momentum; weights and momentum are 351 MB) with a commit before it and one without take turns. On a
CPU the commit itself copies nothing: the update after it does, since it may not change values that the commit holds.
"""

import argparse
import pathlib
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))  # so that it also works if awsdet is not installed

import numpy as np  # noqa: E402
import tensorflow as tf  # noqa: E402

from awsdet import config as config_module  # noqa: E402
from awsdet.models import builder  # noqa: E402
from awsdet.training import checkpoint, optimizer  # noqa: E402
from awsdet.training.snapshot import Snapshot  # noqa: E402


def main(rounds):
    detector = builder.build(config_module.mask_rcnn(), [f"class {number}" for number in range(80)])
    sgd = optimizer.SGD(0.01)
    variables = detector.trainable_variables
    optimizer.create_slots(sgd, variables)
    state = checkpoint.state_of(detector, sgd, accumulated=False)
    gradients = [tf.ones_like(v) * 1e-6 for v in variables]

    @tf.function
    def update():
        sgd.apply_gradients(zip(gradients, variables))

    size = sum(v.shape.num_elements() * v.dtype.size for v in state.values())
    commits, updates = [], {True: [], False: []}
    kept = None
    for number in range(2 * rounds + 4):
        commit = number % 2 == 0
        start = time.perf_counter()
        if commit:
            kept = Snapshot(state)
        begun = time.perf_counter()
        update()
        if number >= 4:  # the first ones trace, and take memory for the first time
            updates[commit].append(time.perf_counter() - begun)
            if commit:
                commits.append(begun - start)
    assert kept is not None
    call, after, plain = (1e3 * np.median(times) for times in (commits, updates[True], updates[False]))
    print(f"state of {size / 1e6:.0f} MB in {len(state)} variables, median of {rounds}, in ms:")
    print(f"  the commit itself       {call:7.1f}")
    print(f"  the update after it     {after:7.1f}")
    print(f"  an update without one   {plain:7.1f}")
    print(f"  so a commit costs       {call + after - plain:7.1f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15)
    main(parser.parse_args().rounds)
