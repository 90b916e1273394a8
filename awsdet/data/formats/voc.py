"""Pascal VOC: an XML file per image in Annotations, images in JPEGImages, lists of the splits in ImageSets/Main.

Boxes are numbers of pixels, counted from 1, both ends included; if a box of the data set begins at 0, its writer
counted from 0, and all boxes are read as edges. Masks come from SegmentationObject, if it is there: a PNG per image,
whose pixels have the number of the object in the XML file, 0 for the background, and 255 for borders.
"""

import pathlib
import re
from typing import NamedTuple
from xml.etree.ElementTree import Element

from awsdet.data.coco.numerals import finite_number
from awsdet.data.formats.folders import (
    SUFFIXES,
    Images,
    Unreadable,
    counted,
    lines_of,
    posix,
    read_bytes,
    split_folders,
    upright_size,
    walk,
)
from awsdet.data.formats.names import SPLITS
from awsdet.data.formats.number_images import read_numbers
from awsdet.data.formats.translated import Collector, Shape, Translated, from_box, from_numbers
from awsdet.data.formats.xml_tree import parse
from awsdet.runtime.errors import UserError

_ANNOTATIONS = ("Annotations", "annotations", "xmls")
_IMAGES = ("JPEGImages", "Images", "images")
_CORNERS = ("xmin", "ymin", "xmax", "ymax")
_BORDER = 255
_OF_ONE_CLASS = re.compile(r".*\s-?[01]$")  # a line of a list such as cat_train.txt


class Folders(NamedTuple):
    """A data set: the folders of XML files, of images, of lists and of masks; the last two need not exist."""

    annotations: pathlib.Path
    images: pathlib.Path
    lists: pathlib.Path
    masks: pathlib.Path


class Object(NamedTuple):
    """An object of an XML file. corners: xmin, ymin, xmax, ymax as floats, or as texts that are no numbers."""

    name: str
    corners: list
    difficult: bool
    unread: tuple[str, ...]


class File(NamedTuple):
    """What an XML file says. size: height and width; None if it does not say."""

    image: str
    size: tuple[int, int] | None
    objects: list[Object]


def translate(
    dataset: pathlib.Path, images: pathlib.Path | None, classes: list[str] | None, split: str | None
) -> dict[str, Translated]:
    """The splits of a data set; without `split` all that are there.

    dataset: the folder with Annotations, one above it, or a folder of XML files; images: that of the images, if it is
    another one; classes: names in their order, or None: those that occur, sorted. Raises UserError.
    """
    places = _places(dataset, images, split)
    files = {folders: _read_all(folders) for folders in dict.fromkeys(folders for folders, _ in places.values())}
    objects = [o for found in files.values() for f in found.values() if isinstance(f, File) for o in f.objects]
    if not objects and not classes:
        raise UserError(f"{dataset} has no XML file with an object; is it a data set of Pascal VOC?")
    names = classes or sorted({o.name for o in objects})
    from_zero = any(0.0 in o.corners[:2] for o in objects)
    categories = dict(enumerate(names, 1))
    return {
        one: _Split(folders, files[folders], from_zero).collect(stems, categories)
        for one, (folders, stems) in places.items()
        if split in (None, one)
    }


class _Split:
    """A split on its way to COCO's form."""

    def __init__(self, folders, files, from_zero):
        self._folders, self._files, self._from_zero = folders, files, from_zero
        self._images = Images(folders.images)

    def collect(self, stems, categories):
        """The Translated of the images with these names (None: all that have an XML file)."""
        collector = Collector(self._folders.annotations, self._folders.images, categories)
        seen = set()
        for stem in stems if stems is not None else self._files:
            file = self._files.get(stem)
            image = self._images.find(stem, file.image if isinstance(file, File) else "")
            seen.add(image)
            if file is None:
                collector.found.add("image_without_file", f"{stem}: {self._folders.annotations / stem}.xml is missing")
            elif isinstance(file, Unreadable):
                collector.found.add("file_unreadable", f"{stem}.xml: {file}")
            else:
                self._add(collector, stem, image or posix(file.image).rpartition("/")[2] or f"{stem}.jpg", file)
        if stems is None:
            for name in self._images.names:
                if name not in seen:
                    collector.found.add("image_without_file", name)
        return collector.translated()

    def _add(self, collector, stem, image, file):
        number = collector.add_image(image, file.size or upright_size(self._folders.images / image))
        masks = self._masks(collector, stem, len(file.objects))
        for index, one in enumerate(file.objects, 1):
            name = f"{stem}.xml, object {index}"
            shape = self._shape(one, masks.get(index, Shape(None, None)))
            if self._from_zero and 0.0 in one.corners[:2]:
                collector.found.add("box_from_zero", name)
            if one.difficult:
                collector.found.add("object_difficult", name)
            for tag in one.unread:
                collector.leave_out("object_unread", f"{name}: <{tag}>", objects=0)
            collector.add_object(number, one.name, shape, crowd=one.difficult)

    def _shape(self, one, mask):
        if len(one.corners) != 4 or not all(isinstance(corner, float) for corner in one.corners):
            return mask._replace(box=one.corners)
        left, top, right, bottom = one.corners
        if not self._from_zero:
            left, top = left - 1, top - 1
        box = from_box(left, top, right - left, bottom - top)
        return mask._replace(box=box.box, area=box.area if mask.area is None else mask.area)

    def _masks(self, collector, stem, count):
        """The masks of the objects of an image: number -> Shape."""
        path = self._folders.masks / f"{stem}.png"
        if not path.is_file():
            return {}
        try:
            masks = from_numbers(read_numbers(path))
        except Unreadable as error:
            collector.found.add("mask_image", f"{path.name}: {error}")
            return {}
        masks.pop(_BORDER, None)
        for number in masks:
            if number > count:
                collector.found.add("mask_image", f"{path.name}: its value {number} is that of no object")
        return masks


