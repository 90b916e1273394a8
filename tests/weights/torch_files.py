"""Writes files of PyTorch without PyTorch: the same operations, in both formats, and what a test wants wrong."""

import io
import pickle
import struct
import warnings
import zipfile
from typing import Any, NamedTuple

import numpy as np

MAGIC = 0x1950A86A20F9469CFC6C
CLASSES = {
    "f8": "DoubleStorage",
    "f4": "FloatStorage",
    "f2": "HalfStorage",
    "i8": "LongStorage",
    "i4": "IntStorage",
    "i2": "ShortStorage",
    "i1": "CharStorage",
    "u1": "ByteStorage",
    "b1": "BoolStorage",
}


class Named(NamedTuple):
    """A global of the pickle: module and name."""

    module: str
    name: str


class Call(NamedTuple):
    """An object made by a call, whose state, if any, is set after it."""

    function: Any
    arguments: tuple
    state: Any = None


class Storage:
    """A row of numbers. `count` and `class_` may lie. `part`: (key, first, count) of a view, in the old format."""

    def __init__(self, numbers, key="0", count=None, class_=None, part=None):
        self.part = part
        self.numbers, self.key = np.asarray(numbers), key
        self.count = self.numbers.size if count is None else count
        self.class_ = class_ or CLASSES[self.numbers.dtype.str[1:]]


def tensor(storage, offset=0, shape=None, strides=None, metadata=()):
    """What torch.save writes for a view of a storage; all of it if no shape is given."""
    shape = (storage.count,) if shape is None else shape
    strides = (1,) * len(shape) if strides is None else strides
    arguments = (storage, offset, shape, strides, False, Call(Named("collections", "OrderedDict"), ()), *metadata)
    return Call(Named("torch._utils", "_rebuild_tensor_v2"), arguments)


def tensors(arrays):
    """A tensor with a storage of its own for each array."""
    found = {}
    for index, (key, value) in enumerate(arrays.items()):
        value = np.ascontiguousarray(value).reshape(np.shape(value))
        strides = tuple(step // value.itemsize for step in value.strides)
        found[key] = tensor(Storage(value.ravel(), str(index)), 0, value.shape, strides)
    return found


class _Pickler(pickle._Pickler):
    def __init__(self, file, is_old):
        super().__init__(file, protocol=2)
        self.storages, self.is_old = {}, is_old

    def persistent_id(self, obj):
        if not isinstance(obj, Storage):
            return None
        self.storages[obj.key] = obj
        facts = "storage", Named("torch", obj.class_), obj.key, "cpu", obj.count
        return (*facts, obj.part) if self.is_old else facts

    def save(self, obj, save_persistent_id=True):
        if isinstance(obj, Named):
            self.write(pickle.GLOBAL + f"{obj.module}\n{obj.name}\n".encode())
        elif isinstance(obj, Call):
            self.save(obj.function)
            self.save(tuple(obj.arguments))
            self.write(pickle.REDUCE)
            if obj.state is not None:
                self.save(obj.state)
                self.write(pickle.BUILD)
        else:
            super().save(obj, save_persistent_id)


def pickled(content, is_old=False):
    """(bytes of the pickle, key -> Storage)"""
    buffer = io.BytesIO()
    pickler = _Pickler(buffer, is_old)
    pickler.dump(content)
    return buffer.getvalue(), pickler.storages


def members(content, order="<"):
    """Members of the archive: name -> bytes."""
    text, storages = pickled(content)
    found = {"archive/data.pkl": text, "archive/byteorder": b"little" if order == "<" else b"big"}
    for key, storage in storages.items():
        found[f"archive/data/{key}"] = storage.numbers.astype(storage.numbers.dtype.newbyteorder(order)).tobytes()
    return {**found, "archive/version": b"3\n"}


def zipped(members, compression=zipfile.ZIP_STORED):
    """An archive of (name, bytes) or (ZipInfo, bytes)."""
    buffer = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(buffer, "w", compression) as archive:
        warnings.simplefilter("ignore")  # about names that are there already
        for name, content in members.items() if isinstance(members, dict) else members:
            archive.writestr(name, content)
    return buffer.getvalue()


def old(content, protocol=1001, little_endian=True, keys=None):
    """The format before PyTorch 1.6."""
    text, storages = pickled(content, is_old=True)
    facts = {"protocol_version": protocol, "little_endian": little_endian, "type_sizes": {"int": 4}}
    keys = list(storages) if keys is None else keys
    parts = [pickle.dumps(part, protocol=2) for part in (MAGIC, protocol, facts)]
    parts += [text, pickle.dumps(keys, protocol=2)]
    for key in keys:
        numbers = storages[key].numbers if key in storages else np.zeros(1, np.float32)
        parts += [struct.pack("<q", numbers.size), numbers.tobytes()]
    return b"".join(parts)


def save(path, content, is_zip=True):
    path.write_bytes(zipped(members(content)) if is_zip else old(content))
