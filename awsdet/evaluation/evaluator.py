"""Evaluation over all ranks: each rank detects objects in its share of the images, and rank 0 scores all of them.

`evaluate` does both. `detect` leaves the scoring to its caller, who may have it done elsewhere.

Masks become run-length codes in a thread, while the next batch is in the network. So masks of the size of an image are
neither kept in memory nor sent to rank 0. The batches are the same for any number of ranks, only dealt out, and the
results are sorted by image. So the metrics do not depend on the number of ranks.
"""

import collections
import concurrent.futures
import itertools
import time

from absl import logging

from awsdet.data.coco.decoding import decoder_words
from awsdet.data.reader.broken import FAILURES
from awsdet.data.reader.pipeline import broken_in_evaluation, eval_dataset
from awsdet.data.records.manifest import class_difference
from awsdet.data.records.read import read_ground_truth
from awsdet.evaluation.detections import Detections, join, pack, unpack
from awsdet.evaluation.scoring import Truth, score
from awsdet.runtime.errors import UserError
from awsdet.runtime.progress import Progress
from awsdet.runtime.together import together

_PASTE_THREADS = 2
_BATCHES_WAITING = 8  # batches whose mask probabilities may be in memory at the same time


def evaluate(detector, manifest, options, world, output=None, official=False):
    """The COCO metrics of a detector on a split. Every rank calls it and gets the same numbers.

    Args:
      detector: Detector; its class names must be those of the records.
      manifest: Manifest of the split.
      options: ReaderOptions.
      world: World.
      output: path of a JSON file in COCO's results format, which rank 0 writes; None: no file. Its image and category
        ids are those of the annotation file.
      official: whether to score with pycocotools too; see `official_metric.check`.

    Returns:
      The dict of `coco_metrics`. It has no mask metrics if the detector or the records have no masks.

    Raises:
      UserError: the records have other classes than the detector or cannot be read.
      RuntimeError: another rank failed, an image was evaluated twice or not at all, or pycocotools has another score.
    """
    return score_on_chief(detect(detector, manifest, options, world), manifest, world, output, official)


def detect(detector, manifest, options, world) -> Detections:
    """The Detections of a detector in all images of a split, on all ranks. Arguments and errors: see `evaluate`."""
    check_classes(detector.class_names, manifest)
    start = time.monotonic()
    mine = together(world, lambda: pack(_detect(detector, manifest, options, world)))
    detections = join(world.gather_objects(mine))
    logging.info("detected in %d images in %.1f s", manifest.num_images, time.monotonic() - start)
    _check_complete(detections.image_ids.tolist(), manifest)
    return detections


def score_on_chief(detections, manifest, world, output=None, official=False):
    """The metrics of Detections, on all ranks, which wait for rank 0. Arguments and errors: see `evaluate`."""

    def scored():
        return score(unpack(detections), truth_of(manifest), output, official) if world.is_chief else None

    return world.broadcast_object(together(world, scored))


def truth_of(manifest) -> Truth:
    """The ground truth of a split, read from its records. Raises UserError if they cannot be read."""
    return Truth(read_ground_truth(manifest), manifest.has_masks, manifest.image_ids)


def check_classes(class_names, manifest, category_ids=None):
    """Raises UserError unless the detector's class names are those of the records, in the same order.

    category_ids: of the detector, if they are known; they must be the same if names alone do not tell classes apart.
    """
    difference = class_difference(class_names, manifest.class_names)
    if difference is None and category_ids is not None and len(set(class_names)) < len(class_names):
        difference = class_difference(category_ids, manifest.category_ids)
    if difference is None:
        return
    raise UserError(
        f"records {manifest.directory} ({manifest.split}) have another class list than the checkpoint ({difference}); "
        "give records converted with the same categories"
    )


def _detect(detector, manifest, options, world):
    """Detects objects in this rank's share of the images. Returns a list of (image id, Found)."""
    dataset = eval_dataset(manifest, options, rank=world.rank, world_size=world.size)
    share = -(-manifest.num_images // world.size)
    finished, waiting = [], collections.deque()
    progress = Progress(share, "evaluating", "images", enabled=world.is_chief)
    with progress, concurrent.futures.ThreadPoolExecutor(_PASTE_THREADS) as pool:
        for batch in _batches(dataset, manifest, options, world):
            outputs = detector.detect(batch)
            outputs = {name: value.numpy() for name, value in outputs.items()}
            place = {name: batch[name].numpy() for name in ("image_id", "image_size", "original_size")}
            waiting.append(pool.submit(_image_results, detector, outputs, place))
            while len(waiting) > _BATCHES_WAITING:
                finished += waiting.popleft().result()
            progress.add(len(place["image_id"]))
        for future in waiting:
            finished += future.result()
    return finished


def _batches(dataset, manifest, options, world):
    """Yields the batches. If tf.data cannot read the records, raises a UserError that names the first such record."""
    batches = iter(dataset)
    for done in itertools.count():
        try:
            batch = next(batches, None)
        except FAILURES as error:
            ranks = {"rank": world.rank, "world_size": world.size}
            raise UserError(
                broken_in_evaluation(manifest, options, **ranks, done=done)
                or f"records {manifest.directory} ({manifest.split}) cannot be read: {decoder_words(str(error))}; "
                f"awsdet inspect --records={manifest.directory} finds what is broken"
            ) from error
        if batch is None:
            return
        yield batch


def _image_results(detector, outputs, place):
    found = detector.results(outputs, place["image_size"], place["original_size"])
    return list(zip(place["image_id"].tolist(), found))


def _check_complete(image_ids, manifest):
    """Raises RuntimeError unless each image of the manifest was evaluated exactly once."""
    found, wanted = collections.Counter(image_ids), collections.Counter(manifest.image_id.tolist())
    if found == wanted and max(found.values(), default=1) == 1:
        return
    missing = sorted(wanted - found)
    twice = sorted(i for i, count in (found | wanted).items() if count > 1)
    raise RuntimeError(
        f"evaluation of {manifest.directory} ({manifest.split}): {len(missing)} images missing (ids {missing[:5]}), "
        f"{len(twice)} more than once (ids {twice[:5]}), {len(found - wanted)} unknown"
    )
