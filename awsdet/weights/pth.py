"""Files of PyTorch, read without PyTorch: both formats, checked before anything is believed.

    zip, since PyTorch 1.6    NAME/data.pkl (the pickle, see `tensors`), NAME/data/KEY (one per storage),
                              NAME/byteorder (little or big; absent in old files: little)
    before 1.6                four pickles: a magic number, the protocol 1001, facts about the machine, the content;
                              then a pickle of the storages' keys, and per storage its count (int64) and its numbers

Only storages that weights point to are read, so not those of an optimizer. Nothing is unpacked to the disk.
"""

import contextlib
import io
import os
import pathlib
import re
import stat
import zipfile
from typing import Any, NamedTuple

import numpy as np

from awsdet.runtime.errors import UserError
from awsdet.weights import pickles, tensors

_OLD_MAGIC = re.compile(rb"\x80[\x02-\x05](\x95.{8})?\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19\.", re.DOTALL)
_PROTOCOL = 1001
_LARGEST_PICKLE = 2**28  # bytes, without the storages. Objects take much more memory than their pickle.
_DEEPEST = 20  # nested containers of metadata that are kept
_MOST_PARTS = 1_000_000  # of metadata; a list that contains another one twice, and so on, has 2 ** depth
_STATES = ("state_dict", "model")  # where checkpoints keep the weights


class Checkpoint(NamedTuple):
    """What is read of a file."""

    arrays: dict  # name -> array of numbers; floats of any size are float32
    meta: dict  # the checkpoint's "meta": plain containers, text and numbers
    unread: list  # names of classes whose objects were left out, outside of the weights


def read(path: pathlib.Path, largest: int) -> Checkpoint:
    """Reads the weights of a checkpoint: its "state_dict", its "model", or all of it.

    Objects of unknown classes are left out if they are outside of the weights, and refused by name if not.

    Raises UserError if the file is broken, names what weights never need, or has weights of more than `largest` bytes.
    """
    try:
        with path.open("rb") as file, contextlib.closing(_open(file, largest)) as stored:
            return _checkpoint(stored, largest)
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
    except Exception as error:  # a broken file can cause any error in the readers
        raise UserError(f"{path} is no readable file of PyTorch ({pickles.brief(error)})") from error


def is_old(begin: bytes) -> bool:
    """Whether the first 32 bytes of a file are those of the format before 1.6: the pickle of PyTorch's magic number."""
    return _OLD_MAGIC.match(begin) is not None


def _open(file, largest):
    begin = file.read(32)
    file.seek(0)
    return _Old(file) if is_old(begin) else _Zip(file, largest)


class _Zip:
    """The format since PyTorch 1.6."""

    def __init__(self, file, largest):
        self._archive = zipfile.ZipFile(file)
        self._entries = {entry.filename: entry for entry in _checked(self._archive.infolist(), largest)}
        roots = [name.removesuffix("data.pkl") for name in self._entries if name.endswith("/data.pkl")]
        if len(roots) != 1:
            raise UserError(f"refused, because its archive has {len(roots)} folders with a data.pkl, not one")
        self._root = roots[0]
        if f"{self._root}constants.pkl" in self._entries:
            raise UserError(f"it is a program of TorchScript; {tensors.CURE}")
        order = self._read("byteorder") if f"{self._root}byteorder" in self._entries else b"little"
        if order not in (b"little", b"big"):
            raise UserError(f"its byteorder is {pickles.printable(repr(order[:20]))}; known are little and big")
        self.order = "<" if order == b"little" else ">"
        if self._entries[f"{self._root}data.pkl"].file_size > _LARGEST_PICKLE:
            raise UserError(f"refused, because its data.pkl has more than {_LARGEST_PICKLE} bytes")
        self.reader = tensors.Reader(io.BytesIO(self._read("data.pkl")))
        self.content = self.reader.load()

    def storage(self, storage: tensors.Storage) -> bytes:
        entry = self._entries.get(f"{self._root}data/{storage.key}")
        if entry is None:
            raise UserError(f"the storage {pickles.printable(storage.key)} is missing")
        _check_size(storage, entry.file_size)
        return self._read(f"data/{storage.key}")

    def _read(self, name):
        entry = self._entries[f"{self._root}{name}"]
        data = self._archive.read(entry)  # also checks the checksum
        if len(data) != entry.file_size:
            raise UserError(f"its archive is cut off in {pickles.printable(entry.filename)}")
        return data

    def close(self):
        self._archive.close()


def _checked(entries, largest):
    """The entries of an archive, if it is one that PyTorch could have written."""
    if sum(entry.file_size for entry in entries) > largest:
        raise UserError(f"refused, because it would unpack to more than {largest} bytes")
    seen = set()
    for entry in entries:
        name = pickles.printable(entry.filename)
        if entry.filename in seen:
            raise UserError(f"refused, because its archive has two members {name}")
        if stat.S_ISLNK(entry.external_attr >> 16):
            raise UserError(f"refused, because {name} in its archive is a link")
        seen.add(entry.filename)
    return entries


