"""Writes what torchvision needs to train as we do: settings.json, and per seed weights and the images of each step.

    python benchmarks/systems/learn_prepare.py DATA OUTPUT EPOCHS SEED [SEED …]

OUTPUT/seed-K.npz holds the initial weights in torchvision's names (weights/…), image ids [S, B], flips [S, B] and the
learning rates [S] of S steps of B images. All are those of our own run with that seed: nothing is drawn again.
"""

import json
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))

import numpy as np

from awsdet import config as config_lib
from awsdet.data.reader import plan
from awsdet.data.reader.builder import reader_options
from awsdet.data.reader.pipeline import trainable_records
from awsdet.data.records.read import read_manifest
from awsdet.models.builder import build
from awsdet.training.optimizer import peak_learning_rate
from awsdet.training.schedule import build_schedule
from awsdet.weights import mmdet
from benchmarks.learn.settings import settings_of
from benchmarks.learn.torch_names import to_torchvision

CONFIG = pathlib.Path(__file__).resolve().parents[1] / "learn/config.py"


def order_of(config, manifest):
    """The image ids and flips of each step of a run, [S, B] each."""
    options = reader_options(config.data)
    records = trainable_records(manifest, options)
    epochs = [
        plan.train_epoch(manifest, records, options, config.seed, epoch, 0, 1) for epoch in range(config.train.epochs)
    ]
    ids = np.concatenate([manifest.image_id[rows.record] for rows in epochs])
    flips = np.concatenate([rows.placement.flip for rows in epochs])
    return ids.reshape(-1, config.data.batch_size), flips.reshape(-1, config.data.batch_size)


def rates_of(config, steps):
    """The learning rate of each of `steps` steps: float32 [S]."""
    peak = peak_learning_rate(config.optimizer, config.data.batch_size)
    schedule = build_schedule(config.schedule, peak, steps // config.train.epochs, steps)
    return np.array([float(schedule(step)) for step in range(steps)], np.float32)


def main(data, output, epochs, *seeds):
    manifest = read_manifest(f"{data}/records", "train")
    config = config_lib.load(CONFIG)
    config.train.epochs = int(epochs)
    names = manifest.class_names
    settings = {**settings_of(config, len(names)), "category_ids": [int(i) for i in manifest.category_ids]}
    pathlib.Path(output, "settings.json").write_text(json.dumps(settings, indent=2) + "\n")
    for seed in map(int, seeds):
        config.seed = seed
        ids, flips = order_of(config, manifest)
        weights = to_torchvision(mmdet.export(build(config, names)))
        arrays = {f"weights/{name}": array for name, array in weights.items()}
        np.savez(f"{output}/seed-{seed}.npz", ids=ids, flips=flips, rates=rates_of(config, len(ids)), **arrays)
        print(f"seed {seed}: {len(ids)} steps of {ids.shape[1]} images, {len(weights)} arrays", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
