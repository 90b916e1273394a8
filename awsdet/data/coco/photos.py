"""A built-in data set that resembles somebody's own photos, in COCO format, made from a seed.

Balls, crates, leaves, stars and a few coins lie on textured ground. They are lit from one side, cast shadows and hide
each other. Photos have several shapes and sizes, are JPEG of varying quality or PNG, and some are grey or turned by an
EXIF tag. With `oddities` the set also has faults as real sets do.
"""

import io
import json
import math
import pathlib
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageFilter

from awsdet.data.coco.canvas import annotation_of, coverage
from awsdet.runtime.errors import UserError
from awsdet.runtime.progress import Progress

# Name -> (category id, relative frequency). The ids have gaps, and one class is rare.
CLASSES = {"ball": (1, 1.0), "crate": (4, 1.0), "leaf": (5, 1.0), "star": (9, 1.0), "coin": (23, 0.15)}
SHAPES = ((4, 3), (3, 2), (1, 1), (16, 9))  # long side : short side
SIZES = (0.7, 1.0)  # long side, as a share of image_size
RADII = (0.06, 0.2)  # of an object's outer circle, as a share of the long side
OBJECTS = 6  # at most, in one photo
EMPTY_SHARE, CROWD_SHARE, PNG_SHARE, GREY_SHARE, TURNED_SHARE = 0.05, 0.04, 0.1, 0.06, 0.1
MIN_VISIBLE = 0.3  # an object is not annotated if less than this share of it is visible
ORIENTATION = 274  # the EXIF tag; its values -> how an upright photo is turned before it is stored
TURNED = {3: Image.Transpose.ROTATE_180, 6: Image.Transpose.ROTATE_90, 8: Image.Transpose.ROTATE_270}


class _Object(NamedTuple):
    """A drawn object or crowd: name, outline [points, 2] (None: a crowd), and the pixels it covered when drawn."""

    name: str
    outline: np.ndarray
    covered: int


def generate(directory, *, images=300, image_size=256, seed=1, oddities=False):
    """Writes the data set: `photos/day N/*` and `photos.json`. Returns the path of the annotation file.

    directory: folder to write to; image_size: the longest side in px, at least 96; oddities: add a missing file, a copy
    of a photo, a photo that was cut off, and four faulty annotations. The same seed gives the same bytes.
    Raises UserError for too few or too small images, and for a folder that cannot be written.
    """
    if images < 8 or image_size < 96:
        raise UserError(f"images={images}, image_size={image_size}: it takes 8 photos of 96 px or more")
    directory = pathlib.Path(directory)
    entries, annotations = [], []
    try:
        with Progress(images, "drawing photos", "images") as progress:
            for index in range(images):
                _add_photo(directory / "photos", index, image_size, seed, entries, annotations)
                progress.add()
        if oddities:
            _add_oddities(directory / "photos", entries, annotations)
        categories = [{"id": number, "name": name} for name, (number, _) in CLASSES.items()]
        content = {"images": entries, "annotations": annotations, "categories": categories}
        (directory / "photos.json").write_text(json.dumps(content))
    except OSError as error:
        raise UserError(f"cannot write to {directory}: {error.strerror or error}") from error
    return directory / "photos.json"


def _add_photo(folder, index, image_size, seed, entries, annotations):
    rng = np.random.default_rng([seed, index])  # its own stream: it does not depend on how many others there are
    pixels, objects = draw_photo(image_size, rng)
    data, suffix = _encoded(Image.fromarray(pixels), rng)
    name = f"day {1 + index // 100}/IMG {index + 1:04d}{suffix}"
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(data)
    height, width = pixels.shape[:2]
    entries.append({"id": 1001 + index, "file_name": name, "height": height, "width": width})
    for found in objects:
        annotations.append({"id": 1 + len(annotations), "image_id": 1001 + index, **found})


def _encoded(image, rng):
    """(bytes, suffix) of an image in one of the formats that cameras and their owners choose."""
    png, grey, turned = rng.random(3) < (PNG_SHARE, GREY_SHARE, TURNED_SHARE)
    quality, exif = int(rng.integers(60, 96)), Image.Exif()
    if grey:
        image = image.convert("L")
    if turned and not png:
        exif[ORIENTATION] = int(rng.choice(list(TURNED)))
        image = image.transpose(TURNED[exif[ORIENTATION]])
    out = io.BytesIO()
    if png:
        image.save(out, "PNG")
    else:
        image.save(out, "JPEG", quality=quality, exif=exif)
    return out.getvalue(), ".png" if png else ".jpg"


