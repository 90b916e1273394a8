"""Reads the JSON of an annotation file: UTF-8, UTF-16 or UTF-32 with or without a byte order mark, and gzip-compressed.

Whatever is wrong with the file becomes one line that says what and where. A key that stands twice in one object is no
error in JSON, but readers keep only the last value without a word. So it is counted, or refused if it decides what an
annotation belongs to.
"""

import gzip
import hashlib
import json
import pathlib
import re
import zlib

from awsdet.data.coco.anomalies import shown_value
from awsdet.data.coco.other_formats import name_of_text
from awsdet.runtime.errors import UserError
from awsdet.runtime.files import why_no_file

# With two values of one of these, nobody can know which was meant.
_DECISIVE = {"images", "annotations", "categories", "id", "image_id", "category_id", "file_name"}
_PACKED = {b"PK\x03\x04": "a ZIP archive", b"BZh": "compressed by bzip2", b"\xfd7zXZ": "compressed by xz"}
_PACKED |= {b"(\xb5/\xfd": "compressed by zstd", b"Rar!": "a RAR archive", b"7z\xbc\xaf": "a 7z archive"}
_GZIP = b"\x1f\x8b"
# What is no text, so that nobody is told to save it as UTF-8.
_BINARY = {
    b"\x89PNG": "an image (PNG)",
    b"\xff\xd8\xff": "an image (JPEG)",
    b"GIF8": "an image (GIF)",
    b"%PDF": "a PDF",
}
_BINARY |= {b"\x93NUMPY": "an array of NumPy", b"\x80": "a pickle of Python", b"\x89HDF": "an HDF5 file"}
_BINARY |= {b"SQLite format 3": "an SQLite database", b"PAR1": "a Parquet file", _GZIP: "gzip in gzip"}
_CUT_LITERALS = ("tru", "fals", "nul", "NaN", "Infinity", "-Infinity")
_CUT_VALUE = re.compile(r"\.|\d*[eE][-+]?|\\u[0-9a-fA-F]{0,3}")  # of a number or of a character


def read_json_file(path, anomalies):
    """Returns (content, SHA-256 of the file). Adds keys that are given twice to `anomalies`.

    Raises UserError if the file does not exist, cannot be read or unpacked, or is not valid JSON.
    """
    path = pathlib.Path(path)
    if not path.is_file():
        raise UserError(f"annotation file {path} {why_no_file(path)}")
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UserError(f"annotation file {path} cannot be read: {error.strerror or error}") from error
    return _parse(path, _unpacked(path, data), anomalies), hashlib.sha256(data).hexdigest()


def _unpacked(path, data):
    """The bytes of the JSON text."""
    for start, name in _PACKED.items():
        if data.startswith(start):
            raise UserError(f"annotation file {path} is {name}; unpack it first")
    if data.startswith(_GZIP):
        try:
            data = gzip.decompress(data)
        except (EOFError, OSError, zlib.error) as error:
            raise UserError(f"annotation file {path} is a damaged gzip file ({error}); copy it again") from None
    if not data.strip(b" \t\r\n\0"):
        raise UserError(f"annotation file {path} is empty{' but for blanks' if data else ''}; copy it again")
    return data


def _parse(path, data, anomalies):
    text, twice = _text(path, data), []

    def build(pairs):
        made = dict(pairs)
        if len(made) < len(pairs):
            twice.append(pairs)
        return made

    try:
        content = json.loads(text, object_pairs_hook=build)
    except json.JSONDecodeError as error:
        raise UserError(f"annotation file {path} {_what_is_wrong(text, error)}") from None
    except ValueError:  # Python reads no longer ones
        raise UserError(f"annotation file {path} holds a number of more than 4300 digits; correct it") from None
    except RecursionError:
        raise too_deep(path) from None
    except MemoryError:
        raise UserError(f"annotation file {path} ({len(data) / 1e6:.0f} MB) does not fit into memory") from None
    for pairs in twice:
        _report_twice(path, pairs, anomalies)
    return content


def too_deep(path):
    """The UserError for a file whose lists or objects are nested too deeply."""
    return UserError(f"annotation file {path} nests lists or objects too deeply; it is no COCO detection file")


def _text(path, data):
    encoding = json.detect_encoding(data)
    for start, name in _BINARY.items():
        if data.startswith(start):
            raise UserError(f"annotation file {path} is {name}, not JSON; give the annotation file of the data set")
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        wrong = f"its byte {error.start} ({data[error.start]:#04x}) is no {encoding.removesuffix('-sig').upper()}"
        raise UserError(f"annotation file {path} is not valid JSON: {wrong}; save it as UTF-8") from None


def _what_is_wrong(text, error):
    """What a JSONDecodeError means, in words that follow the name of the file."""
    rest = text[error.pos :].strip()
    other = name_of_text(text)
    if other is not None:
        return other
    cut = not rest or _CUT_VALUE.fullmatch(rest) or any(word.startswith(rest) for word in _CUT_LITERALS)
    if cut or error.msg.startswith("Unterminated string"):
        newline = "\n"
        lines = text.count(newline) + 1
        end = f"line {lines}, column {len(text) - text.rfind(newline)}"
        return f"is not valid JSON: it ends in the middle, after {len(text)} characters ({end}); copy it again"
    place = f"line {error.lineno}, column {error.colno}"
    return f"is not valid JSON: {error.msg} at {place} ({shown_value(rest[:20])}); correct it"


def _report_twice(path, pairs, anomalies):
    """Counts the keys that stand twice in one object; raises UserError for two values of a decisive one."""
    first = {}
    for key, value in pairs:
        if key not in first:
            first[key] = value
            continue
        if key in _DECISIVE and not _same(first[key], value):
            values = f": {str(first[key])[:40]} and {str(value)[:40]}" if not isinstance(value, (list, dict)) else ""
            raise UserError(f"annotation file {path} gives {key!r} twice in one object{values}; keep one")
        anomalies.add("key_twice", f"{key!r} in {_described(dict(pairs))}")


def _same(first, second):
    return type(first) is type(second) and first == second


def _described(content):
    return f"the object with id {content['id']}" if "id" in content else f"an object of {', '.join(list(content)[:4])}"
