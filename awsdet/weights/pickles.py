"""Reads pickles of NumPy arrays and plain containers, without running the functions that a pickle names.

A pickle is a program that may call any function by its name. Here each allowed name stands for an object of this file
that does one harmless thing, and every other name is refused. Arrays are made only from their bytes, shape and type.
Protocols 0 to 5 are read, also those that Python 2 and NumPy 2 write.
"""

import collections
import io
import pathlib
import pickle
import re
from typing import Any

import numpy as np

from awsdet.runtime.errors import UserError

_NUMERIC = re.compile(r"[<>=|]?([fiub][1248]|\?)")


def read(path: pathlib.Path) -> Any:
    """The object in a pickle file: dicts, lists, tuples, strings, numbers and NumPy arrays of numbers.

    Raises UserError if the file is broken or contains anything else; the text says what.
    """
    try:
        return _plain(_Reader(io.BytesIO(path.read_bytes()), encoding="latin1").load())
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
    except Exception as error:  # a broken pickle can cause any error in the reader
        raise UserError(f"{path} is no readable pickle ({type(error).__name__}: {error})") from error


class _Reader(pickle._Unpickler):
    """Python's reader that is written in Python. In the one written in C, ten bytes of a pickle can fill the memory."""

    def find_class(self, module, name):
        """The object that a name in the pickle stands for."""
        allowed = _ALLOWED.get((module.replace("numpy._core", "numpy.core"), name))
        if allowed is None:
            raise UserError(
                f"refused, because it names {module}.{name}; only NumPy arrays and plain containers are read"
            )
        return allowed

    def persistent_load(self, pid):
        raise UserError(f"refused, because it refers to {pid!r} outside the file")


class _Array:
    """An array that is being read: `_reconstruct` makes an empty one, then the pickle sets its state."""

    __slots__ = ("value",)

    def __setstate__(self, state):
        _, shape, dtype, is_fortran, data = state
        self.value = _array(data, dtype, shape, "F" if is_fortran else "C")


class _Type:
    """A numpy.dtype that is being read: first its code, then its byte order."""

    __slots__ = ("dtype",)

    def __init__(self, code):
        if not isinstance(code, str) or not _NUMERIC.fullmatch(code):
            raise UserError(f"refused, because it has an array of type {code!r}; only numbers are read")
        self.dtype = np.dtype(code)

    def __setstate__(self, state):
        self.dtype = self.dtype.newbyteorder(state[1])


def _array(data, dtype, shape, order):
    if isinstance(data, str):  # bytes of Python 2
        data = data.encode("latin1")
    if not isinstance(data, (bytes, bytearray)):
        raise UserError(f"refused, because it has an array made of {type(data).__name__}; only numbers are read")
    return np.frombuffer(data, dtype.dtype).reshape(shape, order=order)


class _Function:
    """A function that a pickle may call. It has no __dict__, so that the pickle cannot change it."""

    __slots__ = ()


class _Reconstruct(_Function):
    __slots__ = ()

    def __call__(self, subtype, shape, code):
        return _Array()


class _FromBuffer(_Function):
    __slots__ = ()

    def __call__(self, data, dtype, shape, order):
        array = _Array()
        array.value = _array(data, dtype, shape, order)
        return array


class _Scalar(_Function):
    __slots__ = ()

    def __call__(self, dtype, data):
        return _array(data, dtype, (), "C")[()]


class _MakeType(_Function):
    __slots__ = ()

    def __call__(self, code, align=False, copy=False):
        return _Type(code)


class _Encode(_Function):
    """How protocols before 3 store bytes."""

    __slots__ = ()

    def __call__(self, text, encoding="latin1"):
        return text.encode("latin1")


class _NoBytes(_Function):
    """How protocols before 3 store empty bytes."""

    __slots__ = ()

    def __call__(self):
        return b""


class _ArrayType(_Function):
    """The argument of `_reconstruct`, which ignores it."""

    __slots__ = ()


_ALLOWED = {
    ("numpy", "ndarray"): _ArrayType(),
    ("numpy", "dtype"): _MakeType(),
    ("numpy.core.multiarray", "_reconstruct"): _Reconstruct(),
    ("numpy.core.multiarray", "scalar"): _Scalar(),
    ("numpy.core.numeric", "_frombuffer"): _FromBuffer(),
    ("_codecs", "encode"): _Encode(),
    ("__builtin__", "bytes"): _NoBytes(),
    ("collections", "OrderedDict"): collections.OrderedDict,
}


def _plain(content):
    """Turns the _Arrays of a dict, and of the dicts in it, into arrays. Deeper ones, and those in lists, stay."""
    if not isinstance(content, dict):
        return _value(content)
    inner = {
        id(value): value for value in content.values() if isinstance(value, dict)
    }  # a dict that occurs twice is converted once
    inner = {key: {name: _value(value) for name, value in one.items()} for key, one in inner.items()}
    return {name: inner.get(id(value), _value(value)) for name, value in content.items()}


def _value(content):
    return content.value if isinstance(content, _Array) else content
