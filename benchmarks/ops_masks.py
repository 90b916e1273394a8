"""Times mask pasting and mask targets beside the usual means: pycocotools, Pillow, tf.image.

Images are 800 x 1344. Objects have sides from 16 to 600 px (log-uniform); their masks are blobs, their outlines
polygons of 60 points.
"""

import concurrent.futures

import numpy as np
import tensorflow as tf
from PIL import Image
from pycocotools import mask as coco_mask

from awsdet.ops.mask_targets import polygon_targets, rle_targets
from awsdet.ops.paste_masks import paste_masks
from benchmarks.ops_measure import Row, alternate

HEIGHT, WIDTH, SIDE = 800, 1344, 28


def some_boxes(random, count):
    """float32 [count, 4] within the image."""
    size = np.exp(random.uniform(np.log(16), np.log(600), (count, 2)))
    corner = random.uniform(0, 1, (count, 2)) * ([WIDTH, HEIGHT] - size)
    return np.concatenate([corner, corner + size], axis=1).astype(np.float32)


def blobs(random, count):
    """Mask probabilities float32 [count, 28, 28]: a round object with a bumpy outline."""
    y, x = np.meshgrid(*[np.linspace(-1, 1, SIDE)] * 2, indexing="ij")
    angle, distance = np.arctan2(y, x), np.hypot(x, y)
    waves = random.integers(2, 7, (count, 1, 1)), random.uniform(0, 6, (count, 1, 1))
    outline = 0.75 + 0.2 * np.sin(waves[0] * angle + waves[1])
    return (1 / (1 + np.exp(-8 * (outline - distance)))).astype(np.float32)


def window(box):
    """The whole pixels that a box covers: x1, y1, x2, y2."""
    x1, y1, x2, y2 = box
    return max(int(x1), 0), max(int(y1), 0), min(int(np.ceil(x2)), WIDTH), min(int(np.ceil(y2)), HEIGHT)


def resized_by_pillow(mask, size):
    return np.asarray(Image.fromarray(mask).resize(size, Image.Resampling.BILINEAR))


def resized_by_tensorflow(mask, size):
    return tf.image.resize(mask[..., np.newaxis], size[::-1])[..., 0].numpy()


def resize_and_encode(mask, box, resize):
    """The usual way: resizes each mask to its box, puts it into an image of zeros and encodes that."""
    x1, y1, x2, y2 = window(box)
    image = np.zeros((HEIGHT, WIDTH), np.uint8, order="F")
    image[y1:y2, x1:x2] = resize(mask, (x2 - x1, y2 - y1)) >= 0.5
    return coco_mask.encode(image)


def pasted(count=100):
    random = np.random.default_rng(0)
    masks, boxes = blobs(random, count), some_boxes(random, count)
    threads = tf.config.threading.get_intra_op_parallelism_threads()
    with concurrent.futures.ThreadPoolExecutor(threads or None) as pool:

        def ours():
            return paste_masks(masks, boxes, (HEIGHT, WIDTH))

        def usual(resize):
            return list(pool.map(resize_and_encode, masks, boxes, [resize] * count))

        times = alternate(ours, lambda: usual(resized_by_pillow), lambda: usual(resized_by_tensorflow))
    name = f"paste_masks {count} in {HEIGHT} x {WIDTH}"
    return [
        Row(name, times[0], "Pillow resize, pycocotools encode", times[1], 10.0),
        Row(name, times[0], "tf.image.resize, encode", times[2], 10.0),
    ]


def outlines(random, boxes):
    """A polygon of 60 points for each box."""
    angle = np.linspace(0, 2 * np.pi, 60, endpoint=False)
    radius = 0.5 * random.uniform(0.7, 1.0, (len(boxes), 60))
    unit = np.stack([0.5 + radius * np.cos(angle), 0.5 + radius * np.sin(angle)], axis=-1)
    return (boxes[:, np.newaxis, :2] + unit * (boxes[:, 2:] - boxes[:, :2])[:, np.newaxis]).reshape(len(boxes), -1)


def run_lengths(code):
    """The uncompressed run lengths of a compressed COCO RLE."""
    flat = coco_mask.decode(code).T.ravel()
    edges = np.flatnonzero(np.diff(np.concatenate([[0], flat])))
    return np.diff(np.concatenate([[0], edges, [flat.size]])).astype(np.int32)


def targets(objects=20, rois=256):
    random = np.random.default_rng(1)
    truth = some_boxes(random, objects)
    polygons = outlines(random, truth)
    codes = [coco_mask.frPyObjects([p.tolist()], HEIGHT, WIDTH)[0] for p in polygons]
    index = random.integers(objects, size=rois).astype(np.int32)
    size = np.tile(truth[:, 2:] - truth[:, :2], 2)[index]
    boxes = tf.constant((truth[index] + random.uniform(-0.1, 0.1, size.shape) * size).astype(np.float32))
    ragged = tf.RaggedTensor.from_row_lengths(tf.constant(polygons.ravel(), tf.float32), [120] * objects)
    ragged = tf.RaggedTensor.from_row_lengths(ragged, [1] * objects)
    runs = [run_lengths(code) for code in codes]
    rles = tf.RaggedTensor.from_row_lengths(np.concatenate(runs), [len(r) for r in runs])
    image_size, index = tf.constant([[HEIGHT, WIDTH]] * objects), tf.constant(index)
    unit = boxes.numpy()[:, [1, 0, 3, 2]] / np.float32([HEIGHT, WIDTH, HEIGHT, WIDTH])

    def cropped(codes):
        bitmaps = coco_mask.decode(codes).transpose(2, 0, 1)[..., np.newaxis].astype(np.float32)
        return tf.image.crop_and_resize(bitmaps, unit, index, [SIDE, SIDE]) >= 0.5

    def usual_polygons():
        return cropped([coco_mask.frPyObjects([p.tolist()], HEIGHT, WIDTH)[0] for p in polygons])

    polygon_times = alternate(lambda: polygon_targets(ragged, index, boxes, SIDE), usual_polygons)
    rle_times = alternate(lambda: rle_targets(rles, index, image_size, boxes, SIDE), lambda: cropped(codes))
    case = f"{objects} objects, {rois} RoIs"
    return [
        Row(f"polygon_targets {case}", polygon_times[0], "frPyObjects, decode, crop_and_resize", polygon_times[1]),
        Row(f"rle_targets {case}", rle_times[0], "decode, crop_and_resize", rle_times[1]),
    ]


def rows():
    return pasted() + targets()
