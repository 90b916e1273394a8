"""Random COCO files in all the dresses that tools give them: ids, boxes, masks and flags of many forms, sound and not.

Everything comes from one `random.Random`, so a seed names a file. Images are few and tiny.
"""

import json
import pathlib

import numpy as np
from PIL import Image
from pycocotools import mask as coco_mask

SIZES = ((24, 32), (40, 20), (31, 57))  # height, width of the images
_NUMBERS = (0, 1, -1, 0.5, 3, 17, 31.999, 1e9, -1e9, 1e300, 5e-324, 2**31, 2**63, 10**400)
_NO_NUMBERS = (None, True, "", "x", "nan", float("nan"), float("inf"), [], {}, [3])


def write_images(folder):
    """Writes the image files that all random files share: `0.png`, … of SIZES. Returns the folder."""
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for number, (height, width) in enumerate(SIZES):
        rows, columns = np.mgrid[:height, :width]
        pixels = np.stack([rows * 5, columns * 4, 40 * number + 0 * rows], axis=2).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")
    return folder


def random_file(rng):
    """The content of a COCO file, a dict that `json.dumps` can write; its images are those of `write_images`."""
    image_ids = _ids(rng, len(SIZES) + 1)
    category_ids = _ids(rng, rng.randint(1, 4))
    images = [_image(rng, number, one) for number, one in enumerate(image_ids)]
    if rng.random() < 0.1:
        images.append(dict(images[0]))  # listed twice
    categories = [{"id": one, "name": rng.choice(("cat", "Cat", "dog", "", "größe"))} for one in category_ids]
    quote_images, quote_categories = rng.random() < 0.15, rng.random() < 0.15
    annotations = []
    for number in range(rng.randint(1, 12)):
        place = rng.randrange(len(images))
        height, width = SIZES[min(place, len(SIZES) - 1)]
        annotation = _annotation(rng, number + 1, height, width)
        annotation["image_id"] = _reference(rng, images[place]["id"], quote_images)
        annotation["category_id"] = _reference(rng, rng.choice(category_ids), quote_categories)
        annotations.append(annotation)
    if rng.random() < 0.1:
        annotations.append(rng.choice((None, 5, "x", [])))
    return {"images": images, "annotations": annotations, "categories": categories}


def write_file(path, content):
    """Writes the content as JSON; NaN and infinity too, as Python writes them."""
    pathlib.Path(path).write_text(json.dumps(content))


