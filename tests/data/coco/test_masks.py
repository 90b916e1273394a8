import numpy as np
import pytest
from pycocotools import mask as coco_mask

from awsdet.data.coco.masks import decompress_counts, run_lengths


@pytest.mark.parametrize("density", [0.0, 0.01, 0.5, 1.0])
def test_compressed_text_gives_the_runs_of_the_mask(density):
    mask = np.random.default_rng(1).random((40, 60)) < density
    text = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))["counts"].decode()
    assert decompress_counts(text) == run_lengths(mask)
