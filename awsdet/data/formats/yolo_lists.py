"""The classes and the images of a YOLO data set: from its data.yaml, or from a list of classes and its folders."""

import pathlib
from typing import NamedTuple

import yaml

from awsdet.data.formats.folders import (
    SUFFIXES,
    Unreadable,
    lines_of,
    posix,
    read_classes,
    read_text,
    split_folders,
    walk,
)
from awsdet.data.formats.names import SPLITS
from awsdet.runtime.errors import UserError

_LISTS = ("classes.txt", "obj.names", "classes.names", "data.names", "coco.names")
_LONGEST = 2**20  # characters of a data.yaml
NOT_LABELS = frozenset((*_LISTS, "train.txt", "val.txt", "test.txt", "readme.txt", "labels.txt"))
_KEYS = ("train", "val", "test")


class DataSet(NamedTuple):
    """A YOLO data set.

    Attributes:
        path: the file that names its classes.
        root: folder that the names of images are relative to.
        categories: number of a class -> name.
        splits: split -> paths of its images.
    """

    path: pathlib.Path
    root: pathlib.Path
    categories: dict[int, str]
    splits: dict[str, list[pathlib.Path]]


def read_data_set(dataset: pathlib.Path, classes: list[str] | None, split: str | None) -> DataSet:
    """The DataSet of a folder or of a data.yaml; only the split `split` if it is given. Raises UserError."""
    found = [(dataset, _load(dataset))] if dataset.is_file() else _data_files(dataset)
    if len(found) > 1:
        names = ", ".join(str(path) for path, _ in found)
        raise UserError(f"{dataset} holds several files like data.yaml; give one of them with --dataset: {names}")
    if not found:
        return _of_folders(dataset, classes, split)
    path, content = found[0]
    if classes:
        raise UserError(f"{path} has the names of the classes already; leave out --classes")
    if "kpt_shape" in content:
        raise UserError(f"{path} has labels of poses (kpt_shape), which are not read; give a set of boxes or polygons")
    categories = _categories(path, content)
    keys = [key for key in _KEYS if content.get(key)]
    if not keys or (split and split not in keys):
        raise UserError(f"{path} has no split {split or 'at all'}; it names {', '.join(keys) or 'no images'}")
    splits = {key: _images(path, content, key) for key in ([split] if split else keys)}
    for key, images in splits.items():
        if not images:
            raise UserError(f"{path}: {key} ({content[key]}) has no image")
    return DataSet(path, path.parent, categories, splits)


def _data_files(folder):
    """The YAML files of a folder that name classes and images: [(path, content)]."""
    found = []
    for path in sorted([*folder.glob("*.yaml"), *folder.glob("*.yml")]):
        content = _load(path)
        if "names" in content and any(key in content for key in _KEYS):
            found.append((path, content))
    return found


def _load(path):
    """The content of a YAML file, a dict. Raises UserError. No tag of it is obeyed."""
    try:
        text = read_text(path)
        content = yaml.safe_load(text) if len(text) <= _LONGEST else None
    except (Unreadable, yaml.YAMLError, RecursionError) as error:
        raise UserError(f"{path} cannot be read as YAML: {' '.join(str(error).split())[:200]}") from None
    except ValueError as error:  # such as a date that there is not
        raise UserError(f"{path} cannot be read as YAML: {error}") from None
    if not isinstance(content, dict):
        raise UserError(f"{path} is no data.yaml of YOLO, which has names and images as keys")
    return content


def _categories(path, content):
    names = content.get("names")
    if isinstance(names, list):
        names = dict(enumerate(names))
    if not isinstance(names, dict) or not names:
        raise UserError(f"{path} has no list of the names of the classes (names)")
    categories = {}
    for key, name in names.items():
        number = int(key) if isinstance(key, str) and key.strip().isdecimal() else key
        if not isinstance(number, int) or isinstance(number, bool) or number < 0:
            raise UserError(f"{path}: {str(key)[:40]!r} is no number of a class")
        if not isinstance(name, str):
            shown = repr(name)[:40] if isinstance(name, (int, float)) else f"a {type(name).__name__}"
            raise UserError(f"{path}: the name of class {number} is {shown}, no text; put it in quotes")
        categories[number] = name
    if isinstance(content.get("nc"), int) and content["nc"] != len(categories):
        raise UserError(f"{path}: nc is {content['nc']}, but names has {len(categories)}; correct one of them")
    return dict(sorted(categories.items()))


def _images(path, content, key):
    """The images of a split: from folders, and from lists of images."""
    value = content[key]
    images = []
    for entry in value if isinstance(value, list) else [value]:
        if not isinstance(entry, str):
            raise UserError(f"{path}: {key} must name folders or lists of images")
        place = _place(path, content.get("path"), entry, key)
        if place.resolve() in path.resolve().parent.parents:  # such as "/", from a mistyped path
            raise UserError(
                f"{path}: {key} is {entry}, a folder that holds the whole data set; name that of the images"
            )
        images += walk(place, SUFFIXES) if place.is_dir() else _listed(place)
    return list(dict.fromkeys(images))


def _place(path, root, entry, key):
    """The folder or file that an entry means: relative to `path`, to the file, or with the way there left out."""
    entry, base = posix(entry), path.parent
    roots = [base / posix(root)] if isinstance(root, str) else []
    bare = entry
    while bare.startswith(("../", "./")):
        bare = bare.partition("/")[2]
    tried = [place / name for name in (entry, bare) for place in (*roots, base)]
    for place in tried:
        if place.exists():
            return place
    raise UserError(f"{path}: {key} is {entry}, and neither {tried[0]} nor {tried[-1]} exists; correct path or {key}")


def _listed(path):
    """The images that a text file names, one per line, relative to its folder."""
    return [path.parent / posix(line).removeprefix("./") for line in lines_of(path, "list of images")]


def _of_folders(dataset, classes, split):
    """A data set without a data.yaml."""
    lists = [place / name for place in (dataset, dataset / "labels") for name in _LISTS if (place / name).is_file()]
    if classes is None and len(lists) != 1:
        which = "several lists of classes" if lists else "neither a data.yaml nor a classes.txt"
        raise UserError(f"{dataset} has {which}; name the classes with --classes=FILE, one per line in their order")
    names = read_classes(lists[0]) if classes is None else classes
    folders = split_folders(dataset / "images") or split_folders(dataset)
    if not folders and not split:
        raise UserError(f"{dataset} has no folders train, val, test; name the split that all of it is with --split")
    if folders and split and split not in folders:
        raise UserError(f"{dataset} has no split {split}, but {', '.join(folders)}")
    folders = {one: folders[one] for one in ([split] if split else SPLITS) if one in folders} or {split: dataset}
    splits = {one: list(walk(folder, SUFFIXES)) for one, folder in folders.items()}
    for one, images in splits.items():
        if not images:
            raise UserError(f"{folders[one]} has no image")
    path = lists[0] if lists and classes is None else dataset
    return DataSet(path, dataset, dict(enumerate(names)), splits)
