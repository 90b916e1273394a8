"""Counts the bytes that two ways of RoIAlign's gradient in half precision move on a GPU, per image; nothing is timed.

    python benchmarks/roi_align_bytes.py [--rois=512] [--bins=7]

scatter: atomic additions to float32 sums of the whole pyramid, which are zeroed before and converted after.
gather: a block per 4 x 4 pixels reads what the RoIs give to them, and writes each pixel once (custom_ops/cuda).

RoIs are random, with sides of 16 to 800 px (logarithmically even) in an image of 800 x 1344, and 256 channels.
"memory" is what a cache cannot save: the pyramid's tensors are larger than any. "cache" is traffic that a cache can
serve: the pixels that atomics read and write, and the gradients of the bins that the blocks of a RoI share.
"""

import argparse

import numpy as np

HEIGHT, WIDTH, CHANNELS = 800, 1344, 256
STRIDES = (4, 8, 16, 32)
TILE = 4  # kGatherTile
HALF, SINGLE = 2, 4  # bytes
EXTENT = 24  # bytes of RoiExtent, which each block reads of each RoI of its image


def main(flags):
    random = np.random.default_rng(1)
    sides = np.exp(random.uniform(np.log(16), np.log(800), (flags.rois, 2)))
    low = random.uniform(0, 1, (flags.rois, 2)) * np.maximum([WIDTH, HEIGHT] - sides, 0)
    high = np.minimum(low + sides, [WIDTH, HEIGHT])
    size = np.sqrt(np.prod(high - low, axis=1))
    level = np.clip(np.floor(np.log2(size / 56 + 1e-6)), 0, len(STRIDES) - 1).astype(int)

    elements = sum(-(-HEIGHT // stride) * -(-WIDTH // stride) for stride in STRIDES) * CHANNELS
    tiles = sum(-(-HEIGHT // (TILE * stride)) * -(-WIDTH // (TILE * stride)) for stride in STRIDES)
    stride = np.array(STRIDES)[level][:, np.newaxis]
    first, last = np.floor(low / stride - 0.5), np.floor(high / stride - 0.5) + 1  # touched pixels, nearly
    pixels = np.prod(last - first + 1, axis=1)
    # In each direction a tile reads the bins that touch one of its pixels.
    along = np.floor(last / TILE) - np.floor(first / TILE) + 1
    bins = np.minimum((TILE + 1) * stride / ((high - low) / flags.bins) + 1, flags.bins)
    pooled = flags.rois * flags.bins**2 * CHANNELS * HALF

    rows = [
        ("scatter", elements * (2 * SINGLE + HALF) + pooled, 2 * pixels.sum() * CHANNELS * SINGLE),
        (
            "gather",
            elements * HALF + pooled,
            np.prod(along * bins, axis=1).sum() * CHANNELS * HALF + tiles * flags.rois * EXTENT,
        ),
    ]
    print(f"{flags.rois} RoIs of {flags.bins} x {flags.bins} bins; MB per image")
    for name, memory, cache in rows:
        print(f"{name:8} memory {memory / 1e6:6.0f}   cache {cache / 1e6:6.0f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rois", type=int, default=512, help="per image")
    parser.add_argument("--bins", type=int, default=7, help="per side")
    main(parser.parse_args())
