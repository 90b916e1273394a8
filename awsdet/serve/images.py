"""Looks at the head of an encoded image before the model gets it."""

from awsdet.data.coco.opening import ImageRefused, open_image, orientation
from awsdet.serve.limits import Limits
from awsdet.serve.refusal import Refused

# Pillow's names; MPO is what phones write: a JPEG with further pictures behind it.
_DECODED = ("JPEG", "MPO", "PNG", "BMP", "GIF")


def check_image(data: bytes, where: str, limits: Limits) -> None:
    """Raises Refused unless an exported model can decode an image of this kind and size.

    data: the encoded image; where: begins the line about it. What is behind the head is for the model to judge.
    """
    if len(data) > limits.image_bytes:
        raise Refused(
            413, f"{where}the image has {len(data):,} bytes; the limit is {limits.image_bytes:,} (--max-image-bytes)"
        )
    try:
        image = open_image(data, limits.pixels)
    except ImageRefused as refused:
        if refused.kind == "image_too_large":
            raise Refused(413, f"{where}the image cannot be used: {refused}") from None
        raise Refused(400, f"{where}this is no image that can be used: {refused}") from None
    if image.format not in _DECODED:
        raise Refused(400, f"{where}the image is {image.format}; send JPEG, PNG, BMP or GIF")
    # The model would take the numbers of colours for colours, and find objects in an image that lies on its side.
    if image.format == "BMP" and image.mode in ("1", "P"):
        raise Refused(400, f"{where}the image is a BMP with a palette; send PNG or JPEG")
    if image.format == "PNG" and 2 <= orientation(image, data) <= 8:
        raise Refused(400, f"{where}the image is a PNG whose EXIF block says that it is turned; turn it, or send JPEG")
