"""The pickle inside a file of PyTorch: dicts whose tensors point into storages, which the file holds beside it.

A storage is a row of numbers of one type; a tensor is a view of it: offset, size and strides, all counted in elements.
Names of PyTorch stand for the harmless functions below. A name of Python's own library is refused, apart from a few
that checkpoints have for good reasons, because what a harmful pickle calls is found there. Any other name, such as the
class of a training log, stands for a `pickles.Unread`: its module is not imported, nothing is called, and its content
is dropped.
"""

import io
import math
import reprlib
import sys
from typing import NamedTuple

import numpy as np

from awsdet.runtime.errors import UserError
from awsdet.weights import pickles

CURE = "save plain tensors alone: torch.save(model.state_dict(), 'weights.pth')"
_BRAIN = "bfloat16"  # NumPy has no such type
_UNTYPED = "bytes"
_MOST_AXES = 32  # of NumPy's arrays
# Storage class -> type of its numbers. PyTorch's complex and quantised types are not read.
_STORAGES = {
    "DoubleStorage": "f8",
    "FloatStorage": "f4",
    "HalfStorage": "f2",
    "BFloat16Storage": _BRAIN,
    "LongStorage": "i8",
    "IntStorage": "i4",
    "ShortStorage": "i2",
    "CharStorage": "i1",
    "ByteStorage": "u1",
    "BoolStorage": "?",
}
_TYPES = {
    "float64": "f8",
    "float32": "f4",
    "float16": "f2",
    "bfloat16": _BRAIN,
    "int64": "i8",
    "int32": "i4",
    "int16": "i2",
    "int8": "i1",
    "uint64": "u8",
    "uint32": "u4",
    "uint16": "u2",
    "uint8": "u1",
    "bool": "?",
}
# Names of Python's library that may occur, as Unread. mmengine's logs name `getattr` for their own methods.
_HARMLESS = {
    "argparse": ("Namespace",),
    "collections": ("Counter", "defaultdict", "deque"),
    "copyreg": ("_reconstructor",),
    "datetime": ("date", "datetime", "time", "timedelta", "timezone"),
    "decimal": ("Decimal",),
    "functools": ("partial",),
    "pathlib": ("Path", "PosixPath", "PurePath", "PurePosixPath", "WindowsPath", "PureWindowsPath"),
    "types": ("SimpleNamespace",),
    "uuid": ("UUID",),
    "builtins": (
        *("bool", "bytearray", "bytes", "complex", "dict", "float", "frozenset", "getattr", "int", "list", "object"),
        *("range", "set", "slice", "str", "tuple"),
    ),
}
_OLD_NAMES = {"__builtin__": "builtins", "copy_reg": "copyreg"}  # of Python 2
_LIBRARY = frozenset(sys.stdlib_module_names) | set(_OLD_NAMES)


class Storage(NamedTuple):
    """A row of numbers in the file."""

    key: str
    type: str  # a value of _TYPES, or _UNTYPED
    count: int  # numbers
    part: tuple | None  # (first, count) of a part of it that is meant alone; None for the whole

    @property
    def bytes(self) -> int:
        return self.count * size_of(self.type)


class Tensor(NamedTuple):
    """A view of a storage. Its bounds have been checked."""

    storage: Storage
    type: str
    offset: int
    shape: tuple
    strides: tuple

    @property
    def bytes(self) -> int:
        """Bytes of the array that `array` returns."""
        return math.prod(self.shape) * (4 if self.type in ("f8", "f2", _BRAIN) else size_of(self.type))