def _add_oddities(folder, entries, annotations):
    """What real sets have too. Each fault is in a photo of its own."""
    numbers = [e["id"] for e in entries if sum(a["image_id"] == e["id"] and not a["iscrowd"] for a in annotations) > 1]
    whole = {entry["id"]: entry for entry in entries}
    twin, missing, cut, *others = numbers
    name = whole[twin]["file_name"].replace("IMG", "Copy of IMG")
    (folder / name).write_bytes((folder / whole[twin]["file_name"]).read_bytes())
    entries.append({**whole[twin], "id": 5000, "file_name": name})
    copies = [{**a, "image_id": 5000} for a in annotations if a["image_id"] == twin]
    annotations += [{**copy, "id": 1 + len(annotations) + n} for n, copy in enumerate(copies)]
    (folder / whole[missing]["file_name"]).unlink()
    path = folder / whole[cut]["file_name"]
    path.write_bytes(path.read_bytes()[:-400])
    faults = ({"bbox": [20, 20, 0, 15]}, {"segmentation": [[1, 2, 3, 4]]}, {"category_id": 2}, {"id": 1})
    for fault, number in zip(faults, others):
        annotation = next(a for a in annotations if a["image_id"] == number and not a["iscrowd"])
        annotation.update(fault)


# ------------------------------------------------------------------------------------------------------------- drawing


def draw_photo(image_size, rng):
    """One photo and its annotations. Returns (uint8 RGB [H, W, 3], list of COCO annotations without ids)."""
    long = round(image_size * rng.uniform(*SIZES))
    first, second = SHAPES[rng.integers(len(SHAPES))]
    short = round(long * second / first)
    height, width = (short, long) if rng.random() < 0.4 else (long, short)
    image, owner = _ground(height, width, rng), np.full((height, width), -1, np.int32)
    sun, objects = rng.uniform(0, 2 * math.pi), []
    if rng.random() < CROWD_SHARE:
        _draw_crowd(image, owner, objects, long, sun, rng)
    if rng.random() >= EMPTY_SHARE:
        names, weights = list(CLASSES), np.array([weight for _, weight in CLASSES.values()])
        for name in rng.choice(names, rng.integers(1, OBJECTS + 1), p=weights / weights.sum()):
            radius = long * math.exp(rng.uniform(*np.log(RADII)))
            x, y = (rng.uniform(min(radius, side / 2), max(side - radius, side / 2)) for side in (width, height))
            _draw(image, owner, objects, str(name), (x, y, radius), sun, rng)
    annotations = [_annotation(found, owner == number) for number, found in enumerate(objects)]
    return _exposed(image, rng), [annotation for annotation in annotations if annotation]


def _noise(height, width, cells, rng):
    """float32 [H, W], about -1 to 1: smooth random values, `cells` of them along a side."""
    grid = rng.uniform(-1, 1, (cells, cells)).astype(np.float32)
    return np.asarray(Image.fromarray(grid).resize((width, height), Image.Resampling.BICUBIC))


def _ground(height, width, rng):
    """float32 [H, W, 3]: sand, grass, stone or the like, lighter on one side."""
    base = rng.uniform(60, 190, 3) * 0.5 + rng.uniform(60, 190) * 0.5
    texture = sum(_noise(height, width, cells, rng) * weight for cells, weight in ((3, 30), (12, 16), (48, 14)))
    tint = rng.uniform(-25, 25, 3) * _noise(height, width, 2, rng)[:, :, None]
    return (base + texture[:, :, None] + tint).astype(np.float32)


def _exposed(image, rng):
    """uint8 [H, W, 3]: the photo with the light, the softness and the noise of a camera."""
    height, width = image.shape[:2]
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    light = rng.uniform(0.75, 1.2) * (1 - rng.uniform(0, 0.2) * (x * x + y * y))
    cast = 1 + rng.uniform(-0.08, 0.08, 3)
    noisy = image * light[:, :, None] * cast + rng.normal(0, rng.uniform(1, 7), image.shape)
    pixels = Image.fromarray(np.clip(np.rint(noisy), 0, 255).astype(np.uint8))
    return np.asarray(pixels.filter(ImageFilter.GaussianBlur(rng.uniform(0, 0.8))))


def _draw(image, owner, objects, name, place, sun, rng):
    """Draws an object with its shadow on top of what is there."""
    outline, turn = _outline(name, *place, rng)
    outline = np.clip(outline, 0, owner.shape[::-1])
    length = 0.25 * place[2]
    shadow, dark = coverage(np.clip(outline - length * _direction(sun), 0, owner.shape[::-1]), owner.shape)
    image[shadow] *= 1 - 0.45 * dark[:, :, None]
    window, cover = coverage(outline, owner.shape)
    paint = _surface(name, window, place, turn, sun, rng)
    image[window] += cover[:, :, None] * (paint - image[window])
    owner[window][cover >= 0.5] = len(objects)
    objects.append(_Object(name, outline, int((cover >= 0.5).sum())))


