"""Weights in the names and layouts of mmdetection.

Our variables carry mmdetection's module paths, so a name differs only in its last parts, and an array only in its
layout: PyTorch keeps convolutions as OIHW, dense layers as (out, in), transposed convolutions as (in, out, kh, kw),
and flattens RoI features channels first.
"""

import numpy as np

from awsdet.errors import UserError

_NORM_SUFFIX = {"gamma": "weight", "beta": "bias", "mean": "running_mean", "variance": "running_var"}


def source_key(name):
    """The mmdetection parameter of our variable `name` ("backbone.layer1.0.conv1.gamma", a ":0" is ignored)."""
    path, _, kind = name.partition(":")[0].rpartition(".")
    parent, _, leaf = path.rpartition(".")
    if kind in _NORM_SUFFIX:
        norm = "downsample.1" if leaf == "downsample" else leaf.replace("conv", "bn")
        return f"{parent}.{norm}.{_NORM_SUFFIX[kind]}"
    if leaf == "downsample":
        path += ".0"
    return f"{path}.{'weight' if kind == 'kernel' else 'bias'}"


def from_source(key, array, pool_size):
    """An mmdetection array in our layout; gradients have the layout of their parameter.

    `pool_size`: of the box head.
    """
    if array.ndim == 4:
        return array.transpose(0, 2, 3, 1) if "upsample" in key else array.transpose(2, 3, 1, 0)
    if array.ndim == 2:
        if key.endswith("shared_fcs.0.weight"):
            units = array.shape[0]
            chw = array.reshape(units, -1, pool_size, pool_size)
            return chw.transpose(2, 3, 1, 0).reshape(-1, units)
        return array.T
    return array


def assign(variables, arrays, pool_size):
    """Sets `variables` from a dict of mmdetection name -> array.

    Raises UserError that lists every key that is missing, unused or of another shape; then nothing was assigned.
    """
    wanted = {source_key(v.name): v for v in variables}
    faults = [f"missing {key}" for key in wanted if key not in arrays]
    faults += [f"unused {key}" for key in arrays if key not in wanted and not key.endswith("num_batches_tracked")]
    values = {key: from_source(key, np.asarray(arrays[key]), pool_size) for key in wanted if key in arrays}
    faults += [
        f"{key} has shape {values[key].shape} where the model has {tuple(wanted[key].shape)}"
        for key in values
        if values[key].shape != tuple(wanted[key].shape)
    ]
    if faults:
        raise UserError(f"the weights do not fit the model: {'; '.join(faults)}")
    for key, value in values.items():
        wanted[key].assign(value)