class Reader(pickles.Reader):
    """Reads a pickle whose tensors become Tensors."""

    def __init__(self, file: io.BufferedIOBase):
        super().__init__(file)
        self.unread = {}  # names that stand for an Unread, in their order
        self.storages = {}  # key -> Storage

    def names(self):
        return _ALLOWED

    def unknown(self, module, name):
        module = _OLD_NAMES.get(module, module)
        full = pickles.printable(f"{module}.{name}")
        if module.partition(".")[0] in _LIBRARY and name not in _HARMLESS.get(module, ()):
            raise UserError(f"refused, because it names {full}, which no weights need; if the file is yours, {CURE}")
        self.unread[full] = True
        return pickles.Unread(full)

    def persistent_load(self, pid):
        """The storage that a pickle points to: ("storage", type, key, device, count[, part])."""
        kind, *facts = pid if isinstance(pid, tuple) else (None,)
        if kind in ("module", b"module") and facts:  # class, file and source text of a model that was stored whole
            return facts[0]
        if kind not in ("storage", b"storage") or len(facts) not in (4, 5):
            raise UserError(f"refused, because it refers to {pickles.printable(reprlib.repr(pid))} outside the file")
        type_, key, _, count, part = (*facts, None)[:5]
        if isinstance(type_, pickles.Unread):
            return type_
        if not isinstance(type_, _StorageType):
            raise TypeError("a storage of no type")
        part = None if part is None else _counts(part[1:])
        storage = Storage(key_of(key), type_.type, *_counts([count]), part)
        known = self.storages.setdefault(storage.key, storage)
        if known[:3] != storage[:3]:
            raise UserError(f"refused, because it describes its storage {pickles.printable(storage.key)} in two ways")
        return storage


def key_of(key) -> str:
    """The key of a storage as text. Raises TypeError for anything but text and numbers."""
    if not isinstance(key, (str, int)):
        raise TypeError(f"a storage whose key is of type {type(key).__name__}")
    return str(key)


def array(tensor: Tensor, data: bytes, order: str) -> np.ndarray:
    """The numbers of a tensor: float32 for every type of floats, otherwise as stored.

    `data`: the bytes of its storage. `order`: "<" or ">", of the bytes of each number.
    """
    kind = np.dtype("u2" if tensor.type == _BRAIN else "u1" if tensor.type == "?" else tensor.type).newbyteorder(order)
    if tensor.storage.part is not None:
        first, count = (number * size_of(tensor.storage.type) for number in tensor.storage.part)
        data = data[first : first + count]
    strides = [stride * kind.itemsize for stride in tensor.strides]
    if tensor.bytes:  # NumPy checks the bounds once more
        view = np.ndarray(tensor.shape, kind, data, tensor.offset * kind.itemsize, strides)
    else:
        view = np.zeros(tensor.shape, kind)
    if tensor.type == _BRAIN:  # the upper half of a float32
        wide = np.array(view, np.uint32, order="C")
        wide <<= np.uint32(16)  # in place: an array without axes stays an array
        return wide.view(np.float32)
    if tensor.type == "?":
        return np.asarray(view, bool, order="C")
    with np.errstate(over="ignore"):
        return np.asarray(view, np.float32 if kind.kind == "f" else kind.newbyteorder("="), order="C")


def size_of(kind: str) -> int:
    """Bytes of one number of a type."""
    return {_BRAIN: 2, _UNTYPED: 1}.get(kind) or np.dtype(kind).itemsize


def _counts(numbers):
    numbers = tuple(numbers)
    if not all(type(number) is int and number >= 0 for number in numbers):
        raise UserError(f"refused, because a size, stride or offset is {pickles.printable(reprlib.repr(numbers))}")
    return numbers


def _tensor(storage, kind, offset, shape, strides):
    """A Tensor, after a check that its storage holds it."""
    if not isinstance(storage, Storage):
        raise TypeError("a tensor without storage")
    (offset,), shape, strides = _counts([offset]), _counts(shape), _counts(strides)
    if len(shape) != len(strides) or len(shape) > _MOST_AXES:
        raise UserError(f"refused, because a tensor has {len(shape)} axes and {len(strides)} strides")
    first, count = storage.part or (0, storage.count)
    end = offset + sum((size - 1) * stride for size, stride in zip(shape, strides)) + 1 if math.prod(shape) else 0
    if first + count > storage.count or end * size_of(kind) > count * size_of(storage.type):
        text = pickles.printable(str(shape))
        raise UserError(f"refused, because a tensor of shape {text} reaches beyond its storage of {count} numbers")
    return Tensor(storage, kind, offset, shape, strides)


