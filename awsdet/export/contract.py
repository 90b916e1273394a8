"""What an exported model is: its folder, its signatures, the names of what goes in and comes out.

<output>/1/                     one folder per export, numbered from 1, as TensorFlow Serving wants it
    saved_model.pb, variables/  the graph and the weights; or model.onnx, model.tflite,
                                weights.safetensors
    assets.extra/               a request for TensorFlow Serving to warm up with (SavedModel)
    libawsdet_ops.so            the compiled operators, if the SavedModel was asked to use them
    awsdet.json                 classes, sizes, thresholds, source, check
    README.md                   the same for people
"""

import json
import pathlib
import re

from awsdet.data.reader.sizes import Canvas, InputSize
from awsdet.runtime.errors import UserError
from awsdet.runtime.files import why_no_folder

FORMAT = "awsdet export 1"
INFO = "awsdet.json"
CARD = "README.md"

# Target -> the file that an export of it has.
FILES = {
    "savedmodel": "saved_model.pb",
    "onnx": "model.onnx",
    "tflite": "model.tflite",
    "weights": "weights.safetensors",
}
TARGETS = tuple(FILES)
ENCODED, PIXELS, RESIZED = "serving_default", "pixels", "resized"  # signatures
MASKS = ("crop", "full", "none")
PRECISIONS = ("float32", "float16", "bfloat16", "int8")
OPERATORS = ("plain", "compiled")
LIBRARY = "libawsdet_ops.so"  # beside the model, if its operators are compiled
# What awsdet.json must say, so that the model can be used.
_NEEDED = {
    "target": lambda value: value in TARGETS,
    "size": lambda value: (
        isinstance(value, dict)
        and set(value) in (set(InputSize._fields), set(Canvas._fields))
        and all(type(one) is int and one > 0 for one in value.values())
    ),
    "name": lambda value: isinstance(value, str) and is_name(value),
    "class_names": lambda value: isinstance(value, list) and value and all(isinstance(one, str) for one in value),
    "category_ids": lambda value: isinstance(value, list) and all(type(one) is int for one in value),
    "masks": lambda value: value in MASKS,
    "operators": lambda value: value in (None, *OPERATORS),
    "mask_threshold": lambda value: type(value) in (int, float) and 0 <= value <= 1,
}


def is_name(text):
    """Whether a model of this name can be asked for at /v1/models/NAME:predict."""
    return re.fullmatch("[^/:]+", text) is not None


def number_of(folder):
    """The number that a folder's name is, as TensorFlow Serving reads it (`007` is 7); None if it is none."""
    name = pathlib.Path(folder).name
    return int(name) if re.fullmatch("[0-9]{1,18}", name) else None  # it takes 64 bits


def next_version(output):
    """Path of the numbered folder that the next export goes to."""
    numbers = [number for path in pathlib.Path(output).glob("*") if (number := number_of(path)) is not None]
    return pathlib.Path(output) / str(max(numbers, default=0) + 1)


def find(path):
    """The numbered folder of an exported model, or None if `path` holds none.

    `path`: that folder, or the one that holds numbered ones, which stands for the highest number.
    """
    path = pathlib.Path(path)
    if (path / INFO).is_file():
        return path
    numbered = [one for one in path.glob("*") if number_of(one) is not None and (one / INFO).is_file()]
    return max(numbered, key=number_of, default=None)


def find_whole(path, target=None):
    """As `find`. Raises UserError if there is none, it has no model, or is not for `target`, if that is given."""
    folder = find(path)
    if folder is None:
        what = "holds no exported model" if pathlib.Path(path).is_dir() else why_no_folder(path)
        raise UserError(f"{path} {what}; awsdet export makes a folder with a model")
    own = read_info(folder)["target"]
    if not (folder / FILES[own]).is_file():
        raise UserError(f"{folder} has no {FILES[own]}; export the model again")
    if target not in (None, own):
        raise UserError(f"{folder} is an export for {own}; what is needed is one of --target={target}")
    return folder


def read_info(folder):
    """The dict of awsdet.json. Raises UserError if it is not that of an exported model."""
    folder = pathlib.Path(folder)
    try:
        info = json.loads((folder / INFO).read_text())
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{folder} is no exported model: cannot read {INFO} ({type(error).__name__})") from error
    if not isinstance(info, dict) or info.get("format") != FORMAT:
        raise UserError(f"{folder} is no exported model of this version of awsdet: {INFO} does not say {FORMAT!r}")
    wrong = [f"no usable {key}" for key, is_usable in sorted(_NEEDED.items()) if not is_usable(info.get(key))]
    if not wrong and len(info["class_names"]) != len(info["category_ids"]):
        wrong = [f"{len(info['class_names'])} class_names and {len(info['category_ids'])} category_ids"]
    if wrong:
        raise UserError(f"{folder / INFO} is damaged: it has {', '.join(wrong)}; export the model again")
    return info


def input_size(info):
    """How images are resized for a model: the InputSize or Canvas that the dict of its awsdet.json describes."""
    return (Canvas if "height" in info["size"] else InputSize)(**info["size"])
