"""A detector's weights alone, as other programs and a training read them: no graph, no state of the optimizer."""

import pathlib

from awsdet.export import contract
from awsdet.weights import load, mmdet, presets


def save(detector, folder, model):
    """Writes weights.safetensors, arrays in mmdetection's names and layouts. `model`: config.model as a nested dict."""
    pathlib.Path(folder).mkdir(parents=True, exist_ok=True)
    load.write(
        pathlib.Path(folder) / contract.FILES["weights"],
        mmdet.export(detector),
        preset=presets.of_detector("its own config", detector),
        class_names=detector.class_names,
        model=model,
    )


def differs(detector, folder):
    """Names of the arrays that the file does not have as the detector has them."""
    ours, theirs = mmdet.export(detector), load.read(pathlib.Path(folder) / contract.FILES["weights"]).arrays
    same = {name for name in ours.keys() & theirs.keys() if (ours[name] == theirs[name]).all()}
    return sorted((ours.keys() | theirs.keys()) - same)
