"""What weights need from the config: how pixels are normalised, and which convolutions have strides.

A preset is a name and the settings of config.model that it needs. Systems of one family use pixel means that differ by
less than one grey level; such differences are accepted.
"""

import re
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from awsdet.runtime.errors import UserError

_MEAN_TOLERANCE = 1.0  # grey levels
_STD_TOLERANCE = 0.01  # of the value


RELU = "fpn.relu_before_extra_convs"


class Preset(NamedTuple):
    name: str
    settings: dict  # key of config.model -> value: image.bgr, .mean, .std, backbone.style; for some also RELU


def _pixels(bgr, mean, std, style):
    return {"image.bgr": bgr, "image.mean": mean, "image.std": std, "backbone.style": style}


# Means and standard deviations are in the order of the channels. A deviation of 1 means that the weights of the first
# convolution contain it. tensorpack's AlignPadding pads 3 pixels at the top and left and 2 at the bottom and right (or
# 1 and 0); we pad 3 (or 1) on all sides. If height and width are multiples of 32, no window reaches the additional
# pixel, so no setting is needed.
TENSORPACK = Preset("tensorpack", _pixels(True, (103.53, 116.28, 123.675), (57.375, 57.12, 58.395), "pytorch"))
KERAS = Preset("Keras applications", _pixels(True, (103.939, 116.779, 123.68), (1.0, 1.0, 1.0), "caffe"))
MSRA = Preset("Detectron / MSRA", _pixels(True, (103.53, 116.28, 123.675), (1.0, 1.0, 1.0), "caffe"))
DETECTRON_RESNEXT = Preset("Detectron ResNeXt", TENSORPACK.settings)  # divides its pixels by the standard deviation
DETECTRON_GROUP_NORM = Preset("Detectron, group normalisation", {**MSRA.settings, "backbone.style": "pytorch"})
TORCHVISION = Preset("torchvision", _pixels(False, (123.675, 116.28, 103.53), (58.395, 57.12, 57.375), "pytorch"))


def of_detector(name: str, detector: tf.keras.Model) -> Preset:
    """The preset of a detector's own weights."""
    settings = settings_of(detector)
    return Preset(name, {key: settings[key] for key in TORCHVISION.settings})


def settings_of(detector: tf.keras.Model) -> dict:
    """The settings of a detector that presets are about: key of Preset.settings -> value."""
    pixels, style = detector.pixels, getattr(detector.backbone, "style", "pytorch")  # HRNet has only one style
    return {
        **_pixels(pixels.bgr, tuple(pixels.mean), tuple(pixels.std), style),
        RELU: getattr(detector.neck, "relu_before_extra_convs", False),
    }


def of_detectron(arrays: dict[str, np.ndarray]) -> Preset:
    """The preset of a Detectron or Detectron2 file, by its arrays in mmdetection's names."""
    inside = arrays.get("backbone.layer1.0.conv2.weight")
    preset = DETECTRON_GROUP_NORM if "backbone.gn1.weight" in arrays else MSRA
    if inside is not None and inside.shape[0] != inside.shape[1]:
        preset = DETECTRON_RESNEXT
    if "bbox_head.retina_cls.weight" in arrays:  # its RetinaNet has a ReLU before P7
        preset = Preset(preset.name, {**preset.settings, RELU: True})
    return preset


def of_mmdet_config(text: str) -> Preset | None:
    """The preset in the text of an mmdetection config, which checkpoints contain; None if the text does not say."""
    numbers = r"\s*=\s*[\[(]([^\])]*)[\])]"
    mean, std = (re.search(rf"\b{name}{numbers}", text) for name in ("mean", "std"))
    order = re.search(r"\b(?:to_rgb|bgr_to_rgb)\s*=\s*(True|False)", text)
    style = re.search(r"\bstyle\s*=\s*['\"](\w+)['\"]", text)
    if not (mean and std and order):
        return None
    values = [tuple(float(number) for number in found[1].split(",") if number.strip()) for found in (mean, std)]
    return Preset(
        "mmdetection, from its config", _pixels(order[1] == "False", *values, style[1] if style else "pytorch")
    )


def differences(preset: Preset, detector: tf.keras.Model) -> list[tuple]:
    """[(key, value of the preset, value of the detector)] of the settings that differ."""
    ours = settings_of(detector)
    return [(key, wanted, ours[key]) for key, wanted in preset.settings.items() if not _agree(key, wanted, ours[key])]


def check(preset: Preset, detector: tf.keras.Model, path: str) -> None:
    """Raises UserError if a detector differs from a preset; the text has the overrides that fix it."""
    found = differences(preset, detector)
    if found:
        ours = ", ".join(f"model.{key}={value}" for key, _, value in found)
        cure = " ".join(f"--config.model.{key}={_as_flag(wanted)}" for key, wanted, _ in found)
        raise UserError(f"the weights in {path} ({preset.name}) do not go with {ours}; add {cure}")


def describe(preset: Preset) -> str:
    """A description of the preset in one line."""
    settings = preset.settings
    order = "BGR" if settings["image.bgr"] else "RGB"
    where = {"caffe": "first 1x1", "pytorch": "3x3"}.get(settings["backbone.style"], "?")
    mean, std = (", ".join(f"{v:g}" for v in settings[f"image.{name}"]) for name in ("mean", "std"))
    return f"{preset.name}: {order} pixels, mean {mean}, std {std}, strides on the {where} convolution"


def _agree(key, wanted, ours):
    if key == "image.mean":
        return len(ours) == len(wanted) and all(abs(a - b) <= _MEAN_TOLERANCE for a, b in zip(wanted, ours))
    if key == "image.std":
        return len(ours) == len(wanted) and all(abs(a - b) <= _STD_TOLERANCE * a for a, b in zip(wanted, ours))
    return wanted == ours


def _as_flag(value):
    if isinstance(value, tuple):
        return ",".join(f"{v:g}" for v in value)
    return str(value).lower() if isinstance(value, bool) else str(value)
