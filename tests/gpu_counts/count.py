"""Counts one training step, or one detection, and writes the result as JSON; a process of its own for each.

    python -m tests.gpu_counts.count train --batch=2 --precision=mixed_bfloat16

It needs the environment that scripts/gpu_counts.sh makes. Values that the host would read from the device, which
computes nothing, are injected: every copy to the host brings zeros, but for the positive RoIs, of which each image has
128, and the number of rows that `tf.where` finds.
"""

import argparse
import collections
import json
import os
import pathlib

import numpy as np
import tensorflow as tf

from awsdet.ops import library
from tests.gpu_counts import chains, counter, parts, scene

POSITIVES = 128  # per image
COUNTED = (counter.LAUNCH, counter.LIBRARY, counter.FILL, counter.TO_HOST, counter.TO_DEVICE)


def main(flags):
    library.PATH = pathlib.Path(os.environ["AWSDET_OPERATORS"])
    hollow = counter.Hollow()
    inject(hollow, flags.work, flags.batch)
    model, batch, moved = scene.detector(flags.precision, flags.detector, flags.optimizer), scene.batch(flags.batch), []
    if flags.work == "train":
        function, arguments = scene.training_step(model, moved if flags.host_shapes else None), [batch]
    else:
        function, arguments = scene.detection(model), [{name: batch[name] for name in ("image", "image_size")}]
    chain = chains.longest(chains.collected(function, *arguments))
    events = hollow.count(function, *arguments)
    print(json.dumps(summary(events, chain, moved)))


def inject(hollow, work, images):
    """What the host reads in `work`, train or detect, on a batch of so many images."""
    hollow.inject("#from=", np.zeros(0))
    hollow.find_rows(POSITIVES * images if work == "train" else 100 * images)
    if work == "train":
        hollow.inject("#from=", np.tile(np.array([0, 0, 64, 64, 0, 1], np.float32), POSITIVES * images))


def kernels(events):
    """The names of the kernels and library functions among Events, sorted."""
    return sorted({event.name for event in events if event.kind in (counter.LAUNCH, counter.LIBRARY)})


def summary(events, chain, moved):
    """What is printed: a dict of numbers and names, see `report`."""
    counts, sizes = collections.Counter(), collections.Counter()
    for event in events:
        if event.kind in COUNTED:
            key = parts.part_of(event.operation), event.kind
            counts[key] += 1
            sizes[key] += event.amount
    table = {
        part: {kind: [counts[part, kind], sizes[part, kind]] for kind in COUNTED if counts[part, kind]}
        for part in parts.NAMES
    }
    operations = collections.Counter(event.operation for event in events if event.kind in COUNTED[:3])
    return {
        "parts": {part: row for part, row in table.items() if row},
        "waits": list(chain.copies),
        "moved": moved,
        "peak_bytes": tf.config.experimental.get_memory_info("GPU:0")["peak"],
        "copies": [
            [event.kind, event.amount, event.operation] for event in events if event.kind in ("d2h", "d2h_sync")
        ],
        "operations": operations.most_common(),
        "kernels": kernels(events),
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("work", choices=("train", "detect"))
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--host_shapes", action="store_true", help="see scene.training_step")
    parser.add_argument("--precision", default="mixed_bfloat16")
    parser.add_argument("--detector", default="mask_rcnn", help="a family of awsdet.config")
    parser.add_argument("--optimizer", default="sgd", help="optimizer.name")
    main(parser.parse_args())
