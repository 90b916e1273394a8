"""The manifest of a record set, `<split>.manifest.json`.

It says where each record lies in its shard, so that the reader can fetch any record. It also holds the classes, the
sizes and checksums of the shards, and the anomalies found when the records were written.
"""

import hashlib
import json
import pathlib
from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from awsdet.data.coco.anomalies import Anomalies
from awsdet.data.coco.ids import numbered
from awsdet.runtime.errors import UserError

FORMAT = "awsdet records 1"
SUFFIX = ".manifest.json"
HEADER = 12  # bytes before a record in a TFRecord file: its length and the checksum of the length
FOOTER = 4  # bytes after a record: its checksum
COLUMNS = {  # per-record arrays of the manifest, by shard
    "offset": np.int64,
    "length": np.int64,
    "image_id": np.int64,
    "height": np.int32,
    "width": np.int32,
    "num_objects": np.int32,
}
AWSDET = "awsdet"  # layouts of a record: ours,
API = "object_detection_api"  # and the TensorFlow Object Detection API's


class Shard(NamedTuple):
    """A shard file: name in the records folder, bytes, checksum ("" if it was not computed)."""

    file: str
    size: int
    sha256: str


class AnnotationCounts(NamedTuple):
    """Annotations in the annotation file; in the records; and objects among the latter, which can be trained on.

    Crowd regions and annotations for evaluation only are no objects.
    """

    in_file: int
    kept: int
    objects: int


class Manifest(NamedTuple):
    """A split of a record set. Class c is `class_names[c]`, category id `category_ids[c]` (an int or a string).

    The arrays have one entry per record, in the order of the shards: shard (int32, index into `shards`), offset and
    length (int64, bytes; offset is where the record's header starts, length is that of its payload), image_id
    (int64), height and width (int32, px), num_objects (int32, rows of a batch's `boxes`, crowds included). has_masks:
    any object has a mask. image_ids: the annotation file's own image id, by image_id, where it is no int64 and another
    number stands for it. annotations, classes_with_objects (numbers of classes): None if it is not known.
    """

    directory: pathlib.Path
    split: str
    layout: str
    class_names: tuple
    category_ids: tuple
    shards: tuple
    source: dict
    anomalies: Anomalies
    has_masks: bool
    shard: np.ndarray
    offset: np.ndarray
    length: np.ndarray
    image_id: np.ndarray
    height: np.ndarray
    width: np.ndarray
    num_objects: np.ndarray
    image_ids: Mapping = MappingProxyType({})
    annotations: AnnotationCounts | None = None
    classes_with_objects: frozenset | None = None

    @property
    def num_images(self):
        """Number of records."""
        return len(self.image_id)

    def own_image_id(self, number):
        """The annotation file's own id, an int or a string, of the image whose number in records and batches it is."""
        return self.image_ids.get(int(number), int(number))


def splits_in(directory):
    """Names of the splits in a folder that have a manifest, sorted."""
    return sorted(path.name[: -len(SUFFIX)] for path in pathlib.Path(directory).glob(f"*{SUFFIX}"))


def progress_folder(directory, split):
    """Where a conversion keeps the states of its finished shards until the manifest is written."""
    return pathlib.Path(directory) / f".{split}.convert"


def read_json(path):
    """The dict in a JSON file. Raises UserError if there is none, PermissionError if it may not be read."""
    try:
        return dict(json.loads(pathlib.Path(path).read_text()))
    except PermissionError:  # another conversion would not help
        raise
    except (OSError, ValueError, TypeError, RecursionError) as error:
        raise UserError(f"cannot read {path}: {error}; run awsdet convert again") from None


def manifest_to_json(manifest, extra=()):
    """The JSON-ready dict of a manifest. extra: one dict per shard, merged into its entry."""
    shards = []
    for number, shard in enumerate(manifest.shards):
        rows = manifest.shard == number
        records = {name: getattr(manifest, name)[rows].tolist() for name in COLUMNS}
        shards.append({**shard._asdict(), "records": records, **(extra[number] if extra else {})})
    return {
        "format": FORMAT,
        "split": manifest.split,
        "layout": manifest.layout,
        "classes": classes_to_json(manifest.class_names, manifest.category_ids),
        **({"image_ids": list(map(list, manifest.image_ids.items()))} if manifest.image_ids else {}),
        "num_images": manifest.num_images,
        "num_objects": int(manifest.num_objects.sum()),
        **({"annotations": manifest.annotations._asdict()} if manifest.annotations else {}),
        "has_masks": manifest.has_masks,
        "source": manifest.source,
        "anomalies": manifest.anomalies.to_json(),
        "shards": shards,
    }


def classes_to_json(names, category_ids):
    """The JSON-ready list of classes. A category id that is no int64 has another number as its `label` in records."""
    labels = numbered(category_ids)
    return [
        {"name": name, "category_id": one, **({} if labels[one] == one else {"label": labels[one]})}
        for name, one in zip(names, category_ids)
    ]


def manifest_from_json(directory, content):
    """A Manifest from `manifest_to_json`'s dict; raises UserError for a file of another format."""
    if content.get("format") != FORMAT:
        raise UserError(f"a manifest in {directory} is not of the format '{FORMAT}'; run awsdet convert again")
    try:
        return _manifest(pathlib.Path(directory), content)
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"a manifest in {directory} is damaged ({error!r}); run awsdet convert again") from None


def _manifest(directory, content):
    shards = content["shards"]
    columns = {
        name: np.concatenate([np.zeros(0, kind)] + [np.array(s["records"][name], kind) for s in shards])
        for name, kind in COLUMNS.items()
    }
    return Manifest(
        directory=directory,
        split=content["split"],
        layout=content["layout"],
        class_names=tuple(entry["name"] for entry in content["classes"]),
        category_ids=tuple(entry["category_id"] for entry in content["classes"]),
        shards=tuple(Shard(s["file"], s["size"], s["sha256"]) for s in shards),
        source=content["source"],
        anomalies=Anomalies.from_json(content["anomalies"]),
        has_masks=content["has_masks"],
        shard=np.repeat(np.arange(len(shards), dtype=np.int32), [len(s["records"]["length"]) for s in shards]),
        **columns,
        image_ids=MappingProxyType(dict(map(tuple, content.get("image_ids", ())))),
        annotations=AnnotationCounts(**content["annotations"]) if "annotations" in content else None,
        classes_with_objects=_classes_with_objects(shards),
    )


def _classes_with_objects(shards):
    """From what the conversion noted for each shard; the index of others' shards notes nothing."""
    if not all("classes" in shard for shard in shards):
        return None
    return frozenset(one for shard in shards for one in shard["classes"])


def check_shards(manifest):
    """Returns the manifest; raises UserError if a shard is missing or its size is not that in the manifest."""
    for shard in manifest.shards:
        path = manifest.directory / shard.file
        if not path.is_file():
            raise UserError(f"shard {path} is missing; run awsdet convert again")
        size = path.stat().st_size
        if size != shard.size:
            raise UserError(f"shard {path} is broken: {size} bytes, not {shard.size}; run awsdet convert again")
    return manifest


def class_difference(ours, theirs):
    """In a few words, where two lists of class names differ; None if they are the same, in the same order."""
    if len(ours) != len(theirs):
        return f"{len(ours)} classes against {len(theirs)}"
    for index, (our_name, their_name) in enumerate(zip(ours, theirs)):
        if our_name != their_name:
            return f"class {index} is {our_name!r} against {their_name!r}"
    return None


def file_digest(path):
    """SHA-256 of a file, in hexadecimal."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
