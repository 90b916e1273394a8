"""Weights in the names and layouts of mmdetection.

Our variables have mmdetection's module paths, so names differ only in their last parts, and arrays only in their
layout. PyTorch stores convolutions as OIHW (output channels, input channels, height, width), TensorFlow as HWIO.
PyTorch stores dense layers as (out, in), transposed convolutions as (in, out, height, width), and flattens RoI features
channels first.

The name of a convolution gives the name of its normalisation:

    path of the convolution             its normalisation
    backbone.layer1.0.conv2             backbone.layer1.0.bn2 (gn2 for group normalisation)
    neck.fpn_convs.0.conv               neck.fpn_convs.0.bn   (gn)
    backbone.layer1.0.downsample        the convolution is downsample.0, the normalisation downsample.1
    backbone.stem.3                     backbone.stem.4: in a row of numbered modules, the next one
"""

from collections.abc import Container

import numpy as np
import tensorflow as tf

from awsdet.runtime.errors import UserError

_NORM_SUFFIX = {"gamma": "weight", "beta": "bias", "mean": "running_mean", "variance": "running_var"}
_COUNTER = "num_batches_tracked"  # PyTorch counts the batches of a BatchNorm; no model needs that number


def table(detector: tf.keras.Model) -> dict[str, tf.Variable]:
    """All weights of a detector: mmdetection's parameter name -> our variable."""
    named = ((variable.name.partition(":")[0], variable) for variable in detector.variables)
    # Without step counters, and without the sums of gradients that `compile` makes for accumulation.
    names = {name: variable for name, variable in named if "." in name and "/" not in name}
    return {source_key(name, names): variable for name, variable in names.items()}


def source_key(name: str, names: Container[str]) -> str:
    """mmdetection's name of our variable `name` ("backbone.layer1.0.conv1.gamma").

    `names`: names of all variables. A normalisation is a BatchNorm if it has statistics, otherwise a GroupNorm.
    """
    path, _, kind = name.rpartition(".")
    parent, _, leaf = path.rpartition(".")
    if leaf == "downsample":
        path, parent, leaf = f"{path}.0", path, "0"
    if kind not in _NORM_SUFFIX:
        return f"{path}.{'weight' if kind == 'kernel' else 'bias'}"
    if leaf.isdigit():
        norm = str(int(leaf) + 1)
    else:
        norm = leaf.replace("conv", "bn" if f"{name.rpartition('.')[0]}.mean" in names else "gn")
    return f"{parent}.{norm}.{_NORM_SUFFIX[kind]}"


def windows(detector: tf.keras.Model) -> dict[str, int]:
    """Name of a dense layer's weight -> side P, if its input are flattened RoI features [P, P, channels]."""
    layers = (layer for layer in detector.submodules if getattr(layer, "window", None))
    return {f"{layer.name}.weight": layer.window for layer in layers}


def from_source(key: str, array: np.ndarray, windows: dict[str, int]) -> np.ndarray:
    """Converts an array from mmdetection's layout to ours, also a gradient. `windows`: what `windows` returns."""
    if array.ndim == 4:
        return array.transpose(0, 2, 3, 1) if _is_transposed(key) else array.transpose(2, 3, 1, 0)
    if array.ndim != 2:
        return array
    side = windows.get(key)
    if side and array.shape[1] % side**2 == 0:
        units = array.shape[0]
        return array.reshape(units, -1, side, side).transpose(2, 3, 1, 0).reshape(-1, units)
    return array.T


def to_source(key: str, array: np.ndarray, windows: dict[str, int]) -> np.ndarray:
    """Converts an array from our layout to mmdetection's, also a gradient. `windows`: what `windows` returns."""
    if array.ndim == 4:
        return array.transpose(0, 3, 1, 2) if _is_transposed(key) else array.transpose(3, 2, 0, 1)
    if array.ndim != 2:
        return array
    side = windows.get(key)
    if side:
        units = array.shape[1]
        return array.reshape(side, side, -1, units).transpose(3, 2, 0, 1).reshape(units, -1)
    return array.T


def _is_transposed(key):
    return key.endswith("upsample.weight")


def assign(detector: tf.keras.Model, arrays: dict[str, np.ndarray]) -> None:
    """Sets all weights of a detector from a dict of mmdetection's name -> array.

    Raises UserError if any key is missing, unused or of another shape. It lists them all, and no weight was changed.
    """
    wanted, sides = table(detector), windows(detector)
    faults = [f"missing {key}" for key in wanted if key not in arrays]
    faults += [f"unused {key}" for key in arrays if key not in wanted and not key.endswith(_COUNTER)]
    values = {key: from_source(key, np.asarray(arrays[key]), sides) for key in wanted if key in arrays}
    faults += [
        f"{key} has shape {values[key].shape}, but the model has {tuple(wanted[key].shape)}"
        for key in values
        if values[key].shape != tuple(wanted[key].shape)
    ]
    if faults:
        raise UserError(f"the weights do not fit the model: {'; '.join(faults)}")
    for key, value in values.items():
        wanted[key].assign(value)


def export(detector: tf.keras.Model) -> dict[str, np.ndarray]:
    """All weights of a detector: dict of mmdetection's name -> float32 array in mmdetection's layout."""
    sides = windows(detector)
    return {
        key: np.ascontiguousarray(to_source(key, variable.numpy(), sides)) for key, variable in table(detector).items()
    }