def _draw_crowd(image, owner, objects, long, sun, rng):
    """Draws a heap of leaves, which becomes one annotation."""
    height, width = owner.shape
    x, y = rng.uniform(0.25, 0.75) * width, rng.uniform(0.25, 0.75) * height
    first = len(objects)
    for _ in range(rng.integers(14, 22)):
        dx, dy = rng.normal(0, 0.06 * long, 2)
        place = (np.clip(x + dx, 8, width - 8), np.clip(y + dy, 8, height - 8), 0.05 * long)
        _draw(image, owner, objects, "leaf", place, sun, rng)
    owner[owner >= first] = first
    del objects[first:]
    objects.append(_Object("leaf", None, 0))


def _direction(angle):
    return np.array([math.cos(angle), math.sin(angle)])


def _outline(name, x, y, radius, rng):
    """(float64 [points, 2] within a circle of `radius` px, the angle by which it is turned)."""
    angles, turn = 2 * math.pi * np.arange(60) / 60, rng.uniform(0, 2 * math.pi)
    across, along = np.cos(angles), np.sin(angles)
    if name == "crate":
        across, along = np.array([-1, 1, 1, -1]) * 0.75, np.array([-1, -1, 1, 1]) * rng.uniform(0.45, 0.65)
    elif name == "leaf":
        along = along * np.abs(along) * rng.uniform(0.35, 0.5)  # pointed at both ends
    elif name == "star":
        reach = 0.68 + 0.32 * np.cos(5 * angles)
        across, along = across * reach, along * reach
    elif name == "coin":
        along = along * rng.uniform(0.6, 0.95)
    cosine, sine = _direction(turn)
    points = np.stack([across * cosine - along * sine, across * sine + along * cosine], axis=1)
    return np.array([x, y]) + radius * points, turn


def _surface(name, window, place, turn, sun, rng):
    """float64 [h, w, 3]: the colours of an object in the rows and columns `window`."""
    x, y, radius = place
    rows, columns = np.mgrid[window[0], window[1]].astype(np.float64) + 0.5
    dx, dy = (columns - x) / radius, (rows - y) / radius
    cosine, sine = _direction(turn)
    across, along = dx * cosine + dy * sine, dy * cosine - dx * sine
    lit = dx * math.cos(sun) + dy * math.sin(sun)  # -1 to 1, towards the sun
    grain = rng.normal(0, 1, dx.shape)
    hue = rng.uniform(-25, 25, 3)
    if name == "ball":
        first, second = rng.uniform(40, 240, (2, 3))
        colour = np.where((np.sin(rng.integers(4, 8) * across) > 0)[..., None], first, second)
        return colour * (0.75 + 0.35 * lit - 0.25 * (dx * dx + dy * dy))[..., None]
    if name == "crate":
        planks = np.where(np.abs(np.sin(7 * along)) < 0.25, 0.6, 1.0) * (1 + 0.06 * np.sin(30 * across + 9 * grain))
        return (np.array([170, 120, 70]) + hue) * (planks * (1 + 0.12 * lit))[..., None]
    if name == "leaf":
        ribs = np.where((np.abs(along) < 0.04) | (np.sin(22 * (across - np.abs(along))) > 0.9), 0.7, 1.0)
        base = np.array([(70, 140, 50), (190, 150, 40), (180, 70, 40)][rng.integers(3)]) + hue
        return base * (ribs * (1 + 0.15 * lit))[..., None]
    if name == "star":
        speckles = np.where(grain > 1.4, 1.35, 1.0) * (1.15 - 0.3 * np.hypot(dx, dy))
        return (np.array([(210, 100, 50), (160, 60, 130), (70, 90, 170)][rng.integers(3)]) + hue) * speckles[..., None]
    rim = np.where(np.abs(np.hypot(dx, dy) - 0.72) < 0.08, 0.7, 1.0) * (1 + 0.35 * lit * np.abs(lit))
    return (np.array([195, 180, 120]) + hue) * rim[..., None]


def _annotation(found, seen):
    """The annotation of an object whose visible pixels are `seen`; None if they are too few."""
    if not seen.any() or seen.sum() < MIN_VISIBLE * found.covered:
        return None
    whole = seen.sum() == found.covered
    head = {"category_id": CLASSES[found.name][0], "iscrowd": int(found.outline is None)}
    return {**head, **annotation_of(seen, found.outline if whole else None)}
