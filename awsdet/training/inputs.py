"""What a run starts from. Finds all mistakes of the user that can be found before the run begins."""

import pathlib
from typing import NamedTuple

from awsdet.data.reader.builder import reader_options
from awsdet.data.reader.pipeline import trainable_records
from awsdet.data.records.class_lists import united
from awsdet.data.records.manifest import Manifest, class_difference
from awsdet.data.records.read import read_manifest
from awsdet.inference.checkpoint import read_info
from awsdet.models.builder import has_masks
from awsdet.runtime.errors import UserError
from awsdet.training import tracking
from awsdet.training.checkpoint import best_to_keep
from awsdet.training.run_folder import RunFolder
from awsdet.training.settings import check_continues, check_mlperf_log, check_settings, check_start


class Inputs(NamedTuple):
    """What a run starts from."""

    train: Manifest | None  # None if the user gives a dataset
    evaluation: Manifest | None  # None if nothing is evaluated
    class_names: tuple
    category_ids: tuple
    images: int  # per epoch; 0 if the user gives a dataset
    folder: RunFolder
    start: pathlib.Path | None  # folder of the checkpoint to resume from; on the chief only


def prepare(config, output, resume, processes, chief=True, dataset=None, class_names=None):
    """Checks settings, records and, on the chief, the output folder. Returns Inputs. Raises UserError.

    It takes nothing: see `RunFolder.take`. `dataset`, `class_names`: see `loop.train`.
    """
    check_settings(config)
    tracking.check(config.train.mlflow)
    if not resume:
        check_start(config)
    train_manifest, images = (None, 0) if dataset is not None else _training_records(config)
    train_manifest, eval_manifest = _evaluation_records(config, train_manifest)
    names, ids = _classes(train_manifest, eval_manifest, class_names)
    folder = RunFolder(output, config.train.keep_last, best_to_keep(config.train))
    inputs = Inputs(train_manifest, eval_manifest, names, ids, images, folder, None)
    if not chief:
        return inputs
    folder.check_free()
    return with_start(inputs, config, resume, processes)


def with_start(inputs, config, resume, processes, elastic=False):
    """The Inputs with the checkpoint to resume from, if any; for the chief. Raises UserError if it cannot go on there.

    `elastic`: whether the number of processes may change.
    """
    start = inputs.folder.find_start(resume)
    check_mlperf_log(config.train.mlperf_log, start is not None, elastic, inputs.train is not None)
    if start is not None:
        images_per_step = config.data.batch_size * processes
        check_continues(read_info(start), config, inputs.class_names, inputs.images, images_per_step, elastic)
    return inputs._replace(start=start)


def _classes(train_manifest, eval_manifest, class_names):
    """(class names, category ids)."""
    known = train_manifest or eval_manifest
    if known is None and not class_names:
        raise UserError("without evaluation records, the classes of a dataset are unknown; give class_names")
    if known is None:
        return tuple(class_names), tuple(range(1, len(class_names) + 1))
    difference = class_difference(class_names or known.class_names, known.class_names)
    if difference is not None:
        raise UserError(f"class_names differ from those of the records {known.directory} ({difference})")
    return known.class_names, known.category_ids


def _training_records(config):
    """(Manifest, number of images per epoch)."""
    data = config.data
    if not data.train_records:
        raise UserError("data.train_records is empty; give what awsdet convert wrote: --config.data.train_records=DIR")
    manifest = read_manifest(data.train_records, data.train_split)
    images = len(trainable_records(manifest, reader_options(data)))
    _refuse_no_objects(manifest)
    detector = config.model.detector
    if has_masks(detector) and not manifest.has_masks:
        boxes_alone = "cascade_rcnn" if detector == "cascade_mask_rcnn" else "faster_rcnn"
        raise UserError(
            f"records {manifest.directory} ({manifest.split}) have no masks; train without masks by "
            f"--config.model.detector={boxes_alone}"
        )
    return manifest, images


def _refuse_no_objects(manifest):
    counts, boxes = manifest.annotations, int(manifest.num_objects.sum())
    if boxes and (counts is None or counts.objects):
        return
    what = f"{boxes} crowd regions, but " if boxes else ""
    raise UserError(
        f"records {manifest.directory} ({manifest.split}) have {what}no object to train on; "
        f"awsdet inspect --records={manifest.directory} shows what was left out when they were made"
    )


def _evaluation_records(config, train_manifest):
    """(training Manifest, evaluation Manifest or None if nothing is evaluated), with the same class list."""
    data = config.data
    if not config.train.evaluate_every_epochs:
        return train_manifest, None
    try:
        manifest = read_manifest(data.eval_records or data.train_records, data.eval_split)
    except UserError as error:
        raise UserError(
            f"{error} (to hold images out of {data.train_split}: awsdet convert --holdout=0.1; to train without "
            "evaluation: --config.train.evaluate_every_epochs=0)"
        ) from error
    if train_manifest:
        train_manifest, manifest = united(train_manifest, manifest)
    for kind in ("class_names", "category_ids") if train_manifest else ():
        ours, theirs = getattr(manifest, kind), getattr(train_manifest, kind)
        if ours != theirs:
            raise UserError(
                f"records {manifest.directory} ({manifest.split}) have another class list than the training "
                f"records ({class_difference(ours, theirs)}); convert both from files with the same categories"
            )
    if config.train.mask_ap_target and not manifest.has_masks:
        raise UserError(
            f"train.mask_ap_target needs masks, which the evaluation records {manifest.directory} "
            f"({manifest.split}) do not have; use only train.box_ap_target"
        )
    return train_manifest, manifest
