"""The class list of a split, and how the lists of two splits are brought together.

Shards of the Object Detection API come without a class list. If there is a label map beside them, it is that list; if
not, the list is made of the classes that occur in the shards. So a small split may lack a class that another split or a
checkpoint has. Such a split takes over the longer list, since its records name classes by label or by name. Records of
awsdet name classes by their place in the list, so theirs cannot change.
"""

from absl import logging

from awsdet.data.coco.ids import is_int64
from awsdet.data.records.manifest import API, Manifest
from awsdet.runtime.errors import UserError

_CURE = "put the label map beside them that they were made with"
NUMBERED = "numbered by name"  # Manifest.source["category_ids"] of shards that give only names


def from_shards(found, label_map, directory):
    """(names, category ids, how the ids came about) of the shards in a folder.

    found: set of (label or None, name or None) that occur; label_map: LabelMap or None. Shards that give only names and
    have no label map get the ids 1, 2, … in alphabetical order. Raises UserError for labels and names that do not fit
    together.
    """
    labels = {label for label, _ in found if label is not None}
    if not labels:
        names = {text for _, text in found}
        if label_map is not None and names:
            return (*_named_in(names, label_map, directory), label_map.path.name)
        if label_map is None:
            return tuple(sorted(names)), tuple(range(1, len(names) + 1)), NUMBERED
    if label_map is not None:
        return (*_labelled_in(found, label_map, directory), label_map.path.name)
    texts = dict(found)
    if len(found) != len(labels):
        raise UserError(
            f"the shards in {directory} give one class label several names; they come from different data sets"
        )
    ids = tuple(sorted(labels))
    return tuple(texts[label] if texts[label] is not None else str(label) for label in ids), ids, "labels of the shards"


def _labelled_in(found, label_map, directory):
    for label, text in sorted(found, key=str):
        entry = label_map.labels.get(label)
        if entry is None:
            raise UserError(
                f"the shards in {directory} use class label {label}, which {label_map.path.name} does not have; {_CURE}"
            )
        if text is not None and text not in entry.names:
            raise UserError(
                f"class label {label} is {text!r} in the shards in {directory} and {entry.names[0]!r} in "
                f"{label_map.path.name}; {_CURE}"
            )
    return tuple(entry.names[0] for entry in label_map.labels.values()), tuple(label_map.labels)


def _named_in(texts, label_map, directory):
    """By names alone: all of them are `name` of items, or all are `display_name`."""
    labels = label_map.labels.values()
    for names in ([entry.name for entry in labels], [entry.display_name for entry in labels]):
        if not texts <= set(names):
            continue
        twice = sorted(text for text in texts if names.count(text) > 1)
        if twice:
            raise UserError(f"{label_map.path} gives the name {twice[0]!r} to several ids, and the shards give no ids")
        return tuple(name or entry.names[0] for name, entry in zip(names, labels)), tuple(label_map.labels)
    unknown = sorted(texts - {name for entry in labels for name in entry.names})
    what = f"the class {unknown[0]!r}" if unknown else "names of both kinds (name and display_name)"
    raise UserError(f"the shards in {directory} use {what}, which {label_map.path.name} does not have; {_CURE}")


def fitted(manifest: Manifest, names, ids) -> Manifest:
    """The manifest with the class list `names`, `ids`, if it may take it over; else the manifest as it is.

    It may if its records name classes by label or name, and all its classes are in that list, whose ids are int64 as
    labels are.
    """
    names, ids = tuple(names), tuple(ids)
    if manifest.layout != API or (manifest.class_names, manifest.category_ids) == (names, ids):
        return manifest
    if manifest.source.get("category_ids") == NUMBERED:
        fits = all(names.count(name) == 1 for name in manifest.class_names)
    else:
        fits = set(zip(manifest.category_ids, manifest.class_names)) <= set(zip(ids, names))
    if not fits or not all(map(is_int64, ids)):
        return manifest
    absent = [name for name in names if name not in manifest.class_names]
    if absent:
        more = f" and {len(absent) - 5} more" if len(absent) > 5 else ""
        logging.info(
            "split %s in %s has no object of %s%s: it takes over the list of %d classes",
            manifest.split,
            manifest.directory,
            ", ".join(absent[:5]),
            more,
            len(names),
        )
    return manifest._replace(class_names=names, category_ids=ids)


def united(first: Manifest, second: Manifest) -> tuple[Manifest, Manifest]:
    """Two manifests with one class list, if theirs differ only by classes that the other lacks; else as they are."""
    second = fitted(second, first.class_names, first.category_ids)
    first = fitted(first, second.class_names, second.category_ids)
    if _same_list(first, second) or not first.layout == second.layout == API:
        return first, second
    numbered = [manifest.source.get("category_ids") == NUMBERED for manifest in (first, second)]
    if all(numbered):
        names = tuple(sorted({*first.class_names, *second.class_names}))
        ids = tuple(range(1, len(names) + 1))
    elif any(numbered):
        return first, second
    else:
        pairs = sorted({*zip(first.category_ids, first.class_names), *zip(second.category_ids, second.class_names)})
        ids, names = (tuple(column) for column in zip(*pairs))
        if len(set(ids)) < len(ids):
            return first, second
    return fitted(first, names, ids), fitted(second, names, ids)


def _same_list(first, second):
    return (first.class_names, first.category_ids) == (second.class_names, second.category_ids)
