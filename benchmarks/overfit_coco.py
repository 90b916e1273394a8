"""A narrow Mask R-CNN learns eight real images by heart: from COCO JSON to the COCO table, with the users' commands.

    python benchmarks/overfit_coco.py [--data=DIR] [--output=DIR]

It takes the first eight images of the training annotations in which no object is smaller than MIN_SIZE squared pixels,
converts them (awsdet convert), trains from scratch on them (awsdet train, with this file as the config) and scores the
result on the same images (awsdet evaluate). It stops with exit code 0 at box AP 0.9 and mask AP 0.8, and with 1 if the
schedule ends before. A model that cannot do this has a fault in its targets, losses, decoding or masks.
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # so that it also works if awsdet is not installed

from awsdet import config as base  # noqa: E402

IMAGES, MIN_SIZE = 8, 20
BOX_AP, MASK_AP = 0.9, 0.8


def get_config():
    """The config of the run; the command line adds the records."""
    config = base.mask_rcnn()
    config.data.update(train_split="overfit", eval_split="overfit", batch_size=2, eval_batch_size=4)
    config.data.update(short_sides=(320,), eval_short_side=320, max_long_side=512, flip_probability=0.0)
    model = config.model
    model.backbone.update(base_width=16, frozen_stages=-1, norm="group_norm")
    model.fpn.update(channels=64, norm="group_norm")
    model.anchors.scales = (4.0,)  # the images are shown at half their size
    model.rpn.update(channels=64, pre_nms_train=400, post_nms_train=200, pre_nms_test=400, post_nms_test=200)
    model.box_head.update(channels=256, sample_size=64, positive_fraction=0.5, finest_scale=28.0)
    model.mask_head.update(channels=64, convs=2)
    # LAMB needs few updates, and with group normalisation it tolerates a large rate from the start.
    config.optimizer.update(name="lamb", learning_rate=0.006, scale_learning_rate=False, clip_norm=10.0)
    config.schedule.update(name="cosine", warmup_steps=30, final_ratio=0.02)
    config.train.update(epochs=250, evaluate_every_epochs=25, keep_last=1, log_every_steps=50)
    config.train.update(box_ap_target=BOX_AP, mask_ap_target=MASK_AP)
    return config


def choose(annotations):
    """The COCO dict of the first IMAGES images, by id, whose objects all have MIN_SIZE squared pixels or more."""
    smallest = {}
    for annotation in annotations["annotations"]:
        image_id = annotation["image_id"]
        smallest[image_id] = min(annotation["area"], smallest.get(image_id, float("inf")))
    images = sorted(annotations["images"], key=lambda image: image["id"])
    images = [image for image in images if smallest.get(image["id"], 0) >= MIN_SIZE**2][:IMAGES]
    ids = {image["id"] for image in images}
    kept = [annotation for annotation in annotations["annotations"] if annotation["image_id"] in ids]
    return {**annotations, "images": images, "annotations": kept}


def awsdet(*arguments):
    """Runs one command as a user does. Returns its exit code."""
    print("\n$ awsdet", *arguments, flush=True)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, "-m", "awsdet.cli.main", *arguments], env=environment, check=False
    ).returncode


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default=ROOT.parent / "shared/data/coco_tiny", type=pathlib.Path)
    parser.add_argument("--output", default=ROOT / "runs/overfit_coco", type=pathlib.Path, help="folder, must be new")
    parser.add_argument("overrides", nargs="*", metavar="section.key=value", help="changes of the config")
    options = parser.parse_args()
    source = options.data / "annotations/instances_train2017.json"
    if not source.is_file():
        sys.exit(f"{source} does not exist; --data wants a folder with annotations/ and train2017/ as COCO has them")
    records, run = options.output / "records", options.output / "run"
    options.output.mkdir(parents=True, exist_ok=True)
    chosen = options.output / "annotations.json"
    chosen.write_text(json.dumps(choose(json.loads(source.read_text()))))

    images = options.data / "train2017"
    arguments = [f"--annotations={chosen}", f"--images={images}", f"--output={records}", "--split=overfit"]
    start = time.monotonic()
    code = awsdet("convert", *arguments, "--shards=1", "--workers=1")
    changes = [f"--config.{change}" for change in (f"data.train_records={records}", *options.overrides)]
    code = code or awsdet("train", f"--config={__file__}", f"--output={run}", *changes)
    minutes = (time.monotonic() - start) / 60
    if not run.is_dir() or code > 1:
        return code
    awsdet("evaluate", f"--checkpoint={run}", f"--records={records}", f"--output={options.output / 'results.json'}")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    from awsdet.inference.checkpoint import find, read_info  # here, since it loads TensorFlow

    info = read_info(find(run))
    metrics = info["metrics"]
    print(
        f"\nbox AP {metrics['box_ap']:.3f} (wanted {BOX_AP}), mask AP {metrics['mask_ap']:.3f} (wanted {MASK_AP}) on "
        f"{IMAGES} images after {info['step']} steps, {minutes:.1f} minutes on {len(os.sched_getaffinity(0))} cores"
    )
    return 0 if metrics["box_ap"] >= BOX_AP and metrics["mask_ap"] >= MASK_AP else 1


if __name__ == "__main__":
    sys.exit(main())
