"""Finds, checks and reads checkpoints.

    <run>/checkpoints/step-00001234/
        checkpoint.json                      config, classes, step, metrics, versions, sizes of the files
        state.index, state.data-…            tensors by name: variables of the detector and of its optimizer
    <run>/checkpoints/best -> step-00001234  a link, so that it changes in one instant
    <run>/checkpoints/best-2, best-3, …      the next best, if a run keeps more than one (train.keep_best_count)

A tensor has the name of its variable ("backbone.conv1.kernel"), so the files do not depend on how the objects of a
detector are nested. A run that averages its weights (EMA) stores the averages too, as "backbone.conv1.kernel/average".
Nothing in a checkpoint is unpickled.
"""

import contextlib
import json
import pathlib
import re

import tensorflow as tf
from absl import logging
from tensorflow.core.protobuf import trackable_object_graph_pb2

from awsdet import config as config_lib
from awsdet.models import builder
from awsdet.runtime.errors import UserError, first_line
from awsdet.runtime.files import why_no_folder
from awsdet.runtime.paths import PlainFolder, given_path

FORMAT = "awsdet checkpoint 2"
# Format 1 is that of tf.train.Checkpoint: keys follow the nesting of objects, and a graph in it has the names.
_OBJECTS = "awsdet checkpoint 1"
INFO = "checkpoint.json"
BEST = "best"
PREFIX = "step-"
STATE = "state"
AVERAGE = "/average"  # ends the name of an averaged weight


def load(path, precision=None):
    """The detector in a checkpoint, with averaged weights (EMA) if the run kept them.

    Args:
        path: see `find`.
        precision: Keras' name of the precision policy; None: that of the run.

    Returns:
        (Detector, info): info is the dict of checkpoint.json, its `config` a ConfigDict, and `path` added.

    Raises UserError if there is no checkpoint or its weights are not those of its config.
    """
    path = find(path)
    info = read_info(path)
    config = config_lib.from_json(json.dumps(info["config"]))
    config.model.precision = precision or config.model.precision
    detector = builder.build(config, info["class_names"])
    take_weights(detector, path)
    return detector, {**info, "config": config, "path": str(path)}


def take_weights(detector, path):
    """Gives a detector the weights in a checkpoint folder of its config, averaged ones if the run kept them.

    Raises UserError if they are those of another model.
    """
    with damage_named(path):
        state = State(path)
        assign(detector.variables, state)
        averaged = [variable for variable in detector.trainable_variables if name_of(variable) + AVERAGE in state]
        assign(averaged, state, AVERAGE)


def find(path):
    """The checkpoint folder that a path stands for.

    `path`: a checkpoint folder, a run folder or its folder `checkpoints`. The latter two stand for the best checkpoint,
    or the newest if none is marked best. Raises UserError if there is none.
    """
    path = pathlib.Path(given_path(path, "checkpoint"))
    if not path.is_dir():
        raise UserError(
            f"checkpoint {path} {why_no_folder(path)}; give a run folder or one of its checkpoints/{PREFIX}… folders"
        )
    if (path / INFO).is_file():
        read_info(path)
        if not is_whole(path):
            raise UserError(
                f"checkpoint {path} is damaged: its files are not those that {INFO} lists; take another one"
            )
        return path
    root = path / "checkpoints" if (path / "checkpoints").is_dir() else path
    found = best(root) or newest(root)
    if found is None:
        raise UserError(f"{path} holds no checkpoint; give a run folder or one of its checkpoints/{PREFIX}… folders")
    return found


def is_run(path):
    """Whether a path is a run folder, or its folder `checkpoints`."""
    path = pathlib.Path(path)
    return (path / "checkpoints").is_dir() or any(path.glob(f"{PREFIX}*/{INFO}"))


def whole(root):
    """Paths of the whole checkpoints in a folder, oldest first; damaged ones are named in the log and left out."""
    return [path for path in sorted(pathlib.Path(root).glob(f"{PREFIX}*")) if is_whole(path)]


def newest(root):
    """Path of the newest whole checkpoint in a folder, or None."""
    found = whole(root)
    return found[-1] if found else None


