"""Reads what SageMaker says about the job: hyper-parameters, hosts and channels.

The files in /opt/ml/input/config come first. If one is missing, the variables SM_… of SageMaker's toolkit are read.
"""

import hashlib
import json
import os
import re
from typing import NamedTuple

from container_base import say

from awsdet.runtime.errors import UserError

# Keys that SageMaker's SDK adds to the user's hyper-parameters.
_SDK_KEYS = re.compile(r"sagemaker_.*|model_dir")


class Channel(NamedTuple):
    """An input channel. mode: File, FastFile or Pipe. sharded: whether each host gets a part of the files only."""

    name: str
    mode: str
    sharded: bool


class Description(NamedTuple):
    """A job as SageMaker describes it. hosts: by their numbers, so the first one leads. interface: "" if not told."""

    name: str
    hyperparameters: dict
    hosts: tuple
    current_host: str
    interface: str
    channels: dict

    @property
    def leads(self):
        """Whether this host is the first one."""
        return self.current_host == self.hosts[0]

    @property
    def token(self):
        """What tells this job's hosts from those of other jobs. No secret: it is a hash of what others may know too."""
        identity = [os.environ.get("TRAINING_JOB_ARN", ""), self.name, *self.hosts]
        return hashlib.sha256("\n".join(["awsdet job", *identity]).encode()).hexdigest()


def read_description(paths):
    """The Description of the job. Raises UserError for what is missing or malformed."""
    hyperparameters = decode_hyperparameters(_hyperparameters(paths.config))
    hosts, current, interface = _hosts(_read(paths.config / "resourceconfig.json"), paths.config)
    return Description(
        os.environ.get("TRAINING_JOB_NAME", ""),
        hyperparameters,
        hosts,
        current,
        interface,
        _channels(paths),
    )


def sort_hosts(hosts):
    """Host names in the order of the numbers in them: algo-2 comes before algo-10."""
    return tuple(sorted(hosts, key=lambda host: [int(p) if p.isdecimal() else p for p in re.split(r"(\d+)", host)]))


def decode_hyperparameters(encoded):
    """Hyper-parameters as a dict of plain strings, whichever SDK encoded them.

    Version 2's Estimator sends str() of each value, so True; its TensorFlow sends JSON, so "configs/x.py" with quotes
    and true, and adds keys of its own; version 3 sends strings as they are and JSON for all else.
    """
    dropped = sorted(key for key in encoded if _SDK_KEYS.fullmatch(key))
    if dropped:
        say(f"hyper-parameters of SageMaker's SDK, not of awsdet: {', '.join(dropped)}")
    return {key: _decode(key, value) for key, value in encoded.items() if key not in dropped}


def _decode(key, value):
    text = value if isinstance(value, str) else json.dumps(value)  # SM_HPS holds decoded values
    try:
        decoded = json.loads(text)
    except ValueError:
        decoded = text
    if decoded is None or isinstance(decoded, dict) or decoded in ("", "None"):
        raise UserError(f"hyper-parameter {key} is {text}; give it a value, or leave it out")
    if isinstance(decoded, bool) or text in ("True", "False"):
        return text.lower()
    # Numbers and lists stay as they were written: 1e-4 must not turn into 0.0001.
    return decoded if isinstance(decoded, str) else text


def _hyperparameters(folder):
    found = _read(folder / "hyperparameters.json")
    if found is None and "SM_HPS" in os.environ:
        found = _parse("SM_HPS", os.environ["SM_HPS"])
    if found is None:
        raise UserError(
            f"there is no {folder / 'hyperparameters.json'}, so this is no training job; to run a command in this "
            "image, give it: docker run IMAGE awsdet doctor"
        )
    return found


def _hosts(resources, folder):
    """(sorted hosts, this host, network interface)."""
    if resources is None:
        hosts = _parse("SM_HOSTS", os.environ.get("SM_HOSTS", "null"), list)
        resources = {
            "hosts": hosts,
            "current_host": os.environ.get("SM_CURRENT_HOST"),
            "network_interface_name": os.environ.get("SM_NETWORK_INTERFACE_NAME"),
        }
    hosts, current = resources.get("hosts"), resources.get("current_host")
    if not hosts or not current:
        raise UserError(f"neither {folder / 'resourceconfig.json'} nor SM_HOSTS and SM_CURRENT_HOST name the hosts")
    if current not in hosts:
        raise UserError(f"this host, {current}, is not among the hosts of the job, {', '.join(hosts)}")
    return sort_hosts(hosts), current, resources.get("network_interface_name") or ""


def _channels(paths):
    """Channel by name. Without a list, the folders that are there."""
    listed = _read(paths.config / "inputdataconfig.json")
    if listed is None and "SM_INPUT_DATA_CONFIG" in os.environ:
        listed = _parse("SM_INPUT_DATA_CONFIG", os.environ["SM_INPUT_DATA_CONFIG"])
    if listed is None and "SM_CHANNELS" in os.environ:
        listed = {name: {} for name in _parse("SM_CHANNELS", os.environ["SM_CHANNELS"], list)}
    if listed is None:
        folders = sorted(path.name for path in paths.channels.glob("*") if path.is_dir())
        say(f"no inputdataconfig.json; the folders in {paths.channels} are the channels: {', '.join(folders)}")
        listed = {name: {} for name in folders}
    return {
        name: Channel(
            name, entry.get("TrainingInputMode") or "File", entry.get("S3DistributionType") == "ShardedByS3Key"
        )
        for name, entry in listed.items()
    }


def _read(path):
    """The dict in a JSON file; None if there is no such file."""
    if not path.is_file():
        return None
    return _parse(path, path.read_text())


def _parse(source, text, kind=dict):
    try:
        found = json.loads(text)
    except ValueError as error:
        raise UserError(f"{source} is not valid JSON: {error}") from None
    if not isinstance(found, kind) and not (kind is list and found is None):
        raise UserError(f"{source} holds a {type(found).__name__}, not a {kind.__name__}")
    return found
