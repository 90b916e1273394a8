"""The categories of an annotation file. A name is only a name: categories are told apart by their ids alone."""

import collections
import unicodedata
from collections.abc import Sequence

from awsdet.data.coco.anomalies import shown_value
from awsdet.data.coco.ids import Id, in_order, read_id
from awsdet.runtime.errors import UserError


def read_categories(path, entries, anomalies):
    """Returns (category ids, names) of the list 'categories', ordered as `ids.in_order` does.

    Raises UserError for a category without an id and for an id of two categories.
    """
    names = {}
    for entry in entries:
        one = read_id(entry.get("id")) if isinstance(entry, dict) else None
        if one is None:
            raise UserError(
                f"annotation file {path}: category {shown_value(entry)} has no usable id (a whole number or a string)"
            )
        name = _read_name(one, entry.get("name"), anomalies)
        if names.get(one, name) != name:
            raise UserError(
                f"annotation file {path}: category id {shown_value(one)} is used twice, for {shown_value(names[one])} "
                f"and {shown_value(name)}; give each category an id of its own"
            )
        if one in names:
            anomalies.add("category_duplicate", f"{name} (id {one})")
        names[one] = name
    if not names:
        raise UserError(f"annotation file {path} has no categories")
    ids = tuple(in_order(names))
    _report_alike(names, ids, anomalies)
    return ids, tuple(names[one] for one in ids)


def _read_name(one, name, anomalies):
    if isinstance(name, str) and name.strip() and _is_text(name):
        return name
    if isinstance(name, str) and name.strip():
        usable = name.encode("utf-8", "backslashreplace").decode()
    else:
        usable = str(name) if isinstance(name, (int, float)) and not isinstance(name, bool) else str(one)
    anomalies.add("category_nameless", f"id {shown_value(one)}, name {shown_value(name)}: {usable}")
    return usable


def _is_text(name):
    """Whether a string can be stored as UTF-8, which halves of pairs of code units cannot."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _report_alike(names, ids, anomalies):
    same, alike = collections.defaultdict(list), collections.defaultdict(list)
    for one in ids:
        same[names[one]].append(one)
    for name, found in same.items():
        if len(found) > 1:
            anomalies.add("category_name", f"{name} (ids {', '.join(map(str, found))})")
        alike[_folded(name)].append(name)
    for found in alike.values():
        if len(found) > 1:
            anomalies.add("category_similar", ", ".join(f"{name!r} (id {same[name][0]})" for name in found))


def _folded(name):
    return " ".join(unicodedata.normalize("NFC", name).split()).casefold()


def class_labels(names: Sequence[str], ids: Sequence[Id]) -> tuple[str, ...]:
    """A text for each class that no other class has: its name, and its category id too if the name is not unique.

    For tables, pictures and logs. Control characters are shown as escapes.
    """
    names = [name if name.isprintable() else repr(name)[1:-1] for name in names]
    counts = collections.Counter(names)
    labels = [name if counts[name] == 1 else f"{name} (id {one})" for name, one in zip(names, ids)]
    if len(set(labels)) < len(labels):  # some class is really called "cat (id 3)"
        labels = [f"{name} (id {one!r})" for name, one in zip(names, ids)]
    return tuple(labels)
