"""The examples of docs/extending.md, and those in Python of docs/data.md, run as they stand there."""

import pathlib
import re
import shutil
import subprocess
import sys
import textwrap

import numpy as np
import pytest
import tensorflow as tf

import awsdet
from awsdet.detection import boxes as box_lib
from awsdet.models import builder
from awsdet.models.heads.box_head import BoxHead
from awsdet.training import schedule
from awsdet.weights import mmdet
from tests.training.tiny_run import load_config, make_records, write_config

ROOT = pathlib.Path(__file__).parents[1]
ADDED = ("A backbone", "A box head", "A learning-rate schedule", "An augmentation", "A callback")


def sections(page):
    """Title -> list of its Python blocks."""
    parts = re.split(r"^## (.+)$", (ROOT / "docs" / page).read_text(), flags=re.MULTILINE)
    return {title: re.findall(r"```python\n(.*?)```", text, re.DOTALL) for title, text in zip(parts[1::2], parts[2::2])}


BLOCKS = sections("extending.md")


def run_blocks(title, **names):
    """The names after all blocks of a section ran, one after the other."""
    for block in BLOCKS[title]:
        exec(compile(block, f"docs/extending.md, {title}", "exec"), names)
    return names


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A folder with `tiny.py`, a config whose records are there too."""
    folder = tmp_path_factory.mktemp("extending")
    write_config(folder / "tiny.py", make_records(folder))
    return folder


@pytest.fixture
def config(data):
    changes = ("train.epochs=1", "train.pictures=0", "train.evaluate_every_epochs=0", "model.detector=faster_rcnn")
    return load_config(data / "tiny.py", *changes, "train.max_steps=2")


@pytest.fixture(autouse=True)
def registries():
    """What the examples add is gone afterwards."""
    dicts = [builder.BACKBONES, builder.NECKS, builder.BOX_HEADS, builder.DETECTORS, schedule.SCHEDULES]
    before = [dict(registry) for registry in dicts]
    yield
    for registry, entries in zip(dicts, before):
        registry.clear()
        registry.update(entries)


class Watch(tf.keras.callbacks.Callback):
    """Keeps the detector that is trained, its losses and learning rates."""

    def __init__(self):
        super().__init__()
        self.losses, self.rates = [], []

    def on_train_batch_begin(self, batch, logs=None):
        self.rates.append(float(self.model.optimizer.learning_rate(self.model.optimizer.iterations)))

    def on_train_batch_end(self, batch, logs=None):
        self.losses.append(float(logs["loss"]))


def trained(config, folder, **options):
    """The Watch of a short run, and the detector that `awsdet.load` makes of it."""
    watch = Watch()
    outcome = awsdet.train(config, folder / "run", callbacks=[watch], verbose=False, **options)
    assert outcome.exit_code == 0 and np.isfinite(watch.losses).all()
    return watch, awsdet.load(folder / "run")


def test_every_section_is_run_here():
    assert {*ADDED, "The rules alone"} == set(BLOCKS) and all(BLOCKS.values())
    for title in BLOCKS:
        assert all(block.startswith("# ") for block in BLOCKS[title]), "a block says where it goes"


def test_every_dict_of_the_table_is_there():
    text = (ROOT / "docs/extending.md").read_text()
    for name, setting in re.findall(r"^\| [^|]+ \| `([A-Z_]+)`[^|]* \| `([a-z_.]+)` \|$", text, re.MULTILINE):
        registry = getattr(schedule if name == "SCHEDULES" else builder, name)
        value = awsdet.configs.mask_rcnn()
        for key in setting.split("."):
            value = value[key]
        assert value in registry, name


def test_a_backbone(config, tmp_path):
    names = run_blocks("A backbone", config=config)
    watch, again = trained(config, tmp_path)
    assert len(watch.losses) == 2 and type(watch.model.backbone) is names["Plain"] is type(again.backbone)
    features = again.backbone(tf.zeros([1, 64, 96, 3]))
    assert [tuple(f.shape[1:]) for f in features] == [
        (64 // s, 96 // s, c) for s, c in zip((4, 8, 16, 32), again.backbone.out_channels)
    ]
    assert {"backbone.stage1.conv.weight", "backbone.stage1.bn.running_mean"} <= set(mmdet.table(again))


def test_a_box_head(config, tmp_path):
    names = run_blocks("A box head", config=config)
    watch, again = trained(config, tmp_path)
    assert type(watch.model.roi_heads.stages[0].box_head) is names["MeanBoxHead"]
    assert type(again.roi_heads.stages[0].box_head) is names["MeanBoxHead"]
    config.model.detector = "cascade_rcnn"
    stages = awsdet.build(config, ["a", "b"]).roi_heads.stages
    assert [type(stage.box_head) for stage in stages] == [names["MeanBoxHead"]] * 3
    config.model.box_head.name = "shared"
    assert type(awsdet.build(config, ["a"]).roi_heads.stages[0].box_head) is BoxHead


def test_a_learning_rate_schedule(config, tmp_path):
    config.schedule.update(warmup_steps=1, warmup_ratio=0.5)
    names = run_blocks("A learning-rate schedule", config=config)
    watch, _ = trained(config, tmp_path)
    np.testing.assert_allclose(watch.rates, [0.01, 0.01], rtol=1e-6)  # 0.02 * 0.5 and, half of the way, 0.02 * 0.5
    made = names["Linear"](0.1, 2, 0.0, 10)
    again = names["Linear"].from_config(made.get_config())
    for step, wanted in {0: 0.0, 1: 0.045, 5: 0.05, 10: 0.0, 11: 0.0}.items():
        assert float(made(step)) == float(again(step)) == pytest.approx(wanted, abs=1e-7)


def test_an_augmentation_of_batches(config, tmp_path):
    names = run_blocks("An augmentation", config=config)
    plain, changed = next(iter(names["one_epoch"])), names["noisy"](next(iter(names["one_epoch"])))
    difference = changed["image"].numpy().astype(float) - plain["image"].numpy()
    assert 2 < difference.std() < 9 and changed["image"].dtype == tf.uint8
    shapes = ["circle", "rectangle", "triangle", "star"]
    watch, _ = trained(config, tmp_path, dataset=names["dataset"], class_names=shapes)
    assert len(watch.losses) == 2


def test_a_callback(data, tmp_path):
    changes = ("train.epochs=3", "train.pictures=0", "model.detector=faster_rcnn")
    config = load_config(data / "tiny.py", *changes)
    names = run_blocks("A callback")
    callback, watch = names["callbacks"][0], Watch()
    callback.box_ap = 0.0  # the example's aim is out of reach here
    awsdet.train(config, tmp_path / "run", callbacks=[callback, watch], verbose=False)
    assert len(watch.losses) == 3  # an epoch of three


def test_the_rules_alone():
    names = run_blocks("The rules alone")
    assert names["anchors"].shape == (192, 4) and names["negatives"] > names["positives"] > 1
    assert names["sample"].valid.numpy().all() and names["sample"].positive.numpy().sum() == min(8, names["positives"])
    positive = names["sample"].positive
    wanted = tf.gather(names["objects"], names["sample"].truth, batch_dims=1)
    np.testing.assert_allclose(names["boxes"][positive], wanted[positive], atol=1e-3)
    kept = names["found"]
    count = int(kept.count[0])
    overlaps = box_lib.iou(kept.boxes[0, :count], names["objects"][0]).numpy()
    assert 1 <= count <= 2 and (overlaps.max(axis=1) > 0.99).all() and (kept.scores[0, :count].numpy() > 0.5).all()
    assert names["pooled"].shape == (2, 7, 7, 16)


def test_a_config_file_may_hold_the_part(data, tmp_path):
    """`awsdet train --config=FILE` needs no module beside it."""
    part, line, setting = BLOCKS["A backbone"]
    file = data / "tiny.py"
    head, tail = file.read_text().split("    return config\n")
    (tmp_path / "own.py").write_text(
        part + line + head + textwrap.indent(setting, "    ") + "    return config\n" + tail
    )
    config = load_config(tmp_path / "own.py", "model.detector=faster_rcnn")
    assert type(awsdet.build(config, ["a"]).backbone).__name__ == "Plain"


# ----------------------------------------------------------------------------------------- docs/data.md, "Adding one"

AFTER = {  # what a block of the section goes after, in its function
    "Augmentation": "    hue: float\n",
    "draw": "            others[name] = (low + draws.even(name) * (high - low)).astype(np.float32)\n",
    "recolour": "            images = getattr(colour, name)(images, others[name], window)\n",
}
CHECK = """
import sys
from awsdet.data.reader.builder import reader_options
from awsdet.data.reader.pipeline import train_dataset
from awsdet.data.records.read import read_manifest
from tests.training.tiny_run import load_config
config = load_config(sys.argv[1], "data.grey_probability=1.0")
data = train_dataset(read_manifest(config.data.train_records, "train"), reader_options(config.data), seed=1, rank=0,
                     world_size=1, epochs=1).dataset
