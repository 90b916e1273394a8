"""Reads a YAML file of settings. No tag of it is obeyed, and no key may come twice."""

import pathlib
from typing import Any, NamedTuple

import yaml

from awsdet.runtime.errors import UserError
from awsdet.runtime.files import why_no_file

_LONGEST = 2**20  # bytes; the published files have 6,000
_MOST_KEYS, _DEEPEST = 2000, 10  # an alias may stand for itself, or for very many


class Settings(NamedTuple):
    """The settings of a file. values: by key, as in "backbone.depth"; more: how many YAML documents follow them."""

    values: dict[str, Any]
    more: int


class _Loader(yaml.SafeLoader):
    """Refuses a second value for a key, of which PyYAML would drop the first."""

    def construct_mapping(self, node, deep=False):
        keys = {}
        for key, _ in node.value:
            if key.tag == "tag:yaml.org,2002:merge":
                continue
            if key.value in keys:
                line = key.start_mark.line + 1
                raise yaml.YAMLError(f"line {line}: {key.value} is given twice; line {keys[key.value]} has it too")
            keys[key.value] = key.start_mark.line + 1
        return super().construct_mapping(node, deep)


def read(path: pathlib.Path) -> Settings:
    """The settings of the first document of a YAML file: MindSpore's files describe the keys in two more.

    Raises UserError for a file that cannot be read, is no YAML or holds no settings.
    """
    if not path.is_file():
        raise UserError(f"config file {path} {why_no_file(path)}")
    try:
        text = path.read_bytes()
        if len(text) > _LONGEST:
            raise UserError(f"{path} has {len(text):,} bytes, too many for a config; give the YAML file of settings")
        documents = list(yaml.load_all(text, _Loader))  # noqa: S506, since _Loader is a SafeLoader
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or error}") from None
    except (yaml.YAMLError, RecursionError, ValueError, TypeError) as error:  # also a date that there is not
        raise UserError(f"{path} cannot be read as YAML: {' '.join(str(error).split())[:200]}") from None
    if not documents or not isinstance(documents[0], dict) or not documents[0]:
        raise UserError(f"{path} holds no settings; a config of MindSpore is a YAML file of keys and values")
    values: dict[str, Any] = {}
    _flatten(path, documents[0], "", values, 0)
    return Settings(values, len(documents) - 1)


def _flatten(path, tree, prefix, values, depth):
    for name, value in tree.items():
        key = f"{prefix}{name}"
        if isinstance(value, dict) and value:
            if depth == _DEEPEST:
                raise UserError(f"{path}: {key[:60]} lies too deep; a config of MindSpore has up to four levels")
            _flatten(path, value, f"{key}.", values, depth + 1)
        elif key in values:
            raise UserError(f"{path}: {key} is given twice, by its name and by its section; leave one of them out")
        else:
            _check_size(path, key, value)
            values[key] = value
        if len(values) > _MOST_KEYS:
            raise UserError(f"{path} has more than {_MOST_KEYS:,} keys; a config of MindSpore has about 130")


def _check_size(path, key, value):
    """Raises UserError for a list with too many values, counted at all depths."""
    waiting, count = [value], 0
    while waiting:
        inner = waiting.pop()
        if isinstance(inner, (list, tuple, dict)):
            waiting += inner.values() if isinstance(inner, dict) else inner
            count += len(inner)
        if count > _MOST_KEYS:
            raise UserError(f"{path}: {key[:60]} has more than {_MOST_KEYS:,} values; a config of MindSpore has few")
