"""From the channels of a job to the settings that name its data.

    train     required: records that `awsdet convert` wrote (File or FastFile mode), or a COCO data set: annotations and
              images, in folders or in zip and tar archives
    val       the same, for the evaluations; if it is missing, the channel train holds this split too, or none
    weights   one file (or one run folder) that the training starts from
    config    config files (see container_settings)
    code, sm_drivers   of SageMaker's SDK; ignored. Any other channel gets a warning.

COCO data are converted to records on every host, since each has a disk of its own, when the job starts for the first
time on it. With AWSDET_SCRATCH_SHARED=1 the first host converts for all.
"""

import json
import os
import re
import shutil
from typing import NamedTuple

from container_base import JobFailed, awsdet, number, run_child, say

from awsdet.runtime import archives
from awsdet.runtime.errors import UserError

DATA_CHANNELS = ("train", "val")
KNOWN = (*DATA_CHANNELS, "weights", "config")
IGNORED = ("code", "sm_drivers")
MANIFEST = ".manifest.json"
_FINISHED = ".finished"  # in a folder of converted records: the splits that were looked for, one per line
_DEPTH = 3  # folders below a channel in which annotations, images and records are looked for
_FILE_NAME = re.compile(r'"file_name"\s*:\s*("(?:[^"\\]|\\.)*")')
_CHUNK = 1 << 20


class Coco(NamedTuple):
    """A COCO data set. annotations: the JSON file. images: the folder that its image names are relative to."""

    annotations: os.PathLike
    images: os.PathLike


def check_channels(paths, channels):
    """Checks the channels of the job, and names those that are not used. Raises UserError."""
    for name in sorted(channels):
        if name in IGNORED:
            continue
        if name not in KNOWN:
            say(f"warning: channel {name} is not used; awsdet knows {', '.join(KNOWN)}")
        elif channels[name].mode == "Pipe":
            raise UserError(f"channel {name} has the input mode Pipe, which TensorFlow 2.15 cannot read; use FastFile")
        elif channels[name].sharded:
            raise UserError(f"channel {name} is ShardedByS3Key; each host needs all of it: use FullyReplicated")
        elif not (paths.channels / name).is_dir():
            raise UserError(f"channel {name} has no folder {paths.channels / name}; is its S3 address empty?")
    if "train" not in channels:
        raise UserError("channel train is missing; it holds records of awsdet convert, or a COCO data set")


def prepare_data(paths, channels, config, converts, children):
    """Makes the data ready on this host. Returns overrides, strings "section.key=value".

    Args:
        paths: Paths. channels: names of the channels. config: ConfigDict of the run.
        converts: whether this host converts; if not, another one writes to the same scratch folder.
        children: set of the running Child objects.

    Raises UserError for data that cannot be used, JobFailed if a conversion fails.
    """
    splits = {"train": config.data.train_split, "val": config.data.eval_split}
    ready = {}
    for channel in DATA_CHANNELS:
        if channel in channels:
            wanted = [splits[channel]]
            if channel == "train" and "val" not in channels and config.train.evaluate_every_epochs:
                wanted.append(splits["val"])
            ready[channel] = _records(paths, channel, wanted, converts, children)
    overrides = [f"data.train_records={ready['train']}"]
    if "val" in ready:
        overrides.append(f"data.eval_records={ready['val']}")
    if "weights" in channels:
        overrides.append(f"train.init_from={find_weights(paths.channels / 'weights')}")
    return overrides


def find_weights(folder):
    """The one file in the channel `weights`, or the channel itself if it is a run folder or a checkpoint."""
    if (folder / "checkpoint.json").is_file() or (folder / "checkpoints").is_dir():
        return folder
    found = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    if len(found) == 1:
        return found[0]
    names = ", ".join(path.name for path in found[:5]) or "nothing"
    raise UserError(f"channel weights must hold one file, or one run folder; it holds {names}")


def _records(paths, channel, splits, converts, children):
    """The folder of records of a channel; converts them if needed. `splits`: the first one is required."""
    source = paths.channels / channel
    found = find_records(source, splits[0])
    if found is not None:
        say(f"channel {channel}: records of {splits[0]} in {found}")
        return found
    target = paths.scratch / "records" / channel
    if not converts:
        return target  # the first host writes them before it starts the ranks
    finished = target / _FINISHED
    if finished.is_file() and set(splits) <= set(finished.read_text().split("\n")):
        say(f"channel {channel}: records converted before, in {target}")
        return target
    extracted = paths.scratch / "extracted" / channel
    shutil.rmtree(extracted, ignore_errors=True)  # what an interrupted start left
    packed = sorted(path for path in source.iterdir() if path.is_file() and archives.is_archive(path))
    folders = [source]
    if packed:
        extract_all(packed, extracted)
        folders.insert(0, extracted)
        found = find_records(extracted, splits[0])
        if found is not None:
            return found
    for split in splits:
        if (target / f"{split}{MANIFEST}").is_file():
            say(f"channel {channel}: records of {split} converted before, in {target}")
            continue
        coco = find_coco(folders, channel, split, required=split == splits[0])
        if coco is not None:
            _convert(coco, target, split, children)
    finished.write_text("\n".join(splits))
    shutil.rmtree(extracted, ignore_errors=True)  # the records hold the images
    return target


