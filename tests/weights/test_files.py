"""Files of weights: each format is known by its content; broken, large and untrusted files end in a one-line error."""

import io
import json
import os
import pickle
import struct
import types
import zipfile

import h5py
import numpy as np
import pytest
import tensorflow as tf

from awsdet.runtime.errors import UserError
from awsdet.weights import files, load

ARRAYS = {"backbone.conv1.weight": np.arange(8, dtype=np.float32).reshape(2, 2, 2, 1), "backbone.bn1.bias": np.ones(2)}


@pytest.fixture
def write_arrays(tmp_path):
    """Writes ARRAYS in a format, if possible under a name that does not tell it. Returns the path."""

    def write_as(kind):
        path = tmp_path / "weights"
        if kind == "npz":
            with path.open("wb") as file:
                np.savez_compressed(file, **ARRAYS)
        elif kind == "h5":
            with h5py.File(path, "w") as file:
                for key, value in ARRAYS.items():
                    file[f"group/{key}"] = value
        elif kind == "pkl":
            path = tmp_path / "weights.pkl"
            path.write_bytes(pickle.dumps({"model": ARRAYS, "__author__": "me"}))
        elif kind == "safetensors":
            path = tmp_path / "weights.safetensors"
            files.write(path, ARRAYS, {"by": "us"})
        return path

    return write_as


@pytest.mark.parametrize("kind", ["npz", "h5", "pkl", "safetensors"])
def test_formats_are_known_by_their_content(kind, write_arrays):
    table = files.read(write_arrays(kind))
    assert table.kind == kind and len(table.arrays) == 2
    for key, value in ARRAYS.items():
        np.testing.assert_array_equal(table.arrays[f"group/{key}" if kind == "h5" else key], value)
    assert table.metadata == {"pkl": {"__author__": "me"}, "safetensors": {"by": "us"}}.get(kind, {})


@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
def test_what_is_written_is_read_and_appears_whole(suffix, tmp_path):
    path = tmp_path / f"weights{suffix}"
    special = {"a.weight": np.float32([np.pi, -0.0, 1e-45, np.finfo(np.float32).max]), "scalar": np.float32(2)}
    for _ in range(2):  # over another one
        files.write(path, special, {"name": "ü"})
    table = files.read(path)
    assert table.metadata == {"name": "ü"} and [f.name for f in tmp_path.iterdir()] == [path.name]
    for key, value in special.items():
        assert table.arrays[key].tobytes() == value.tobytes() and table.arrays[key].shape == value.shape


def test_safetensors_of_others(tmp_path):
    """The other types, bfloat16 among them, and numbers that are not in the order of the header."""
    numbers = struct.pack("<2e", 1.5, -2) + struct.pack("<2H", 0x3FC0, 0xC000) + struct.pack("<q", 7)
    header = {
        "late": {"dtype": "I64", "shape": [], "data_offsets": [8, 16]},
        "half": {"dtype": "F16", "shape": [2, 1], "data_offsets": [0, 4]},
        "brain": {"dtype": "BF16", "shape": [2], "data_offsets": [4, 8]},
    }
    text = json.dumps(header).encode()
    (tmp_path / "x.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + numbers)
    arrays = files.read(tmp_path / "x.safetensors").arrays
    np.testing.assert_array_equal(arrays["half"], [[1.5], [-2]])
    np.testing.assert_array_equal(arrays["brain"], np.float32([1.5, -2]))
    assert arrays["late"] == 7


def safetensors(header, numbers=b"\0" * 8, length=None):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + numbers


def entry(dtype="F32", shape=(2,), offsets=(0, 8)):
    return {"w": {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets)}}


@pytest.mark.parametrize(
    "content, reason",
    [
        (safetensors(entry(shape=(4,), offsets=(0, 16))), "no readable safetensors file"),  # beyond its end
        (safetensors(entry(), b"\0" * 4), "no readable safetensors file"),  # cut short
        (safetensors(entry(), b"\0" * 12), "no readable safetensors file"),  # more than its header announces
        (safetensors(entry(offsets=(0, 16))), "invalid shape, data type, or offset"),
        (safetensors(entry(offsets=(-8, 0))), "integer `-8`"),
        (safetensors(entry(shape=(3,))), "invalid shape, data type, or offset"),
        (safetensors(entry(shape=(-1, -2))), "integer `-1`"),
        (safetensors(entry(dtype="F8_E4M3", shape=(8,))), "w is of type F8_E4M3, which is not read"),
        (safetensors(entry(dtype="C64", shape=(1,))), "holds no arrays"),
        (safetensors(entry(dtype="X7")), "unknown variant `X7`"),
        (safetensors(entry(), length=1 << 60), "header too large"),
        (safetensors(b"{broken"), "invalid JSON in header"),
        (safetensors({"w": 3}), "invalid type: integer `3`"),
        (safetensors({str(i): entry("U8", (8,))["w"] for i in range(3)}), "invalid offset for tensor"),  # they overlap
        (safetensors({**entry(), "v": entry(shape=(1,), offsets=(4, 8))["w"]}), "invalid offset for tensor"),
        (safetensors({"__metadata__": {"a": 1}, **entry()}), "integer `1`, expected a string"),
        (safetensors(b'{"a":' + b"[" * 100_000), "recursion limit"),
    ],
)
def test_broken_safetensors(content, reason, tmp_path):
    (tmp_path / "x.safetensors").write_bytes(content)
    with pytest.raises(UserError, match=reason) as error:
        files.read(tmp_path / "x.safetensors")
    assert "\n" not in str(error.value)


