"""Evaluates synthetic detections, our way or the usual way, and prints seconds by stage and the AP as JSON.

    python benchmarks/systems/evaluate.py ours|usual IMAGES BATCH

`benchmarks/evaluation.py` runs it, once for each way.
"""

import contextlib
import io
import json
import pathlib
import pickle
import sys
import tempfile
import time

import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))

from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from benchmarks import evaluation_scene, measure


class Stages:
    """Seconds, and those of the processor, by name of a stage; what runs outside `stage` does not count."""

    def __init__(self):
        self.seconds, self.processor = {}, {}

    @contextlib.contextmanager
    def stage(self, name):
        start, used = time.perf_counter(), time.process_time()
        yield
        self.processor[name] = self.processor.get(name, 0.0) + time.process_time() - used
        self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - start


def ours(truth, batch, stages):
    """AP of boxes and masks by our functions, called as `awsdet.evaluation.evaluate` calls them."""
    from awsdet.detection.found import coco_objects
    from awsdet.detection.results import batch_results
    from awsdet.evaluation import coco_metrics
    from awsdet.evaluation.detections import join, pack, unpack
    from awsdet.evaluation.score_files import Evaluated, ScoreFiles
    from awsdet.ops import library

    library.load()
    category_ids = [category["id"] for category in truth["categories"]]
    images, results = [], []
    for image_ids, outputs, resized, sizes in evaluation_scene.batches(truth, batch):
        with stages.stage("masks"):
            images += zip(image_ids, batch_results(outputs, resized, sizes, 0.5))
    with stages.stage("gather"):
        detections = join([pickle.loads(pickle.dumps(pack(images)))])
    with stages.stage("file"), tempfile.TemporaryDirectory() as folder:
        ScoreFiles(folder).write_detections(detections, Evaluated(1, 1))
    with stages.stage("results"):
        for image_id, found in unpack(detections):
            results += [{"image_id": image_id, **entry} for entry in coco_objects(found, category_ids)]
    with stages.stage("scores"):
        metrics = coco_metrics(truth, results, with_masks=True)
    return [metrics["box_ap"], metrics["mask_ap"]]


def usual(truth, batch, stages):
    """The same with pycocotools: each mask as an image of full size, results as dicts, COCOeval for boxes and masks."""
    results = []
    for image_ids, outputs, resized, sizes in evaluation_scene.batches(truth, batch):
        for i, image_id in enumerate(image_ids):
            with stages.stage("masks"):
                scale = np.tile((sizes[i] / resized[i].astype(np.float32))[::-1].astype(np.float32), 2)
                limit = np.tile(sizes[i][::-1], 2).astype(np.float32)
                boxes = np.clip(outputs["boxes"][i] * scale, 0, limit)
                codes = [coco_mask.encode(full_size(*pair, sizes[i])) for pair in zip(outputs["masks"][i], boxes)]
            with stages.stage("results"):
                corner, extent = boxes[:, :2].astype(float), boxes[:, 2:].astype(float) - boxes[:, :2]
                for j, code in enumerate(codes):
                    results.append(
                        {
                            "image_id": image_id,
                            "category_id": int(outputs["classes"][i, j]) + 1,
                            "score": float(outputs["scores"][i, j]),
                            "bbox": [*corner[j].tolist(), *extent[j].tolist()],
                            "segmentation": {"size": code["size"], "counts": code["counts"].decode("ascii")},
                        }
                    )
    with stages.stage("gather"):
        results = pickle.loads(pickle.dumps(results))
    with stages.stage("scores"), contextlib.redirect_stdout(io.StringIO()):
        coco = COCO()
        coco.dataset = truth
        coco.createIndex()
        return [_cocoeval(coco, results, kind) for kind in ("bbox", "segm")]


def _cocoeval(coco, results, kind):
    # Without boxes, loadRes takes the areas of the masks, as COCO's evaluation server does.
    dropped = "bbox" if kind == "segm" else "segmentation"
    scored = COCOeval(coco, coco.loadRes([{k: v for k, v in r.items() if k != dropped} for r in results]), kind)
    scored.evaluate()
    scored.accumulate()
    scored.summarize()
    return float(scored.stats[0])


def full_size(mask, box, size):
    """uint8 image with the mask of one object, read bilinearly at the pixels that the box and its border touch."""
    image = np.zeros(size, np.uint8, order="F")
    padded = np.pad(mask, 1)
    axes = []
    for low, high, length, side in zip(box[1::-1], box[:1:-1], size, mask.shape):
        at = (np.arange(length, dtype=np.float32) + np.float32(0.5) - low) / (high - low) * np.float32(side)
        at -= np.float32(0.5)
        inside = np.flatnonzero((at > -1) & (at < side))
        floor = np.floor(at[inside])
        axes.append((inside, floor.astype(int) + 1, at[inside] - floor))
    (rows, below, down), (columns, before, right) = axes
    lines = padded[below] * (np.float32(1) - down)[:, None] + padded[below + 1] * down[:, None]
    window = lines[:, before] * (np.float32(1) - right) + lines[:, before + 1] * right
    image[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] = window >= 0.5
    return image


def main(system, images, batch):
    truth = evaluation_scene.ground_truth(int(images))
    stages = Stages()
    ap = {"ours": ours, "usual": usual}[system](truth, int(batch), stages)
    print(
        json.dumps(
            {"ap": ap, "seconds": stages.seconds, "processor": stages.processor, "peak_memory": measure.peak_memory()}
        )
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
