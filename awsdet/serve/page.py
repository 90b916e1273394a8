"""The page at /, on which one drops an image and sees what is found in it. `page.html` is all of it."""

import functools
import html
import json
import pathlib
from typing import Any

# The page fetches nothing from elsewhere, and runs no script but its own.
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src blob: data:; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


def page(name: str, version: str, info: dict[str, Any], max_bytes: int) -> str:
    """The page as HTML.

    Args:
        name, version: of the model, as its address has them.
        info: the content of awsdet.json.
        max_bytes: of an encoded image.
    """
    model = {
        "name": name,
        "version": version,
        "detector": info.get("detector", ""),
        "classes": len(info.get("class_names", ())),
        "maskThreshold": info.get("mask_threshold", 0.5),
        "maxBytes": max_bytes,
    }
    data = json.dumps(model).replace("<", "\\u003c")  # it stands in a script element
    return _template().replace("{{title}}", html.escape(name)).replace("{{model}}", data)


@functools.cache
def _template():
    return (pathlib.Path(__file__).parent / "page.html").read_text(encoding="utf-8")
