"""The bodies of TensorFlow Serving's REST interface: JSON to the inputs of a signature, and outputs to JSON.

    row format      {"signature_name": …, "instances": [one entry per image]}     -> {"predictions": [one per image]}
    column format   {"signature_name": …, "inputs": arrays of all images}         -> {"outputs": arrays of all images}

An entry is the value of the only input, or {input: value}. Bytes are {"b64": "…"}. See
https://www.tensorflow.org/tfx/serving/api_rest; what it leaves open or lets pass is refused here.
"""

import base64
import binascii
import json
import math
from typing import Any, NamedTuple

import numpy as np

from awsdet.export.contract import ENCODED
from awsdet.serve.images import check_image
from awsdet.serve.limits import Limits
from awsdet.serve.refusal import Refused

_KEYS = ("signature_name", "instances", "inputs")
_NUMBERS = {"DT_UINT8": np.uint8, "DT_INT32": np.int32, "DT_INT64": np.int64, "DT_FLOAT": np.float32}


class Call(NamedTuple):
    """What a request asks for. inputs: arrays, bytes as dtype object; rows: whether it came in row format."""

    signature: str
    inputs: dict[str, np.ndarray]
    rows: bool


def parse(body: bytes) -> Any:
    """What the JSON says. Raises Refused for what is none, by the rules of RFC 8259."""
    try:
        return json.loads(body, parse_constant=_no_constant, object_pairs_hook=_no_double)
    except UnicodeDecodeError:
        raise Refused(400, "the body is no JSON: it is not UTF-8") from None
    except RecursionError:
        raise Refused(400, "the body is JSON with too many levels of nesting") from None
    except json.JSONDecodeError as error:
        raise Refused(400, f"the body is no JSON: {error}") from None
    except ValueError as error:  # numbers of thousands of digits
        raise Refused(400, f"the body is JSON that cannot be used: {error}") from None


def _no_constant(name):
    raise Refused(400, f"the body is no JSON: {name} is not allowed as a number")


def _no_double(pairs):
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise Refused(400, f"the key {_quoted(twice)} is given twice in the same object")
    return found


def read_call(content: Any, signatures: dict[str, Any], limits: Limits) -> Call:
    """The Call that a body asks for. content: see `parse`; signatures: SignatureDefs as JSON. Raises Refused."""
    if not isinstance(content, dict):
        raise Refused(400, 'the body must be an object such as {"instances": [{"b64": "…"}]}')
    unknown = [key for key in content if key not in _KEYS]
    if unknown:
        raise Refused(400, f"unknown key {_quoted(unknown[0])}; the keys are {', '.join(_KEYS)}")
    if ("instances" in content) == ("inputs" in content):
        number = "both" if "inputs" in content else "neither"
        raise Refused(400, f"the body has {number} of the keys instances and inputs; give one of them")
    name = content.get("signature_name", ENCODED) or ENCODED
    if not isinstance(name, str):
        raise Refused(400, f"signature_name must be one of {', '.join(signatures)}")
    if name not in signatures:
        raise Refused(400, f"there is no signature {_quoted(name)}; the model has {', '.join(signatures)}")
    wanted = signatures[name]["inputs"]
    rows = "instances" in content
    columns = _of_rows(content["instances"], wanted, limits) if rows else _of_columns(content["inputs"], wanted)
    inputs = {key: _array(values, key, wanted[key], rows, limits) for key, values in columns.items()}
    counts = {key: len(array) for key, array in inputs.items()}
    if len(set(counts.values())) > 1:
        listed = ", ".join(f"{key} {count}" for key, count in counts.items())
        raise Refused(400, f"the inputs are of different numbers of images: {listed}")
    return Call(name, inputs, rows)


def images_call(images: list[bytes], limits: Limits) -> Call:
    """The Call of encoded images that are no JSON."""
    _check_count(len(images), "the body", limits)
    for index, image in enumerate(images):
        check_image(image, f"image {index}: " if len(images) > 1 else "", limits)
    return Call(ENCODED, {"image_bytes": _bytes_array(images)}, True)


def _of_rows(instances, wanted, limits):
    """Input -> list of values, one per entry."""
    if not isinstance(instances, list):
        raise Refused(400, "instances must be a list with one entry per image")
    _check_count(len(instances), "instances", limits)
    columns = {key: [] for key in wanted}
    for index, instance in enumerate(instances):
        if not isinstance(instance, dict) or _is_bytes(instance):
            if len(wanted) > 1:
                raise Refused(400, f"instances[{index}] must be an object with the inputs {', '.join(wanted)}")
            instance = {next(iter(wanted)): instance}
        _check_names(instance, wanted, f"instances[{index}]")
        for key in wanted:
            columns[key].append(instance[key])
    return columns


def _of_columns(inputs, wanted):
    """Input -> its value for all images."""
    if not isinstance(inputs, dict) or _is_bytes(inputs):
        if len(wanted) > 1:
            raise Refused(400, f"inputs must be an object with the inputs {', '.join(wanted)}")
        inputs = {next(iter(wanted)): inputs}
    _check_names(inputs, wanted, "inputs")
    return inputs


def _check_names(given, wanted, where):
    for key in given:
        if key not in wanted:
            raise Refused(400, f"{where} has {_quoted(key)}, which is no input; the inputs are {', '.join(wanted)}")
    for key in wanted:
        if key not in given:
            raise Refused(400, f"{where} lacks the input {key}")


