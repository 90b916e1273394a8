"""Weights in the names and layouts of mmdetection.

Our variables carry mmdetection's module paths, so a name differs only in its last parts, and an array only in its
layout: PyTorch keeps convolutions as OIHW, dense layers as (out, in), transposed convolutions as (in, out, kh, kw),
and flattens RoI features channels first.

How a layer is named decides where its normalisation is found:

    path of the convolution             its normalisation
    backbone.layer1.0.conv2             backbone.layer1.0.bn2 (gn2 for group normalisation)
    neck.fpn_convs.0.conv               neck.fpn_convs.0.bn   (gn)
    backbone.layer1.0.downsample        the convolution is downsample.0, the normalisation downsample.1
    backbone.stem.3                     backbone.stem.4: in a row of numbered modules, the next one
"""

import numpy as np

from awsdet.runtime.errors import UserError

_NORM_SUFFIX = {"gamma": "weight", "beta": "bias", "mean": "running_mean", "variance": "running_var"}
_COUNTER = "num_batches_tracked"  # PyTorch counts the batches of a BatchNorm; nothing here depends on it


def table(detector):
    """mmdetection's parameter name -> our variable, of all weights of a detector."""
    named = ((variable.name.partition(":")[0], variable) for variable in detector.variables)
    names = {name: variable for name, variable in named if "." in name}  # not the step counter, nor what sums gradients
    return {source_key(name, names): variable for name, variable in names.items()}


def source_key(name, names):
    """mmdetection's name of our variable `name` ("backbone.layer1.0.conv1.gamma").

    `names`: of all variables; a normalisation with statistics is a BatchNorm, one without a GroupNorm.
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


def windows(detector):
    """mmdetection's parameter name -> side P of the RoI features [P, P, channels] that the layer takes flattened."""
    layers = (layer for layer in detector.submodules if getattr(layer, "window", None))
    return {f"{layer.name}.weight": layer.window for layer in layers}


def from_source(key, array, windows):
    """An mmdetection array in our layout; gradients have the layout of their parameter. `windows`: see there."""
    if array.ndim == 4:
        return array.transpose(0, 2, 3, 1) if _is_transposed(key) else array.transpose(2, 3, 1, 0)
    if array.ndim != 2:
        return array
    side = windows.get(key)
    if side and array.shape[1] % side**2 == 0:
        units = array.shape[0]
        return array.reshape(units, -1, side, side).transpose(2, 3, 1, 0).reshape(-1, units)
    return array.T


def to_source(key, array, windows):
    """The inverse of `from_source`."""
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


def assign(detector, arrays):
    """Sets all weights of a detector from a dict of mmdetection name -> array.

    Raises UserError that lists every key that is missing, unused or of another shape; then nothing was assigned.
    """
    wanted, sides = table(detector), windows(detector)
    faults = [f"missing {key}" for key in wanted if key not in arrays]
    faults += [f"unused {key}" for key in arrays if key not in wanted and not key.endswith(_COUNTER)]
    values = {key: from_source(key, np.asarray(arrays[key]), sides) for key in wanted if key in arrays}
    faults += [
        f"{key} has shape {values[key].shape} where the model has {tuple(wanted[key].shape)}"
        for key in values
        if values[key].shape != tuple(wanted[key].shape)
    ]
    if faults:
        raise UserError(f"the weights do not fit the model: {'; '.join(faults)}")
    for key, value in values.items():
        wanted[key].assign(value)


def export(detector):
    """All weights of a detector, a dict of mmdetection name -> float32 array in mmdetection's layout."""
    sides = windows(detector)
    return {
        key: np.ascontiguousarray(to_source(key, variable.numpy(), sides)) for key, variable in table(detector).items()
    }