class _StorageType(pickles.Function):
    """A class of storages; it is only named, never called."""

    __slots__ = ("type",)

    def __init__(self, kind):
        self.type = kind


class _NumberType(pickles.Function):
    """A torch.dtype; it is only named, never called."""

    __slots__ = ("type",)

    def __init__(self, kind):
        self.type = kind


class _Class(pickles.Function):
    """torch.Tensor or Parameter, as an argument of `_rebuild_from_type_v2`."""

    __slots__ = ()


class _Rebuild(pickles.Function):
    """torch._utils._rebuild_tensor and _rebuild_tensor_v2. Whether gradients are wanted, and hooks, do not matter."""

    __slots__ = ()

    def __call__(self, storage, offset, shape, strides, requires_grad=False, hooks=None, metadata=None):
        _refuse_metadata(metadata)
        if isinstance(storage, Storage) and storage.type == _UNTYPED:
            raise TypeError("a tensor without a type")
        return _tensor(storage, storage.type, offset, shape, strides)


class _RebuildTyped(pickles.Function):
    """torch._utils._rebuild_tensor_v3, for types that have no class of storages."""

    __slots__ = ()

    def __call__(self, storage, offset, shape, strides, requires_grad, hooks, kind, metadata=None):
        _refuse_metadata(metadata)
        if not isinstance(kind, _NumberType):
            raise TypeError("a tensor without a type")
        return _tensor(storage, kind.type, offset, shape, strides)


class _RebuildParameter(pickles.Function):
    __slots__ = ()

    def __call__(self, tensor, requires_grad=True, hooks=None, state=None):
        return tensor


class _RebuildFrom(pickles.Function):
    """torch._tensor._rebuild_from_type_v2: a tensor that has attributes."""

    __slots__ = ()

    def __call__(self, function, class_, arguments, state):
        unread = next((part for part in arguments if isinstance(part, pickles.Unread)), None)
        if not isinstance(function, (_Rebuild, _RebuildTyped, _RebuildParameter)) or not isinstance(class_, _Class):
            raise TypeError("a tensor of another class")
        return unread or function(*arguments)


class _Size(pickles.Function):
    __slots__ = ()

    def __call__(self, sizes=()):
        return tuple(sizes)


class _MakeType(pickles.Function):
    """numpy.dtype. Arrays of text and objects occur outside of weights, so they are Unread."""

    __slots__ = ()

    def __call__(self, code, align=False, copy=False):
        return pickles.Type(code) if pickles.Type.is_numeric(code) else pickles.Unread("numpy array without numbers")


def _refuse_metadata(metadata):
    if metadata and any(metadata.values()):
        names = pickles.printable(", ".join(map(str, metadata)))
        raise UserError(f"refused, because a tensor has the metadata {names}; only plain tensors are read")


_ALLOWED = {
    **pickles.ALLOWED,
    ("numpy", "dtype"): _MakeType(),
    **{("torch", name): _StorageType(kind) for name, kind in _STORAGES.items()},
    ("torch", "UntypedStorage"): _StorageType(_UNTYPED),
    ("torch.storage", "UntypedStorage"): _StorageType(_UNTYPED),
    **{("torch", name): _NumberType(kind) for name, kind in _TYPES.items()},
    ("torch", "Size"): _Size(),
    ("torch", "Tensor"): _Class(),
    ("torch.nn.parameter", "Parameter"): _Class(),
    ("torch._utils", "_rebuild_tensor"): _Rebuild(),
    ("torch._utils", "_rebuild_tensor_v2"): _Rebuild(),
    ("torch._utils", "_rebuild_tensor_v3"): _RebuildTyped(),
    ("torch._utils", "_rebuild_parameter"): _RebuildParameter(),
    ("torch._utils", "_rebuild_parameter_with_state"): _RebuildParameter(),
    ("torch._tensor", "_rebuild_from_type_v2"): _RebuildFrom(),
}
