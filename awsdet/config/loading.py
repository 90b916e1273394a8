"""Config files, overrides from the command line, and configs as JSON."""

import ast
import difflib
import json
import pathlib
import re
import traceback

from ml_collections import ConfigDict

from awsdet.config import modules
from awsdet.config.checks import check
from awsdet.config.families import mask_rcnn
from awsdet.config.ranges import fault_of
from awsdet.runtime.errors import UserError, first_line
from awsdet.runtime.files import why_no_file
from awsdet.runtime.paths import WEIGHTS, given_path

# What ml_collections says of a value of another type than the default's.
_OTHER_TYPE = r"override field '(\w+)'.*?\. (.*) is of original type <class '(.+)'> and cannot .* type <class '(.+)'>"
PATHS = ("data.train_records", "data.eval_records", "train.init_from", "train.mlperf_log")  # settings that are paths
FROM_SCRATCH = "scratch"  # a train.init_from that means none at all, for SageMaker, whose settings cannot be empty


def load(path, overrides=()):
    """Reads a config file and applies `overrides`, strings "section.key=value". Returns a locked ConfigDict.

    The file may import its neighbours (see `modules`).

    Raises UserError for a missing or broken file, an unknown key, and a value of the wrong type or out of its range.
    """
    path = pathlib.Path(given_path(path, "config"))
    if not path.is_file():
        raise UserError(f"config file {path} {why_no_file(path)}; configs/ holds the ready ones")
    if path.suffix != ".py":
        raise UserError(f"config file {path} is not a Python file (its name must end in .py)")
    try:
        config = modules.run(path, _made)
    except UserError:
        raise
    except (Exception, SystemExit) as error:  # the file is the user's program, so any error in it is theirs to fix
        raise UserError(f"config file {path}: {_reason(error)}{_line_in(error, path)}") from error
    if not isinstance(config, ConfigDict):
        raise UserError(f"config file {path}: get_config() returned {type(config).__name__}, not a ConfigDict")
    for override in overrides:
        apply_override(config, override)
    if "train" in config and config.train.get("init_from") == FROM_SCRATCH:
        config.train.init_from = ""
    check(config)
    _expand_paths(config)
    return config.lock()


def _made(module):
    if not hasattr(module, "get_config"):
        raise UserError(f"config file {module.__file__} has no get_config(); those in configs/ show what it is")
    return module.get_config()


def _expand_paths(config):
    """Puts the home folder for "~" in the settings that are paths. Raises UserError for addresses, as in s3://."""
    for key in PATHS:
        section, name = key.split(".")
        hint = WEIGHTS if key == "train.init_from" else ""
        written = key == "train.mlperf_log"
        config[section][name] = given_path(config[section][name], f"--config.{key}", written, hint)


def apply_override(config, override):
    """Sets one value of `config` from the string "section.key=value"; the value takes the type of the default.

    Raises UserError if the key is unknown, or the value is of another type or out of its range. What must hold between
    settings is not looked at: see `check`.
    """
    key, equals, text = override.partition("=")
    if not equals:
        raise UserError(f"--config.{key} has no value; write --config.{key}=VALUE")
    *sections, name = key.split(".")
    node = config
    for depth, section in enumerate([*sections, name]):
        if not isinstance(node, ConfigDict) or section not in node:
            raise UserError(_unknown_key(config, ".".join([*sections, name][: depth + 1]), key))
        if depth < len(sections):
            node = node[section]
    if isinstance(node[name], ConfigDict):
        raise UserError(f"--config.{key} is a section; set one of its keys: {', '.join(node[name])}")
    value = _parse(key, text, node[name])
    fault = fault_of(key, value)
    if fault:
        raise UserError(fault)
    node[name] = value


def setting(config, key):
    """The value of the setting `key`, as in "train.epochs". Raises UserError if there is none of this name."""
    if key not in flat_keys(config):
        raise UserError(_unknown_key(config, key, key))
    for name in key.split("."):
        config = config[name]
    return config


