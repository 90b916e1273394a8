"""Requests that share a call of the model: their inputs joined, the outputs divided among them."""

from collections.abc import Iterator, Sequence

import numpy as np

Key = tuple  # what requests must have in common to share a call


def key_of(signature: str, inputs: dict[str, np.ndarray]) -> Key:
    """The Key of a request: the signature, and the sizes of its images unless they are encoded."""
    return (signature, *sorted((name, array.shape[1:]) for name, array in inputs.items()))


def joined(inputs: Sequence[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """The inputs of requests of the same Key, one after the other."""
    if len(inputs) == 1:
        return inputs[0]
    return {name: np.concatenate([each[name] for each in inputs]) for name in inputs[0]}


def split(outputs: dict[str, np.ndarray], counts: Sequence[int]) -> Iterator[dict[str, np.ndarray]]:
    """The outputs of each request, of so many images. outputs: arrays [sum of counts, …].

    Masks of whole images have the size of the largest image of a call. Each request gets them in that of its own
    largest one, as if it had been alone.
    """
    start = 0
    for count in counts:
        part = {name: array[start : start + count] for name, array in outputs.items()}
        masks, sizes = part.get("masks"), part.get("image_size")
        if masks is not None and sizes is not None and masks.dtype == np.uint8:
            height, width = sizes.max(axis=0)
            part["masks"] = masks[:, :, :height, :width]
        yield part
        start += count
