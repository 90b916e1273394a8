"""Trains torchvision's Mask R-CNN for the learning benchmark; runs in .venv-torch.

    .venv-torch/bin/python benchmarks/systems/learn_torchvision.py DATA PREPARED OUTPUT SEED EPOCHS [--unshifted]

PREPARED is the folder that learn_prepare.py wrote: weights, images and learning rate of each step come from there.
OUTPUT gets steps.jsonl, results-STEP.json after each epoch and, at the end, memory.json.
"""

import argparse
import json
import os
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))

import numpy as np
import torch

from benchmarks.learn.record import Recorder, peak_megabytes
from benchmarks.systems import torchvision_data, torchvision_model

# torchvision's losses -> our names.
LOSSES = {
    "loss_objectness": "rpn_class_loss",
    "loss_rpn_box_reg": "rpn_box_loss",
    "loss_classifier": "class_loss",
    "loss_box_reg": "box_loss",
    "loss_mask": "mask_loss",
}


def train_step(model, optimizer, batch, rate, clip_norm):
    """One step. Returns the losses, a dict of floats in our names."""
    for group in optimizer.param_groups:
        group["lr"] = rate
    losses = model([image for image, _ in batch], [target for _, target in batch])
    total = sum(losses.values())
    optimizer.zero_grad(set_to_none=True)
    total.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), clip_norm)
    optimizer.step()
    return {"loss": total.item(), **{ours: losses[theirs].item() for theirs, ours in LOSSES.items()}}


@torch.inference_mode()
def detect(model, images, settings):
    """The COCO results of all images of an `Images`."""
    model.eval()
    size, results = settings["eval_batch"], []
    for first in range(0, len(images.ids), size):
        ids = images.ids[first : first + size]
        for image_id, found in zip(ids, model([images.image(i) for i in ids])):
            results += torchvision_data.results_of(image_id, found, settings["category_ids"])
    model.train()
    return results


def main(flags):
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    torch.manual_seed(flags.seed)  # of the samplers
    settings = json.loads((flags.prepared / "settings.json").read_text())
    if flags.unshifted:
        torchvision_model.unshift_masks()
    model = torchvision_model.build(settings)
    with np.load(flags.prepared / f"seed-{flags.seed}.npz") as made:
        arrays = dict(made)
    weights = {name.partition("/")[2]: value for name, value in arrays.items() if name.startswith("weights/")}
    torchvision_model.load(model, weights)
    model.train()
    optimizer = torch.optim.SGD(
        model.parameters(), lr=0.0, momentum=settings["momentum"], weight_decay=settings["weight_decay"]
    )
    images = {split: torchvision_data.Images(flags.data, split, settings["category_ids"]) for split in ("train", "val")}
    recorder, steps = Recorder(flags.output), len(arrays["ids"])
    recorder.start(0)
    for step, (ids, flips, rate) in enumerate(zip(arrays["ids"], arrays["flips"], arrays["rates"]), start=1):
        batch = [images["train"].pair(int(image_id), flip) for image_id, flip in zip(ids, flips)]
        recorder.step(step, train_step(model, optimizer, batch, float(rate), settings["clip_norm"]))
        if step % (steps // flags.epochs) == 0:
            results = detect(model, images["val"], settings)
            (flags.output / f"results-{step}.json").write_text(json.dumps(results))
            recorder.start(step)
    (flags.output / "memory.json").write_text(json.dumps([peak_megabytes()]) + "\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("data", type=pathlib.Path)
    parser.add_argument("prepared", type=pathlib.Path)
    parser.add_argument("output", type=pathlib.Path)
    parser.add_argument("seed", type=int)
    parser.add_argument("epochs", type=int)
    parser.add_argument("--unshifted", action="store_true", help="mask targets without torchvision's half pixel")
    main(parser.parse_args())
