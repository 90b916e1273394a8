"""Masks of whole images, of models exported with --masks=full.

A mask has a byte per pixel of the image, and a model makes one for each place of its outputs, used or not. So what a
request will take is known, and limited, before the work. Answers have COCO's run lengths, which pycocotools.mask
decodes: {"size": [height, width], "counts": "…"} for each object, null for each place without one.
"""

import json
from typing import Any

import numpy as np
from pycocotools import mask as coco_mask

from awsdet.data.coco.opening import open_image, orientation
from awsdet.serve.limits import Limits
from awsdet.serve.refusal import Refused
from awsdet.serve.rest import Call

_LYING = range(5, 9)  # the EXIF orientations that exchange width and height


def check_size(call: Call, definition: dict[str, Any], limits: Limits) -> None:
    """Raises Refused if the masks of a call would take too much memory.

    definition: the SignatureDef, as JSON, of the call's signature. One without masks of whole images has no limit.
    """
    masks = definition["outputs"].get("masks")
    if masks is None or masks["dtype"] != "DT_UINT8":
        return
    places = int(masks["tensor_shape"]["dim"][1]["size"])
    sizes = [size for array in call.inputs.values() for size in _sizes(array, limits)]
    height, width = np.max(sizes, axis=0).tolist()
    needed = len(sizes) * places * height * width
    if needed > limits.mask_bytes:
        images = "an image" if len(sizes) == 1 else f"{len(sizes)} images"
        raise Refused(
            413,
            f"the masks of {images} of {width} x {height} pixels would take {needed:,} bytes, {places} masks each; the "
            f"limit is {limits.mask_bytes:,} (--max-mask-bytes); send less, or export the model with --masks=crop",
        )


def run_lengths(outputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Outputs with masks uint8 [B, D, H, W] as JSON, an array [B, D] of bytes; other outputs as they are."""
    masks = outputs.get("masks")
    if masks is None or masks.dtype != np.uint8:
        return outputs
    texts = np.full(masks.shape[:2], b"null", object)
    for index, (count, (height, width)) in enumerate(zip(outputs["count"], outputs["image_size"])):
        for place in range(count):
            # The masks have the size of the largest image of the call; what is sent has that of its own image.
            encoded = coco_mask.encode(np.asfortranarray(masks[index, place, :height, :width]))
            encoded["counts"] = encoded["counts"].decode()
            texts[index, place] = json.dumps(encoded).encode()
    return {**outputs, "masks": texts}


def _sizes(array, limits):
    """(height, width) of each image of an input, upright."""
    if array.dtype != object:
        return [array.shape[1:3]] * len(array)
    return [_upright_size(open_image(data, limits.pixels)) for data in array]


def _upright_size(image):
    turned = image.format in ("JPEG", "MPO") and orientation(image) in _LYING
    return image.size if turned else image.size[::-1]
