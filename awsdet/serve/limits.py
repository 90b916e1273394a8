"""What a server accepts at most."""

from typing import NamedTuple


class Limits(NamedTuple):
    """Limits of requests; those that go beyond are refused with a line that names the limit.

    body_bytes, image_bytes: of the body of a request, and of an image in it, as it is encoded.
    pixels: of an image, before it is decoded. images: of a request.
    mask_bytes: of the masks that a model of whole masks makes for a request, a byte per pixel, see `full_masks`.
    waiting: requests that wait for the model or run on it; more are turned away with 503.
    seconds: from the last byte of a request until its answer; a call of the model that takes longer is ended.
    read_seconds: within which a client must have sent its request, from the first byte of its head to the last of its
        body, and within which it must take the answer.
    idle_seconds: after which a connection without a request is closed.
    connections: at the same time.
    held_bytes: of all bodies together that are in memory.
    """

    body_bytes: int = 64 * 2**20
    image_bytes: int = 20 * 2**20
    pixels: int = 50_000_000
    images: int = 16
    mask_bytes: int = 2 * 2**30
    waiting: int = 200
    seconds: float = 55.0
    read_seconds: float = 30.0
    idle_seconds: float = 60.0
    connections: int = 500
    held_bytes: int = 2**30
