"""Loads a trained detector from a run, a checkpoint, an export or a file of weights."""

import pathlib

from absl import logging

from awsdet.export import contract
from awsdet.export.exported import Exported
from awsdet.inference import checkpoint
from awsdet.inference.fast_convolutions import use_fast_convolutions
from awsdet.models import builder
from awsdet.models.detector import Detector
from awsdet.runtime.errors import UserError
from awsdet.runtime.paths import WEIGHTS, given_path
from awsdet.weights import classes, mmdet
from awsdet.weights import load as weights_lib
from awsdet.weights.infer import infer


def load(path: str | pathlib.Path) -> Detector | Exported:
    """A detector that is ready to find objects: `load("runs/mine").find("cat.jpg")`.

    Args:
        path: a run folder, for its best checkpoint; one of its checkpoints; a model that `awsdet export` wrote, which
            is an `export.exported.Exported` with the same `find`, or a Detector if it was exported with
            --target=weights; or a file with the weights of a whole detector, exported by `awsdet weights` or written by
            another system (see docs/weights.md). Such a file does not say at what size images are searched:
            `input_size` is that of the default config.

    Raises UserError if there is none of these, or the weights are not those of a whole detector.
    """
    path = given_path(path, "path", hint=WEIGHTS)
    if contract.find(path) is not None:
        folder = contract.find_whole(path)
        info = contract.read_info(folder)
        if info["target"] != "weights":
            return Exported(folder)
        detector = _of_weights(folder / contract.FILES["weights"], contract.input_size(info))
    elif pathlib.Path(path).is_file():
        detector = _of_weights(path)
    else:
        detector, info = checkpoint.load(path)
        logging.info("loaded %s (step %d)", info["path"], info["step"])
    use_fast_convolutions(detector)
    return detector


def _of_weights(path, size=None):
    """The Detector of a file. `size`: InputSize; None: that of the default config."""
    weights = weights_lib.read(path)
    if weights.backbone_only:
        raise UserError(f"{path} holds only a backbone, which cannot find objects; train from it with train.init_from")
    config, count = infer(weights)
    if size is not None:
        config.data.update(
            eval_short_side=size.short_side, max_long_side=size.max_long_side, pad_multiple=size.pad_multiple
        )
    names = classes.names_of(weights) or tuple(f"class {index}" for index in range(count))
    detector = builder.build(config, names)
    if weights.preset is None:
        logging.warning("%s does not say how pixels are normalised for it; they are normalised as in torchvision", path)
    mmdet.assign(detector, weights.arrays)
    return detector
