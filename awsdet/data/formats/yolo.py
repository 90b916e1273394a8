"""YOLO: a text file per image, beside it or in a folder `labels` in place of `images`; an image without one is empty.

Each line is an object: the number of its class, then the centre, width and height of its box, or the points of its
polygon, all as shares of the upright image's width and height.
"""

import os
import pathlib

from awsdet.data.coco.anomalies import shown_value
from awsdet.data.coco.numerals import finite_numbers
from awsdet.data.formats.folders import SUFFIXES, Unreadable, counted, posix, read_text, upright_size
from awsdet.data.formats.translated import Collector, Shape, Translated, from_box, from_polygons
from awsdet.data.formats.yolo_lists import NOT_LABELS, DataSet, read_data_set
from awsdet.runtime.errors import UserError


def translate(dataset: pathlib.Path, classes: list[str] | None, split: str | None) -> dict[str, Translated]:
    """The splits of a data set; without `split` all that are there.

    dataset: a data.yaml, or the folder that holds it or a list of classes; classes: names in their order, if neither
    is there. Raises UserError.
    """
    found = read_data_set(dataset, classes, split)
    return {one: _collect(found, one, images) for one, images in found.splits.items()}


def _collect(data_set: DataSet, split: str, images: list[pathlib.Path]) -> Translated:
    collector = Collector(data_set.path, data_set.root, data_set.categories)
    labels = {path: label_path(path) for path in images}
    if images and not any(label.is_file() for label in labels.values()):
        raise UserError(
            f"no image of {split} has a label file: {images[0]} would have {labels[images[0]]}; is the folder of "
            "labels missing?"
        )
    for path in counted(images, f"reading {split}"):
        _add(collector, data_set.root, path, labels[path])
    known = set(labels.values())
    for label in _beside(labels):
        if label not in known and label.name.lower() not in NOT_LABELS:
            collector.found.add("file_without_image", os.path.relpath(label, data_set.root))
    return collector.translated()


def _beside(labels):
    """Text files in the folders of some label files, but for those of other images, which may be of another split.

    labels: image -> its label file.
    """
    folders = {}
    for image, label in labels.items():
        folders.setdefault(label.parent, set()).add(image.parent)
    for folder, places in sorted(folders.items()):
        stems = {path.stem for place in places for path in place.glob("*") if path.suffix.lower() in SUFFIXES}
        yield from (label for label in sorted(folder.glob("*.txt")) if label.stem not in stems)


def label_path(image: pathlib.Path) -> pathlib.Path:
    """Where the label file of an image is, or would be."""
    parts = list(image.parts)
    beside = image.with_suffix(".txt")
    if "images" not in parts[:-1]:
        return beside
    at = len(parts) - 2 - parts[-2::-1].index("images")
    label = pathlib.Path(*parts[:at], "labels", *parts[at + 1 :]).with_suffix(".txt")
    return beside if not label.is_file() and beside.is_file() else label


def _add(collector, root, path, label):
    name = posix(os.path.relpath(path, root))
    size = upright_size(path)
    try:
        text = read_text(label) if label.is_file() else None
    except Unreadable as error:
        collector.found.add("file_unreadable", f"{os.path.relpath(label, root)}: {error}")
        return
    number = collector.add_image(name, size)
    if text is None:
        collector.found.add("image_unlabelled", name)
        return
    for line_number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        category, shape = _object(line.split(), size)
        if shape is None:
            where = f"{os.path.relpath(label, root)}, line {line_number}"
            collector.leave_out("line_malformed", f"{where}: {shown_value(line)}")
        else:
            collector.add_object(number, category, shape)


def _object(words: list[str], size: tuple[int, int] | None) -> tuple[int, Shape | None]:
    """(class, Shape) of a line; no Shape if it is neither a box nor a polygon.

    size: height and width; None for an image that cannot be read, and without it nothing is known in pixels.
    """
    numbers = finite_numbers(words, lambda *_: None)
    if numbers is None or not numbers[0].is_integer():
        return 0, None
    number, *values = numbers
    if len(values) != 4 and (len(values) < 6 or len(values) % 2):
        return 0, None
    if size is None:
        return int(number), Shape(None, None)
    height, width = size
    if len(values) == 4:
        x, y, w, h = values
        return int(number), from_box((x - w / 2) * width, (y - h / 2) * height, w * width, h * height)
    pixels = [value * (width, height)[index % 2] for index, value in enumerate(values)]
    return int(number), from_polygons([pixels])
