"""The built-in data set: overlapping geometric shapes in COCO format, made from a seed.

Four classes (circle, rectangle, triangle, star) of random size, turn, colour and texture lie on noisy backgrounds,
later ones on top of earlier ones. A shape in full view is annotated by its polygon, a partly hidden one by the RLE of
its visible part, and a cluster of tiny shapes of one class by one crowd region. Some images have no object. Half of the
images are portraits.
"""

import json
import math
import pathlib
from typing import NamedTuple

import numpy as np
from PIL import Image

from awsdet.data.coco.canvas import annotation_of, coverage
from awsdet.runtime.errors import UserError
from awsdet.runtime.files import check_folder
from awsdet.runtime.paths import given_path
from awsdet.runtime.progress import Progress

CATEGORIES = ((2, "circle"), (3, "rectangle"), (7, "triangle"), (11, "star"))  # ids with gaps, as COCO's have
SPLITS = ("train", "val", "test")
ASPECT = 0.75  # short side / long side
OBJECTS = 6  # at most, in one image
RADIUS = (0.11, 0.22)  # of a shape's outer circle, as a share of the long side
TINY_RADIUS = (0.025, 0.04)  # of the shapes in a crowd
CROWD_RADIUS = (0.14, 0.2)  # of the whole crowd
MIN_DISTANCE = 0.7  # between the centres of two shapes, as a share of the sum of their radii: some overlap
MIN_VISIBLE = 0.4  # a shape is not annotated if less than this share of it is visible
EMPTY_SHARE, CROWD_SHARE = 0.04, 0.08  # of the images
MIN_CONTRAST = 70.0  # distance in RGB between a shape's colour and the pixel under its centre
QUALITY = 92


class _Shape(NamedTuple):
    """A drawn shape or crowd: class, outline [points, 2] (None: a crowd), and the pixels it covered when drawn."""

    class_index: int
    outline: np.ndarray
    covered: int


def generate(directory, *, train_images=1000, val_images=200, test_images=None, image_size=128, seed=1):
    """Writes the data set: `images/<split>/*.jpg` and `annotations/instances_<split>.json` for train, val and test.

    directory: folder to write to; test_images: as many as val_images if None, and no such split if 0; image_size: long
    side in px, at least 64. The same seed gives the same bytes, and no split depends on how many images another has.
    Raises UserError for too few or too small images, and for a folder that cannot be written.
    """
    test_images = val_images if test_images is None else test_images
    if min(train_images, val_images) < 1 or test_images < 0:
        raise UserError(
            f"train_images={train_images}, val_images={val_images}, test_images={test_images}: train and val need at "
            "least one image each, and test_images is 0 for a set without a test split"
        )
    if image_size < 64:
        raise UserError(
            f"image_size={image_size}: it must be at least 64 px, or the shapes get too small to tell apart"
        )
    directory = pathlib.Path(given_path(directory, "output", written=True))
    check_folder(directory, "output")
    counts = [count for count in (train_images, val_images, test_images) if count]
    try:
        with Progress(sum(counts), "drawing shapes", "images") as progress:
            for number, count in enumerate(counts):
                _generate_split(directory, number, count, image_size, seed, progress)
    except OSError as error:
        raise UserError(f"cannot write to {directory}: {error.strerror or error}") from error


def _generate_split(directory, number, count, image_size, seed, progress):
    split = SPLITS[number]
    folder = directory / "images" / split
    folder.mkdir(parents=True, exist_ok=True)
    images, annotations = [], []
    for index in range(count):
        # Each image has its own random stream, so it does not depend on how many others there are.
        pixels, objects = draw_image(image_size, np.random.default_rng([seed, number, index]))
        image_id = number * 1_000_000 + index + 1
        name = f"{image_id:012d}.jpg"
        Image.fromarray(pixels).save(folder / name, quality=QUALITY)
        height, width = pixels.shape[:2]
        images.append({"id": image_id, "file_name": name, "height": height, "width": width})
        for annotation in objects:
            first = number * 10_000_000 + 1
            annotations.append({"id": first + len(annotations), "image_id": image_id, **annotation})
        progress.add()
    categories = [{"id": i, "name": name, "supercategory": "shape"} for i, name in CATEGORIES]
    content = {"images": images, "annotations": annotations, "categories": categories}
    (directory / "annotations").mkdir(exist_ok=True)
    (directory / "annotations" / f"instances_{split}.json").write_text(json.dumps(content))


def draw_image(image_size, rng):
    """One image and its annotations.

    Returns (uint8 RGB [H, W, 3], list of COCO annotations without ids).
    """
    short = round(image_size * ASPECT)
    height, width = (short, image_size) if rng.random() < 0.5 else (image_size, short)
    image = _background(height, width, rng)
    owner = np.full((height, width), -1, np.int32)  # the index of the shape seen at each pixel
    shapes, circles = [], []
    if rng.random() < CROWD_SHARE:
        _draw_crowd(image, owner, shapes, circles, image_size, rng)
    if rng.random() >= EMPTY_SHARE:
        for _ in range(rng.integers(1, OBJECTS + 1)):
            _draw_object(image, owner, shapes, circles, image_size, rng)
    annotations = [_annotate(shape, owner == index) for index, shape in enumerate(shapes)]
    noisy = image + rng.normal(0.0, 5.0, image.shape)
    return np.clip(np.rint(noisy), 0, 255).astype(np.uint8), [a for a in annotations if a]


