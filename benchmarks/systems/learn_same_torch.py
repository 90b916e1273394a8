"""torchvision's half of the proof that both networks are the same; runs in .venv-torch and prints one line of JSON.

    .venv-torch/bin/python benchmarks/systems/learn_same_torch.py DATA PREPARED SEED OURS.npz

For each of our arrays: the largest difference, divided by the largest value. Of the mask targets: the share of pixels
on different sides of 1/2, with torchvision's own targets and with those that are not shifted.
"""

import copy
import json
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))

import numpy as np
import torch

from benchmarks.learn.settings import ALL_ANCHORS, ALL_ROIS, STATISTICS
from benchmarks.systems import torchvision_data, torchvision_model
from benchmarks.systems.learn_torchvision import LOSSES


def difference(ours, theirs):
    """The largest difference of two arrays, divided by the largest value of ours."""
    theirs = np.asarray(theirs.detach() if torch.is_tensor(theirs) else theirs)
    return float(np.abs(ours - theirs).max() / max(np.abs(ours).max(), 1e-30))


def features(model, images, ours, found):
    """Adds the differences of the pyramid and the RPN to `found`. Returns the pyramid, a dict."""
    pyramid = model.backbone(images)
    for level, values in enumerate(pyramid.values(), start=2):
        found[f"P{level}"] = difference(ours[f"P{level}"], values.permute(0, 2, 3, 1))
    logits, deltas = model.rpn.head(list(pyramid.values()))
    logits = torch.cat([part.permute(0, 2, 3, 1).flatten(1) for part in logits], 1)
    deltas = torch.cat([part.permute(0, 2, 3, 1).reshape(len(images), -1, 4) for part in deltas], 1)
    found["rpn_logits"], found["rpn_deltas"] = (
        difference(ours[name], part) for name, part in (("rpn_logits", logits), ("rpn_deltas", deltas))
    )
    return pyramid


def roi_outputs(model, pyramid, sizes, ours, found):
    """Adds the differences of the outputs of given RoIs to `found`."""
    heads, rois = model.roi_heads, torch.from_numpy(ours["rois"])
    order = torch.from_numpy(ours["image"])
    boxes = [rois[order == number] for number in range(len(sizes))]  # RoIs are sorted by image already
    logits, deltas = heads.box_predictor(heads.box_head(heads.box_roi_pool(pyramid, boxes, sizes)))
    found["box_logits"] = difference(ours["box_logits"], torch.cat([logits[:, 1:], logits[:, :1]], 1))
    found["box_deltas"] = difference(ours["box_deltas"], deltas.reshape(len(deltas), -1, 4)[:, 1:])
    masks = heads.mask_predictor(heads.mask_head(heads.mask_roi_pool(pyramid, boxes, sizes)))
    own = masks[torch.arange(len(masks)), torch.from_numpy(ours["classes"]).long() + 1]
    found["mask_logits"] = difference(ours["mask_logits"], own)


def mask_sides(targets, ours):
    """The shares of the pixels of mask targets that are on other sides of 1/2 than ours: own, unshifted."""
    shares = {}
    for name, aligned in (("own", False), ("unshifted", True)):
        parts = []
        for number, target in enumerate(targets):
            mine = ours["image"] == number
            rois, objects = torch.from_numpy(ours["rois"][mine]), torch.from_numpy(ours["objects"][mine])
            parts.append(torchvision_model.mask_targets(target["masks"], rois, objects, 28, aligned=aligned))
        shares[name] = float(((torch.cat(parts) > 0.5).numpy() != (ours["mask_targets"] > 0.5)).mean())
    return shares


def main(data, prepared, seed, ours):
    with np.load(ours) as made:
        ours = dict(made)
    settings = json.loads(pathlib.Path(prepared, "settings.json").read_text())
    settings["rpn"]["sample_size"], settings["box"]["sample_size"] = ALL_ANCHORS, ALL_ROIS
    model = torchvision_model.build(settings)
    with np.load(pathlib.Path(prepared, f"seed-{seed}.npz")) as made:
        weights = {name[len("weights/") :]: made[name] for name in made.files if name.startswith("weights/")}
    torchvision_model.load(model, weights)
    model.train()
    images = torchvision_data.Images(data, "train", settings["category_ids"])
    batch = [images.pair(int(image_id), flip) for image_id, flip in zip(ours["ids"], ours["flips"])]
    pixels = torch.from_numpy(ours["images"]).permute(0, 3, 1, 2).contiguous()
    own_pixels, _ = model.transform([image for image, _ in batch])
    sizes, targets = own_pixels.image_sizes, [target for _, target in batch]
    found = {"images": difference(ours["images"], own_pixels.tensors.permute(0, 2, 3, 1))}
    # On the very pixels of ours, so that only the networks are compared.
    model.transform.normalize = lambda image: image
    for statistics in STATISTICS:
        use_statistics(model, statistics)
        part = {name.partition("/")[2]: array for name, array in ours.items() if name.startswith(f"{statistics}/")}
        compared = compare(model, pixels, sizes, targets, {**ours, **part})
        found.update({f"{name}, {statistics} statistics": value for name, value in compared.items()})
    print(json.dumps({"differences": found, "mask_targets": mask_sides(targets, ours)}))


def use_statistics(model, statistics):
    """Has all batch norms use the statistics of the batch, or the stored ones."""
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.train(statistics == "batch")
            module.momentum = 0.0  # the stored ones stay as they are


def compare(model, pixels, sizes, targets, ours):
    """The differences of everything, a dict."""
    found = {}
    with torch.no_grad():
        pyramid = features(model, pixels, ours, found)
        roi_outputs(model, pyramid, sizes, ours, found)
        double = copy.deepcopy(model.backbone).double()(pixels.double())
        for level, name in enumerate(double, start=2):
            rounding = difference(double[name].numpy(), pyramid[name].double())
            found[f"P{level} of torchvision alone, float32 against float64"] = rounding
    cut = [part[:, :height, :width] for part, (height, width) in zip(pixels, sizes)]
    losses = model(cut, targets)
    used = {name: loss for name, loss in losses.items() if name != "loss_mask"}
    for name, loss in used.items():
        found[f"loss/{LOSSES[name]}"] = difference(ours[f"loss/{LOSSES[name]}"], loss)
    model.zero_grad()
    sum(used.values()).backward()
    parameters = dict(model.named_parameters())
    names = [name for name in parameters if f"gradient/{name}" in ours]
    mine, other = (
        np.concatenate([np.ravel(array) for array in arrays])
        for arrays in ([ours[f"gradient/{name}"] for name in names], [parameters[name].grad for name in names])
    )
    found["gradients, norm of the difference"] = float(np.linalg.norm(mine - other) / np.linalg.norm(mine))
    return found


if __name__ == "__main__":
    main(*sys.argv[1:])
