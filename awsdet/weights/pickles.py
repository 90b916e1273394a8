"""Reads pickles of NumPy arrays and plain containers, without running the functions that a pickle names.

A pickle is a program that may call any function by its name. Here each allowed name stands for a `Function` of ours
that does one harmless thing, and nothing else is ever called. The strict reader refuses every other name; the reader
of PyTorch's files (`tensors`) lets some stand for an `Unread`. Arrays are made only from their bytes, shape and type.
Protocols 0 to 5 are read, also those that Python 2 and NumPy 2 write.
"""

import io
import pathlib
import pickle
import re
import reprlib
from typing import Any

import numpy as np

from awsdet.runtime.errors import UserError

_NUMERIC = re.compile(r"[<>=|]?([fiub][1248]|\?)")


def read(path: pathlib.Path) -> Any:
    """The object in a pickle file: dicts, lists, tuples, strings, numbers and NumPy arrays of numbers.

    Raises UserError if the file is broken or contains anything else; the text says what.
    """
    try:
        return _plain(Reader(io.BytesIO(path.read_bytes())).load())
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
    except Exception as error:  # a broken pickle can cause any error in the reader
        raise UserError(f"{path} is no readable pickle ({brief(error)})") from error


def brief(error: Exception) -> str:
    """An error in one line of printable text; what a file says may hold anything."""
    return printable(f"{type(error).__name__}: {error}")


def printable(text: str) -> str:
    """At most 200 characters of a text from a file, without line ends and codes that steer a terminal."""
    text = " ".join(text[:1000].split())
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text)[:200]


class Unread:
    """Stands for an object that is not made. What is done to it, or made with it, has no effect."""

    __slots__ = ("name",)

    def __init__(self, name):
        self.name = name  # what the pickle names to make it: module.class


class Function:
    """What an allowed name stands for. It has no __dict__, so that the pickle cannot change it."""

    __slots__ = ()


class Reader(pickle._Unpickler):
    """Python's reader that is written in Python. In the one written in C, ten bytes of a pickle can fill the memory.

    Python's own operations that call, build or fill an object are replaced: they work on the types of this file alone.
    """

    dispatch = dict(pickle._Unpickler.dispatch)

    def __init__(self, file):
        super().__init__(file, encoding="latin1")

    def names(self) -> dict:
        """The allowed names: (module, name) -> Function."""
        return ALLOWED

    def unknown(self, module: str, name: str) -> Unread:
        """What stands for a name that is not allowed. Raises UserError to refuse it."""
        full = printable(f"{module}.{name}")
        raise UserError(f"refused, because it names {full}; only NumPy arrays and plain containers are read")

    def find_class(self, module, name):
        """The object that a name in the pickle stands for."""
        found = self.names().get((module.replace("numpy._core", "numpy.core"), name))
        return self.unknown(module, name) if found is None else found

    def get_extension(self, code):
        raise UserError(f"refused, because it names an object by the number {code}")

    def persistent_load(self, pid):
        raise UserError(f"refused, because it refers to {printable(reprlib.repr(pid))} outside the file")

    def _call(self, function, arguments, keywords=()):
        """The only place that calls anything."""
        unread = next((part for part in (function, *arguments) if isinstance(part, Unread)), None)
        if unread is not None:
            self.append(unread)
        elif isinstance(function, Function) and callable(function) and not keywords:
            self.append(function(*arguments))
        else:
            raise TypeError(f"it calls an object of type {type(function).__name__}")

    def _load_reduce(self):
        arguments = self.stack.pop()
        self._call(self.stack.pop(), arguments)

    def _load_newobj_ex(self):
        keywords = self.stack.pop()
        arguments = self.stack.pop()
        self._call(self.stack.pop(), arguments, keywords)

    def _load_inst(self):
        module, name = (self.readline()[:-1].decode("ascii") for _ in range(2))
        self._call(self.find_class(module, name), self.pop_mark())

    def _load_obj(self):
        function, *arguments = self.pop_mark()
        self._call(function, arguments)

    def _load_build(self):
        state = self.stack.pop()
        target = self.stack[-1]
        if isinstance(target, (Array, Type)):
            target.set_state(state)
        elif not isinstance(target, (dict, Unread)):  # attributes of an OrderedDict are left out
            raise TypeError(f"it sets attributes of an object of type {type(target).__name__}")

    def _load_append(self):
        value = self.stack.pop()
        self._extend([value])

    def _load_appends(self):
        values = self.pop_mark()
        self._extend(values)

    def _extend(self, values):
        target = self.stack[-1]
        if isinstance(target, list):
            target.extend(values)
        elif not isinstance(target, Unread):
            raise TypeError(f"it appends to an object of type {type(target).__name__}")

    def _load_setitem(self):
        value = self.stack.pop()
        key = self.stack.pop()
        self._set([key, value])

    def _load_setitems(self):
        items = self.pop_mark()
        self._set(items)

    def _set(self, items):
        target = self.stack[-1]
        if isinstance(target, dict):
            target.update(zip(map(_key, items[::2]), items[1::2], strict=True))
        elif not isinstance(target, Unread):
            raise TypeError(f"it sets items of an object of type {type(target).__name__}")

    def _load_dict(self):
        items = self.pop_mark()
        self.append({})
        self._set(items)

    def _load_additems(self):
        items = self.pop_mark()
        if isinstance(self.stack[-1], set):
            self.stack[-1].update(map(_key, items))
        elif not isinstance(self.stack[-1], Unread):
            raise TypeError(f"it adds to an object of type {type(self.stack[-1]).__name__}")

    def _load_frozenset(self):
        self.append(frozenset(map(_key, self.pop_mark())))

    def _load_bytearray8(self):
        """Python would fill a bytearray of the announced length, which may be anything, before it reads."""
        self.append(bytearray(self.read(int.from_bytes(self.read(8), "little"))))

    for _operation, _load in (
        (pickle.REDUCE, _load_reduce),
        (pickle.NEWOBJ, _load_reduce),  # the same here: the class is called
        (pickle.NEWOBJ_EX, _load_newobj_ex),
        (pickle.INST, _load_inst),
        (pickle.OBJ, _load_obj),
        (pickle.BUILD, _load_build),
        (pickle.APPEND, _load_append),
        (pickle.APPENDS, _load_appends),
        (pickle.SETITEM, _load_setitem),
        (pickle.SETITEMS, _load_setitems),
        (pickle.DICT, _load_dict),
        (pickle.ADDITEMS, _load_additems),
        (pickle.BYTEARRAY8, _load_bytearray8),
        (pickle.FROZENSET, _load_frozenset),
    ):
        dispatch[_operation[0]] = _load


