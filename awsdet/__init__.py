"""awsdet: train object detectors and instance segmenters in TensorFlow 2 with Horovod.

    detector = awsdet.load("runs/mine")           # a trained detector: a run, a checkpoint, a file of weights
    found = detector.find("cat.jpg")              # boxes, scores, class names, masks in pixels of the image
    awsdet.draw("cat.jpg", found)                 # a picture
    awsdet.train(config, "runs/mine")             # what `awsdet train` does, in this process
    detector = awsdet.build(config, class_names)  # a Keras model: compile, fit, evaluate, predict
    awsdet.make_batch(images, boxes, classes)     # a batch from plain lists
    awsdet.configs.mask_rcnn()                    # a config to change

Each is loaded when it is first used; `import awsdet` alone loads nothing.
"""

import importlib
from typing import TYPE_CHECKING

from awsdet.runtime.version import __version__

if TYPE_CHECKING:
    from awsdet import config as configs
    from awsdet.data.reader.make_batch import make_batch
    from awsdet.inference.drawing import draw
    from awsdet.inference.load import load
    from awsdet.models.builder import build
    from awsdet.training.in_process import train

__all__ = ["__version__", "build", "configs", "draw", "load", "make_batch", "train"]

# Name -> the module that it is, or is in.
_PLACES = {
    "build": "awsdet.models.builder",
    "configs": "awsdet.config",
    "draw": "awsdet.inference.drawing",
    "load": "awsdet.inference.load",
    "make_batch": "awsdet.data.reader.make_batch",
    "train": "awsdet.training.in_process",
}


def __getattr__(name):
    if name not in _PLACES:
        raise AttributeError(f"module 'awsdet' has no attribute {name!r}; it has {', '.join(sorted(_PLACES))}")
    module = importlib.import_module(_PLACES[name])
    value = module if name == "configs" else getattr(module, name)
    globals()[name] = value
    return value


def __dir__():
    return sorted(set(globals()) | set(_PLACES))