def extract_all(packed, target):
    """Extracts archives into the new folder `target`, all into one tree. `packed`: their paths.

    Raises UserError for an archive that is damaged, holds something that is refused, or is too large.
    """
    target.mkdir(parents=True)
    left = number("AWSDET_EXTRACT_LIMIT_GB", 0) * 10**9 or archives.room(target)
    for archive in packed:
        say(f"extracting {archive.name} ({archive.stat().st_size / 1e6:.1f} MB) to {target}")
        try:
            found = archives.extract(
                archive, target, left, lambda files, name=archive.name: say(f"extracting {name}: {files} files so far")
            )
        except archives.TooLarge as error:
            raise UserError(f"{error}; give the job a larger volume, or raise AWSDET_EXTRACT_LIMIT_GB") from error
        except OSError as error:
            raise UserError(f"{archive} could not be extracted to {target}: {error}") from error
        left -= found.size
        say(f"extracted {found.files} files from {archive.name}, {found.size / 1e6:.1f} MB")


def find_records(folder, split):
    """The folder at or below `folder` that holds the records of `split`; None if there are no records at all."""
    holders = [place for place, _, files in _walk(folder) if any(name.endswith(MANIFEST) for name in files)]
    fitting = [place for place in holders if (place / f"{split}{MANIFEST}").is_file()]
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        raise UserError(f"{folder} holds records of {split} in more than one folder: {', '.join(map(str, fitting))}")
    if holders:
        splits = sorted(path.name[: -len(MANIFEST)] for place in holders for path in place.glob(f"*{MANIFEST}"))
        raise UserError(
            f"the records in {folder} have the splits {', '.join(splits)}, but no {split}; set the hyper-parameter "
            "data.train_split or data.eval_split"
        )
    return None


def find_coco(folders, channel, split, required):
    """The Coco data set of a split in `folders`; None if there is none and it is not `required`."""
    found = [
        place / name
        for folder in folders
        for place, _, files in _walk(folder)
        for name in files
        if name.endswith(".json") and not name.startswith(".")
    ]
    fitting = [path for path in found if path.name.startswith("instances_")] or found
    named = [path for path in fitting if split in path.stem]
    if required and len(fitting) == 1:
        named = fitting
    if not named and not required:
        return None
    if len(named) != 1:
        names = ", ".join(path.name for path in named or found) or "no JSON file at all"
        raise UserError(
            f"channel {channel} holds neither records nor one annotation file for {split}: it has {names}; give it the "
            f"folder that awsdet convert wrote, or a COCO data set: annotations/instances_{split}.json and its images"
        )
    return Coco(named[0], _find_images(named[0], folders))


def _find_images(annotations, folders):
    """The folder that holds the images which an annotation file names."""
    names = first_file_names(annotations)
    if not names:
        raise UserError(f"{annotations} names no image (no file_name); is it a COCO detection file?")
    for folder in folders:
        for place, _, _ in _walk(folder):
            if all((place / name).is_file() for name in names):
                return place
    raise UserError(f"no folder holds the images of {annotations}, such as {names[0]}; put them beside the annotations")


def first_file_names(path, count=3):
    """The first file names of images in a COCO JSON file, without reading all of it (COCO's own has 450 MB)."""
    names, text = [], ""
    with path.open(errors="replace") as file:
        while chunk := file.read(_CHUNK):
            text += chunk
            end = 0
            for found in _FILE_NAME.finditer(text):
                names.append(json.loads(found[1]))
                end = found.end()
                if len(names) == count:
                    return names
            text = text[max(end, len(text) - 4096) :]
    return names


def _walk(folder):
    """(path, names of folders, names of files) of a folder and those below it, sorted, without hidden ones."""
    for place, inner, files in os.walk(folder):
        depth = len(os.path.relpath(place, folder).split(os.sep)) if place != str(folder) else 0
        inner[:] = sorted(name for name in inner if not name.startswith(".")) if depth < _DEPTH else []
        yield type(folder)(place), inner, sorted(files)


def _convert(coco, target, split, children):
    say(f"converting {coco.annotations} with the images in {coco.images} to records of {split} in {target}")
    flags = [f"--annotations={coco.annotations}", f"--images={coco.images}", f"--output={target}", f"--split={split}"]
    code, lines = run_child(awsdet("convert", *flags), children)
    reason = lines[-1] if lines else f"awsdet convert ended with code {code}"
    if code == 2:
        raise UserError(reason)
    if code:
        raise JobFailed(f"the conversion of {coco.annotations} failed: {reason}")
