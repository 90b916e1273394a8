"""Checks a request against everything that AWS publishes about it: the service model that comes with botocore.

botocore itself checks only names, types, required members and minimum lengths before it sends a request. The model also
holds maxima, patterns and the allowed words; the service refuses a request that breaks these, so they are checked here,
without a network or credentials.
"""

import difflib
import functools
import re

from awsdet.runtime.errors import UserError

_TYPES = {
    "structure": (dict, "a structure"),
    "map": (dict, "a map"),
    "list": ((list, tuple), "a list"),
    "string": (str, "a string"),
    "integer": (int, "a whole number"),
    "long": (int, "a whole number"),
    "float": ((int, float), "a number"),
    "double": ((int, float), "a number"),
    "boolean": (bool, "true or false"),
}
_SHOWN = 60  # characters of a value that a message shows
_NEAR = 3  # allowed words that a message shows
# Classes of characters that the model has in Java's notation; Python's `re` has no names for them. \w is a letter of
# any script, a digit or "_": a set with \p{L} or \p{N} becomes wider, never narrower, so nothing valid is refused.
_JAVA_CLASSES = {r"\p{L}": r"\w", r"\p{N}": r"\w", r"\p{Z}": r"\s", r"\p{Alnum}": "a-zA-Z0-9"}


def faults(request, operation="CreateTrainingJob"):
    """What the service would refuse in a request.

    Args:
        request: the arguments of the call, as boto3 takes them.
        operation: name of a call of SageMaker.

    Returns a list of strings such as "ResourceConfig.InstanceType: …"; empty if the request is within all limits.
    """
    return list(_walk(input_shape(operation), request, ""))


def check(request, operation="CreateTrainingJob"):
    """Raises UserError with the first fault of a request, and how many more there are."""
    found = faults(request, operation)
    if found:
        more = f" (and {len(found) - 1} more: {'; '.join(found[1:])})" if len(found) > 1 else ""
        raise UserError(f"SageMaker would refuse this job: {found[0]}{more}")


@functools.cache
def input_shape(operation):
    """botocore's description of the arguments of a call of SageMaker. Raises UserError if botocore is missing."""
    try:
        from botocore import loaders, model
    except ImportError as error:
        raise UserError("the package boto3 is missing; install it with: pip install boto3") from error
    description = loaders.Loader().load_service_model("sagemaker", "service-2")
    return model.ServiceModel(description).operation_model(operation).input_shape


def pattern_of(shape):
    """The compiled pattern of a string shape, or None if it has none or one that `re` cannot express."""
    text = shape.metadata.get("pattern")
    if text is None:
        return None
    for java, python in _JAVA_CLASSES.items():
        text = text.replace(java, python)
    try:
        return re.compile(text)
    except re.error:
        return None


def _walk(shape, value, path):
    """Yields the faults of a value of a shape; `path` is its place in the request, "" for the whole."""
    kind, name = _TYPES.get(shape.type_name, (object, shape.type_name))
    if not isinstance(value, kind) or (isinstance(value, bool) and shape.type_name != "boolean"):
        yield f"{path or 'the request'}: expected {name}, got {_shown(value)}"
    elif shape.type_name == "structure":
        yield from _walk_structure(shape, value, path)
    elif shape.type_name == "map":
        yield from _size(shape, len(value), path, "entries")
        for key, inner in value.items():
            yield from _walk(shape.key, key, f"{path} (the name {_shown(key)})")
            yield from _walk(shape.value, inner, f"{path}.{key}")
    elif shape.type_name == "list":
        yield from _size(shape, len(value), path, "entries")
        for index, inner in enumerate(value):
            yield from _walk(shape.member, inner, f"{path}[{index}]")
    elif shape.type_name == "string":
        yield from _walk_string(shape, value, path)
    elif shape.type_name in ("integer", "long", "float", "double"):
        yield from _size(shape, value, path, "")


def _walk_structure(shape, value, path):
    start = f"{path}." if path else ""
    for name in shape.required_members:
        if name not in value:
            yield f"{start}{name} is missing"
    if getattr(shape, "is_tagged_union", False) and len(value) != 1:
        yield f"{path}: exactly one of {', '.join(shape.members)} must be given"
    for name, inner in value.items():
        if name in shape.members:
            yield from _walk(shape.members[name], inner, f"{start}{name}")
        else:
            yield f"{start}{name}: there is no member of this name"


def _walk_string(shape, value, path):
    yield from _size(shape, len(value), path, "characters")
    if shape.enum and value not in shape.enum:
        yield f"{path}: {_shown(value)} is none of the {len(shape.enum)} allowed{_hint(value, shape.enum)}"
    pattern = pattern_of(shape)
    if pattern is not None and not pattern.fullmatch(value):
        yield f"{path}: {_shown(value)} does not match {pattern.pattern}"


def _size(shape, size, path, unit):
    """The faults of a length, with its unit, or of a number, whose unit is ""."""
    least, most = shape.metadata.get("min"), shape.metadata.get("max")
    unit = f" {unit}" if unit else ""
    if least is not None and size < least:
        yield f"{path}: {size}{unit}, the minimum is {least}"
    if most is not None and size > most:
        yield f"{path}: {size}{unit}, the maximum is {most}"


def _hint(value, allowed):
    near = difflib.get_close_matches(value, allowed, n=_NEAR, cutoff=0.5)
    return f"; near it are {', '.join(near)}" if near else ""


def _shown(value):
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
