"""Images of records, one by one, as the reader decodes them."""

import numpy as np

from awsdet.data.coco.decoding import decoded
from awsdet.data.records.read import read_example
from awsdet.runtime.errors import UserError


def spread(manifest, count):
    """int64: the numbers of `count` records, or of all if there are fewer, evenly spread over a split."""
    return np.unique(np.linspace(0, manifest.num_images - 1, min(count, manifest.num_images)).round().astype(np.int64))


def image_of(manifest, row):
    """uint8 RGB [H, W, 3] of record `row`. Raises UserError if it is broken."""
    encoded = b"".join(read_example(manifest, row).features.feature["image/encoded"].bytes_list.value[:1])
    try:
        return decoded(encoded)
    except ValueError as error:
        path = manifest.directory / manifest.shards[manifest.shard[row]].file
        raise UserError(f"record {row} of split {manifest.split} in {path} has no image: {error}") from None
