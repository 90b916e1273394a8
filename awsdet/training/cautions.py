"""What is allowed, but unusual enough to be a mistake, and can be seen before a run: a line for each, with its cure."""

from collections.abc import Iterator, Sequence
from typing import Any

from awsdet import config as config_module
from awsdet.config.relations import WITH_MASKS
from awsdet.data.records.manifest import Manifest
from awsdet.training.optimizer import peak_learning_rate

# Learning rates per image of an update, as multiples of that of the family's 1x recipe. Fine-tuning, here and in other
# systems, goes down to a tenth; SGD with more than three times the rate diverges without special care. Recipes with
# AdamW differ more; ten times its rate is still far below that of SGD, which is easily left in place.
_LEAST_RATE = 1 / 50
_MOST_RATE = {"sgd": 3.0, "adamw": 10.0}
_FEW = 4  # images; statistics of fewer make a detector worse (Wu and He 2018)
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
    yield from _few_images(config, images)
    if manifest is not None:
        yield from _absent_classes(manifest, class_names)
        yield from _empty_images(config, manifest)
        yield from _unused_annotations(manifest)
        yield from _no_masks(config, manifest)


def short_run(warm_up: float, total: int) -> Iterator[str]:
    """The line for a run of `total` steps that ends within its warm-up, which takes `warm_up` steps."""
    if warm_up >= total:
        yield (
            f"the run has {total:,} step{'s' * (total != 1)}, and the learning rate rises for {warm_up:,.0f}, so it "
            "never reaches its full value; set a smaller --config.schedule.warmup_steps, or train for longer"
        )


def _rate(config, images):
    """Of NovoGrad and LAMB nothing is said: there is no recipe of COCO to compare with."""
    settings, family = config.optimizer, getattr(config_module, config.model.detector, None)
    if settings.name not in _MOST_RATE or family is None:
        return
    usual, kind = family().optimizer, ""
    if settings.name == "adamw":
        usual.learning_rate /= 100  # as in the configs …_rsb_adamw_1x
        kind = " with adamw"
    rate, linear = peak_learning_rate(settings, images), usual.learning_rate * images / usual.base_batch
    if _LEAST_RATE * linear <= rate <= _MOST_RATE[settings.name] * linear:
        return
    factor = f"{rate / linear:.3g} times" if rate > linear else f"1/{linear / rate:.3g} of"
    danger = "training may diverge" if rate > linear else "training may hardly move"
    yield (
        f"the learning rate is {rate:.3g} for {images} images per update, {factor} what the linear rule gives{kind} "
        f"({usual.learning_rate:g} for {usual.base_batch} images, so {linear:.3g}): {danger}; set "
        f"--config.optimizer.learning_rate={usual.learning_rate:g}, --config.optimizer.base_batch={usual.base_batch} "
        "and --config.optimizer.scale_learning_rate=true, unless it is meant"
    )


def _few_images(config, images):
    """Of live batch norms, whose statistics are those of one step."""
    model, per_process = config.model, config.data.batch_size
    parts = {"backbone": model.backbone.norm, "fpn": model.fpn.norm}
    if model.detector.endswith("rcnn"):
        parts["box_head"] = model.box_head.norm if model.box_head.convs else "none"
    if model.detector in WITH_MASKS:
        parts["mask_head"] = model.mask_head.norm if model.mask_head.convs else "none"
    for norm, count in (("batch_norm", per_process), ("sync_batch_norm", images // config.train.accumulate_steps)):
        named = [f"model.{part}.norm" for part, own in parts.items() if own == norm]
        if named and count < _FEW:
            more = "more images per process (data.batch_size)" + (", more processes" if norm != "batch_norm" else "")
            yield (
                f"{norm} ({', '.join(named)}) has the statistics of {count} image{'s' if count > 1 else ''} per step, "
                f"too few to learn well with; give it {more}, or set group_norm"
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


def _no_masks(config, manifest):
    if config.data.boxes_from_masks and not manifest.has_masks:
        yield (
            f"data.boxes_from_masks is True, but no object of {manifest.split} has a mask: what a crop cuts keeps the "
            "box that was cut"
        )
