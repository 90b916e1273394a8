"""Runs `awsdet.training.warming` on the hollow GPU, as a rank of a job would, and fails if it does not do its work.

    python -m tests.gpu_counts.warm counts.json      needs the environment that scripts/gpu_counts.sh makes

counts.json has been written by `report`.

On an H100, the child starts, trains, detects and leaves the mark, and it launches every kernel that a training step and
a detection launch. On an L4, for which TensorFlow has machine code, nothing happens.
"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile

from awsdet import config as config_module
from awsdet.data.coco import shapes
from awsdet.data.records.convert import convert
from awsdet.training.warming import Request, warm_up
from tests.gpu_counts import scene
from tests.gpu_counts.report import Case

IMAGES, PRECISION = 2, "mixed_bfloat16"
CONFIG = """
from awsdet import config as base

def get_config():
    config = base.mask_rcnn()
    config.model.precision = {precision!r}
    config.data.update(train_records={records!r}, batch_size={images})
    config.train.allow_random_frozen = True
    return config
"""


def main(counts):
    """Starts one process per GPU. counts: the path of the counts."""
    counted = {Case(*(row[name] for name in Case._fields)): row for row in json.loads(pathlib.Path(counts).read_text())}
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        config = CONFIG.format(precision=PRECISION, records=str(records(folder)), images=IMAGES)
        (folder / "config.py").write_text(config)
        for capability in (89, 90):
            own = {"AWSDET_HOLLOW_CAPABILITY": str(capability), "CUDA_CACHE_PATH": str(folder / str(capability))}
            job = {"HOROVOD_RANK": "1", "HOROVOD_SIZE": "2", "HOROVOD_LOCAL_RANK": "1"}
            command = [sys.executable, "-m", "tests.gpu_counts.warm", "--rank", str(folder)]
            subprocess.run(command, env={**os.environ, **own, **job}, check=True)
        assert not (folder / "89").exists() and not (folder / "kernels-89").exists(), "an L4 was warmed"
        (mark,) = (folder / "90").glob("*.json")
        facts = json.loads(mark.read_text())
        assert facts["capability"] == [9, 0] and facts["driver"] == "libhollow.so", facts
        launched = set(json.loads((folder / "kernels-90").read_text()))
    for work in ("train", "detect"):
        wanted = set(counted[Case(work, IMAGES, PRECISION, 90)]["kernels"])
        assert len(wanted) > 20 and wanted <= launched, f"{work} launches too: {sorted(wanted - launched)}"
        print(f"holds   warming up launches the {len(wanted)} kernels of {work}")


def records(folder):
    """Makes records of as many classes as are counted. Returns their folder."""
    shapes.generate(folder, train_images=2, val_images=1, test_images=0, image_size=64, seed=1)
    for split in ("train", "val"):
        annotations = folder / "annotations" / f"instances_{split}.json"
        content = json.loads(annotations.read_text())
        known = len(content["categories"])
        content["categories"] += [{"id": 1000 + i, "name": f"class {i}"} for i in range(known, scene.NUM_CLASSES)]
        annotations.write_text(json.dumps(content))
        convert(annotations, folder / "images" / split, folder / "records", split, shards=1, workers=1)
    return folder / "records"


def rank(folder):
    """What the rank of a job does."""
    capability = os.environ["AWSDET_HOLLOW_CAPABILITY"]
    child = [sys.executable, "-m", "tests.gpu_counts.warm_child", f"{folder}/kernels-{capability}", str(IMAGES)]
    config = config_module.load(f"{folder}/config.py")
    warmed = warm_up(config, Request(f"{folder}/config.py", [], f"{folder}/run", False), child=child)
    assert warmed == (False, config.train.stall_seconds), warmed


if __name__ == "__main__":
    rank(sys.argv[2]) if sys.argv[1] == "--rank" else main(sys.argv[1])
