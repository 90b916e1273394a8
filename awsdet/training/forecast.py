"""The `summary.Facts` of a run that is about to begin, and of one that a config describes."""

from typing import Any

import tensorflow as tf

from awsdet import config as config_module
from awsdet.data.reader.builder import reader_options
from awsdet.data.reader.pipeline import steps_per_epoch
from awsdet.models import builder
from awsdet.training import factors
from awsdet.training.cautions import cautions, short_run
from awsdet.training.first_losses import FirstLoss, first_losses
from awsdet.training.inputs import prepare
from awsdet.training.optimizer import peak_learning_rate
from awsdet.training.parameters import part_of, parts_of
from awsdet.training.run import Run
from awsdet.training.schedule import Followed, build_schedule
from awsdet.training.settings import check_settings, check_start, with_batch_size
from awsdet.training.steps import Steps
from awsdet.training.summary import Facts
from awsdet.training.transfer import take_weights
from awsdet.weights import classes, mmdet, named

_EVERYTHING = "random values everywhere"


def of_run(run: Run, first: list[FirstLoss]) -> Facts:
    """The Facts of a run at its start, or where it goes on; first: FirstLosses of the heads that are new."""
    settings, images = run.config.optimizer, run.pace.images_per_update
    new = run.steps.step == 0 and not run.config.train.init_from
    return Facts(
        config=run.config,
        train=run.inputs.train,
        evaluation=run.inputs.evaluation,
        num_classes=len(run.inputs.class_names),
        parts=parts_of(run.detector),
        processes=run.world.size,
        images=run.pace.images,
        accumulate=run.pace.accumulate,
        update_steps=run.pace.accumulate / run.pace.ratio,
        steps=run.steps,
        peak=peak_learning_rate(settings, images),
        schedule=run.schedule.schedule if isinstance(run.schedule, Followed) else run.schedule,
        first=first,
        start=_EVERYTHING if new else "",  # what was taken from weights or a checkpoint has been logged
    )


def of_config(config: Any, processes: int = 1) -> tuple[Facts, list[str]]:
    """(Facts, cautions) of a run that nobody has begun. Reads manifests and weights, but no record.

    If config.data.train_records is empty, what depends on records is not known, and the classes are taken to be
    COCO's. Raises UserError for what would end the run at its start.
    """
    check_settings(config)
    config = with_batch_size(config, processes)
    check_start(config)
    train = evaluation = steps = schedule = None
    names, accumulate = classes.COCO, config.train.accumulate_steps
    images = config.data.batch_size * processes
    peak = peak_learning_rate(config.optimizer, images * accumulate)
    if config.data.train_records:
        inputs = prepare(config, ".", False, processes, chief=False)
        train, evaluation, names = inputs.train, inputs.evaluation, inputs.class_names
        per_epoch = steps_per_epoch(train, reader_options(config.data), processes)
        total = config.train.epochs * per_epoch
        steps = Steps(0, per_epoch, min(total, config.train.max_steps or total), images=images, accumulate=accumulate)
        schedule = build_schedule(config.schedule, peak, per_epoch, steps.total, accumulate)
    detector = builder.build(config, names)
    reached = factors.reach(config.optimizer, detector)
    start, new = _start(detector, config.train.init_from)
    first = [loss for loss in first_losses(config.model, len(names)) if new is None or loss.layer in new]
    facts = Facts(
        config=config,
        train=train,
        evaluation=evaluation,
        num_classes=len(names),
        parts=parts_of(detector),
        processes=processes,
        images=images,
        accumulate=accumulate,
        update_steps=accumulate,
        steps=steps,
        peak=peak,
        schedule=schedule,
        first=first,
        start=start,
        factors=[one.text for one in reached if not one.idle],
    )
    said = [*config_module.notes(config), *(one.text for one in reached if one.idle)]
    if steps is not None:
        said += short_run(config.schedule.warmup_steps * accumulate, steps.total)
    return facts, [*said, *cautions(config, train, names, images * accumulate)]


def _start(detector, value):
    """(what a run with train.init_from=`value` starts from, in words; names of the new layers, None: all of them).

    Takes the weights, if they are on this machine.
    """
    if not value:
        return _EVERYTHING, None
    if named.to_fetch(value):
        what = named.entry_of(value).what
        return f"{value} ({what}), which is fetched when the run begins; only then are its layers known", None
    layers = take_weights(detector, value)
    new = new_parts(detector, layers)
    return f"{value}; new at random: {', '.join(new)}" if new else f"{value}, all layers", layers


def new_parts(detector: tf.keras.Model, layers: frozenset) -> list[str]:
    """What of a detector is new, for the names of its new layers: parts that are new as a whole, and other layers."""
    whole = {}
    for layer in dict.fromkeys(map(classes.layer, mmdet.table(detector))):
        whole.setdefault(part_of(layer), []).append(layer)
    named_layers = []
    for part, there in whole.items():
        new = [layer for layer in there if layer in layers]
        named_layers += [part] if new == there else new
    return named_layers
