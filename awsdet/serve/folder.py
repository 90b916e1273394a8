"""Finds an exported model: the folder of a version, or the newest one below the folder of all versions."""

import json
import pathlib

from awsdet.runtime.errors import UserError

INFO = "awsdet.json"


def find_folder(path: str) -> str:
    """The folder with saved_model.pb that a path means: itself, or its numbered folder of the highest number.

    Raises UserError if there is none, or it is no export that can be served.
    """
    given = pathlib.Path(path)
    if not given.is_dir():
        raise UserError(f"--model={path} is no folder; give one that awsdet export wrote")
    if (given / INFO).is_file() or (given / "saved_model.pb").is_file():
        folder = given
    else:
        versions = [entry for entry in given.iterdir() if entry.name.isdecimal() and entry.is_dir()]
        if not versions:
            raise UserError(f"--model={path} has no exported model: neither {INFO} nor a numbered folder with it")
        folder = max(versions, key=lambda entry: int(entry.name))
    info = _info(folder)
    target = info.get("target")
    if target != "savedmodel":
        raise UserError(f"{folder} was exported with --target={target}; what can be served is --target=savedmodel")
    if not (folder / "saved_model.pb").is_file():
        raise UserError(f"{folder} has no saved_model.pb; export the model again")
    return str(folder)


def _info(folder):
    try:
        info = json.loads((folder / INFO).read_bytes())
    except FileNotFoundError:
        raise UserError(f"{folder} has no {INFO}, so awsdet export did not write it; export the model again") from None
    except ValueError:
        info = None
    if not isinstance(info, dict) or not str(info.get("format", "")).startswith("awsdet export"):
        raise UserError(f"{folder / INFO} is damaged; export the model again")
    return info
