"""The safetensors format: 8 bytes with the length of a JSON header (little-endian), the header, the raw numbers.

The header holds for each tensor its dtype, shape and place (begin, end) in what follows; `__metadata__` is a dict of
strings. https://huggingface.co/docs/safetensors
"""

import json
import math
import struct

import numpy as np

from awsdet.runtime.errors import UserError

_TYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "i1", "U8": "u1"}
_TYPES["BOOL"] = "?"
_LONGEST_HEADER = 100_000_000  # bytes; the format's own limit


def write(file, arrays, metadata):
    """Writes float32 `arrays` (name -> array) and `metadata` (str -> str) to an open binary file."""
    header, offset = {"__metadata__": metadata}, 0
    for name, array in arrays.items():
        header[name] = {"dtype": "F32", "shape": list(array.shape), "data_offsets": [offset, offset + array.nbytes]}
        offset += array.nbytes
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)  # the numbers begin at a multiple of 8 bytes
    file.write(struct.pack("<Q", len(text)) + text)
    for array in arrays.values():
        file.write(np.asarray(array, "<f4").tobytes())


def read(path):
    """(name -> array, metadata) of a file. Raises UserError where it is broken."""
    content = path.read_bytes()
    try:
        return _parse(content)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, struct.error) as error:
        raise UserError(f"{path} is no readable safetensors file ({error})") from error


def _parse(content):
    (length,) = struct.unpack_from("<Q", content)
    if length > min(_LONGEST_HEADER, len(content) - 8):
        raise ValueError(f"its header would have {length} bytes")
    header = json.loads(content[8 : 8 + length])
    metadata = header.pop("__metadata__", {})
    numbers = memoryview(content)[8 + length :]
    arrays = {name: _tensor(name, numbers, **entry) for name, entry in header.items()}
    if sum(array.size for array in arrays.values()) > len(numbers):
        raise ValueError("its tensors overlap")
    return arrays, metadata


def _tensor(name, numbers, dtype, shape, data_offsets):
    begin, end = data_offsets
    if not 0 <= begin <= end <= len(numbers):
        raise ValueError(f"{name} would lie outside of the file")
    if dtype == "BF16":  # the upper half of a float32
        wide = np.frombuffer(numbers[begin:end], "<u2").astype("<u4") << 16
        return wide.view("<f4").reshape(shape)
    if dtype not in _TYPES:
        raise ValueError(f"{name} is of type {dtype}")
    array = np.frombuffer(numbers[begin:end], _TYPES[dtype])
    if array.size != math.prod(shape):
        raise ValueError(f"{name} has {array.size} numbers, which do not make the shape {shape}")
    return array.reshape(shape)
