"""Two ranks of `awsdet train` for whose GPU, an H100 that is not there, kernels must be compiled first."""

import json
import sys

from tests.training.tiny_run import QUICK, make_records, write_config

TRAIN = """
import sys
import time

from absl import flags
from awsdet.cli import arguments, main, train
from awsdet.runtime.gpu_fit import Gpu

# The real child would take as long as the training itself; tests/training/test_warm_child.py runs it.
CHILD = "import time; open('compiled', 'a').write('once '); time.sleep(2)"
flag_values = flags.FlagValues()
train.define(flag_values)
main._start_logging()
overrides = arguments.parse("train", flag_values, sys.argv[1:], ())
sys.exit(train.run(flag_values, overrides, find_gpu=lambda: Gpu("H100", (9, 0)), child=[sys.executable, "-c", CHILD]))
"""


def test_the_ranks_train_once_one_has_compiled(tmp_path, horovodrun, monkeypatch):
    monkeypatch.setenv("CUDA_CACHE_PATH", str(tmp_path / "cache"))
    config = write_config(tmp_path / "tiny.py", make_records(tmp_path, 4, 1))
    (tmp_path / "train.py").write_text(TRAIN)
    overrides = [f"--config.{change}" for change in (*QUICK, "train.max_steps=1", "train.pictures=0")]
    command = [sys.executable, tmp_path / "train.py", f"--config={config}", f"--output={tmp_path / 'run'}"]
    done = horovodrun(2, [*command, *overrides])
    assert done.code == 0, done.output
    assert done.output.index("has compiled its GPU kernels") < done.output.index("done: step 1")
    (mark,) = (tmp_path / "cache").glob("*.json")
    assert json.loads(mark.read_text())["detector"] == "faster_rcnn"
    assert (tmp_path / "compiled").read_text() == "once "
