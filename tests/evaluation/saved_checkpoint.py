"""A checkpoint of a small detector with random weights, for the tests of commands."""

import json

from awsdet import config as config_module
from awsdet.models.builder import build
from awsdet.training.checkpoint import Checkpoints
from awsdet.training.optimizer import SGD
from tests.models.small_detectors import small_config


def save_checkpoint(run_folder, class_names, category_ids):
    """Writes RUN_FOLDER/checkpoints/step-00000000. The detector finds a few objects in any image. Returns its path."""
    config = small_config("model.box_head.max_detections=6", "model.rpn.post_nms_test=30")
    config.data.update(eval_batch_size=3, eval_short_side=96, max_long_side=200, reader_threads=2)
    config.seed = 4
    detector = build(config, class_names)
    info = {
        "config": json.loads(config_module.to_json(config)),
        "class_names": list(class_names),
        "category_ids": list(category_ids),
        "step": 0,
        "epoch": 0,
    }
    return Checkpoints(run_folder / "checkpoints").save(detector, SGD(), info)
