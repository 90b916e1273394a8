"""A COCO file and its images as torchvision's detectors take them; runs in .venv-torch."""

import json
import pathlib

import numpy as np
import torch
from PIL import Image
from pycocotools import mask as coco_mask


class Images:
    """The images of a split with their objects.

    Crowd regions are left out, as in torchvision's own training script; our config has them count as background too.
    `data`: folder that `awsdet shapes` wrote. `category_ids`: of the classes; class k is torchvision's label k + 1.
    """

    def __init__(self, data, split, category_ids):
        self._folder = pathlib.Path(data) / "images" / split
        content = json.loads((pathlib.Path(data) / "annotations" / f"instances_{split}.json").read_text())
        self._entries = {image["id"]: image for image in content["images"]}
        self._labels = {number: index + 1 for index, number in enumerate(category_ids)}
        self._objects = {number: [] for number in self._entries}
        for annotation in content["annotations"]:
            if not annotation["iscrowd"]:
                self._objects[annotation["image_id"]].append(annotation)
        self.ids = sorted(self._entries)

    def image(self, image_id):
        """float32 [3, H, W], from 0 to 1."""
        with Image.open(self._folder / self._entries[image_id]["file_name"]) as image:
            return torch.from_numpy(np.array(image.convert("RGB"))).permute(2, 0, 1).float() / 255

    def pair(self, image_id, flip):
        """(image, target) to train on, mirrored if `flip`."""
        image, target = self.image(image_id), self.target(image_id)
        if flip:
            width = image.shape[2]
            image = image.flip(2)
            target["masks"] = target["masks"].flip(2)
            x1, y1, x2, y2 = target["boxes"].unbind(1)
            target["boxes"] = torch.stack([width - x2, y1, width - x1, y2], 1)
        return image, target

    def target(self, image_id):
        """boxes float32 [N, 4], labels int64 [N], masks uint8 [N, H, W]."""
        entry, objects = self._entries[image_id], self._objects[image_id]
        height, width = entry["height"], entry["width"]
        boxes = torch.tensor([o["bbox"] for o in objects], dtype=torch.float32).reshape(-1, 4)
        boxes[:, 2:] += boxes[:, :2]
        masks = np.zeros((len(objects), height, width), np.uint8)
        for mask, one in zip(masks, objects):
            mask[:] = _decoded(one["segmentation"], height, width)
        labels = torch.tensor([self._labels[o["category_id"]] for o in objects], dtype=torch.int64)
        return {"boxes": boxes, "labels": labels, "masks": torch.from_numpy(masks)}


def _decoded(segmentation, height, width):
    if isinstance(segmentation, list):
        return coco_mask.decode(coco_mask.merge(coco_mask.frPyObjects(segmentation, height, width)))
    if isinstance(segmentation["counts"], list):
        segmentation = coco_mask.frPyObjects(segmentation, height, width)
    return coco_mask.decode(segmentation)


def results_of(image_id, found, category_ids):
    """The detections of an image as entries of a COCO results file. `found`: what a detector of torchvision returns."""
    masks = (found["masks"][:, 0] >= 0.5).numpy().astype(np.uint8)
    boxes = found["boxes"].double()
    boxes[:, 2:] -= boxes[:, :2]
    results = []
    for box, score, label, mask in zip(boxes.tolist(), found["scores"].tolist(), found["labels"].tolist(), masks):
        code = coco_mask.encode(np.asfortranarray(mask))
        results.append(
            {
                "image_id": image_id,
                "category_id": category_ids[label - 1],
                "score": score,
                "bbox": box,
                "segmentation": {"size": code["size"], "counts": code["counts"].decode("ascii")},
            }
        )
    return results
