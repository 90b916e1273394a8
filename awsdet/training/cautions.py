"""What is allowed, but unusual enough to be a mistake, and can be seen before a run: a line for each, with its cure."""

from collections.abc import Iterator, Sequence
from typing import Any

from awsdet import config as config_module
from awsdet.data.records.manifest import Manifest
from awsdet.training.optimizer import peak_learning_rate

# Learning rates per image of an update, as multiples of that of the family's 1x recipe. Fine-tuning, here and in other
# systems, goes down to a tenth; rates of more than three times diverge without special care.
_LEAST_RATE, _MOST_RATE = 1 / 50, 3.0
_EMPTY = 0.9  # share of images without an object
_USED = 0.5  # share of the annotations that are objects to train on
_NAMED = 5  # the most classes that a line names


def cautions(config: Any, manifest: Manifest | None, class_names: Sequence[str], images: int) -> Iterator[str]:
    """The lines for a run.

    Args:
        config: ConfigDict. manifest: of the training records, or None. class_names: of the detector.
        images: per update, over all processes.
    """
    yield from _rate(config, images)
    if manifest is not None:
        yield from _absent_classes(manifest, class_names)
        yield from _empty_images(config, manifest)
        yield from _unused_annotations(manifest)


def _rate(config, images):
    """Only of SGD: the other optimizers set the size of a step themselves, so there is no rate that suits all."""
    settings, family = config.optimizer, getattr(config_module, config.model.detector, None)
    if settings.name != "sgd" or family is None:
        return
    usual = family().optimizer
    rate, linear = peak_learning_rate(settings, images), usual.learning_rate * images / usual.base_batch
    if _LEAST_RATE * linear <= rate <= _MOST_RATE * linear:
        return
    factor = f"{rate / linear:.3g} times" if rate > linear else f"1/{linear / rate:.3g} of"
    danger = "training may diverge" if rate > linear else "training may hardly move"
    yield (
        f"the learning rate is {rate:.3g} for {images} images per update, {factor} what the linear rule gives "
        f"({usual.learning_rate:g} for {usual.base_batch} images, so {linear:.3g}): {danger}; set "
        f"--config.optimizer.learning_rate={usual.learning_rate:g}, --config.optimizer.base_batch={usual.base_batch} "
        "and --config.optimizer.scale_learning_rate=true, unless it is meant"
    )


def _absent_classes(manifest, class_names):
    if manifest.classes_with_objects is None:
        return
    absent = [name for number, name in enumerate(class_names) if number not in manifest.classes_with_objects]
    if not absent:
        return
    more = f" and {len(absent) - _NAMED} more" if len(absent) > _NAMED else ""
    yield (
        f"{len(absent)} of the {len(class_names)} classes have no object in {manifest.split}, so they are never "
        f"learned: {', '.join(absent[:_NAMED])}{more}; awsdet inspect --records={manifest.directory} counts the "
        "objects of each class"
    )


def _empty_images(config, manifest):
    empty, images = int((manifest.num_objects == 0).sum()), manifest.num_images
    if config.data.keep_empty and empty > _EMPTY * images:
        yield (
            f"{empty:,} of the {images:,} images of {manifest.split} have no object: check that the annotation file "
            "belongs to these images; --config.data.keep_empty=false leaves them out"
        )


def _unused_annotations(manifest):
    counts = manifest.annotations
    if counts is not None and counts.objects < _USED * counts.in_file:
        yield (
            f"only {counts.objects:,} of the {counts.in_file:,} annotations of {manifest.split} are objects to train "
            f"on: awsdet inspect --records={manifest.directory} shows what was left out, and why"
        )
