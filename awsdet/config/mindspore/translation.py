"""Applies the rules of `keys` to a file."""

import enum
import json
import pathlib
from typing import Any, NamedTuple

from awsdet.config import families
from awsdet.config.checks import check
from awsdet.config.loading import flat_keys, setting
from awsdet.config.mindspore.keys import Became, Idle, detector_of, outcome
from awsdet.config.mindspore.reading import read
from awsdet.config.ranges import fault_of
from awsdet.runtime.errors import UserError


class Kind(enum.Enum):
    """What became of a key."""

    TRANSLATED = "translated"
    DEFAULT = "as awsdet has them"  # translated to the default of the detector
    IDLE = "without a meaning here"
    UNSUPPORTED = "not supported"


class Row(NamedTuple):
    """One key of the file, its value, and what became of it: the settings or the reason, in words."""

    key: str
    value: Any
    kind: Kind
    text: str


class Translation(NamedTuple):
    """A translated file.

    Attributes:
        config: locked ConfigDict with all that could be translated.
        family: name of the function of `awsdet.config` that it starts from.
        changes: values by key of ours, where the config differs from the family, by name.
        rows: one per key, in the order of the file.
        more: YAML documents of the file that hold no settings.
        datasets: values of train_dataset and val_dataset by key, if the file has them.
    """

    config: Any
    family: str
    changes: dict[str, Any]
    rows: tuple[Row, ...]
    more: int
    datasets: dict[str, str]

    def of_kind(self, kind: Kind) -> list[Row]:
        """The rows of one kind."""
        return [row for row in self.rows if row.kind is kind]


def translate(path: pathlib.Path) -> Translation:
    """The Translation of a YAML file. Raises UserError for a broken file and for a value that awsdet refuses."""
    values, more = read(path)
    family = detector_of(values)
    config = getattr(families, family)()
    defaults, given, rows = getattr(families, family)(), {}, []
    for key, value in values.items():
        found = outcome(key, values)
        if isinstance(found, Became):
            for name, wanted in found.settings.items():
                _set(path, config, name, key, wanted, given)
            same = all(setting(config, name) == setting(defaults, name) for name in found.settings)
            words = ", ".join(f"{name}={_shown(setting(config, name))}" for name in found.settings)
            kind = Kind.DEFAULT if same else Kind.TRANSLATED
            rows.append(Row(key, value, kind, words + (f" ({found.note})" if found.note else "")))
        else:
            rows.append(Row(key, value, Kind.IDLE if isinstance(found, Idle) else Kind.UNSUPPORTED, found.why))
    try:
        check(config)
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
    changes = {name: setting(config, name) for name in flat_keys(config)}
    changes = {name: value for name, value in changes.items() if value != setting(defaults, name)}
    datasets = {key: values[key] for key in ("train_dataset", "val_dataset") if isinstance(values.get(key), str)}
    return Translation(config, family, changes, tuple(rows), more, datasets)


def _set(path, config, name, key, value, given):
    """Gives the setting `name` the value of a key. given: setting -> key that has set it. Raises UserError."""
    current = setting(config, name)
    fitting = _fitting(value, current)
    fault = f"{name} must be {_kind_of(current)}" if fitting is None else fault_of(name, fitting)
    if fault:
        raise UserError(f"{path}: {key} is {_shown(value)[:60]}: {fault}")
    if name in given and fitting != current:
        raise UserError(
            f"{path}: {given[name]} and {key} differ ({_shown(current)} and {_shown(fitting)}), and awsdet has one "
            f"setting for both, {name}; give them the same value"
        )
    given[name] = key
    *sections, last = name.split(".")
    for section in sections:
        config = config[section]
    config[last] = fitting


def _fitting(value, default):
    """The value in the type of the default, or None if that loses something."""
    if isinstance(default, tuple):
        items = value if isinstance(value, (list, tuple)) else [value]
        fitting = tuple(_fitting(item, default[0]) for item in items)
        return None if None in fitting else fitting
    if isinstance(default, bool):
        return bool(value) if isinstance(value, (bool, int)) and value in (0, 1) else None
    if isinstance(default, str):
        return value if isinstance(value, str) else None
    if isinstance(value, str):  # YAML 1.1 takes 1e-4, without a point, for a text
        try:
            value = float(value)
        except ValueError:
            return None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    if isinstance(default, int):
        return int(value) if isinstance(value, int) or value.is_integer() else None
    try:
        return float(value)
    except OverflowError:
        return None


def _kind_of(default):
    names = {bool: "True or False", int: "a whole number", float: "a number", str: "a text", tuple: "a list of numbers"}
    return names[type(default)]


def _shown(value):
    return value if isinstance(value, str) and value else json.dumps(value, default=str)