_PLAIN_KEYS = (str, bytes, int, float, type(None), np.generic, Unread)


def _key(key):
    """A key of a dict. To hash a tuple of tuples of tuples can take for ever, so those are refused."""
    if isinstance(key, _PLAIN_KEYS) or isinstance(key, tuple) and all(isinstance(part, _PLAIN_KEYS) for part in key):
        return key
    raise TypeError(f"it has a key of type {type(key).__name__}")


class Array:
    """An array that is being read: `_reconstruct` makes an empty one, then the pickle sets its state."""

    __slots__ = ("value",)

    def set_state(self, state):
        unread = next((part for part in state if isinstance(part, Unread)), None)
        if unread is not None:
            self.value = unread
            return
        _, shape, dtype, is_fortran, data = state
        self.value = _array(data, dtype, shape, "F" if is_fortran else "C")


class Type:
    """A numpy.dtype that is being read: first its code, then its byte order."""

    __slots__ = ("dtype",)

    def __init__(self, code):
        if not self.is_numeric(code):
            raise UserError(
                f"refused, because it has an array of type {printable(reprlib.repr(code))}; only numbers are read"
            )
        self.dtype = np.dtype(code)

    @staticmethod
    def is_numeric(code):
        return isinstance(code, str) and _NUMERIC.fullmatch(code) is not None

    def set_state(self, state):
        self.dtype = self.dtype.newbyteorder(state[1])


def _array(data, dtype, shape, order):
    if isinstance(data, str):  # bytes of Python 2
        data = data.encode("latin1")
    if not isinstance(data, (bytes, bytearray)):
        raise UserError(f"refused, because it has an array made of {type(data).__name__}; only numbers are read")
    return np.frombuffer(data, dtype.dtype).reshape(shape, order=order)


class _Reconstruct(Function):
    __slots__ = ()

    def __call__(self, subtype, shape, code):
        return Array()


class _FromBuffer(Function):
    __slots__ = ()

    def __call__(self, data, dtype, shape, order):
        array = Array()
        array.value = _array(data, dtype, shape, order)
        return array


class _Scalar(Function):
    __slots__ = ()

    def __call__(self, dtype, data):
        return _array(data, dtype, (), "C")[()]


class _MakeType(Function):
    __slots__ = ()

    def __call__(self, code, align=False, copy=False):
        return Type(code)


class _Encode(Function):
    """How protocols before 3 store bytes."""

    __slots__ = ()

    def __call__(self, text, encoding="latin1"):
        return text.encode("latin1")


class _NoBytes(Function):
    """How protocols before 3 store empty bytes."""

    __slots__ = ()

    def __call__(self):
        return b""


class _ArrayType(Function):
    """The argument of `_reconstruct`, which ignores it."""

    __slots__ = ()


class _MakeDict(Function):
    """An OrderedDict becomes a dict: it may be given pairs, and has no attributes that could hide its methods."""

    __slots__ = ()

    def __call__(self, pairs=()):
        return {_key(key): value for key, value in (pairs.items() if isinstance(pairs, dict) else pairs)}


ALLOWED = {
    ("numpy", "ndarray"): _ArrayType(),
    ("numpy", "dtype"): _MakeType(),
    ("numpy.core.multiarray", "_reconstruct"): _Reconstruct(),
    ("numpy.core.multiarray", "scalar"): _Scalar(),
    ("numpy.core.numeric", "_frombuffer"): _FromBuffer(),
    ("_codecs", "encode"): _Encode(),
    ("__builtin__", "bytes"): _NoBytes(),
    ("collections", "OrderedDict"): _MakeDict(),
}


def _plain(content):
    """Turns the Arrays of a dict, and of the dicts in it, into arrays. Deeper ones, and those in lists, stay."""
    if not isinstance(content, dict):
        return _value(content)
    inner = {
        id(value): value for value in content.values() if isinstance(value, dict)
    }  # a dict that occurs twice is converted once
    inner = {key: {name: _value(value) for name, value in one.items()} for key, one in inner.items()}
    return {name: inner.get(id(value), _value(value)) for name, value in content.items()}


def _value(content):
    return content.value if isinstance(content, Array) else content