def best(root):
    """Path of the best checkpoint in a folder, or None."""
    link = best_link(root, 1)
    return link.resolve() if is_whole(link) else None


def best_link(root, place):
    """Path of the link to the best checkpoint in a folder (`place` 1), the second best (2), and so on."""
    return pathlib.Path(root) / (BEST if place == 1 else f"{BEST}-{place}")


def best_links(root):
    """Paths of the links to the best checkpoints in a folder, the best first."""
    named = ((path, re.fullmatch(rf"{BEST}(?:-(\d+))?", path.name)) for path in pathlib.Path(root).glob(f"{BEST}*"))
    places = {path: int(match[1] or 1) for path, match in named if match}
    return sorted(places, key=places.get)


def read_info(path):
    """The dict in checkpoint.json of one checkpoint folder. Raises UserError if it is not a checkpoint."""
    file = pathlib.Path(path) / INFO
    try:
        info = json.loads(file.read_text())
    except (OSError, ValueError) as error:
        raise UserError(f"{path} is not a checkpoint: cannot read {INFO} ({type(error).__name__})") from error
    if not isinstance(info, dict) or info.get("format") not in (FORMAT, _OBJECTS):
        raise UserError(f"{path} is not a checkpoint of this version of awsdet: {INFO} does not say {FORMAT!r}")
    return info


class State:
    """The tensors of a checkpoint folder by the names of their variables."""

    def __init__(self, path):
        self._folder = PlainFolder(path)  # the reader opens the files again when it reads
        self._reader = tf.train.load_checkpoint(str(self._folder.path / STATE))
        self._keys = {key: key for key in self._reader.get_variable_to_shape_map()}
        graph = self._keys.get("_CHECKPOINTABLE_OBJECT_GRAPH")
        if graph is not None:
            objects = trackable_object_graph_pb2.TrackableObjectGraph()
            objects.ParseFromString(self._reader.get_tensor(graph))
            self._keys = {a.full_name: a.checkpoint_key for node in objects.nodes for a in node.attributes}

    def __contains__(self, name):
        return name in self._keys

    def names(self):
        """The set of all names."""
        return set(self._keys)

    def read(self, name):
        """The array of a name. Raises ValueError if there is none."""
        if name not in self._keys:
            raise ValueError(f"it has no {name}")
        return self._reader.get_tensor(self._keys[name])


def assign(variables, state, suffix=""):
    """Gives each of `variables` the tensor of its name, followed by `suffix`. Raises ValueError if one does not fit."""
    for variable in variables:
        name = name_of(variable) + suffix
        value = state.read(name)
        if value.shape != tuple(variable.shape):
            raise ValueError(f"{name} has the shape {value.shape}, and {tuple(variable.shape)} in the model")
        variable.assign(value)


def name_of(variable):
    """The name under which a checkpoint holds a variable."""
    return variable.name.partition(":")[0]


@contextlib.contextmanager
def damage_named(path):
    """Turns an error in a checkpoint into a UserError of one line."""
    try:
        yield
    except (ValueError, tf.errors.OpError) as error:
        raise UserError(
            f"checkpoint {path} does not hold the model that its config describes: {first_line(error)}; "
            "copy it again, or take another one"
        ) from error


def is_whole(path):
    """Whether a folder holds every file that its checkpoint.json lists; logs what is wrong."""
    if not (path / INFO).is_file():
        return False
    problem = damage(path)
    if problem:
        logging.warning("passing over %s", problem)
    return not problem


def damage(path):
    """What is wrong with a checkpoint folder, in words that name it; empty if it holds all that it lists."""
    try:
        info = read_info(path)
    except UserError as error:
        return str(error)
    for key, kind in (("files", dict), ("step", int)):
        if not isinstance(info.get(key), kind):
            return f"the damaged checkpoint {path}: {INFO} does not say its {key}"
    for name, size in info["files"].items():
        file = path / name
        if not file.is_file() or file.stat().st_size != size:
            return f"the damaged checkpoint {path}: {name} should have {size} bytes"
    return ""
