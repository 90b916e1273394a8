"""Reads files of weights of any known format as a table of name -> NumPy array, and writes our own.

No code in a file is ever run. Archives are read without pickle, pickles by `pickles`, PyTorch's files by `pth`, and
links in HDF5 files are not followed to other files.
"""

import glob
import json
import os
import pathlib
import zipfile
from typing import NamedTuple

import numpy as np
import safetensors.numpy
from absl import logging

from awsdet.runtime.errors import UserError
from awsdet.runtime.files import check_writable, remove_leftovers, written_aside
from awsdet.runtime.room import check_room
from awsdet.weights import pickles, pth

LARGEST = 8 * 2**30  # bytes of a file, and of what it unpacks to; a detector has much less than one GiB
METADATA = "__metadata__"  # entry of an npz that holds the metadata; safetensors has one of the same name


class Table(NamedTuple):
    """What a file holds."""

    arrays: dict  # name -> array of numbers
    metadata: dict  # what the file says about itself: a dict, may be nested
    kind: str  # npz, safetensors, h5, pkl or pth


def read(path: str | os.PathLike) -> Table:
    """Reads a file of weights. The format is recognised by the content, not by the name.

    Raises UserError if the file is missing, broken, too large, or would run code.
    """
    path = pathlib.Path(path)
    if not path.is_file():
        raise UserError(f"weights {path} do not exist; give a run folder, a checkpoint or a file of weights")
    if path.stat().st_size > LARGEST:
        raise UserError(f"weights {path} have {path.stat().st_size} bytes; more than {LARGEST} are not read")
    table = _READERS[_kind(path)](path)
    if not table.arrays:
        raise UserError(f"{path} holds no arrays")
    if sum(array.nbytes for array in table.arrays.values()) > LARGEST:  # a pickle may name the same bytes many times
        raise UserError(f"weights {path} would have more than {LARGEST} bytes")
    return table


def _kind(path):
    with path.open("rb") as file:
        begin = file.read(32)
    if begin.startswith(b"PK"):
        with _zip(path) as archive:
            names = archive.namelist()
        if "model.weights.h5" in names:
            raise UserError(f"{path} is a whole Keras model; give its weights alone: model.save_weights('weights.h5')")
        return "pth" if any(name.endswith("data.pkl") for name in names) else "npz"
    if begin.startswith(b"\x89HDF\r\n\x1a\n"):
        return "h5"
    if pth.is_old(begin):
        return "pth"
    if begin[8:9] == b"{":
        return "safetensors"
    if path.suffix in (".pkl", ".pickle"):
        return "pkl"
    raise UserError(f"{path} is no npz, safetensors, h5 (Keras), pth (PyTorch) or pkl (Detectron), the known formats")


def _zip(path):
    try:
        return zipfile.ZipFile(path)
    except Exception as error:  # a broken archive can cause any error, such as that of a name that is no UTF-8
        raise UserError(f"{path} is a broken archive ({pickles.brief(error)})") from error


def _read_npz(path):
    arrays = {}
    with _zip(path) as archive:
        if sum(entry.file_size for entry in archive.infolist()) > LARGEST:
            raise UserError(f"weights {path} would unpack to more than {LARGEST} bytes")
        for name in archive.namelist():
            try:
                with archive.open(name) as file:
                    arrays[name.removesuffix(".npy")] = np.lib.format.read_array(file, allow_pickle=False)
            except Exception as error:  # a broken array can cause any error in the readers
                raise UserError(
                    f"{path}: cannot read the array {pickles.printable(name)} ({pickles.brief(error)})"
                ) from error
    metadata = arrays.pop(METADATA, None)
    try:
        metadata = {} if metadata is None else dict(json.loads(str(metadata)))
    except (ValueError, TypeError) as error:
        raise UserError(f"{path}: its {METADATA} is not the JSON of a dict ({error})") from error
    return Table(_numbers(arrays), metadata, "npz")


