"""The data sets that `awsdet download` knows: the addresses of their archives, and the checksums."""

import posixpath
import urllib.parse
from typing import NamedTuple


class Archive(NamedTuple):
    """A zip file of a data set.

    Attributes:
        part: what users call it, as in --parts=train.
        address: a URL; the file keeps the last part of it as its name.
        size: bytes.
        md5: all digits.
        folder: the one folder that all of its files are in.
        unpacked: bytes that it unpacks to, about; an archive of more than twice as many is refused.
    """

    part: str
    address: str
    size: int
    md5: str
    folder: str
    unpacked: int

    @property
    def file(self) -> str:
        """The name of the file."""
        return posixpath.basename(urllib.parse.urlsplit(self.address).path)


class Split(NamedTuple):
    """A split to convert: its name, and annotation file and folder of images within the data set."""

    name: str
    annotations: str
    images: str


class DataSet(NamedTuple):
    """A data set. terms: where its terms of use are."""

    name: str
    archives: tuple[Archive, ...]
    splits: tuple[Split, ...]
    terms: str


# The server answers http alone under this name; the MD5 says whether the right bytes came. The sizes and MD5 are those
# that many public scripts have. JPEGs hardly get smaller in a zip file.
_COCO = "http://images.cocodataset.org/"
COCO_2017 = DataSet(
    "coco2017",
    (
        Archive(
            "train",
            f"{_COCO}zips/train2017.zip",
            19_336_861_798,
            "cced6f7f71b7629ddf16f17bbcfab6b2",
            "train2017",
            19_400_000_000,
        ),
        Archive(
            "val",
            f"{_COCO}zips/val2017.zip",
            815_585_330,
            "442b8da7639aecaf257c1dceb8ba8c80",
            "val2017",
            820_000_000,
        ),
        Archive(
            "annotations",
            f"{_COCO}annotations/annotations_trainval2017.zip",
            252_907_541,
            "f4bbac642086de4f52a3fdda2de5fa2c",
            "annotations",
            820_000_000,
        ),
    ),
    (
        Split("train", "annotations/instances_train2017.json", "train2017"),
        Split("val", "annotations/instances_val2017.json", "val2017"),
    ),
    "https://cocodataset.org/#termsofuse",
)
DATA_SETS = {COCO_2017.name: COCO_2017}
