"""Reads the weights of any known system as a table in mmdetection's names, with the preset that they need.

The keys of a file show which system wrote it. Every key gets its place, is ignored by a rule, or is reported.
"""

import json
import os
import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from awsdet.runtime.errors import UserError
from awsdet.weights import files, formats, presets

FORMAT = "awsdet weights 1"
# Keys that no detector needs: classifiers, states of optimizers, counters, and buffers whose values the config sets.
_IGNORED = re.compile(
    r"(fc|linear|head|classifier|final_layer|incre_modules|downsamp_modules|stem\.fc)[./].*"  # classifiers
    r"|fc1000_[wb]|pred_[wb]|probs/.*|predictions/.*"
    r"|conv1_b"  # in MSRA's ResNets; Detectron2 leaves it out too
    r"|.*_momentum|.*/Momentum|lr|learning_rate|global_step|weight_order"
    r"|.*num_batches_tracked|.*cell_anchors.*|pixel_mean|pixel_std|data_preprocessor\..*"
)


class Weights(NamedTuple):
    """What a file of weights contains."""

    path: str
    system: str  # tensorpack, keras, detectron, detectron2, torchvision, mmdetection or awsdet
    arrays: dict  # mmdetection's name -> array in mmdetection's layout
    sources: dict  # mmdetection's name -> key in the file
    ignored: list  # keys in the file that no detector needs
    unknown: dict  # keys in the file that no rule knows -> shapes of their arrays
    preset: presets.Preset | None  # None if the file does not say
    class_names: tuple | None  # None if the file does not say
    model: dict | None  # config.model as a nested dict; None unless awsdet wrote the file

    @property
    def backbone_only(self) -> bool:
        """Whether all arrays belong to the backbone."""
        return all(key.startswith("backbone.") for key in self.arrays)


def read(path: str | os.PathLike) -> Weights:
    """Reads a file of weights. Raises UserError if it cannot be read or no known system wrote it."""
    table = files.read(path)
    table = table._replace(arrays={key: _float32(path, key, array) for key, array in table.arrays.items()})
    if table.metadata.get("awsdet") == FORMAT:
        return _ours(path, table)
    arrays = {_plain_key(key, table.kind): value for key, value in table.arrays.items()}
    system = _system(arrays)
    if system is None:
        raise UserError(f"{path}: no known system names weights like {', '.join(list(arrays)[:3])}")
    if system == "mmdetection":
        return _mmdetection(path, arrays, table.metadata)
    places = {}
    for source, target, change in _TABLES[system](arrays):
        places.setdefault(source, []).append((target, change))
    placed, sources, ignored, unknown = {}, {}, [], {}
    for key, array in arrays.items():
        if key in places:
            for target, change in places[key]:
                placed[target], sources[target] = _changed(path, key, array, change), key
        elif _is_ignored(key, system):
            ignored.append(key)
        else:
            unknown[key] = array.shape
    preset = _preset(system, table, placed)
    if system in _FOLDS:
        _FOLDS[system](placed, sources)
    return Weights(str(path), system, placed, sources, ignored, unknown, preset, None, None)


def write(
    path: str | os.PathLike,
    arrays: dict[str, np.ndarray],
    *,
    preset: presets.Preset | None = None,
    class_names: Sequence[str] | None = None,
    model: dict | None = None,
) -> None:
    """Writes arrays in mmdetection's names and layouts to a file, which `read` can read.

    `model`: config.model as a nested dict. What is not known is None.
    """
    facts = {"preset": preset and list(preset), "class_names": class_names and list(class_names), "model": model}
    metadata = {name: json.dumps(fact) for name, fact in facts.items() if fact is not None}
    files.write(path, arrays, {"awsdet": FORMAT, **metadata})


_TABLES = {
    "tensorpack": formats.tensorpack,
    "keras": formats.keras,
    "detectron": formats.detectron,
    "detectron2": formats.detectron2,
}
_FOLDS = {"keras": formats.fold_keras, "detectron": formats.fold_affine}
# The system is the first whose pattern matches the beginning of a key.
_SIGNS = {
    "tensorpack": r"conv0/|group\d/block\d+/|fastrcnn/|maskrcnn/|cascade_rcnn_stage\d/",
    "keras": r"conv1_conv/|conv\d_block\d+_\d_conv/",
    "detectron": r"res_conv1_|conv1_w$|res\d_\d+_branch",
    "detectron2": r"(backbone\.(bottom_up\.)?)?(stem\.conv1\.|res\d\.\d+\.)",
    "mmdetection": r"backbone\.|conv1\.|bn1\.|layer\d\.\d+\.|stem\.\d|stage\d\.",
}


def _plain_key(key, kind):
    if kind == "h5":  # [model_weights/]layer/layer/kernel:0
        return "/".join(key.split("/")[-2:]).partition(":")[0]
    return key.removesuffix(":0").removeprefix("module.")