for batch in data:
    image = batch["image"].numpy().astype(int)
    assert abs(image - image[..., :1]).max() <= 1 and image.any()
try:
    reader_options(load_config(sys.argv[1], "data.grey_probability=2.0").data)
except Exception as error:
    assert "data.grey_probability is 2.0; it must be between 0 and 1" in str(error), error
else:
    raise AssertionError("a probability of 2 was let through")
"""


def test_an_augmentation_of_the_reader(data, tmp_path):
    """The lines of the section, put into a copy of the package at the places that they name."""
    shutil.copytree(ROOT / "awsdet", tmp_path / "awsdet", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "tests/training", tmp_path / "tests/training", ignore=shutil.ignore_patterns("test_*"))
    text = (ROOT / "docs/data.md").read_text().partition("**Adding an augmentation.**")[2]
    default, limits, lines = re.findall(r"```python\n(.*?)```", text, re.DOTALL)[:3]
    defaults, augment = tmp_path / "awsdet/config/defaults.py", tmp_path / "awsdet/data/reader/augment.py"
    insert(defaults, '            "hue": 0.0,', textwrap.indent(default, " " * 12), before=True)
    insert(tmp_path / "awsdet/config/ranges.py", '    "hue": Number(', textwrap.indent(limits, " " * 4), before=True)
    for block in re.split(r"\n\n", lines.strip()):
        place = re.search(r"# in (Augmentation|draw|recolour)\b", block)[1]
        insert(augment, AFTER[place], textwrap.indent(block + "\n", " " * 4))
    paths = {"PYTHONPATH": str(tmp_path), "PATH": "/usr/bin:/bin", "TF_CPP_MIN_LOG_LEVEL": "2"}
    command = [sys.executable, "-c", CHECK, str(data / "tiny.py")]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=paths, check=False)
    assert done.returncode == 0, done.stderr[-2000:]


def insert(path, place, text, before=False):
    source = path.read_text()
    assert source.count(place) == 1, f"{path.name} has {place!r} {source.count(place)} times"
    path.write_text(source.replace(place, text + place if before else place + text))


def test_batches_without_records():
    (block,) = sections("data.md")["Batches without records"]
    images = [np.full((40 + 8 * k, 50, 3), k, np.uint8) for k in range(5)]
    lists = {"boxes": [[[5, 5, 30, 30]]] * 5, "classes": [[1]] * 5, "masks": [[[[5, 5, 30, 5, 30, 30]]]] * 5}
    names = {"images": images, **lists}
    exec(compile(block, "docs/data.md", "exec"), names)
    assert [batch["image"].shape[:3] for batch in names["dataset"]] == [(2, 64, 64), (2, 64, 64), (1, 96, 64)]
