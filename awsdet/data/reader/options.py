"""What the reader is told, as a typed value; `builder` makes it from a config."""

from typing import NamedTuple

from awsdet.data.reader.augment import Augmentation
from awsdet.data.reader.sizes import InputSize


class ReaderOptions(NamedTuple):
    """How records become batches.

    batch_size, eval_batch_size: images per process in a batch, of training and of evaluation.
    eval_size: what images are resized and padded to for evaluation.
    augmentation: what is done to the images of training, their sizes included.
    pad_multiple: training batches are padded to multiples of this, px; itself a multiple of 32.
    padded_sizes: (): that is all. "auto": to few sizes that suit records and settings. Otherwise those sizes: pairs of
        height and width, px, the smallest first (see `padding`).
    keep_empty: whether to train on images without objects too.
    reader_threads: threads that read; 0: one per core.
    """

    batch_size: int
    eval_batch_size: int
    eval_size: InputSize
    augmentation: Augmentation
    pad_multiple: int
    padded_sizes: str | tuple
    keep_empty: bool
    reader_threads: int