def _ids(rng, count):
    """Different ids of one sort, or of several."""
    sort = rng.choice(("small", "small", "digits", "padded", "words", "underscore", "huge", "floats", "mixed"))
    start = rng.randrange(1, 50)
    makers = {
        "small": lambda i: start + i,
        "digits": lambda i: str(start + i),
        "padded": lambda i: f"{start + i:06d}",
        "words": lambda i: f"frame {start + i}",
        "underscore": lambda i: ("1_25", "12_5", "1_2_5", "125")[i % 4] + "_" * (i // 4),
        "huge": lambda i: 2 ** (53 + 5 * (start % 4)) + i,
        "floats": lambda i: float(start + i),
    }
    names = list(makers)
    return [makers[names[(start + i) % len(names)] if sort == "mixed" else sort](i) for i in range(count)]


def _reference(rng, one, quote):
    """How an annotation refers to an id."""
    if quote and isinstance(one, int):
        return str(one)
    if quote and isinstance(one, str) and one.isdigit():
        return int(one)
    return rng.choice((one,) * 19 + (12345678,))


def _image(rng, number, one):
    height, width = SIZES[number] if number < len(SIZES) else SIZES[-1]  # the last is a file that does not exist
    size = {"height": height, "width": width}
    dress = rng.random()
    if dress < 0.1:
        size = {}
    elif dress < 0.2:
        size = {"height": float(height), "width": str(width)}
    elif dress < 0.25:
        size = {"height": height + 1, "width": width}
    return {"id": one, "file_name": f"{number}.png", **size}


def _annotation(rng, number, height, width):
    box = _box(rng, height, width)
    polygon = _polygon(rng, box)
    annotation = {"id": rng.choice((number,) * 9 + (1, 0, f"a{number}", 2**63 + number, None))}
    for name, value in (
        ("bbox", _dressed_box(rng, box)),
        ("segmentation", _dressed_mask(rng, box, polygon, height, width)),
        ("area", _dressed_area(rng, box)),
        ("iscrowd", rng.choice((0,) * 6 + (1, 1, True, False, "1", "0", None, 2, "x", [], 0.0))),
        ("ignore", rng.choice((None, None, 0, 1))),
    ):
        if value is not _ABSENT:
            annotation[name] = value
    return annotation


_ABSENT = object()


def _box(rng, height, width):
    """x, y, width, height inside the image, in halves of pixels."""
    w, h = rng.randint(4, width), rng.randint(4, height)
    return [rng.randint(0, 2 * (width - w)) / 2, rng.randint(0, 2 * (height - h)) / 2, w, h]


def _dressed_box(rng, box):
    x, y, w, h = box
    return rng.choice(
        [box] * 14
        + [
            [float(n) for n in box],
            [str(n) for n in box],
            [x, y, x + w, y + h],
            [x - 3, y - 3, w + 6, h + 6],
            [x, y, 0, h],
            [x, y, w, -h],
            [x + 500, y, w, h],
            [x, y, w, rng.choice(_NUMBERS)],
            [rng.choice(_NO_NUMBERS), y, w, h],
            [box],
            [x, y, w],
            [],
            [0.1, 0.2, 0.5, 0.5],
            rng.choice(_NO_NUMBERS),
            _ABSENT,
        ]
    )


def _dressed_area(rng, box):
    area = box[2] * box[3]
    return rng.choice(
        [area] * 8
        + [area / 2, str(area), -area, 0, area * 3, rng.choice(_NUMBERS)]
        + [_ABSENT] * 2
        + [rng.choice(_NO_NUMBERS)]
    )


def _polygon(rng, box):
    """The corners of the box, or a triangle or a random polygon in it."""
    x, y, w, h = box
    if rng.random() < 0.5:
        return [x, y, x + w, y, x + w, y + h, x, y + h]
    if rng.random() < 0.5:
        return [x, y, x + w, y + h / 2, x, y + h]
    return [
        x + rng.randint(0, 4) / 4 * (w if i % 2 == 0 else h) if i % 2 == 0 else y + rng.randint(0, 4) / 4 * h
        for i in range(10)
    ]


def _rle(box, height, width, compressed):
    mask = np.zeros((height, width), np.uint8)
    x, y, w, h = (int(n) for n in box)
    mask[y : y + h, x : x + w] = 1
    coded = coco_mask.encode(np.asfortranarray(mask))
    if compressed:
        return {"size": [height, width], "counts": coded["counts"].decode()}
    flat = np.concatenate([[0], mask.ravel(order="F")])
    edges = np.flatnonzero(np.diff(flat))
    return {"size": [height, width], "counts": np.diff([0, *edges, height * width]).tolist()}


def _dressed_mask(rng, box, polygon, height, width):
    points = [list(pair) for pair in zip(polygon[0::2], polygon[1::2])]
    rle, plain = (_rle(box, height, width, compressed) for compressed in (True, False))
    far = [n * 1e9 if i % 3 == 0 else n for i, n in enumerate(polygon)]
    odd = list(polygon)
    odd[rng.randrange(len(odd))] = rng.choice(_NUMBERS + _NO_NUMBERS)
    return rng.choice(
        [[polygon]] * 12
        + [rle, plain] * 4
        + [
            polygon,
            [polygon, [n / 2 for n in polygon]],
            [polygon, [1, 1, 5, 5]],
            [polygon + polygon[:2]],
            [[str(n) for n in polygon]],
            points,
            [points],
            [[points]],
            [{"x": px, "y": py} for px, py in points],
            [[polygon]],
            [rle],
            [plain, _rle([0, 0, 4, 4], height, width, False)],
            [[]],
            [[[]]],
            [],
            {},
            None,
            [box[0], box[1], box[0] + box[2], box[1] + box[3]],
            [[1, 2, 3, 4, 5]],
            [far],
            [odd],
            {**rle, "size": [width, height]},
            {**plain, "counts": plain["counts"][:-1]},
            {**plain, "counts": [-1, *plain["counts"][1:]]},
            {**plain, "counts": [height * width]},
            {**rle, "counts": rle["counts"][:-1]},
            {**plain, "counts": " ".join(map(str, plain["counts"]))},
            {**rle, "counts": f"b'{rle['counts']}'"},
            {"counts": rng.choice(_NO_NUMBERS), "size": rng.choice(([height, width], None, 5))},
            "iVBORw0KGgoAAAANSUhEUg==",
            rng.choice(_NO_NUMBERS),
            _ABSENT,
        ]
    )
