"""What must be alike in all processes of an elastic run, whenever they join."""

import hashlib
import pathlib

from awsdet import config as config_module
from awsdet.data.records.manifest import COLUMNS, Manifest

_PACKAGE = pathlib.Path(__file__).parents[1]


# Part of a fingerprint -> its name for the user.
_PARTS = {
    "config": "config",
    "records": "records",
    "classes": "class names",
    "variables": "variables",
    "sources": "version of awsdet",
}


def fingerprint_of(config, inputs, detector, sources: str) -> dict[str, str]:
    """Texts that are equal if two processes can train together.

    A dict and not a class of ours, since it is exchanged between versions that may differ.

    Args:
        config: ConfigDict. inputs: Inputs. detector: Detector.
        sources: `sources_digest`, from when the process started; its files may have been replaced since.
    """
    variables = [(v.name, tuple(v.shape)) for v in detector.variables if not v.name.endswith("/accumulated:0")]
    records = [manifest and records_digest(manifest) for manifest in (inputs.train, inputs.evaluation)]
    return {
        "config": config_module.to_json(config),
        "records": str(records),
        "classes": str(inputs.class_names),
        "variables": str(variables),
        "sources": sources,
    }


def difference(ours: dict[str, str], theirs: dict[str, str]) -> str:
    """In a few words, in what two fingerprints differ; empty if they are equal."""
    names = sorted(ours.keys() | theirs.keys())
    return ", ".join(_PARTS.get(name, name) for name in names if ours.get(name) != theirs.get(name))


def records_digest(manifest: Manifest) -> str:
    """SHA-256 of what a manifest says of the records: shards, images, where they lie. Not of the folder's path."""
    digest = hashlib.sha256(repr((manifest.layout, manifest.shards, manifest.category_ids)).encode())
    for column in ("shard", *COLUMNS):
        digest.update(getattr(manifest, column).tobytes())
    return digest.hexdigest()


def sources_digest(package: pathlib.Path = _PACKAGE) -> str:
    """SHA-256 of the Python files of a package: their places in it and their content."""
    digest = hashlib.sha256()
    for path in sorted(package.rglob("*.py")):
        content = path.read_bytes()
        digest.update(f"{path.relative_to(package)} {len(content)}\n".encode())
        digest.update(content)
    return digest.hexdigest()
