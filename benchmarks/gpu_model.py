"""What a training step of Mask R-CNN R50-FPN would take on GPUs, from counts and assumptions. Nothing is timed.

    python benchmarks/gpu_model.py                                   # the counts of docs/gpu.md
    python benchmarks/gpu_model.py --launches=1300 --waits=5         # others
    python benchmarks/gpu_model.py --help                            # every input with its default

The model of one GPU: the device needs FLOPs / (peak x share) + bytes / (bandwidth x share) + what kernels of few blocks
take; the host needs launches x cost. Whichever takes longer hides the other. But each wait of the host for a value
empties the GPU, which then idles for the cost of a wait, and for what the host computes meanwhile. Of many GPUs: a ring
moves 2 (n - 1) / n times the gradients' bytes through the slowest link; a share of the step hides that, and the rest
comes on top. Counted: launches, waits, parameters. Everything else is assumed or estimated.
"""

import argparse
from typing import NamedTuple


class Card(NamedTuple):
    """A GPU as in its data sheet. tflops: dense, in half precision; gigabytes: per second, of memory.

    link: GB/s of all-reduce within a machine of eight (assumed); network: Gb/s of such a machine on EC2.
    """

    name: str
    tflops: float
    gigabytes: float
    link: float
    network: float


CARDS = (
    Card("V100", 125, 900, 100, 100),
    Card("A10G", 70, 600, 10, 100),
    Card("A100", 312, 1555, 200, 400),
    Card("H100", 989, 3350, 350, 3200),
)
BATCHES = (2, 4, 8, 16)
WORLDS = (1, 8, 64, 256)
PER_MACHINE = 8
# Images per second that others published: what, card, GPUs, images per second of all of them.
KNOWN = (
    ("NVIDIA's TensorFlow 2 example, batch 4", "A100", 1, 28.6),
    ("NVIDIA's TensorFlow 2 example, batch 4", "A100", 8, 114.5),
    ("MLPerf Training, per GPU", "H100", 1, 179.0),
)
INPUTS = {  # name -> (default, what it is)
    "launches": (2960, "kernel launches and library calls per step, counted"),
    "waits": (60, "times per step that the host waits for a value of the GPU, counted"),
    "parameters": (44.2e6, "trainable parameters, counted"),
    "launch_us": (6.0, "host time per launch, assumed (TensorFlow's executor; 5 to 8)"),
    "wait_us": (50.0, "what the GPU idles after each wait, assumed"),
    "tflop": (1.37, "TFLOP per image of 800 x 1344, forward and backward, counted at 512 px and scaled by pixels"),
    "few_blocks_ms": (10.0, "ms per step of kernels on few blocks (top_k), estimated within a factor of 2"),
    "host_ms": (1.75, "ms per image of matching on the host, for which the GPU waits, estimated"),
    "gigabytes": (9.7, "GB per image that element-wise operations move, estimated"),
    "flop_share": (0.42, "share of the peak FLOPs that convolutions reach, assumed"),
    "byte_share": (0.75, "share of the memory's bandwidth that is reached, assumed"),
    "network_share": (0.7, "share of the network's bandwidth that all-reduce reaches, assumed"),
    "hidden": (0.5, "share of a step during which gradients can be sent, assumed"),
    "gradient_bytes": (4, "bytes per number on the wire: 4, or 2 with optimizer.compression=fp16"),
    "scoring_s": (10.0, "seconds in which rank 0 scores an evaluation of 5,000 images (docs/performance.md)"),
}


class Step(NamedTuple):
    """ms of a step on one GPU: of the device, of the host's launches, of waits, and in all."""

    device: float
    host: float
    waits: float
    total: float


def step(card, images, given):
    """The Step of `images` images on a Card; given: the inputs, by name."""
    device = given.tflop * images / (card.tflops * given.flop_share) * 1e3
    device += given.few_blocks_ms
    device += given.gigabytes * images / (card.gigabytes * given.byte_share) * 1e3
    host = given.launches * given.launch_us / 1e3
    waits = given.waits * given.wait_us / 1e3 + given.host_ms * images
    return Step(device, host, waits, max(device, host) + waits)


def all_reduce(card, gpus, given):
    """ms that the gradients take through the slowest link of `gpus` GPUs."""
    if gpus == 1:
        return 0.0
    moved = 2 * (gpus - 1) / gpus * given.parameters * given.gradient_bytes / 1e9
    within = moved / card.link
    between = moved / (card.network / 8 * given.network_share) if gpus > PER_MACHINE else 0.0
    return max(within, between) * 1e3


def with_exchange(card, images, gpus, given):
    """ms of a step of many GPUs: what of the all-reduce the step does not hide comes on top."""
    alone = step(card, images, given).total
    return alone + max(0.0, all_reduce(card, gpus, given) - given.hidden * alone)


def evaluation(card, images, gpus, given):
    """(seconds of an epoch of COCO, seconds of an evaluation after it): a third of the step's work, then scoring."""
    rate = images * gpus / with_exchange(card, images, gpus, given) * 1e3
    forward = 5_000 / (3 * images * gpus / step(card, images, given).total * 1e3)
    return 117_266 / rate, forward + given.scoring_s


def report(given):
    """The tables, as lines of Markdown."""
    yield f"{given.launches:g} launches and {given.waits:g} waits per step; ms per step (images per second), one GPU"
    yield ""
    yield "| card | launches, ms | " + " | ".join(f"batch {images}" for images in BATCHES) + " |"
    yield "|---|---|" + "---|" * len(BATCHES)
    for card in CARDS:
        steps = [step(card, images, given) for images in BATCHES]
        cells = [f"{s.total:.0f} ({n / s.total * 1e3:.0f})" for n, s in zip(BATCHES, steps)]
        cells = [f"{cell}{' host' if s.host > s.device else ''}" for cell, s in zip(cells, steps)]
        yield f"| {card.name} | {steps[0].host:.0f} | " + " | ".join(cells) + " |"
    yield ""
    yield "| of others | they | the model, batch 4 | batch 8 |"
    yield "|---|---|---|---|"
    for what, name, gpus, theirs in KNOWN:
        card = next(card for card in CARDS if card.name == name)
        ours = [images * gpus / with_exchange(card, images, gpus, given) * 1e3 for images in (4, 8)]
        cells = " | ".join(f"{rate:.0f} ({rate / theirs:.1f} times)" for rate in ours)
        yield f"| {what}, {gpus} {name} | {theirs:g} | {cells} |"
    yield ""
    yield f"batch 4 per GPU; {given.parameters * given.gradient_bytes / 1e6:.0f} MB of gradients; images per second"
    yield "(all-reduce ms; epoch s + evaluation s)"
    yield ""
    yield "| card | " + " | ".join(f"{gpus} GPU{'s' if gpus > 1 else ''}" for gpus in WORLDS) + " |"
    yield "|---|" + "---|" * len(WORLDS)
    for card in CARDS:
        cells = []
        for gpus in WORLDS:
            rate = 4 * gpus / with_exchange(card, 4, gpus, given) * 1e3
            epoch, scored = evaluation(card, 4, gpus, given)
            cells.append(f"{rate:.0f} ({all_reduce(card, gpus, given):.1f}; {epoch:.0f} + {scored:.0f})")
        yield f"| {card.name} | " + " | ".join(cells) + " |"


def parse(arguments=None):
    """The inputs as a namespace."""
    flags = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, (default, what) in INPUTS.items():
        flags.add_argument(f"--{name}", type=float, default=default, help=f"{what}; default {default:g}")
    return flags.parse_args(arguments)


if __name__ == "__main__":
    print("\n".join(report(parse())))
