"""Backbones and necks by their names in a config."""

from awsdet.models.backbones.hrnet import HRNet
from awsdet.models.backbones.resnet import ResNet
from awsdet.models.necks.fpn import FPN
from awsdet.models.necks.hrfpn import HRFPN
from awsdet.runtime.errors import UserError

BACKBONES = ("resnet", "resnet_v1d", "hrnet")
NECKS = ("fpn", "hrfpn")
_COMMON = ("base_width", "frozen_stages", "norm", "norm_affine_trainable")
_RESNET = ("depth", "style", "groups", "width_per_group")


def build_backbone(settings, *, initializers, dtype):
    """The backbone of config.model.backbone: a layer from images to features at strides 4, 8, 16, 32, with their
    numbers of channels as `out_channels`. Raises UserError for widths that make no network."""
    _check_widths(settings)
    options = {key: settings[key] for key in _COMMON}
    options.update(initializers=initializers, dtype=dtype)
    if settings.name == "hrnet":
        return HRNet(branch_width=settings.branch_width, **options)
    options.update({key: settings[key] for key in _RESNET})
    d_variant = settings.name == "resnet_v1d"
    return ResNet(deep_stem=d_variant, average_shortcut=d_variant, **options)


def build_neck(settings, in_channels, *, num_outs, initializers, dtype, start_level=0):
    """The neck of config.model.fpn: a layer from the backbone's features to `num_outs` levels, each of half the size
    of the one before, from stride 4 on (start_level 1: from stride 8). Raises UserError where hrfpn is given what it
    has not."""
    common = {"norm": settings.norm, "initializers": initializers, "dtype": dtype}
    common.update(start_level=start_level, num_outs=num_outs)
    if settings.name == "hrfpn":
        if settings.extra_convs != "none":
            raise UserError(f"model.fpn.extra_convs is {settings.extra_convs!r}; hrfpn has none: set it to none")
        return HRFPN(in_channels, settings.channels, **common)
    return FPN(
        in_channels,
        settings.channels,
        extra_convs=settings.extra_convs,
        relu_before_extra_convs=settings.relu_before_extra_convs,
        **common,
    )


def _check_widths(settings):
    for key in ("base_width", "groups", "width_per_group", "branch_width"):
        if settings[key] < 1:
            raise UserError(f"model.backbone.{key} is {settings[key]}; it must be 1 or more")
    if settings.name == "resnet_v1d" and settings.base_width % 2:
        raise UserError(
            f"model.backbone.base_width is {settings.base_width}; resnet_v1d halves it in its stem, so it must be even"
        )