def _places(dataset, images, split):
    """split -> (Folders, names of its images without suffix, or None: all that have an XML file).

    `split` is one of them. The others are there for the names of the classes, which are those of the whole data set.
    """
    root = _root(dataset)
    if root is None:
        flat = split_folders(dataset)
        flat = {one: folder for one, folder in flat.items() if any(walk(folder, (".xml",)))}
        if flat and split and split not in flat:
            raise UserError(f"{dataset} has no folder of the split {split}, but {', '.join(flat)}")
        if not flat and not split and any(walk(dataset, (".xml",))):
            raise UserError(f"{dataset} has no ImageSets and no folders train, val, test; name the split with --split")
        return {one: (_folders(folder, images), None) for one, folder in (flat or {split: dataset}).items()}
    folders = _folders(root, images)
    lists = _lists(folders.lists)
    if not lists:
        if not split:
            raise UserError(f"{root} has no lists in ImageSets/Main; name the split that all of it is with --split")
        return {split: (folders, None)}
    wanted = [split] if split else [one for one in SPLITS if one in lists] or ["trainval"]
    if wanted[0] not in lists:
        which = f"no list {split}" if split else "none of the lists train, val, test and trainval"
        raise UserError(f"{folders.lists} has {which}, but {', '.join(lists)}; name one of them with --split")
    return {one: (folders, lists[one]) for one in wanted}


def _root(dataset):
    """The folder that holds Annotations: the data set itself, or one below it; None if there is none."""
    if any((dataset / name).is_dir() for name in _ANNOTATIONS):
        return dataset
    below = [place for pattern in ("*", "VOCdevkit/*") for place in sorted(dataset.glob(f"{pattern}/Annotations"))]
    if len(below) > 1:
        names = ", ".join(str(place.parent) for place in below)
        raise UserError(f"{dataset} holds several data sets of Pascal VOC; give one of them with --dataset: {names}")
    return below[0].parent if below else None


def _folders(root, images):
    def first(names):
        return next((root / name for name in names if (root / name).is_dir()), root)

    main, segmentation = root / "ImageSets" / "Main", root / "ImageSets" / "Segmentation"
    lists = main if main.is_dir() or not segmentation.is_dir() else segmentation
    return Folders(first(_ANNOTATIONS), images or first(_IMAGES), lists, root / "SegmentationObject")


def _lists(folder):
    """The lists of whole splits: name -> names of images without their suffix."""
    found = {}
    for path in sorted(folder.glob("*.txt")):
        lines = lines_of(path, "list of images")
        if not lines or not all(map(_OF_ONE_CLASS.fullmatch, lines)):
            found[path.stem] = [_stem(line) for line in lines]
    return found


def _stem(line):
    name = posix(line)
    return name[: name.rindex(".")] if pathlib.PurePosixPath(name).suffix.lower() in SUFFIXES else name


def _read_all(folders):
    """All XML files of a data set: name without suffix -> File, or the Unreadable that says why not."""
    found = {}
    for path in counted(list(walk(folders.annotations, (".xml",))), "reading XML"):
        stem = path.relative_to(folders.annotations).with_suffix("").as_posix()
        try:
            found[stem] = _file(parse(read_bytes(path)))
        except Unreadable as error:
            found[stem] = error
    return found


def _file(root: Element) -> File:
    if root.tag != "annotation":
        raise Unreadable(f"its first element is <{root.tag[:30]}>, not <annotation>")
    size = [_number(root.findtext(f"size/{side}", "")) for side in ("height", "width")]
    known = all(isinstance(side, float) and side >= 1 and side == int(side) for side in size)
    objects = [_object(element) for element in root.findall("object")]
    return File(root.findtext("filename", "").strip(), tuple(map(int, size)) if known else None, objects)


def _object(element):
    box = element.find("bndbox")
    corners = [] if box is None else [_number(box.findtext(corner, "")) for corner in _CORNERS]
    unread = tuple(child.tag for child in element if child.tag in ("part", "polygon", "segm"))
    difficult = element.findtext("difficult", "0").strip().lower() in ("1", "true")
    return Object(element.findtext("name", "").strip(), corners, difficult, unread)


def _number(text):
    """The number that a text is, or the text itself."""
    number = finite_number(text, lambda *_: None)
    return text.strip() if number is None else number
