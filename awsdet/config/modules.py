"""Runs a config file as a Python module that may import its neighbours, and leaves no trace of it in this process.

A config may say `import base` or `from .base import …` for a file beside it, and `from configs import …` for its own
folder `configs`. Two configs of one name, or with neighbours of one name, do not get into each other's way.
"""

import contextlib
import importlib
import importlib.util
import pathlib
import sys
import types
from collections.abc import Callable, Iterator
from typing import TypeVar

Value = TypeVar("Value")

_PACKAGE = "awsdet_config_file"
_OURS = "awsdet"  # never imported anew, even if a config lies beside it


def run(path: pathlib.Path, use: Callable[[types.ModuleType], Value]) -> Value:
    """The value of `use(module)` for the module of a file, whose name ends in .py, while its imports work.

    Raises whatever the file raises.
    """
    path = path.absolute()
    spec = importlib.util.spec_from_file_location(f"{_PACKAGE}.__config__", path)
    with _neighbours(path.parent):
        module = importlib.util.module_from_spec(spec)
        sys.modules[spec.name] = module
        spec.loader.exec_module(module)
        return use(module)


@contextlib.contextmanager
def _neighbours(folder: pathlib.Path) -> Iterator[None]:
    """A context in which the files of a folder can be imported; at its end everything is as it was."""
    package = types.ModuleType(_PACKAGE)
    package.__path__ = [str(folder)]
    paths, before = list(sys.path), dict(sys.modules)
    names = {entry.stem for entry in folder.iterdir() if entry.suffix == ".py" or entry.is_dir()} | {folder.name}
    names -= {_OURS, *sys.stdlib_module_names}
    for name in before:  # those of the same name in other folders
        if name.partition(".")[0] in names and not _lies_in(before[name.partition(".")[0]], folder):
            sys.modules.pop(name)
    sys.modules[_PACKAGE] = package
    sys.path[:] = [str(folder), *paths, str(folder.parent)]  # the latter last: it may hold anything
    importlib.invalidate_caches()
    try:
        yield
    finally:
        new = set(sys.modules) - set(before)
        ours = {top for top in names & new if _lies_in(sys.modules[top], folder)} | {_PACKAGE}
        for name in new:
            if name.partition(".")[0] in ours:
                sys.modules.pop(name)
        sys.path[:] = paths  # not earlier: the places of a folder's module depend on it
        sys.modules.update({name: module for name, module in before.items() if sys.modules.get(name) is not module})


def _lies_in(module, folder):
    """Whether a module of the first level is a file or folder of `folder`, or that folder itself."""
    places = [getattr(module, "__file__", None) or "", *map(str, getattr(module, "__path__", ()))]
    found = {pathlib.Path(place).absolute() for place in places if place}
    return any(folder in (place, place.parent) for place in found)
