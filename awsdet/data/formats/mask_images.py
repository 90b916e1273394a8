"""Mask images: PNG files whose pixels say which object they belong to.

    masks/NAME.png           for images/NAME.jpg: each number but 0 is an object
    masks/NAME/*.png         one object per file: the pixels that are not 0
    NAME/images/*, NAME/masks/*.png    the same, with a folder per image

All objects are of one class, unless the list of classes has several names. Then a file of one object is of the class
whose name its own begins or ends with (cat_1.png, 0001-cat.png), and the masks of numbers are in a folder per class:
masks/CLASS/NAME.png.
"""

import os
import pathlib
import re
from typing import NamedTuple

import numpy as np

from awsdet.data.formats.folders import (
    SUFFIXES,
    Images,
    Unreadable,
    counted,
    one_split,
    split_folders,
    upright_size,
    walk,
)
from awsdet.data.formats.number_images import read_numbers
from awsdet.data.formats.translated import Collector, Translated, from_numbers
from awsdet.runtime.errors import UserError

ONLY = "object"  # the class if no list of classes is given
_MOST = 10_000  # numbers in one mask; more are something else than objects
_ENDING = re.compile(r"[ _.-](masks?|labels?|instances?|seg)$", re.IGNORECASE)  # of the name of a mask file


class MaskFile(NamedTuple):
    """A mask file. is_object: whether all of it is one object. category: name of the class; None if it names none."""

    path: pathlib.Path
    is_object: bool
    category: str | None


class Pairs(NamedTuple):
    """The images of a split and their mask files. alone: mask files without an image."""

    images: Images
    masks: dict[str, list[MaskFile]]
    alone: list[pathlib.Path]


def translate(
    dataset: pathlib.Path, images: pathlib.Path | None, classes: list[str] | None, split: str | None
) -> dict[str, Translated]:
    """The splits of a data set: its folders train, val, test or those of its folder `images`, or all of it as `split`.

    dataset: folder with the folders `images` and `masks`, or with a folder per image; images: that of the images, if it
    is another one; classes: names in their order, or None: all objects are of one class. Raises UserError.
    """
    classes = classes or [ONLY]
    inner = dataset / "images"
    if images is None and split_folders(inner) and (dataset / "masks").is_dir():
        places = {one: (place, dataset / "masks" / place.name) for one, place in one_split(inner, split).items()}
        return {one: _collect(dataset, _pairs(*place, classes), classes) for one, place in places.items()}
    made = {}
    for one, folder in one_split(dataset, split).items():
        if (folder / "masks").is_dir():
            pairs = _pairs(images or folder / "images", folder / "masks", classes)
        else:
            pairs = _pairs_of_folders(folder, classes)
        made[one] = _collect(folder, pairs, classes)
    return made


def _pairs(folder, masks, classes):
    """The Pairs of a folder of images and one of masks."""
    if not folder.is_dir() or not masks.is_dir():
        raise UserError(
            f"there is no folder {masks if folder.is_dir() else folder}; masks belong to images of one name"
        )
    pairs = Pairs(Images(folder), {}, [])
    for path in walk(masks, SUFFIXES):
        relative = path.relative_to(masks)
        parts = relative.with_suffix("").parts
        named = len(classes) > 1 and parts[0] in classes and len(parts) > 1
        whole = "/".join(parts[1:] if named else parts)
        image = pairs.images.find(whole) or pairs.images.find(_ENDING.sub("", whole))
        if image is not None:
            category = parts[0] if named else classes[0]
            if len(classes) > 1 and not named:
                raise UserError(
                    f"{path} is a mask of numbers, which cannot tell {len(classes)} classes apart; sort the masks into "
                    f"a folder per class, such as {masks / classes[0] / relative}"
                )
            pairs.masks.setdefault(image, []).append(MaskFile(path, False, category))
        elif (image := pairs.images.find("/".join(parts[:-1]))) is not None:
            pairs.masks.setdefault(image, []).append(MaskFile(path, True, _class_of(parts[-1], classes)))
        else:
            pairs.alone.append(path)
    return pairs


def _pairs_of_folders(folder, classes):
    """The Pairs of a folder that has a folder per image."""
    pairs = Pairs(Images(folder), {}, [])
    for masks in sorted(folder.glob("*/masks")):
        found = list(walk(masks.parent / "images", SUFFIXES))
        if len(found) != 1:
            raise UserError(f"{masks.parent / 'images'} must hold one image; it holds {len(found)}")
        image = found[0].relative_to(folder).as_posix()
        pairs.masks[image] = [MaskFile(p, True, _class_of(p.stem, classes)) for p in walk(masks, SUFFIXES)]
    if not pairs.masks:
        raise UserError(f"{folder} has neither folders images and masks nor a folder per image with both in it")
    inner = [name for name in pairs.images.names if name.split("/")[1:2] != ["masks"]]
    pairs.images.names[:] = inner
    return pairs


def _class_of(name, classes):
    """The class that the name of a file of one object begins or ends with; None if it is none of several."""
    if len(classes) == 1:
        return classes[0]
    fitting = [
        one
        for one in classes
        if re.match(rf"{re.escape(one)}([ _.-]?\d|[ _.-]|$)", name)
        or re.search(rf"(^|[ _.-]|\d){re.escape(one)}$", name)
    ]
    return max(fitting, key=len, default=None)


def _collect(folder, pairs, classes):
    if not pairs.masks:
        raise UserError(f"{folder} has no mask that belongs to an image: masks/NAME.png belongs to images/NAME.jpg")
    collector = Collector(folder, pairs.images.folder, dict(enumerate(classes, 1)))
    for name in counted(pairs.images.names, f"reading {folder.name}"):
        size = upright_size(pairs.images.folder / name)
        number = collector.add_image(name, size)
        if name not in pairs.masks:
            collector.found.add("image_unlabelled", name)
        for mask in pairs.masks.get(name, ()):
            _add(collector, number, size, mask, os.path.relpath(mask.path, folder))
    for path in pairs.alone:
        collector.found.add("file_without_image", os.path.relpath(path, folder))
    return collector.translated()


def _add(collector, image, size, mask, name):
    """Adds the objects of a mask file to an image of a size."""
    if mask.category is None:
        collector.leave_out("mask_image", f"{name}: its name begins and ends with none of the classes")
        return
    try:
        values = read_numbers(mask.path)
    except Unreadable as error:
        collector.leave_out("mask_image", f"{name}: {error}")
        return
    count = len(np.unique(values[values != 0]))
    if count > _MOST or (mask.is_object and not count):
        what = f"it has {count} numbers, more than objects" if count else "it has no pixel that is not 0"
        collector.leave_out("mask_image", f"{name}: {what}")
        return
    for shape in from_numbers((values != 0).astype(np.uint8) if mask.is_object else values).values():
        if size is not None and values.shape != size:  # in other pixels, its box would lie elsewhere
            shape = shape._replace(box=None, area=None)
        collector.add_object(image, mask.category, shape)