def flat_keys(config, prefix=""):
    """Names of all settings of a ConfigDict, as in "train.epochs"."""
    for name, value in config.items():
        if isinstance(value, ConfigDict):
            yield from flat_keys(value, f"{prefix}{name}.")
        else:
            yield prefix + name


def to_json(config):
    """The config as a JSON text; `from_json` reads it back."""
    return json.dumps(config.to_dict(), indent=2, sort_keys=True)


def from_json(text):
    """A config from `to_json`'s text, checked against the known keys. Returns a locked ConfigDict."""
    config = mask_rcnn()
    try:
        _update(config, json.loads(text), "")
    except (ValueError, TypeError, AttributeError) as error:
        words = _reason(error) if isinstance(error, TypeError) else f"it is not valid JSON: {first_line(error)}"
        raise UserError(f"the stored config cannot be used: {words}") from error
    check(config)
    return config


def _update(config, values, prefix):
    for name, value in values.items():
        if name not in config:
            raise UserError(f"the stored config has the unknown key {prefix}{name}; it comes from another version")
        if isinstance(config[name], ConfigDict):
            _update(config[name], value, f"{prefix}{name}.")
        else:
            config[name] = _tuples(value)  # JSON has only lists, and configs have only tuples


def _tuples(value):
    return tuple(map(_tuples, value)) if isinstance(value, list) else value


def _parse(key, text, default):
    kind = type(default)
    try:
        if kind is bool:
            return {"true": True, "false": False, "1": True, "0": False}[text.lower()]
        if kind is tuple:
            value = ast.literal_eval(text if text.strip()[:1] in "([" else f"({text},)")
            item = type(default[0]) if default else str
            if item in (int, float) and not all(type(v) in (int, item) for v in value):
                raise ValueError(text)
            return tuple(item(v) for v in value)
        return kind(text)
    except (KeyError, ValueError, SyntaxError, TypeError):
        wanted = {tuple: "a tuple, as in 1,2", int: "an int"}.get(kind, f"a {kind.__name__}")
        raise UserError(f"--config.{key}={text}: expected {wanted} (the default is {default!r})") from None


def _unknown_key(config, missing, key):
    known = list(flat_keys(config))
    leaf = key.rpartition(".")[2]
    by_initials = [k for k in known if "".join(word[0] for word in k.rpartition(".")[2].split("_")) == leaf]  # lr
    by_leaf = [k for k in known if k.rpartition(".")[2] == leaf]
    near = by_initials or by_leaf or difflib.get_close_matches(key, known, n=1, cutoff=0.4)
    hint = f"; did you mean {near[0]}?" if near else f"; keys begin with {', '.join(config)}"
    return f"unknown config key {missing}{hint}"


def _line_in(error, path):
    """Where in the file at `path`, or in one beside it, an exception came from, as in " (line 7)"; else ""."""
    path = path.absolute()
    frames = [(pathlib.Path(frame.filename), frame.lineno) for frame in traceback.extract_tb(error.__traceback__)]
    frames = [(file, line) for file, line in frames if file.parent == path.parent]
    if not frames:
        return ""
    file, line = frames[-1]
    return f" (line {line})" if file == path else f" ({file.name}, line {line})"


def _reason(error):
    """An exception in words; those of ml_collections about a setting are put into ours."""
    text = str(error)
    kind = re.search(_OTHER_TYPE, text, re.DOTALL)
    if isinstance(error, TypeError) and kind:
        name, value, given, wanted = kind.groups()
        return f"{name} cannot be {value}, which is of type {given}; it must be of type {wanted.rpartition('.')[2]}"
    key = re.search(r'Key \\?"(\w+)\\?" does not exist', text)
    if isinstance(error, (AttributeError, KeyError)) and key:
        near = re.search(r'Did you mean \\?"(\w+)\\?" instead', text)
        return f"there is no setting {key[1]}{f'; did you mean {near[1]}?' if near else ''}"
    return f"{type(error).__name__}: {first_line(error)}"
