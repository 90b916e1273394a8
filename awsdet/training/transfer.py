"""Starts a new detector from the weights of an awsdet run or of any system that `awsdet.weights` reads.

The backbone must fit as a whole. Neck and heads take the layers that fit. Layers with outputs per class take the rows
of the classes in both class lists; their other rows are newly made, as are layers of another shape. The log names them.
"""

import pathlib

import numpy as np
from absl import logging

from awsdet.inference import checkpoint
from awsdet.runtime.errors import UserError
from awsdet.weights import classes, load, mmdet, named, presets

_LISTED = 5  # the most keys that an error names


def read(path):
    """The load.Weights of a checkpoint (see `checkpoint.find`), a file of weights, or a name of the catalogue."""
    path = named.path_of(path)
    if not pathlib.Path(path).is_dir():
        return load.read(path)
    detector, info = checkpoint.load(path)
    arrays, model = mmdet.export(detector), info["config"].model.to_dict()
    name = f"{info['path']}, step {info['step']}"
    preset = presets.of_detector("its own config", detector)
    sources = {key: key for key in arrays}
    return load.Weights(name, "awsdet", arrays, sources, [], {}, preset, detector.class_names, model)


def take_weights(detector, path):
    """Gives a detector the weights in `path` that fit; logs which were not taken and which layers are newly made.

    Returns the names of the layers that are newly made as a whole, a frozenset; those that take the rows of some
    classes are not among them. Raises UserError if the backbone does not fit or expects other pixels, since its weights
    would be of no use.
    """
    weights = read(path)
    if weights.preset is None:
        logging.warning(
            "%s does not say which pixels it was trained on: check that model.image and model.backbone.style suit it",
            weights.path,
        )
    else:
        presets.check(weights.preset, detector, weights.path)
    table, names = mmdet.table(detector), _class_names(weights, detector)
    sides = mmdet.windows(detector)
    values = {key: _fitting(key, variable, sides, detector, weights, names) for key, variable in table.items()}
    # A layer is taken as a whole or not at all.
    new_layers = {classes.layer(key) for key, value in values.items() if value is None}
    values = {key: value for key, value in values.items() if classes.layer(key) not in new_layers}
    new = sorted(set(table) - set(values))
    unused = [key for key in weights.arrays if key not in table]
    _check_backbone(path, weights, table, new, unused)
    for key, value in values.items():
        table[key].assign(value)
    _report(detector, weights, names, values, new, unused)
    return frozenset(new_layers)


def _fitting(key, variable, sides, detector, weights, names):
    """The value for a variable, in our layout; None if the weights have none that fits."""
    value = weights.arrays.get(key)
    if value is not None and classes.depends_on_classes(key) and names != detector.class_names:
        ours = mmdet.to_source(key, variable.numpy(), sides)
        value = classes.carry(key, ours, value, detector.class_names, names)
    if value is not None:
        value = mmdet.from_source(key, np.asarray(value), sides)
    return value if value is not None and value.shape == tuple(variable.shape) else None


def _check_backbone(path, weights, table, new, unused):
    """Raises UserError if an array of the backbone is missing in the weights or in the detector."""
    faults = []
    for key in (key for key in new if key.startswith("backbone.")):
        ours = mmdet.to_source(key, table[key].numpy(), {}).shape
        theirs = weights.arrays.get(key)
        if theirs is None:
            faults.append(f"it has no {key}")
        elif theirs.shape != ours:
            faults.append(f"{key} has the shape {theirs.shape}, and {ours} in the model")
    faults += [f"the model has no {key}" for key in unused if key.startswith("backbone.")]
    if faults:
        more = f" and {len(faults) - _LISTED} more" if len(faults) > _LISTED else ""
        raise UserError(
            f"init_from {path}: its backbone differs from that of the config: {'; '.join(faults[:_LISTED])}{more}; set "
            "model.backbone to that of the weights"
        )


def _class_names(weights, detector):
    """The class list of the weights. If unknown, but of the same length as the detector's, the detector's."""
    names, count = classes.names_of(weights), classes.count(weights.arrays)
    if names is not None or weights.backbone_only:
        if weights.class_names is None and names is not None:
            logging.info("%s names none of its %d classes; they are taken to be COCO's", weights.path, count)
        return names or detector.class_names
    if count == detector.num_classes:
        logging.warning("%s names none of its %d classes; they are taken to be the records'", weights.path, count)
        return detector.class_names
    return tuple(f"unnamed class {index}" for index in range(count or 0))


def _report(detector, weights, names, values, new, unused):
    logging.info(
        "weights taken from %s (%s): %d of %d arrays; training starts at step 0",
        weights.path,
        weights.system,
        len(values),
        len(values) + len(new),
    )
    if weights.backbone_only:
        logging.info("it holds only a backbone: neck and heads are newly made")
        return
    if names != detector.class_names:
        common = classes.common(detector.class_names, names)
        layers = _layers(key for key in [*values, *new] if classes.depends_on_classes(key))
        logging.info(
            "its class list is different: newly made are %s, except for the rows of classes in common (%s)",
            layers,
            ", ".join(common) or "none",
        )
        new = [key for key in new if not classes.depends_on_classes(key) or key not in weights.arrays]
    if new:
        logging.info("newly made, since it lacks them or has them in another shape: %s", _layers(new))
    if unused or weights.unknown:
        logging.info("in it, but not in the model: %s", ", ".join([*_layers(unused).split(", "), *weights.unknown]))


def _layers(keys):
    return ", ".join(dict.fromkeys(classes.layer(key) for key in keys))