def _background(height, width, rng):
    """float32 [H, W, 3]: a smooth blend of random colours, with finer variation on top."""
    layers = np.zeros((height, width, 3), np.float32)
    for cells, low, high in ((2, 30, 225), (9, -22, 22)):
        grid = rng.uniform(low, high, (cells, cells, 3)).astype(np.float32)
        for channel in range(3):
            plane = Image.fromarray(grid[:, :, channel]).resize((width, height), Image.Resampling.BICUBIC)
            layers[:, :, channel] += np.asarray(plane)
    return layers


def _draw_object(image, owner, shapes, circles, image_size, rng):
    """Draws one shape where it hides no neighbour completely; draws nothing if no such place is found."""
    class_index = int(rng.integers(len(CATEGORIES)))
    for _ in range(20):
        radius = rng.uniform(*RADIUS) * image_size
        x, y = _place(owner.shape, radius, rng)
        if all(math.hypot(x - cx, y - cy) >= MIN_DISTANCE * (radius + r) for cx, cy, r in circles):
            break
    else:
        return
    circles.append((x, y, radius))
    outline = _outline(CATEGORIES[class_index][1], x, y, radius, rng)
    covered = _paint(image, owner, outline, len(shapes), _colour(image[int(y), int(x)], rng), rng)
    shapes.append(_Shape(class_index, outline, covered))


def _draw_crowd(image, owner, shapes, circles, image_size, rng):
    """Draws many tiny shapes of one class close together; all of them become one annotation."""
    class_index = int(rng.integers(len(CATEGORIES)))
    radius = rng.uniform(*CROWD_RADIUS) * image_size
    x, y = _place(owner.shape, radius, rng)
    circles.append((x, y, radius / MIN_DISTANCE))  # kept clear of shapes
    for _ in range(rng.integers(12, 20)):
        tiny = rng.uniform(*TINY_RADIUS) * image_size
        angle, distance = rng.uniform(0, 2 * math.pi), math.sqrt(rng.random()) * (radius - tiny)
        cx, cy = x + distance * math.cos(angle), y + distance * math.sin(angle)
        outline = _outline(CATEGORIES[class_index][1], cx, cy, tiny, rng)
        _paint(image, owner, outline, len(shapes), _colour(image[int(cy), int(cx)], rng), rng)
    shapes.append(_Shape(class_index, None, 0))


def _place(size, radius, rng):
    height, width = size
    return rng.uniform(radius + 1, width - radius - 1), rng.uniform(radius + 1, height - radius - 1)


def _colour(under, rng):
    while True:
        colour = rng.uniform(20, 235, 3)
        if np.linalg.norm(colour - under) >= MIN_CONTRAST:
            return colour


def _outline(name, x, y, radius, rng):
    """float64 [points, 2]: the corners (x, y) of a shape turned at random, within a circle of `radius` px."""
    turn = rng.uniform(0, 2 * math.pi)
    if name == "circle":
        angles, radii = np.arange(36) / 36, np.full(36, radius)
    elif name == "rectangle":
        half = rng.uniform(0.09, 0.125)  # half the angle between the corners of a short side, in turns
        angles, radii = np.array([-half, half, 0.5 - half, 0.5 + half]), np.full(4, radius)
    elif name == "triangle":
        angles, radii = np.arange(3) / 3 + rng.uniform(-0.04, 0.04, 3), np.full(3, radius)
    else:
        angles, radii = np.arange(10) / 10, np.where(np.arange(10) % 2, 0.45 * radius, radius)
    angles = turn + 2 * math.pi * angles
    return np.stack([x + radii * np.cos(angles), y + radii * np.sin(angles)], axis=1)


def _paint(image, owner, outline, index, colour, rng):
    """Draws one outline with texture; sets `owner` to `index` in pixels at least half covered. Returns their number."""
    window, cover = coverage(outline, owner.shape)
    paint = colour + _texture(cover.shape, rng)[:, :, None]
    image[window] += cover[:, :, None] * (paint - image[window])
    owner[window][cover >= 0.5] = index
    return int((cover >= 0.5).sum())


def _texture(size, rng):
    """float64 [h, w], in grey levels: stripes, checks or zeros."""
    kind, strength = rng.integers(3), rng.uniform(8, 22)
    if kind == 0:
        return np.zeros(size)
    angle, period = rng.uniform(0, math.pi), rng.uniform(4, 8)
    y, x = np.mgrid[: size[0], : size[1]] * (2 * math.pi / period)
    waves = np.sin(x * math.cos(angle) + y * math.sin(angle))
    if kind == 2:
        waves = waves * np.sin(y * math.cos(angle) - x * math.sin(angle))
    return strength * np.sign(waves)


def _annotate(shape, seen):
    """The COCO annotation of a shape whose visible pixels are `seen`, bool [H, W]; None if they are too few."""
    area = int(seen.sum())
    if area == 0 or area < MIN_VISIBLE * shape.covered:
        return None
    annotation = {"category_id": CATEGORIES[shape.class_index][0], "iscrowd": int(shape.outline is None)}
    whole = area == shape.covered
    return {**annotation, **annotation_of(seen, shape.outline if whole else None)}
