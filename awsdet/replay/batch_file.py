"""A batch as arrays of one .npz file, and its kinds (element_spec) as JSON. Nothing in it is unpickled.

A tensor is one array, named by its place in the batch, as in "boxes". A ragged tensor is its values, "masks.polygons",
and the ends of its rows on each level, "masks.polygons.splits0", "masks.polygons.splits1", ….
"""

import numpy as np
import tensorflow as tf

from awsdet.runtime.nested import flat


def arrays_of(batch) -> dict[str, np.ndarray]:
    """The arrays of a batch: a dict, nested to any depth, of tensors and ragged tensors."""
    arrays = {}
    for name, value in flat(batch):
        if isinstance(value, tf.RaggedTensor):
            arrays[name] = value.flat_values.numpy()
            for level, splits in enumerate(value.nested_row_splits):
                arrays[f"{name}.splits{level}"] = splits.numpy()
        else:
            arrays[name] = value.numpy()
    return arrays


def batch_of(arrays, kinds):
    """The batch of `arrays_of`; kinds: what `kinds_of` made of its spec. Raises KeyError, ValueError or TypeError."""
    batch = {}
    for name, kind in kinds.items():
        value = tf.constant(arrays[name], kind["dtype"])
        if "ragged_rank" in kind:
            splits = [arrays[f"{name}.splits{level}"] for level in range(kind["ragged_rank"])]
            value = tf.RaggedTensor.from_nested_row_splits(value, splits)
        _put(batch, name, value)
    return batch


def kinds_of(spec) -> dict[str, dict]:
    """JSON-ready dict of the kinds of a batch, by name. Raises TypeError for other than tensors, plain or ragged."""
    kinds = {}
    for name, part in flat(spec):
        if not isinstance(part, (tf.TensorSpec, tf.RaggedTensorSpec)):
            raise TypeError(f"{name} of the batch is a {type(part).__name__}")
        shape = None if part.shape.rank is None else list(part.shape)
        kinds[name] = {"shape": shape, "dtype": part.dtype.name}
        if isinstance(part, tf.RaggedTensorSpec):
            kinds[name] |= {"ragged_rank": part.ragged_rank, "splits": part.row_splits_dtype.name}
    return kinds


def spec_of(kinds):
    """The element_spec of which `kinds_of` made `kinds`."""
    spec = {}
    for name, kind in kinds.items():
        of = (kind["shape"], tf.as_dtype(kind["dtype"]))
        if "ragged_rank" in kind:
            part = tf.RaggedTensorSpec(*of, kind["ragged_rank"], tf.as_dtype(kind["splits"]))
        else:
            part = tf.TensorSpec(*of)
        _put(spec, name, part)
    return spec


def repeated(batch, index):
    """A batch of the same shape that has one of its images in every place."""
    return {
        name: repeated(value, index) if isinstance(value, dict) else tf.gather(value, [index] * int(value.shape[0]))
        for name, value in batch.items()
    }


def _put(nested, name, value):
    *folders, last = name.split(".")
    for folder in folders:
        nested = nested.setdefault(folder, {})
    nested[last] = value
