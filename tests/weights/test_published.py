"""Every name of the catalogue: a file with the names and shapes of the published one is fetched and fills its model."""

import os

import numpy as np
import pytest
import tensorflow as tf

from awsdet import config as config_module
from awsdet.cli import main
from awsdet.models.builder import build
from awsdet.models.layers.initializers import Initializers
from awsdet.training.transfer import take_weights
from awsdet.weights import classes, load, mmdet, named, presets
from awsdet.weights.catalogue import ENTRIES
from tests.weights.published import FILES, value_of
from tests.weights.serving import Behaviour, serving

# One of each kind of file. The others are deeper or wider ones; `AWSDET_TEST_WEIGHTS=all` reads them too, in a minute.
USUAL = (
    *("imagenet-r50", "imagenet-x50", "imagenet-r50-caffe", "imagenet-r50-tensorpack", "imagenet-r50-keras"),
    *("imagenet-r50-v1d", "imagenet-r50-gn", "imagenet-hrnet-w32", "coco-mask-rcnn-r50-mmdetection"),
    *("coco-retinanet-r50-mmdetection", "coco-mask-rcnn-r50-detectron2"),
)
READ = list(FILES) if os.environ.get("AWSDET_TEST_WEIGHTS") == "all" else USUAL
HEADS = {  # as narrow as can be, for weights of a backbone
    **{"fpn.channels": 1, "rpn.channels": 1, "box_head.channels": 1, "mask_head.channels": 1},
    "mask_head.convs": 1,
}


def backbone_of(name):
    """The settings of model.backbone that a name of the catalogue needs, besides those of its preset."""
    if "hrnet" in name:
        return {"name": "hrnet"}
    deep = {"name": "resnet_v1d"} if "v1d" in name else {}
    norm = {"norm": "group_norm"} if name.endswith("-gn") else {}
    wide = {"groups": 32, "width_per_group": 8 if "101" in name else 4} if "-x" in name else {}
    return {"depth": int(name.split("-")[1][1:]) if "coco" not in name else 50, **deep, **norm, **wide}


def config_of(name):
    kind = next((k for k in ("faster_rcnn", "retinanet") if k.replace("_", "-") in name), "mask_rcnn")
    config = getattr(config_module, kind)()
    wanted = next(p for p in vars(presets).values() if isinstance(p, presets.Preset) and p.name == ENTRIES[name].preset)
    heads = {} if name.startswith("coco") else HEADS
    backbone = {f"backbone.{key}": value for key, value in backbone_of(name).items()}
    for key, value in {**wanted.settings, **heads, **backbone}.items():
        section, _, setting = key.rpartition(".")
        config.model[section][setting] = value
    if "hrnet" in name:
        config.model.fpn.name = "hrfpn"
    return config


@pytest.fixture
def zeros(monkeypatch):
    """Detectors begin with zeros, since millions of random numbers take long. No file has a zero."""
    for method in ("normal", "kaiming_normal", "kaiming_upsample", "xavier_uniform", "caffe2_xavier"):
        monkeypatch.setattr(Initializers, method, lambda self, name, *_: tf.keras.initializers.Zeros())


@pytest.fixture
def fetched(tmp_path, monkeypatch):
    """Function of a name that fetches its made file from a server on this machine. Returns (path, Contents)."""
    monkeypatch.setenv("AWSDET_WEIGHTS", str(tmp_path / "cache"))
    with serving() as server:
        monkeypatch.setenv("AWSDET_WEIGHTS_MIRROR", f"http://127.0.0.1:{server.server_port}")

        def fetch(name):
            contents = FILES[name]()
            server.does = Behaviour(content=contents.data({**contents.shapes, **contents.others}, contents.config))
            # The made file has neither the size nor the checksum of the published one.
            monkeypatch.setitem(ENTRIES, name, ENTRIES[name]._replace(size=None, checksum=""))
            assert main.main(["weights", f"--get={name}"]) == 0
            return named.path_of(name), contents

        yield fetch


def test_every_name_has_a_file():
    assert set(FILES) == set(ENTRIES) and set(USUAL) <= set(FILES)


@pytest.mark.parametrize("name", READ)
def test_file_fills_its_model(name, fetched, zeros, caplog):
    path, contents = fetched(name)
    weights = load.read(path)
    # Sources leave out the outer one of Keras' two folders.
    plain = {key.partition("/")[2].removesuffix(":0") if path.suffix == ".h5" else key: key for key in contents.shapes}
    assert not weights.unknown and set(weights.ignored) == set(contents.others), "no array is left out in silence"
    detector = build(config_of(name), list(classes.COCO))
    caplog.set_level("INFO", logger="absl")
    take_weights(detector, name)
    assert "weights taken from" in caplog.text and "in it, but not in the model" not in caplog.text
    taken, used = mmdet.table(detector), set()
    for key, variable in taken.items():
        if name.startswith("coco") or key.startswith("backbone."):
            source = weights.sources[key]
            used |= set(source.split(" - "))
            check(source, plain, variable.numpy(), key)
    assert used == set(plain), "every array of the file went to a variable"


def check(source, plain, found, key):
    """All numbers of a variable are that of its array in the file; of Keras, biases were taken off the means."""
    parts = [value_of(plain[part]) for part in source.split(" - ")]
    wanted = parts[0] - sum(parts[1:])
    assert found.size and np.ptp(found) <= 1e-6 * abs(wanted), key
    assert found.flat[0] == pytest.approx(wanted, rel=1e-6), key
