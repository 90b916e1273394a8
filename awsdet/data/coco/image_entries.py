"""The entries of the list 'images' of an annotation file."""

import os
import posixpath
import urllib.parse
from typing import NamedTuple

from awsdet.data.coco.anomalies import shown_value
from awsdet.data.coco.ids import Id, numbered, read_id
from awsdet.runtime.errors import UserError

_LONGEST_SIDE = 2**31 - 1  # px; what the records and their readers can hold
_FEDERATED = ("neg_category_ids", "not_exhaustive_category_ids")  # LVIS: not all categories were annotated


class ImageEntry(NamedTuple):
    """One image of the annotation file; height and width are 0 if the file does not give them.

    id: int64, as in records and batches; source_id: the file's own id, which is the same unless that is no int64.
    """

    id: int
    file_name: str
    height: int
    width: int
    source_id: Id


def read_images(path, entries, folder, anomalies):
    """The ImageEntries of a list, in its order. Entries that cannot be used are counted in `anomalies`.

    folder: that of the images; it decides between file names that a URL may stand for; None: not looked at. Raises
    UserError if one id is given to two files.
    """
    names, sizes = {}, {}
    for entry in entries:
        entry = entry if isinstance(entry, dict) else {}
        one, name = read_id(entry.get("id")), _file_name(entry, folder)
        if one is None or name is None:
            anomalies.add(
                "image_malformed", f"id {shown_value(entry.get('id'))}, file name {shown_value(entry.get('file_name'))}"
            )
            continue
        if one in names:
            if posixpath.normpath(names[one]) != posixpath.normpath(name):
                raise UserError(
                    f"annotation file {path}: image id {shown_value(one)} is given to two files, {names[one]} and "
                    f"{name}; give each image an id of its own, in its annotations too"
                )
            anomalies.add("image_duplicate", f"{name} (id {one})")
            continue
        names[one], sizes[one] = name, (_side(entry.get("height")), _side(entry.get("width")))
        _report(entry, one, name, anomalies)
    _report_shared(names, anomalies)
    return [ImageEntry(number, names[one], *sizes[one], one) for one, number in numbered(names).items()]


def _file_name(entry, folder):
    """The name of an entry's file, or None. LVIS has URLs instead: the last two parts of the path, or the last."""
    name = entry.get("file_name")
    if name is None or name == "":
        url = entry.get("coco_url")
        parts = _path_of(url).split("/")[-2:] if isinstance(url, str) else []
        longer, name = "/".join(parts), parts[-1] if parts else None
        if folder is not None and _is_usable(longer) and os.path.isfile(os.path.join(folder, longer)):
            name = longer
    return name if _is_usable(name) else None


def _path_of(url):
    try:
        return urllib.parse.unquote(urllib.parse.urlsplit(url).path)
    except ValueError:  # such as a bracket that is not closed
        return ""


def _is_usable(name):
    """Whether a file system can have a file of this name."""
    if not isinstance(name, str) or not name or "\0" in name:
        return False
    try:
        os.fsencode(name)
    except UnicodeEncodeError:  # half of a pair of code units
        return False
    return True


def _side(value):
    """A side in px from an int, a whole float or a string of digits; 0 from anything else."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 12:
        value = int(value)
    value = read_id(value)
    return value if isinstance(value, int) and 0 < value <= _LONGEST_SIDE else 0


def _report(entry, one, name, anomalies):
    if not entry.get("file_name"):
        anomalies.add("image_name_from_url", f"{name} (id {one})")
    if any(entry.get(key) for key in _FEDERATED):
        anomalies.add("image_federated", f"{name} (id {one})")


def _report_shared(names, anomalies):
    first = {}
    for one, name in names.items():
        if first.setdefault(name, one) != one:
            anomalies.add("image_file_shared", f"{name} (ids {first[name]}, {one})")
