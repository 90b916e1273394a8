"""Times the error analysis of random boxes beside the COCO table alone, which is a part of it.

    python benchmarks/analysis.py [--images 5000] [--classes 80] [--detections 100] [--rounds 3]

Both are given the same lists of dicts, take turns in one process, and are measured in processor seconds. An image has 7
objects on average; six of ten detections lie near one, and of these seven of ten have its class. The page with its
pictures is not drawn. The last line ends with the ratio.
"""

import argparse
import pathlib
import resource
import sys
import time

import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from awsdet.analysis.report import analyse
from awsdet.evaluation.coco_metric import coco_metrics

HEIGHT, WIDTH = 480, 640


def scene(images, classes, detections, seed=1):
    """(ground truth, results) as COCO dicts; `detections`: per image."""
    random = np.random.default_rng(seed)
    truth = {
        "images": [{"id": i, "height": HEIGHT, "width": WIDTH, "file_name": f"{i}.jpg"} for i in range(images)],
        "categories": [{"id": k, "name": f"class {k}", "supercategory": f"kind {k % 12}"} for k in range(classes)],
        "annotations": [],
    }
    results = []
    for image in range(images):
        boxes, kinds = _boxes(random, count := int(random.integers(0, 15))), random.integers(0, classes, count)
        for box, kind in zip(boxes.tolist(), kinds.tolist()):
            one = {"id": len(truth["annotations"]) + 1, "image_id": image, "category_id": kind, "bbox": box}
            truth["annotations"].append({**one, "area": box[2] * box[3] * 0.7, "iscrowd": int(random.random() < 0.01)})
        found, labels = _boxes(random, detections), random.integers(0, classes, detections)
        if count:
            source = random.integers(0, count, detections)
            near = random.random(detections) < 0.6
            moved = boxes[source] + random.normal(0, 0.15, (detections, 4)) * np.tile(boxes[source, 2:], 2)
            found = np.where(near[:, None], moved, found)
            found[:, 2:] = np.maximum(found[:, 2:], 2)
            labels = np.where(near & (random.random(detections) < 0.7), kinds[source], labels)
        for box, kind, score in zip(found.tolist(), labels.tolist(), random.random(detections).tolist()):
            results.append({"image_id": image, "category_id": kind, "bbox": box, "score": score})
    return truth, results


def _boxes(random, count):
    size = np.exp(random.uniform(np.log(8), np.log(300), (count, 2)))
    corner = random.random((count, 2)) * np.maximum([WIDTH, HEIGHT] - size, 1)
    return np.concatenate([corner, size], axis=1)


def main(flags):
    given = scene(flags.images, flags.classes, flags.detections)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    seconds = {analyse: [], coco_metrics: []}
    for _ in range(flags.rounds):
        for work, times in seconds.items():
            start = time.process_time()
            work(*given, with_masks=False)
            times.append(time.process_time() - start)
    whole, table = (float(np.median(times)) for times in seconds.values())
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(f"{len(given[1]):,} detections: analysis {whole:.1f} s, table alone {table:.1f} s of the processor")
    print(f"peak memory {before:.2f} GB with the data, {after:.2f} GB with the analysis")
    print(f"analysis / table {whole / table:.1f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, usual in (("images", 5000), ("classes", 80), ("detections", 100), ("rounds", 3)):
        parser.add_argument(f"--{name}", type=int, default=usual)
    main(parser.parse_args())
