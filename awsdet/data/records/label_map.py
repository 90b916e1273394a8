"""Reads label maps of the TensorFlow Object Detection API: text files (`.pbtxt`) beside its shards.

    item { id: 1 name: "/m/01g317" display_name: 'person' }   # a comment

They are protocol buffers in text format. Of an item, `id`, `name` and `display_name` are read; other fields are passed
over. An item with id 0 stands for the background and is no class.
"""

import ast
import hashlib
import pathlib
import re
from typing import NamedTuple

from absl import logging

from awsdet.runtime.errors import UserError

SUFFIX = ".pbtxt"
_TOKEN = re.compile(
    r"""(?P<space>\s+|\#[^\n]*)"""
    r"""|(?P<string>"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*')"""
    r"""|(?P<word>[A-Za-z_][\w.]*|-?[\d.][\w.+-]*)|(?P<mark>[{}<>\[\]:;,])"""
)
_CLOSING = {"{": "}", "<": ">", "[": "]"}
_WANTED = ("id", "name", "display_name")


class Label(NamedTuple):
    """An item of a label map; display_name is empty if it has none."""

    id: int
    name: str
    display_name: str

    @property
    def names(self):
        """The names that shards may use for it, the one for people first."""
        return tuple(name for name in (self.display_name, self.name) if name)


class LabelMap(NamedTuple):
    """A label map: its file, the SHA-256 of it, and its Labels by id, in the order of the ids."""

    path: pathlib.Path
    sha256: str
    labels: dict


def find(directory):
    """The LabelMap in a folder, or None. Files `.pbtxt` that hold something else, such as a graph, are passed over.

    Raises UserError for a label map that cannot be read, and for several that differ.
    """
    found = []
    for path in sorted(p for p in pathlib.Path(directory).iterdir() if p.suffix == SUFFIX and p.is_file()):
        one = read(path)
        if one is None:
            logging.info("%s is no label map: passed over", path)
        else:
            found.append(one)
    if any(one.labels != found[0].labels for one in found):
        names = ", ".join(one.path.name for one in found)
        raise UserError(f"{directory} has label maps that differ ({names}); leave only that of the shards beside them")
    return found[0] if found else None


def read(path):
    """The LabelMap in a file; None if the file holds something else. Raises UserError for an item that is not right."""
    data = pathlib.Path(path).read_bytes()
    if not re.match(rb"(\xef\xbb\xbf)?(\s|#[^\n]*\n)*item\b", data):
        return None
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"label map {path}: its byte {error.start} is no UTF-8; save it as UTF-8") from None
    labels = {}
    for line, item in _Parser(path, text).items():
        label = _label(path, line, item)
        if label.id in labels:
            raise UserError(f"label map {path}, line {line}: id {label.id} is used twice; give each item its own")
        labels[label.id] = label
    labels = {number: labels[number] for number in sorted(labels) if number}
    if not labels:
        raise UserError(f"label map {path} has no classes: an item with id 0 is the background")
    return LabelMap(pathlib.Path(path), hashlib.sha256(data).hexdigest(), labels)


def _label(path, line, item):
    number, where = item.get("id"), f"label map {path}, line {line}"
    if number is None or not re.fullmatch(r"\d{1,18}", number):
        raise UserError(f"{where}: an item with id {number}; each needs a whole number, 1 or more")
    label = Label(int(number), item.get("name", ""), item.get("display_name", ""))
    if not label.names:
        raise UserError(f"{where}: item {number} has no name; add name: '…'")
    if not label.id and label.name.lower() != "background":
        raise UserError(f"{where}: item 0 is {label.names[0]!r}, but id 0 is the background; count from 1")
    return label


class _Parser:
    """Reads the items of a text: each (line, dict of the wanted fields as strings)."""

    def __init__(self, path, text):
        self._path, self._text, self._at, self._line = path, text, 0, 1
        self._kind = self._value = None  # of the token at this place; None at the end
        self._advance()

    def items(self):
        found = []
        while self._kind is not None:
            if (self._kind, self._value) != ("word", "item"):
                self._fail("expected: item { … }")
            line = self._line
            self._advance()
            self._skip_marks(":")
            if self._value not in ("{", "<") or self._kind != "mark":
                self._fail("expected: item { … }")
            found.append((line, self._fields()))
            self._skip_marks(",;")
        return found

    def _fields(self):
        """The wanted fields up to the closing bracket of the item whose opening one is read."""
        closing, fields = _CLOSING[self._value], {}
        self._advance()
        while not (self._kind == "mark" and self._value == closing):
            name = self._value
            if self._kind != "word":
                self._fail("expected a field, such as id: 1")
            self._advance()
            colon = self._skip_marks(":")
            if self._kind == "mark":
                self._skip_nested()
            elif not colon:
                self._fail(f"expected ':' after {name}")
            else:
                value = self._scalar(name)
                if name in fields:
                    self._fail(f"{name} is given twice in one item")
                fields |= {name: value} if name in _WANTED else {}
            self._skip_marks(",;")
        self._advance()
        return fields

    def _scalar(self, name):
        if name in ("name", "display_name") and self._kind != "string":
            self._fail(f"{name} must be in quotes")
        if self._kind is None:
            self._fail("the file ends within an item; copy it again")
        if self._kind == "word":
            value = self._value
            self._advance()
            return value
        parts = []
        while self._kind == "string":  # strings side by side are one string
            parts.append(self._unquoted())
            self._advance()
        try:
            return b"".join(parts).decode()
        except UnicodeDecodeError:
            self._fail(f"{name} is no UTF-8")

    def _unquoted(self):
        """The bytes of the string at this place: those of UTF-8 are written as they are, others as \\303."""
        inner = self._value[1:-1]
        try:
            escaped = re.sub(r"[^\x00-\x7f]", lambda c: "".join(f"\\x{b:02x}" for b in c[0].encode()), inner)
            quote = self._value[0]
            return ast.literal_eval(f"b{quote}{escaped}{quote}")
        except (SyntaxError, ValueError):
            self._fail(f"a string that cannot be read: {self._value}")

    def _skip_nested(self):
        """Passes over a bracket and all that is in it."""
        open_marks = []
        while True:
            if self._kind is None:
                self._fail("the file ends within an item; copy it again")
            if self._kind == "mark" and self._value in _CLOSING:
                open_marks.append(_CLOSING[self._value])
            elif self._kind == "mark" and self._value in _CLOSING.values():
                if not open_marks or self._value != open_marks.pop():
                    self._fail(f"a {self._value} that closes nothing")
            self._advance()
            if not open_marks:
                return

    def _skip_marks(self, marks):
        seen = False
        while self._kind == "mark" and self._value in marks:
            seen = True
            self._advance()
        return seen

    def _advance(self):
        while True:
            if self._at == len(self._text):
                self._kind = self._value = None
                return
            match = _TOKEN.match(self._text, self._at)
            if match is None:
                self._fail(f"cannot read {self._text[self._at : self._at + 12].splitlines()[0]!r}")
            self._line = self._text.count("\n", 0, self._at) + 1
            self._at, self._kind, self._value = match.end(), match.lastgroup, match.group()
            if self._kind != "space":
                return

    def _fail(self, what):
        raise UserError(f"label map {self._path}, line {self._line}: {what}")
