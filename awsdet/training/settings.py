"""Checks the settings of a run, and whether a run with these settings can go on from a checkpoint."""

import json
import os

from absl import logging

from awsdet import config as config_module
from awsdet.data.records.manifest import class_difference
from awsdet.runtime import mllog
from awsdet.runtime.errors import UserError
from awsdet.runtime.files import check_writable
from awsdet.training import schedule
from awsdet.training.progress import Progress
from awsdet.weights import named


def check_settings(config):
    """Raises UserError if a setting is invalid."""
    config_module.check(config)
    schedule.check_settings(config.schedule)


def with_batch_size(config, processes, elastic=False):
    """The config with the images per process, data.batch_size, that data.global_batch_size makes of it.

    The config itself if it has none. Raises UserError if the processes cannot share these images evenly, if
    data.batch_size says otherwise, or if the number of processes may change (elastic).
    """
    data, accumulate = config.data, config.train.accumulate_steps
    whole = data.global_batch_size
    if not whole:
        return config
    config_module.check(config)
    parts = f"{processes} process(es) x {accumulate} step(s) per update"
    if elastic:
        raise UserError(
            f"data.global_batch_size is {whole}, and an elastic run may not keep it; give data.batch_size, the images "
            "per process, and data.global_batch_size=0"
        )
    if whole % (processes * accumulate):
        raise UserError(
            f"data.global_batch_size is {whole}, which {parts} cannot share evenly; start a number of processes that "
            "divides it, or set train.accumulate_steps"
        )
    share = whole // (processes * accumulate)
    if data.batch_size not in (0, share):
        raise UserError(
            f"data.global_batch_size is {whole}, but {parts} x {data.batch_size} images (data.batch_size) are "
            f"{processes * accumulate * data.batch_size}; set data.batch_size={share}, or 0, which follows"
        )
    config = config.copy_and_resolve_references()
    config.data.batch_size = share
    return config


def check_mlperf_log(path, goes_on, elastic, has_records):
    """Raises UserError if the file of train.mlperf_log cannot hold the log of this run.

    Args:
        path: of the file; empty: there is to be none. goes_on: whether the run goes on from a checkpoint.
        elastic: whether the number of processes may change. has_records: whether it trains on records.
    """
    if not path:
        return
    at = f"train.mlperf_log={path}"
    if elastic:
        raise UserError(
            f"{at}: the batch and rank 0 of an elastic run may change, so it has no MLPerf log; leave it out"
        )
    if not has_records:
        raise UserError(f"{at}: the log tells the number of images, which a dataset does not say; train on records")
    check_writable(path, "config.train.mlperf_log")
    begun = os.path.exists(path) and any(event.key == "run_start" for event in mllog.read(path))
    if begun and not goes_on:
        raise UserError(f"{at} has a run already, and each run needs a file of its own; name another, or remove it")
    if goes_on and not begun:
        raise UserError(f"{at} does not have the beginning of the run that goes on; set train.mlperf_log to empty")


def log_notes(config):
    """Logs what is allowed between settings, but may not be meant."""
    for note in config_module.notes(config):
        logging.warning("%s", note)


def check_start(config):
    """Raises UserError if a new run would never train layers that start at random values, or names unknown weights."""
    named.entry_of(config.train.init_from)
    frozen = config_module.frozen_at_random(config)
    if frozen:
        raise UserError(
            f"{frozen} would keep layers at their random initial values, since train.init_from is empty; name weights, "
            "as in --config.train.init_from=imagenet-r50 (awsdet weights --list shows all names), or give a file of "
            "weights with --config.train.init_from=FILE, or train from scratch with "
            "--config.model.backbone.frozen_stages=-1 --config.model.backbone.norm=batch_norm, or allow it with "
            "--config.train.allow_random_frozen=true"
        )


def check_continues(info, config, class_names, images, images_per_step, elastic=False):
    """Raises UserError if a run with these settings cannot go on from a checkpoint; logs all other changes.

    Args:
        info: of the checkpoint, as `checkpoint.read_info` returns it.
        config: ConfigDict of the run.
        class_names: of its data. images: per epoch.
        images_per_step: images per step, over all ranks.
        elastic: whether this run is elastic. Such a run, and one that goes on from such a run's checkpoint, may have
            any number of images per step (see `pace`).
    """
    # Settings that did not exist when the checkpoint was written had their defaults.
    before = config_module.from_json(json.dumps(info["config"]))
    before, now = (json.loads(config_module.to_json(c)) for c in (before, config))
    at = f"cannot resume from step {info['step']}"
    difference = class_difference(class_names, info["class_names"])
    if difference is not None:
        raise UserError(f"{at}: the records have another class list than the checkpoint ({difference})")
    differences = list(_differences(before, now))
    fixed = {"seed", "optimizer.name", "optimizer.ema_decay", "train.accumulate_steps"}
    for key, old, new in differences:
        if key.startswith("model.") or key in fixed:
            raise UserError(
                f"{at}: {key} was {old} and is now {new}; to start a new run from its weights, use train.init_from"
            )
    if info["images_per_step"] != images_per_step and not (elastic or info.get("elastic")):
        raise UserError(
            f"{at}: a step had {info['images_per_step']} images and now has {images_per_step}; make data.batch_size x "
            "processes what it was, or start it with an elastic launcher, under which this may change"
        )
    if info["images"] != images:
        raise UserError(f"{at}: an epoch had {info['images']} images and now has {images}; use the same data")
    few_sizes = [bool(settings["data"]["padded_sizes"]) for settings in (before, now)]
    if few_sizes[0] != few_sizes[1] and Progress.from_info(info).mark.position.segments:
        raise UserError(
            f"{at}: it lies within an epoch, and data.padded_sizes on or off makes other batches of it; finish the "
            f"epoch with --config.data.padded_sizes={before['data']['padded_sizes']}"
        )
    for key, old, new in differences:
        logging.info("changed since the checkpoint: %s was %s and is now %s", key, old, new)


def _differences(before, now, prefix=""):
    """(key, old, new) of each setting that differs between two nested dicts."""
    for name in sorted({*before, *now}):
        old, new = before.get(name), now.get(name)
        if isinstance(old, dict) and isinstance(new, dict):
            yield from _differences(old, new, f"{prefix}{name}.")
        elif old != new:
            yield prefix + name, old, new
