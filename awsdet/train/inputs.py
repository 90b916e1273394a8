"""What a run starts from: finds every mistake of the user that can be found before work begins."""

from typing import NamedTuple

from awsdet.data.reader.builder import reader_options
from awsdet.data.reader.pipeline import trainable_records
from awsdet.data.records.manifest import Manifest, class_difference
from awsdet.data.records.read import read_manifest
from awsdet.models.builder import has_masks
from awsdet.runtime.errors import UserError
from awsdet.train import checkpoint
from awsdet.train.run_folder import RunFolder
from awsdet.train.settings import check_continues, check_settings, check_start


class Inputs(NamedTuple):
    """What a run starts from."""

    train: Manifest
    evaluation: Manifest | None  # None where nothing is evaluated
    folder: RunFolder
    start: object | None  # folder of the checkpoint to resume; on the chief only


def prepare(config, output_dir, resume, processes, chief=True):
    """Checks settings, records and, on the chief, the output folder. Returns Inputs. Raises UserError."""
    check_settings(config)
    if not resume:
        check_start(config)
    train_manifest, eval_manifest = _read_manifests(config)
    folder = RunFolder(output_dir, config.train.keep_last)
    start = folder.find_start(resume) if chief else None
    if start is not None:
        images = config.data.batch_size * processes
        check_continues(checkpoint.read_info(start), config, train_manifest, images)
    return Inputs(train_manifest, eval_manifest, folder, start)


def _read_manifests(config):
    data = config.data
    if not data.train_records:
        raise UserError("data.train_records is empty; give what awsdet convert wrote: --config.data.train_records=DIR")
    train_manifest = read_manifest(data.train_records, data.train_split)
    trainable_records(train_manifest, reader_options(data))
    detector = config.model.detector
    if has_masks(detector) and not train_manifest.has_masks:
        boxes_alone = "cascade_rcnn" if detector == "cascade_mask_rcnn" else "faster_rcnn"
        raise UserError(
            f"records {train_manifest.directory} ({train_manifest.split}) have no masks; train boxes alone with "
            f"--config.model.detector={boxes_alone}"
        )
    if not config.train.evaluate_every_epochs:
        return train_manifest, None
    try:
        eval_manifest = read_manifest(data.eval_records or data.train_records, data.eval_split)
    except UserError as error:
        raise UserError(f"{error} (to train without evaluation: --config.train.evaluate_every_epochs=0)") from error
    for kind in ("class_names", "category_ids"):
        ours, theirs = getattr(eval_manifest, kind), getattr(train_manifest, kind)
        if ours != theirs:
            raise UserError(
                f"records {eval_manifest.directory} ({eval_manifest.split}) have another class list than the training "
                f"records ({class_difference(ours, theirs)}); convert both from files with the same categories"
            )
    if config.train.mask_ap_target and not eval_manifest.has_masks:
        raise UserError(
            f"train.mask_ap_target needs masks, which the evaluation records {eval_manifest.directory} "
            f"({eval_manifest.split}) have not; use train.box_ap_target alone"
        )
    return train_manifest, eval_manifest
