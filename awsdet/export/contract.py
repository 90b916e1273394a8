"""What an exported model is: its folder, its signatures, the names of what goes in and comes out.

<output>/1/                     one folder per export, numbered from 1, as TensorFlow Serving wants it
    saved_model.pb, variables/  the graph and the weights
    awsdet.json                 classes, sizes, thresholds, source, check
    README.md                   the same for people
"""

import json
import pathlib

from awsdet.runtime.errors import UserError

FORMAT = "awsdet export 1"
INFO = "awsdet.json"
CARD = "README.md"

ENCODED, PIXELS, RESIZED = "serving_default", "pixels", "resized"  # signatures
MASKS = ("crop", "full", "none")
_NEEDED = {"name", "class_names", "category_ids", "masks", "mask_threshold"}  # of awsdet.json, to use the model


def next_version(output):
    """Path of the numbered folder that the next export goes to."""
    numbers = [int(path.name) for path in pathlib.Path(output).glob("*") if path.name.isdigit()]
    return pathlib.Path(output) / str(max(numbers, default=0) + 1)


def find(path):
    """The numbered folder of an exported model, or None if `path` holds none.

    `path`: that folder, or the one that holds numbered ones, which stands for the highest number.
    """
    path = pathlib.Path(path)
    if (path / INFO).is_file():
        return path
    numbered = [one for one in path.glob("*") if one.name.isdigit() and (one / INFO).is_file()]
    return max(numbered, key=lambda one: int(one.name), default=None)


def find_whole(path):
    """As `find`. Raises UserError if there is none, or it has no graph."""
    folder = find(path)
    if folder is None:
        raise UserError(f"{path} holds no exported model; awsdet export makes one")
    read_info(folder)
    if not (folder / "saved_model.pb").is_file():
        raise UserError(f"{folder} has no saved_model.pb; export the model again")
    return folder


def read_info(folder):
    """The dict of awsdet.json. Raises UserError if it is not that of an exported model."""
    folder = pathlib.Path(folder)
    try:
        info = json.loads((folder / INFO).read_text())
    except (OSError, ValueError) as error:
        raise UserError(f"{folder} is no exported model: cannot read {INFO} ({type(error).__name__})") from error
    if not isinstance(info, dict) or info.get("format") != FORMAT:
        raise UserError(f"{folder} is no exported model of this version of awsdet: {INFO} does not say {FORMAT!r}")
    missing = sorted(_NEEDED - info.keys())
    if missing:
        raise UserError(f"{folder / INFO} is damaged: it has no {', '.join(missing)}; export the model again")
    return info