class _Old:
    """The format before PyTorch 1.6. Its numbers are little-endian on every machine."""

    order = "<"

    def __init__(self, file):
        self._file = file
        self._size = os.fstat(file.fileno()).st_size
        stream = _Stream(file, min(self._size, _LARGEST_PICKLE))
        _, protocol, machine = (pickles.Reader(stream).load() for _ in range(3))
        if protocol != _PROTOCOL:
            raise UserError(f"its protocol is {pickles.printable(str(protocol)[:20])}; known is {_PROTOCOL}")
        if not isinstance(machine, dict) or machine.get("little_endian") is not True:
            raise UserError("refused, because a big-endian machine wrote it; save it again with PyTorch 1.6 or later")
        self.reader = tensors.Reader(stream)
        self.content = self.reader.load()
        self._keys = [tensors.key_of(key) for key in pickles.Reader(stream).load()]
        self._begin = file.tell()
        self._places = None

    def storage(self, storage: tensors.Storage) -> bytes:
        if self._places is None:
            self._places = self._found()
        if storage.key not in self._places:
            raise UserError(f"the storage {pickles.printable(storage.key)} is missing")
        begin, size = self._places[storage.key]
        _check_size(storage, size)
        self._file.seek(begin)
        return self._file.read(size)

    def _found(self):
        """Storage key -> (position, bytes). The file has only counts of numbers; the pickle gave their types."""
        places, position = {}, self._begin
        for key in self._keys:
            if key in places or key not in self.reader.storages:
                raise UserError(f"refused, because its storage {pickles.printable(key)} is listed twice or never used")
            self._file.seek(position)
            size = int.from_bytes(self._file.read(8), "little") * tensors.size_of(self.reader.storages[key].type)
            places[key] = position + 8, size
            position += 8 + size
            if position > self._size:
                raise UserError(f"its storage {pickles.printable(key)} reaches beyond the end of the file")
        if position < self._size:
            raise UserError(f"refused, because it has {self._size - position} bytes after its last storage")
        return places

    def close(self):
        """The caller closes the file."""


class _Stream:
    """A file whose reads are bounded: a pickle may ask for any number of bytes, and Python would reserve them first."""

    def __init__(self, file, end):
        self._file, self._end = file, end

    def read(self, count):
        return self._file.read(max(0, min(count, self._end - self._file.tell())))

    def readline(self):
        return self._file.readline(max(0, self._end - self._file.tell()))


def _check_size(storage, size):
    """The bytes that are there may exceed those of whole numbers by part of one."""
    if not 0 <= size - storage.bytes < tensors.size_of(storage.type):
        raise UserError(f"its storage {pickles.printable(storage.key)} has {size} bytes, not {storage.bytes}")


def _checkpoint(stored, largest):
    content = stored.content
    if isinstance(content, pickles.Unread):
        raise UserError(f"it holds an object of {content.name}, not a dict of weights; {tensors.CURE}")
    if not isinstance(content, dict):
        raise UserError(f"it holds a {type(content).__name__}, not a dict of weights; {tensors.CURE}")
    place = next((place for place in _STATES if isinstance(content.get(place), (dict, pickles.Unread))), None)
    state = content if place is None else content[place]
    if isinstance(state, pickles.Unread):
        raise UserError(f"its {place} is an object of {state.name}, which is not read; {tensors.CURE}")
    arrays = _arrays(stored, state, largest)
    meta = _plain(content.get("meta"), _Budget()) if "meta" in content else None
    return Checkpoint(arrays, meta if isinstance(meta, dict) else {}, list(stored.reader.unread))


def _arrays(stored, state, largest):
    """The arrays of a state_dict. Other plain values in it, such as a number of epochs, are left out."""
    arrays, data, total = {}, {}, 0
    for key, value in state.items():
        unread = next((part for part in (key, value) if isinstance(part, pickles.Unread)), None)
        value = value.value if isinstance(value, pickles.Array) else value
        unread = value if isinstance(value, pickles.Unread) else unread
        if unread is not None:
            raise UserError(f"{pickles.printable(str(key))} is a {unread.name}, which is not read; {tensors.CURE}")
        if isinstance(value, tensors.Tensor):
            total += value.bytes
            if total > largest:
                raise UserError(f"refused, because its weights have more than {largest} bytes")
            if value.storage.key not in data:
                data[value.storage.key] = stored.storage(value.storage)
            arrays[str(key)] = tensors.array(value, data[value.storage.key], stored.order)
        elif isinstance(value, np.ndarray):
            arrays[str(key)] = value
    return arrays


class _Budget:
    """How many parts of metadata may still be taken."""

    def __init__(self):
        self.left = _MOST_PARTS


def _plain(value: Any, budget: _Budget, depth: int = 0) -> Any:
    """Text, numbers and containers of them. An entry of a dict that is anything else is left out, a list as a whole."""
    budget.left -= 1
    if budget.left < 0:
        raise UserError("refused, because its metadata has too many parts")
    if value is None or isinstance(value, (str, int, float)):
        return value
    if depth < _DEEPEST and isinstance(value, dict):
        taken = {key: _plain(part, budget, depth + 1) for key, part in value.items() if isinstance(key, (str, int))}
        return {key: part for key, part in taken.items() if not isinstance(part, pickles.Unread)}
    if depth < _DEEPEST and type(value) in (list, tuple):
        taken = [_plain(part, budget, depth + 1) for part in value]
        strange = next((part for part in taken if isinstance(part, pickles.Unread)), None)
        return strange or type(value)(taken)
    return pickles.Unread(type(value).__name__)
