"""From hyper-parameters to the settings of a run.

The hyper-parameter `config` names a config file: of the image ("configs/mask_rcnn_r50_fpn_1x.py") or of the channel
`config`. Every other one is a setting of that config: `data.batch_size` is what `--config.data.batch_size` is on the
command line.
"""

import pathlib
import re
from typing import Any, NamedTuple

from container_base import HOME

from awsdet import config as config_module
from awsdet.runtime.errors import UserError

_KEY = re.compile(r"(config\.)?(?P<key>[A-Za-z_]\w*(\.[A-Za-z_]\w*)*)")
# Settings that channels decide -> the channel.
_FROM_CHANNELS = {"data.train_records": "train", "data.eval_records": "val", "train.init_from": "weights"}


class Settings(NamedTuple):
    """The settings of a run. config: ConfigDict. overrides: strings "section.key=value"."""

    file: pathlib.Path
    overrides: tuple
    config: Any


def read_settings(hyperparameters, channels, config_channel):
    """The Settings that decoded hyper-parameters stand for.

    Args:
        hyperparameters: dict of strings.
        channels: names of the job's channels.
        config_channel: folder of the channel `config`; need not exist.

    Raises UserError for a missing or unknown hyper-parameter, or a value of the wrong type.
    """
    if "config" not in hyperparameters:
        raise UserError(
            "hyper-parameter config is missing; it names a config file, as in configs/mask_rcnn_r50_fpn_1x.py"
        )
    file = _config_file(hyperparameters["config"], config_channel if "config" in channels else None)
    overrides = tuple(_override(key, value) for key, value in hyperparameters.items() if key != "config")
    keys = [override.partition("=")[0] for override in overrides]
    for key in keys:
        if keys.count(key) > 1:
            raise UserError(f"hyper-parameters {key} and config.{key} are the same setting; leave one out")
        channel = _FROM_CHANNELS.get(key)
        if channel in channels or key == "data.train_records":
            raise UserError(f"hyper-parameter {key} is what the channel {channel} is for; leave one of them out")
    try:
        return Settings(file, overrides, config_module.load(file, overrides))
    except UserError as error:
        raise UserError(str(error).replace("--config.", "hyper-parameter ")) from error


def _override(key, value):
    found = _KEY.fullmatch(key)
    if found is None:
        raise UserError(f"hyper-parameter {key!r} is not a setting; its name must look like data.batch_size")
    return f"{found['key']}={value}"


def _config_file(name, channel):
    path = pathlib.PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts:
        raise UserError(f"hyper-parameter config is {name}; name a file in the image or in the channel config")
    places = [*([channel] if channel else []), HOME]
    for place in places:
        if (place / path).is_file():
            return place / path
    ready = ", ".join(sorted(f"configs/{file.name}" for file in (HOME / "configs").glob("mask_rcnn_r50*.py")))
    raise UserError(
        f"hyper-parameter config is {name}, which is neither in the image nor in a channel named config; the image has "
        f"{ready} and others"
    )