def _system(keys):
    for system, sign in _SIGNS.items():
        if any(re.match(sign, key) for key in keys):
            return system
    return None


def _is_ignored(key, system):
    # Detectron2's RetinaNet calls its detection head "head"; elsewhere that is a classifier.
    return _IGNORED.fullmatch(key) is not None and not (system == "detectron2" and key.startswith("head."))


def _float32(path, key, array):
    with np.errstate(over="ignore"):
        array = np.asarray(array, np.float32)
    if not np.isfinite(array).all():
        raise UserError(f"{path}: {key} holds numbers that are not finite; use another file")
    return array


def _changed(path, key, array, change):
    try:
        return change(array)
    except (ValueError, IndexError) as error:
        raise UserError(f"{path}: {key} has the shape {array.shape}, which does not fit its layer") from error


def _preset(system, table, placed):
    if system == "detectron2":
        converted = table.metadata.get("__author__") == "torchvision"
        return presets.TORCHVISION if converted else presets.of_detectron(placed)
    if system == "detectron":
        return presets.of_detectron(placed)
    whole = any(not key.startswith("backbone.") for key in placed)
    if system == "tensorpack" and whole and not any(key.endswith(":0") for key in table.arrays):
        return None  # may be converted from Detectron2, and then needs Detectron2's pixels
    return {"tensorpack": presets.TENSORPACK, "keras": presets.KERAS}[system]


def _mmdetection(path, arrays, metadata):
    """Files of mmdetection, and backbones of torchvision and OpenMMLab, whose keys lack "backbone." at the start."""
    whole = any(key.startswith("backbone.") for key in arrays)
    ignored = [key for key in arrays if _is_ignored(key, "mmdetection")]
    taken = {key: name for key, name in _detector_names(arrays).items() if key not in ignored}
    prefix = "" if whole else "backbone."
    preset = presets.of_mmdet_config(str(metadata.get("config") or metadata.get("cfg") or ""))
    # Caffe's backbones that OpenMMLab publishes have the same names, but no classifier. HRNet's is `classifier`.
    if preset is None and not whole and ("fc.weight" in arrays or "classifier.weight" in arrays):
        preset = presets.TORCHVISION
    return Weights(
        str(path),
        "mmdetection" if whole else "torchvision",
        {f"{prefix}{name}": arrays[key] for key, name in taken.items()},
        {f"{prefix}{name}": key for key, name in taken.items()},
        ignored,
        {},
        preset,
        _mmdetection_classes(metadata),
        None,
    )


def _detector_names(keys):
    """Key in a file -> mmdetection's name, for the ResNet-D of OpenMMLab's classifiers; other keys stay as they are.

    Their deep stem has `stem.1.conv` and `stem.1.bn` for `stem.3` and `stem.4`. The shortcut of their first stage lacks
    the pooling, which would have stride 1, so its layers have other numbers.
    """
    names = {key: key for key in keys}
    if not any(re.fullmatch(r"(backbone\.)?stem\.0\.conv\.weight", key) for key in keys):
        return names
    for key in keys:
        if found := re.fullmatch(r"(.*\bstem)\.(\d)\.(conv|bn)\.(\w+)", key):
            names[key] = f"{found[1]}.{3 * int(found[2]) + (found[3] == 'bn')}.{found[4]}"
        elif found := re.fullmatch(r"(.*\blayer1\.0\.downsample)\.([01])\.(\w+)", key):
            names[key] = f"{found[1]}.{int(found[2]) + 1}.{found[3]}"
    return names


def _mmdetection_classes(metadata):
    data = metadata.get("dataset_meta")
    names = (data.get("classes") or data.get("CLASSES")) if isinstance(data, dict) else metadata.get("CLASSES")
    if isinstance(names, str):
        return (names,)
    return tuple(map(str, names)) if isinstance(names, (list, tuple)) else None


def _ours(path, table):
    try:
        facts = {name: json.loads(table.metadata.get(name, "null")) for name in ("preset", "class_names", "model")}
        preset = facts["preset"] and presets.Preset(facts["preset"][0], _tuples(facts["preset"][1]))
        if preset and set(preset.settings) - {presets.RELU} != set(presets.TORCHVISION.settings):
            raise ValueError(f"a preset with {', '.join(preset.settings)}")
        class_names = None if facts["class_names"] is None else tuple(map(str, facts["class_names"]))
    except (ValueError, TypeError, IndexError, AttributeError) as error:
        raise UserError(f"{path}: cannot read its metadata ({error})") from error
    sources = {key: key for key in table.arrays}
    return Weights(str(path), "awsdet", table.arrays, sources, [], {}, preset, class_names, facts["model"])


def _tuples(values):
    return {key: tuple(value) if isinstance(value, list) else value for key, value in values.items()}
