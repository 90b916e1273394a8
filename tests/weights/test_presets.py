"""Presets: which settings go together, and the error that says which do not and how to correct them."""

import re
from types import SimpleNamespace

import pytest

from awsdet import config as config_lib
from awsdet.detection.pixels import Pixels
from awsdet.runtime.errors import UserError
from awsdet.weights import presets

PRESETS = [value for value in vars(presets).values() if isinstance(value, presets.Preset)]
CAFFE = """
    data_preprocessor=dict(
        type='DetDataPreprocessor',
        mean=[103.53, 116.28, 123.675],
        std=[1.0, 1.0, 1.0],
        bgr_to_rgb=False),
    backbone=dict(depth=50, style='caffe')
"""
VERSION_2 = """
img_norm_cfg = dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], to_rgb=True)
model = dict(backbone=dict(type='ResNet', style='pytorch'))
"""


def parts_for(model):
    """The parts of a detector of config.model that its weights depend on."""
    image = model.image
    return SimpleNamespace(
        pixels=Pixels(image.mean, image.std, image.bgr),
        backbone=SimpleNamespace(style=model.backbone.style),
        neck=SimpleNamespace(relu_before_extra_convs=model.fpn.relu_before_extra_convs),
    )


@pytest.mark.parametrize("preset", PRESETS, ids=lambda preset: preset.name)
def test_the_overrides_in_the_error_correct_it(preset):
    config = config_lib.mask_rcnn()
    for _ in range(2):  # first as it is, then corrected
        try:
            presets.check(preset, parts_for(config.model), "x.npz")
        except UserError as error:
            assert "x.npz" in str(error) and preset.name in str(error) and "\n" not in str(error)
            for override in re.findall(r"--config\.(\S+)", str(error)):
                config_lib.apply_override(config, override)
    presets.check(preset, parts_for(config.model), "x.npz")
    assert ("RGB" in presets.describe(preset)) == (not config.model.image.bgr)


def test_only_differences_that_count_are_named():
    model = config_lib.mask_rcnn().model
    model.image.update(bgr=True, mean=(102.9801, 115.9465, 122.7717), std=(1.0, 1.0, 1.0))  # MSRA's first means
    model.backbone.style = "caffe"
    presets.check(presets.MSRA, parts_for(model), "x.pkl")
    presets.check(presets.KERAS, parts_for(model), "x.h5")
    model.image.std = (1.0, 1.0, 1.5)
    assert [key for key, _, _ in presets.differences(presets.MSRA, parts_for(model))] == ["image.std"]
    assert len(presets.differences(presets.TORCHVISION, parts_for(model))) == 4


@pytest.mark.parametrize(
    "text, settings",
    [
        (CAFFE, presets.MSRA.settings),
        (VERSION_2, presets.TORCHVISION.settings),
        ("", None),
        ("model = dict(style='caffe')", None),
        ("mean=[1, 2, 3]", None),
    ],
)
def test_what_an_mmdetection_config_says(text, settings):
    preset = presets.of_mmdet_config(text)
    assert (preset and preset.settings) == settings