def archive(**members):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in members.items():
            file.writestr(f"{name}.npy", content)
    return buffer.getvalue()


def npy(array, shape=None):
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, array)
    content = buffer.getvalue()
    return content if shape is None else content.replace(str(array.shape).encode(), shape)


@pytest.mark.parametrize(
    "content, reason",
    [
        (archive(w=npy(np.array([print], dtype=object))), "allow_pickle"),
        (archive(w=npy(np.zeros(100), b"(1000000000000000,)")), "cannot read the array w"),
        (archive(w=b"text"), "cannot read the array w"),
        (archive(w=npy(np.zeros(4)))[:-60], "broken archive"),
        (archive(), "holds no arrays"),
        (archive(__metadata__=npy(np.array("no JSON")), w=npy(np.zeros(1))), "__metadata__"),
        (b"text of some kind", "no npz, safetensors, h5"),
        (b"", "no npz, safetensors, h5"),
        (b"\x89HDF\r\n\x1a\n broken", "no readable HDF5"),
    ],
)
def test_broken_files(content, reason, tmp_path):
    (tmp_path / "weights").write_bytes(content)
    with pytest.raises(UserError, match=reason) as error:
        files.read(tmp_path / "weights")
    assert "\n" not in str(error.value)


def test_a_whole_keras_model_is_named_as_such(tmp_path):
    """Its archive is a zip as an npz is, but holds no arrays of NumPy."""
    model = tf.keras.Sequential([tf.keras.layers.Dense(2, input_shape=(3,))])
    model.save(tmp_path / "model.keras")
    with pytest.raises(UserError, match=r"model\.keras is a whole Keras model; give its weights alone: model\.save_w"):
        files.read(tmp_path / "model.keras")


def test_archives_that_would_unpack_to_too_much(tmp_path, monkeypatch):
    (tmp_path / "weights.npz").write_bytes(archive(w=npy(np.zeros(100_000))))
    monkeypatch.setattr(files, "LARGEST", 500_000)
    with pytest.raises(UserError, match="unpack to more than 500000 bytes"):
        files.read(tmp_path / "weights.npz")
    monkeypatch.setattr(files, "LARGEST", 100)
    with pytest.raises(UserError, match="more than 100 are not read"):
        files.read(tmp_path / "weights.npz")


def test_hdf5_stays_in_its_file(tmp_path):
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["secret"] = np.ones(3)
    with h5py.File(tmp_path / "weights.h5", "w") as file:
        file["conv1_conv/kernel:0"] = np.ones(2)
        file["linked"] = h5py.ExternalLink("other.h5", "secret")
        file["loop"] = file["/"]
    assert list(files.read(tmp_path / "weights.h5").arrays) == ["conv1_conv/kernel:0"]
    with h5py.File(tmp_path / "weights.h5", "a") as file:
        file.create_dataset("outside", (3,), "f4", external=[(str(tmp_path / "other.h5"), 0, 12)])
    with pytest.raises(UserError, match="the numbers of outside are in another file"):
        files.read(tmp_path / "weights.h5")


def test_hdf5_that_claims_to_be_huge(tmp_path):
    with h5py.File(tmp_path / "weights.h5", "w") as file:
        file.create_dataset("w", (1 << 40,), "f4", chunks=(1 << 20,))  # nothing of it is on the disk
    with pytest.raises(UserError, match="with w it would have more than"):
        files.read(tmp_path / "weights.h5")


@pytest.mark.parametrize("name", ["weights.pth", "weights", "/proc/weights.npz"])
def test_other_suffixes_and_places_are_not_written(name, tmp_path):
    with pytest.raises(UserError, match=f"cannot write .*{name}|{name} cannot be written"):
        files.write(tmp_path / name, ARRAYS, {})
    assert not list(tmp_path.iterdir())


def test_missing_file():
    with pytest.raises(UserError, match="/nowhere.npz do not exist"):
        files.read("/nowhere.npz")


def test_weights_that_are_not_finite_or_of_no_system(tmp_path):
    np.savez(tmp_path / "nan.npz", **{"backbone.conv1.weight": np.array([1, np.nan])})
    with pytest.raises(UserError, match=r"backbone.conv1.weight holds numbers that are not finite"):
        load.read(tmp_path / "nan.npz")
    np.savez(tmp_path / "other.npz", dense=np.ones(2), kernel=np.ones(3))
    with pytest.raises(UserError, match="no known system names weights like dense, kernel"):
        load.read(tmp_path / "other.npz")


def test_the_folder_of_a_file_is_made(tmp_path):
    files.write(tmp_path / "new" / "deep" / "w.npz", {"a": np.ones(3, np.float32)}, {})
    assert files.read(tmp_path / "new" / "deep" / "w.npz").arrays["a"].sum() == 3


def test_a_file_that_would_not_fit_is_not_begun(tmp_path, monkeypatch):
    disk = types.SimpleNamespace(f_bavail=1, f_frsize=1000, f_blocks=1)
    monkeypatch.setattr(os, "statvfs", lambda path: disk)
    with pytest.raises(UserError, match=r"^the weights w\.npz need about 0\.4 MB, and .* has 0\.0 MB left"):
        files.write(tmp_path / "w.npz", {"a": np.ones(100_000, np.float32)}, {})
    assert list(tmp_path.iterdir()) == []