def _array(values, name, definition, rows, limits):
    """The array of an input."""
    if not isinstance(values, list):
        raise Refused(400, f"inputs.{name} must be a list with one entry per image")
    _check_count(len(values), f"inputs.{name}", limits)
    places = [f"instances[{index}]" if rows else f"inputs.{name}[{index}]" for index in range(len(values))]
    if definition["dtype"] == "DT_STRING":
        images = [_decoded(value, place) for value, place in zip(values, places)]
        for image, place in zip(images, places):
            check_image(image, f"{place}: ", limits)
        return _bytes_array(images)
    shape = [int(size["size"]) for size in definition["tensor_shape"]["dim"]][1:]
    arrays = [_numbers(value, place, name, shape, definition["dtype"]) for value, place in zip(values, places)]
    for array, place in zip(arrays, places):
        if len(shape) == 3 and array.shape[0] * array.shape[1] > limits.pixels:
            raise Refused(413, f"{place}: the image has more than {limits.pixels:,} pixels (--max-megapixels)")
        if array.shape != arrays[0].shape:
            raise Refused(
                400,
                f"{place} has the shape {list(array.shape)} and {places[0]} {list(arrays[0].shape)}; images of one "
                "request must have one size here: send encoded images, or a request for each size",
            )
    return np.stack(arrays)


def _check_count(count, where, limits):
    if count == 0:
        raise Refused(400, f"{where} has no images")
    if count > limits.images:
        raise Refused(413, f"{where} has {count} images; the limit of a request is {limits.images} (--max-images)")


def _is_bytes(value):
    return isinstance(value, dict) and list(value) == ["b64"]


def _decoded(value, where):
    """The bytes of {"b64": text}."""
    if not _is_bytes(value) or not isinstance(value["b64"], str):
        raise Refused(400, f'{where} must be an encoded image: {{"b64": "…"}}, in base64')
    try:
        return base64.b64decode(value["b64"], validate=True)
    except (binascii.Error, ValueError) as error:
        raise Refused(400, f"{where} has no valid base64: {error}") from None


def _bytes_array(values):
    array = np.empty(len(values), object)
    array[:] = values
    return array


def _numbers(value, where, name, shape, dtype):
    """The array of one image. shape: -1 where any size is accepted."""
    wanted = f"{name} must be numbers of the shape [{', '.join('any' if n < 0 else str(n) for n in shape)}]"
    try:
        array = np.array(value)
    except ValueError:
        raise Refused(400, f"{where}: {wanted}, but its lists are of different lengths") from None
    kind = _NUMBERS[dtype]
    if array.ndim != len(shape) or any(size not in (-1, real) for size, real in zip(shape, array.shape)):
        raise Refused(400, f"{where}: {wanted}, but it has the shape {list(array.shape)}")
    if array.size == 0:
        raise Refused(400, f"{where}: {name} is empty")
    if np.issubdtype(kind, np.floating):
        if array.dtype.kind not in "iuf":
            raise Refused(400, f"{where}: {wanted}, but it holds something else")
        return array.astype(kind)
    if array.dtype.kind not in "iu":
        raise Refused(400, f"{where}: {name} must be whole numbers, but it holds something else")
    limit = np.iinfo(kind)
    if array.min() < limit.min or array.max() > limit.max:
        raise Refused(400, f"{where}: {name} must be numbers from {limit.min} to {limit.max}")
    return array.astype(kind)


# --------------------------------------------------------------------------------------------------------- the answer


def answer(outputs: dict[str, np.ndarray], rows: bool) -> bytes:
    """Outputs [B, …] as the body of an answer. Raises Refused (500) for numbers that are not finite."""
    named = {name: _texts(array, name) for name, array in outputs.items()}
    if not rows:
        parts = [f"{_quoted(name)}: {_whole(texts, outputs[name].shape)}" for name, texts in named.items()]
        return f'{{"outputs": {{{", ".join(parts)}}}}}'.encode()
    images = []
    for index in range(len(next(iter(outputs.values())))):
        parts = [f"{_quoted(name)}: {_whole(texts, outputs[name].shape, index)}" for name, texts in named.items()]
        images.append(f"{{{', '.join(parts)}}}")
    return f'{{"predictions": [{", ".join(images)}]}}'.encode()


def _texts(array, name):
    """The numbers or strings of an array as JSON, one after the other."""
    if array.dtype == object and name == "masks":  # JSON already, see `full_masks`
        return [value.decode() for value in array.ravel().tolist()]
    if array.dtype == object:
        return [json.dumps(value.decode("utf-8", "replace")) for value in array.ravel().tolist()]
    if array.dtype.kind != "f":
        return list(map(str, array.ravel().tolist()))
    if not np.isfinite(array).all():
        raise Refused(500, f"the model's output {name} has numbers that are not finite; is the checkpoint damaged?")
    flat = array.ravel()
    texts, used = ["0"] * flat.size, np.flatnonzero(flat)  # most places of most images are unused
    for place, value in zip(used.tolist(), flat[used].tolist()):
        texts[place] = f"{value:.9g}"  # nine digits are enough to get back the very same float32
    return texts


def _whole(texts, shape, index=None):
    """Nested lists as JSON: of all images, or of one."""
    if index is not None:
        size = len(texts) // shape[0]
        texts, shape = texts[index * size : (index + 1) * size], shape[1:]
    return _nested(texts, shape)


def _nested(texts, shape):
    if 0 in shape:
        shape = shape[: shape.index(0)]
        texts = ["[]"] * math.prod(shape)
    for size in reversed(shape):
        texts = [f"[{', '.join(texts[start : start + size])}]" for start in range(0, len(texts), size)]
    return texts[0]


def _quoted(key: str) -> str:
    """A string of a request as JSON, cut off if it is long."""
    text = json.dumps(key, ensure_ascii=False)
    return text if len(text) <= 80 else f"{text[:80]}…"