def _read_safetensors(path):
    import ml_dtypes  # adds bfloat16 to NumPy; comes with TensorFlow

    arrays = {}
    try:
        with safetensors.safe_open(path, "np") as file:
            metadata = file.metadata() or {}
            for name in file.keys():
                try:
                    arrays[name] = file.get_tensor(name)
                except (AttributeError, TypeError) as error:  # NumPy lacks the type
                    kind = file.get_slice(name).get_dtype()
                    raise UserError(f"{path}: {name} is of type {kind}, which is not read") from error
    except (safetensors.SafetensorError, OSError) as error:
        raise UserError(f"{path} is no readable safetensors file ({error})") from error
    brief = [name for name, array in arrays.items() if array.dtype == ml_dtypes.bfloat16]
    arrays.update((name, arrays[name].astype(np.float32)) for name in brief)
    return Table(_numbers(arrays), metadata, "safetensors")


def _read_h5(path):
    import h5py

    arrays = {}

    def collect(name, item):
        if not isinstance(item, h5py.Dataset):
            return
        if item.external or item.is_virtual:
            raise UserError(f"{path}: refused, because the numbers of {name} are in another file")
        if item.dtype.kind not in "fiub":
            return
        if item.nbytes + sum(array.nbytes for array in arrays.values()) > LARGEST:
            raise UserError(f"{path}: with {name} it would have more than {LARGEST} bytes")
        arrays[name] = item[()]

    try:
        with h5py.File(path, "r") as file:
            file.visititems(collect)  # does not follow links to other files
    except (OSError, RuntimeError, ValueError, MemoryError) as error:
        raise UserError(f"{path} is no readable HDF5 file ({error})") from error
    return Table(arrays, {}, "h5")


def _read_pkl(path):
    content = pickles.read(path)
    if not isinstance(content, dict):
        raise UserError(f"{path} holds a {type(content).__name__}, not a dict of arrays")
    inner = next((content[key] for key in ("model", "blobs") if isinstance(content.get(key), dict)), content)
    arrays = {key: value for key, value in inner.items() if isinstance(key, str) and isinstance(value, np.ndarray)}
    return Table(arrays, {key: content[key] for key in ("__author__",) if key in content}, "pkl")


def _read_pth(path):
    found = pth.read(path, LARGEST)
    if found.unread:
        logging.warning("%s: objects of %s are left out; nothing of them was run", path, ", ".join(found.unread))
    return Table(found.arrays, found.meta, "pth")


def _numbers(arrays):
    return {name: array for name, array in arrays.items() if array.dtype.kind in "fiub"}


_READERS = {
    "npz": _read_npz,
    "safetensors": _read_safetensors,
    "h5": _read_h5,
    "pkl": _read_pkl,
    "pth": _read_pth,
}
SUFFIXES_WRITTEN = (".npz", ".safetensors")


def check_output(path: str | os.PathLike) -> None:
    """Raises UserError if `write` could not write to `path`."""
    path = pathlib.Path(path)
    if path.suffix not in SUFFIXES_WRITTEN:
        raise UserError(f"cannot write {path}: give a name that ends in {' or '.join(SUFFIXES_WRITTEN)}")
    check_writable(path, "output")


def write(path: str | os.PathLike, arrays: dict[str, np.ndarray], metadata: dict[str, str]) -> None:
    """Writes arrays, as float32, and metadata to a file that appears in one piece.

    The suffix of `path` decides the format: .npz or .safetensors. Raises UserError for any other suffix.
    """
    path = pathlib.Path(path)
    check_output(path)
    arrays = {name: np.asarray(array, np.float32, order="C") for name, array in arrays.items()}
    check_room(path, sum(array.nbytes for array in arrays.values()), f"the weights {path.name}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        remove_leftovers(path.parent, glob.escape(path.name))
        with written_aside(path) as aside, aside.open("wb") as file:
            if path.suffix == ".npz":
                np.savez(file, **arrays, **{METADATA: np.array(json.dumps(metadata))})
            else:
                file.write(safetensors.numpy.save(arrays, metadata))
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror}") from error
