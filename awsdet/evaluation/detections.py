"""What a detector found in many images, as a few arrays: quick to send, to write and to read, and exact.

I images, D objects: those of the first image, then those of the second, and so on. Needs no TensorFlow.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from awsdet.detection.found import Found


class Detections(NamedTuple):
    """The objects found in I images."""

    image_ids: np.ndarray  # int64 [I]
    counts: np.ndarray  # int64 [I], objects of each image
    boxes: np.ndarray  # float32 [D, 4], as in Found
    scores: np.ndarray  # float32 [D]
    classes: np.ndarray  # int32 [D]
    mask_sizes: np.ndarray | None = None  # int64 [D, 2], height and width; None: a detector without masks
    code_lengths: np.ndarray | None = None  # int64 [D], bytes of the compressed RLE of each mask
    codes: np.ndarray | None = None  # uint8, all of these bytes
    iou_scores: np.ndarray | None = None  # float32 [D]; None: not predicted


def pack(images: Sequence[tuple[int, Found]]) -> Detections:
    """The Detections of a list of (image id, Found)."""
    found = [one for _, one in images]
    packed = Detections(
        np.array([image_id for image_id, _ in images], np.int64),
        np.array([len(one.scores) for one in found], np.int64),
        _joined([one.boxes for one in found], np.zeros((0, 4), np.float32)),
        _joined([one.scores for one in found], np.zeros(0, np.float32)),
        _joined([one.classes for one in found], np.zeros(0, np.int32)),
    )
    if any(one.masks is not None for one in found):
        masks = [mask for one in found for mask in one.masks]
        packed = packed._replace(
            mask_sizes=np.array([mask["size"] for mask in masks], np.int64).reshape(-1, 2),
            code_lengths=np.array([len(mask["counts"]) for mask in masks], np.int64),
            codes=np.frombuffer(b"".join(mask["counts"] for mask in masks), np.uint8),
        )
    if any(one.iou_scores is not None for one in found):
        packed = packed._replace(iou_scores=_joined([one.iou_scores for one in found], np.zeros(0, np.float32)))
    return packed


def join(parts: Iterable[Detections]) -> Detections:
    """The Detections of all parts, one after the other; parts without images may lack the arrays of masks."""
    parts = list(parts)
    columns = zip(*([part for part in parts if len(part.image_ids)] or parts[:1]))
    return Detections(*(None if column[0] is None else np.concatenate(column) for column in columns))


def unpack(detections: Detections) -> Iterator[tuple[int, Found]]:
    """Yields (image id, Found) of each image: what was packed, bit for bit."""
    ends = np.cumsum(detections.counts)
    masks = None if detections.codes is None else list(_masks(detections))
    for image_id, begin, end in zip(detections.image_ids.tolist(), (ends - detections.counts).tolist(), ends.tolist()):
        yield (
            image_id,
            Found(
                detections.boxes[begin:end],
                detections.scores[begin:end],
                detections.classes[begin:end],
                None if masks is None else masks[begin:end],
                None if detections.iou_scores is None else detections.iou_scores[begin:end],
            ),
        )


def _masks(detections):
    codes, ends = detections.codes.tobytes(), np.cumsum(detections.code_lengths).tolist()
    begin = 0
    for size, end in zip(detections.mask_sizes.tolist(), ends):
        yield {"size": size, "counts": codes[begin:end]}
        begin = end


def _joined(parts, empty):
    return np.concatenate(parts) if parts else empty
