"""A small data set and the settings of a run that takes seconds."""

import json

from awsdet import config as config_module
from awsdet.data.coco import shapes
from awsdet.data.records.convert import convert

# Overrides for a detector that is traced faster, for tests that do not depend on it.
QUICK = ("model.detector=faster_rcnn", "train.evaluate_every_epochs=0")
CONFIG = """
from awsdet import config as base


def get_config():
    config = base.mask_rcnn()
    config.data.update(train_records={records!r}, batch_size=2, eval_batch_size=2, reader_threads=1)
    config.data.update(short_sides=(64,), eval_short_side=64, max_long_side=96)
    model = config.model
    model.backbone.update(depth=14, base_width=4, frozen_stages=-1, norm="batch_norm")
    model.fpn.update(channels=8)
    model.anchors.scales = (4.0,)
    model.rpn.update(channels=8, sample_size=32, pre_nms_train=50, post_nms_train=20, pre_nms_test=50, post_nms_test=20)
    model.box_head.update(channels=16, sample_size=16, finest_scale=28.0, pool_size=3, max_detections=10)
    model.mask_head.update(channels=8, convs=1, pool_size=4)
    config.optimizer.update(base_batch=2, clip_norm=10.0)
    config.schedule.update(warmup_steps=2)
    config.train.update(epochs=2, log_every_steps=1, pictures=2)
    return config
"""


def make_records(folder, train_images=6, val_images=5):
    """Records of the built-in shapes, splits train and val. Returns their folder."""
    shapes.generate(folder, train_images=train_images, val_images=val_images, test_images=0, image_size=64, seed=3)
    records = folder / "records"
    for split in ("train", "val"):
        annotations = folder / "annotations" / f"instances_{split}.json"
        convert(annotations, folder / "images" / split, records, split, shards=1, workers=1)
    return records


def write_config(path, records):
    """Writes a config file for these records. Returns its path."""
    path.write_text(CONFIG.format(records=str(records)))
    return path


def load_config(path, *overrides):
    """The ConfigDict of a file with overrides "section.key=value"."""
    return config_module.load(path, overrides)


def logged_lines(folder):
    """The records in metrics.jsonl of a run folder."""
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
