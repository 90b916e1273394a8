"""Configuration: the families of detectors, files that change their settings, overrides from the command line.

A config is an `ml_collections.ConfigDict`; `awsdet.config.defaults` lists every setting. A config file is Python with a
`get_config()` that starts from one of the families (`mask_rcnn()`, …) and changes some of its settings;
`--config.section.key=value` changes one more. Unknown keys, wrong types and values out of their range are refused.
"""

from awsdet.config.checks import check, check_section
from awsdet.config.families import (
    cascade_mask_rcnn,
    cascade_rcnn,
    faster_rcnn,
    mask_rcnn,
    mask_scoring_rcnn,
    retinanet,
)
from awsdet.config.fine_tuning import fine_tune
from awsdet.config.frozen import frozen_at_random
from awsdet.config.large_scale_jitter import large_scale_jitter
from awsdet.config.loading import apply_override, from_json, load, setting, to_json
from awsdet.config.recipes import multi_scale, resnet_strikes_back
from awsdet.config.relations import notes

__all__ = [
    "apply_override",
    "cascade_mask_rcnn",
    "cascade_rcnn",
    "check",
    "check_section",
    "faster_rcnn",
    "fine_tune",
    "from_json",
    "frozen_at_random",
    "large_scale_jitter",
    "load",
    "mask_rcnn",
    "mask_scoring_rcnn",
    "multi_scale",
    "notes",
    "resnet_strikes_back",
    "retinanet",
    "setting",
    "to_json",
]
