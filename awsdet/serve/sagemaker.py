"""The bodies of SageMaker's /invocations, by their media type.

    application/json                            as TensorFlow Serving's, see `rest`
    image/jpeg, image/png, application/x-image  the bytes of one image, as SageMaker's own object detection takes them
    text/csv                                    one image per row, encoded in base64; the row has no other column

The answer is JSON as TensorFlow Serving gives it, or if the header Accept asks for it CSV, one object per row:

    index of the image, class name, score, x1, y1, x2, y2, category id

CSV has no place for masks.
"""

import base64
import binascii
import csv
import io
import re
from typing import Any

import numpy as np

from awsdet.serve import rest
from awsdet.serve.limits import Limits
from awsdet.serve.refusal import Refused

JSON, CSV = "application/json", "text/csv"
IMAGES = ("image/jpeg", "image/png", "image/jpg", "image/bmp", "image/gif", "application/x-image")
_BLANKS = re.compile(rb"\s+")


def read_call(body: bytes, media_type: str, signatures: dict[str, Any], limits: Limits) -> rest.Call:
    """The Call that a body asks for. Raises Refused."""
    if media_type == JSON:
        return rest.read_call(rest.parse(body), signatures, limits)
    if media_type in IMAGES:
        return rest.images_call([body], limits)
    if media_type == CSV:
        return rest.images_call(_images_of_rows(body), limits)
    kinds = f"{JSON}, {IMAGES[0]}, {IMAGES[1]}, {IMAGES[-1]} or {CSV}"
    raise Refused(415, f"the Content-Type is {media_type or 'missing'}; send {kinds}")


def wants_csv(accept: str) -> bool:
    """Whether the header Accept asks for CSV rather than JSON. Raises Refused if it allows neither."""
    best = None
    for part in accept.split(","):
        kind, *parameters = (piece.strip().lower() for piece in part.split(";"))
        quality = next((piece[2:] for piece in parameters if piece.startswith("q=")), "1")
        weight = float(quality) if re.fullmatch(r"[01](\.\d*)?", quality) else 1.0
        found = {JSON: False, "application/*": False, "*/*": False, "": False, CSV: True, "text/*": True}.get(kind)
        if found is not None and weight > 0 and (best is None or weight > best[0]):
            best = weight, found
    if best is None:
        raise Refused(406, f"the answer can be {JSON} or {CSV}, and the header Accept allows neither")
    return best[1]


def csv_answer(outputs: dict[str, np.ndarray]) -> bytes:
    """Outputs of images as rows; see the head of this file. Raises Refused if they are not those of images."""
    if "class_names" not in outputs:
        raise Refused(406, f"this signature's answer can only be {JSON}")
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    for index, count in enumerate(outputs["count"].tolist()):
        for place in range(count):
            writer.writerow(
                [
                    index,
                    outputs["class_names"][index, place].decode("utf-8", "replace"),
                    f"{outputs['scores'][index, place]:.9g}",
                    *(f"{value:.9g}" for value in outputs["boxes"][index, place]),
                    int(outputs["category_ids"][index, place]),
                ]
            )
    return text.getvalue().encode()


def _images_of_rows(body):
    images = []
    for number, row in enumerate(body.split(b"\n"), 1):
        row = _BLANKS.sub(b"", row).strip(b'"')
        if not row:
            continue
        try:
            images.append(base64.b64decode(row, validate=True))
        except (binascii.Error, ValueError):
            raise Refused(400, f"row {number} of the CSV is not one image in base64") from None
    return images
