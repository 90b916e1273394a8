"""Checkpoints: they are whole or absent; the newest and the best are found; those of other models are refused."""

import contextlib
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
import tensorflow as tf

from awsdet import config as base
from awsdet.inference import checkpoint
from awsdet.inference.load import load
from awsdet.runtime.errors import UserError
from awsdet.training import checkpoint as written
from awsdet.training import optimizer
from awsdet.training.checkpoint import Checkpoints, restore, state_of
from awsdet.training.snapshot import Snapshot
from awsdet.weights import mmdet

REPOSITORY = pathlib.Path(__file__).parents[2]


class TinyModel(tf.keras.Model):
    """Two layers, and the step counter that detectors have."""

    def __init__(self, width=4):
        super().__init__(name="small")
        self.first = tf.keras.layers.Dense(width, name="first")
        self.second = tf.keras.layers.Dense(1, name="second")
        self.step = tf.Variable(0, dtype=tf.int64, trainable=False, name="step")
        self(tf.zeros([1, 3]))

    def call(self, inputs):
        return self.second(tf.nn.relu(self.first(inputs)))


def model_and_optimizer(name="sgd", precision="float32", seed=1, ema_decay=0.9):
    """A model and its optimizer with all variables. AdamW has factors for some of them."""
    tf.keras.utils.set_random_seed(seed)
    model = TinyModel()
    config = base.mask_rcnn()
    config.optimizer.update(name=name, ema_decay=ema_decay, rules="*bias rate=2 decay=0" if name == "adamw" else "")
    made_optimizer = optimizer.build_optimizer(config.optimizer, 0.01, precision)
    optimizer.create_slots(made_optimizer, model.trainable_variables)
    return model, made_optimizer


def train_steps(model, optimizer, steps):
    """`steps` updates, whose data depend only on the step."""

    @tf.function
    def step(x):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean((model(x) - 1.0) ** 2)
        variables = model.trainable_variables
        optimizer.apply_gradients(
            zip(tape.gradient(loss, variables), variables), experimental_aggregate_gradients=False
        )
        model.step.assign_add(1)

    for _ in range(steps):
        step(tf.random.stateless_normal([8, 3], [1, int(model.step)]))


def all_values(model, optimizer_):
    return [v.numpy() for v in [*model.variables, *optimizer.state_variables(optimizer_)]]


@pytest.mark.parametrize("name", ["sgd", "adamw", "novograd", "lamb"])
@pytest.mark.parametrize("precision", ["float32", "mixed_float16"])
def test_restored_state_goes_on_bit_for_bit(tmp_path, name, precision):
    model, its_optimizer = model_and_optimizer(name, precision)
    train_steps(model, its_optimizer, 3)
    path = Checkpoints(tmp_path).save(model, its_optimizer, {"step": 3})
    train_steps(model, its_optimizer, 3)

    again, its_other = model_and_optimizer(name, precision, seed=2)
    restore(path, again, its_other)
    train_steps(again, its_other, 3)
    wanted, found = all_values(model, its_optimizer), all_values(again, its_other)
    assert len(wanted) == len(found) > 4 * 2
    for a, b in zip(wanted, found):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("name", ["sgd", "adamw", "novograd", "lamb"])
def test_what_is_written_is_the_state_when_it_began(tmp_path, name):
    """The run goes on and changes every variable before anything is written."""
    model, its_optimizer = model_and_optimizer(name)
    train_steps(model, its_optimizer, 3)
    wanted = {name: variable.numpy() for name, variable in state_of(model, its_optimizer).items()}
    taken = Snapshot(state_of(model, its_optimizer))
    train_steps(model, its_optimizer, 3)
    assert not any(np.array_equal(wanted[name], variable) for name, variable in state_of(model, its_optimizer).items())
    taken.write(str(tmp_path / "found"))
    found = tf.train.load_checkpoint(str(tmp_path / "found"))
    assert set(found.get_variable_to_shape_map()) == set(wanted)
    for name, value in wanted.items():
        np.testing.assert_array_equal(found.get_tensor(name), value)


def test_the_run_goes_on_while_a_checkpoint_is_written(tmp_path, monkeypatch):
    """A slow disk delays only the next checkpoint."""
    disk_is_free, write = threading.Event(), Snapshot.write
    monkeypatch.setattr(Snapshot, "write", lambda *arguments: disk_is_free.wait(30) and write(*arguments))
    checkpoints, (model, its_optimizer) = Checkpoints(tmp_path), model_and_optimizer()
    path = checkpoints.begin(model, its_optimizer, {"step": 0})
    train_steps(model, its_optimizer, 2)
    assert checkpoints.newest() is None and not checkpoints.failed
    disk_is_free.set()
    checkpoints.begin(model, its_optimizer, {"step": 2})
    assert path in checkpoints.all()
    checkpoints.wait()
    steps = [int(checkpoint.State(p).read("step")) for p in checkpoints.all()]
    assert steps == [0, 2]


def test_what_cannot_be_written_is_said(tmp_path, caplog):
    """A failure is logged at once and then raised; nothing is left behind, and earlier checkpoints stay."""
    folder, elsewhere = tmp_path / "checkpoints", tmp_path / "elsewhere"
    checkpoints, (model, its_optimizer) = Checkpoints(folder), model_and_optimizer()
    first = checkpoints.save(model, its_optimizer, {"step": 1})
    folder.rename(elsewhere)
    folder.touch()  # a file at the path of the folder
    checkpoints.begin(model, its_optimizer, {"step": 2})
    checkpoints.settle()
    assert checkpoints.failed and "step-00000002 could not be written: " in caplog.text
    with pytest.raises(UserError, match="step-00000002 could not be written: .*go on with --resume"):
        checkpoints.begin(model, its_optimizer, {"step": 3})
    folder.unlink()
    elsewhere.rename(folder)
    assert checkpoints.all() == [first] and not checkpoints.failed
    checkpoints.save(model, its_optimizer, {"step": 3})
    assert [path.name for path in checkpoints.all()] == ["step-00000001", "step-00000003"]


def test_keeps_the_last_and_the_best(tmp_path):
    checkpoints = Checkpoints(tmp_path, keep_last=2)
    model, its_optimizer = model_and_optimizer()
    for step, ap in enumerate([0.1, 0.4, 0.2, 0.3, 0.2], start=1):
        path = checkpoints.save(model, its_optimizer, {"step": step, "metrics": None})
        checkpoints.record_metrics(path, {"box_ap": 1 - ap, "mask_ap": ap})
        checkpoints.choose_best()
    assert [path.name for path in checkpoints.all()] == ["step-00000002", "step-00000004", "step-00000005"]
    assert checkpoints.best().name == "step-00000002"
    assert checkpoint.find(tmp_path).name == "step-00000002"
    assert sorted(p.name for p in tmp_path.iterdir() if p.name.startswith(".")) == []


def linked(root):
    return {link.name: link.resolve().name for link in checkpoint.best_links(root)}


def test_keeps_several_of_the_best(tmp_path):
    """Ranked by the metric, the newer of two that are equal first; a resumed run may keep more or fewer."""
    checkpoints = Checkpoints(tmp_path, keep_last=1, keep_best=3)
    model, its_optimizer = model_and_optimizer()
    checkpoints.save(model, its_optimizer, {"step": 0, "metrics": None})
    for step, ap in enumerate([0.3, 0.1, 0.4, 0.2, 0.3, 0.0], start=1):
        path = checkpoints.save(model, its_optimizer, {"step": step, "metrics": None})
        checkpoints.record_metrics(path, {"box_ap": 1 - ap, "mask_ap": ap})
        checkpoints.choose_best()
    checkpoints.save(model, its_optimizer, {"step": 7, "metrics": None})  # it has no metric yet
    best = {"best": "step-00000003", "best-2": "step-00000005", "best-3": "step-00000001"}
    assert linked(tmp_path) == best
    assert {path.name for path in checkpoints.all()} == {*best.values(), "step-00000007"}
    assert checkpoint.find(tmp_path / "best-2").resolve().name == "step-00000005"

    (tmp_path / "best-2").unlink()  # a kill may come between two links
    Checkpoints(tmp_path, keep_last=1, keep_best=3).clean()
    assert linked(tmp_path) == best
    fewer = Checkpoints(tmp_path, keep_last=1, keep_best=1)
    fewer.clean()
    fewer.save(model, its_optimizer, {"step": 8, "metrics": None})
    assert linked(tmp_path) == {"best": "step-00000003"}
    assert [path.name for path in fewer.all()] == ["step-00000003", "step-00000008"]


def test_one_whose_score_is_still_to_come_is_kept(tmp_path):
    checkpoints = Checkpoints(tmp_path, keep_last=1)
    model, its_optimizer = model_and_optimizer()
    checkpoints.held = checkpoints.path_of(1)
    for step in (1, 2, 3):
        checkpoints.save(model, its_optimizer, {"step": step, "metrics": None})
    assert checkpoints.all() == [checkpoints.path_of(1), checkpoints.path_of(3)]
    checkpoints.record_metrics(checkpoints.held, {"box_ap": 0.5})
    checkpoints.held = None
    checkpoints.choose_best()
    checkpoints.save(model, its_optimizer, {"step": 4, "metrics": None})
    assert checkpoints.all() == [checkpoints.path_of(1), checkpoints.path_of(4)]
    checkpoints.drop_after(1)
    assert checkpoints.all() == [checkpoints.path_of(1)] and checkpoints.best() == checkpoints.path_of(1)


def test_a_score_that_arrives_while_a_checkpoint_is_written_loses_none_of_the_best(tmp_path, monkeypatch):
    """The second best is for a moment neither `best`, as it was, nor `best-2`, which it becomes."""
    checkpoints = Checkpoints(tmp_path, keep_last=1, keep_best=2)
    model, its_optimizer = model_and_optimizer()
    for step, ap in enumerate([0.1, 0.2, 0.3], start=1):
        path = checkpoints.save(model, its_optimizer, {"step": step, "metrics": {"box_ap": ap}})
        if step < 3:
            checkpoints.choose_best()
    assert linked(tmp_path) == {"best": "step-00000002", "best-2": "step-00000001"}
    write, slow = written.written_aside, [tmp_path / "best-2"]

    @contextlib.contextmanager
    def slowly(path):
        with write(path) as aside:
            yield aside
            if path in slow:
                slow.remove(path)
                checkpoints.begin(model, its_optimizer, {"step": 4, "metrics": None})
                while not (tmp_path / "step-00000004").exists():
                    time.sleep(0.01)
                time.sleep(0.3)  # enough to drop old ones, if nothing keeps it from that

    monkeypatch.setattr(written, "written_aside", slowly)
    checkpoints.held = path
    checkpoints.choose_best()
    checkpoints.wait()
    assert not slow and linked(tmp_path) == {"best": "step-00000003", "best-2": "step-00000002"}
    assert [path.name for path in checkpoints.all()] == [f"step-0000000{step}" for step in (2, 3, 4)]


def test_best_survives_a_copy_that_follows_links(tmp_path):
    checkpoints = Checkpoints(tmp_path / "run", keep_last=1)
    model, its_optimizer = model_and_optimizer()
    for step, ap in [(1, 0.2), (2, 0.1)]:
        path = checkpoints.save(model, its_optimizer, {"step": step, "metrics": {"box_ap": ap}})
        checkpoints.choose_best()
    shutil.copytree(tmp_path / "run", tmp_path / "copy")  # `best` is a folder now
    copy = Checkpoints(tmp_path / "copy", keep_last=1)
    assert not (copy.root / "best").is_symlink() and copy.best().name == "best"
    path = copy.save(model, its_optimizer, {"step": 3, "metrics": {"box_ap": 0.3}})
    copy.choose_best()
    assert copy.best() == path


def test_damaged_and_half_written_ones_are_passed_over(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    model, its_optimizer = model_and_optimizer()
    paths = [checkpoints.save(model, its_optimizer, {"step": step}) for step in (1, 2, 3)]
    state = next(paths[2].glob("state.data*"))
    state.write_bytes(state.read_bytes()[:-1])
    (paths[1] / checkpoint.INFO).unlink()
    (tmp_path / ".aside-step-00000004").mkdir()
    assert checkpoints.newest() == paths[0]
    with pytest.raises(UserError, match="step-00000003 is damaged"):
        checkpoint.find(paths[2])
    checkpoints.clean()
    assert not list(tmp_path.glob(".aside*"))
    checkpoints.save(model, its_optimizer, {"step": 3})
    assert checkpoints.newest() == paths[2]


KILLED = """
import os, pathlib, sys, threading, time
sys.path.insert(0, {repository!r})
from tests.training.test_checkpoint import model_and_optimizer
from awsdet.training.checkpoint import Checkpoints
model, optimizer = model_and_optimizer()
checkpoints = Checkpoints(sys.argv[1], keep_last=2, keep_best=3)
print("ready", flush=True)
for step in range(10**6):
    path = checkpoints.save(model, optimizer, {{"step": step, "metrics": {{"box_ap": step % 7}}}})
    checkpoints.choose_best()
"""


def test_a_kill_at_any_instant_leaves_whole_checkpoints(tmp_path):
    program = [sys.executable, "-c", KILLED.format(repository=str(REPOSITORY)), str(tmp_path)]
    with subprocess.Popen(program, stdout=subprocess.PIPE, text=True, cwd=REPOSITORY) as process:
        process.stdout.readline()
        checkpoints = Checkpoints(tmp_path, keep_last=2)
        while not checkpoints.best():
            pass
        for pause in np.random.default_rng(0).uniform(0, 0.05, 15):
            # While the process is stopped, the disk holds what a kill at this instant would leave.
            os.kill(process.pid, signal.SIGSTOP)
            assert checkpoints.best() is not None and len(checkpoints.all()) >= 1
            assert all(checkpoint.read_info(path)["files"] for path in checkpoints.all())
            assert all(map(checkpoint.is_whole, checkpoint.best_links(tmp_path)))
            os.kill(process.pid, signal.SIGCONT)
            signal.sigtimedwait([], pause)
        process.kill()
    newest = checkpoints.newest()
    model, its_optimizer = model_and_optimizer(seed=2)
    restore(newest, model, its_optimizer)


def test_nothing_there():
    with pytest.raises(UserError, match="does not exist"):
        checkpoint.find("/nowhere")


def test_other_folders_are_no_checkpoints(tmp_path):
    with pytest.raises(UserError, match="holds no checkpoint"):
        checkpoint.find(tmp_path)
    (tmp_path / checkpoint.INFO).write_text("{")
    with pytest.raises(UserError, match="is not a checkpoint"):
        checkpoint.load(tmp_path)
    (tmp_path / checkpoint.INFO).write_text('{"format": "something else"}')
    with pytest.raises(UserError, match="is not a checkpoint of this version"):
        checkpoint.read_info(tmp_path)


def test_inference_takes_the_averaged_weights(finished_run):
    folder, _ = finished_run
    detector, info = checkpoint.load(folder)
    assert info["class_names"] == list(detector.class_names) and info["path"].endswith(pathlib.Path(info["path"]).name)
    state = checkpoint.State(info["path"])
    for variable in detector.trainable_variables:
        name = checkpoint.name_of(variable)
        np.testing.assert_array_equal(variable, state.read(f"{name}/average"))
    assert not np.array_equal(state.read(name), state.read(f"{name}/average"))


def test_weights_of_another_model_in_a_checkpoint_are_refused(finished_run, tmp_path):
    folder, _ = finished_run
    copy = tmp_path / "copy"
    shutil.copytree(checkpoint.find(folder), copy)
    info = json.loads((copy / checkpoint.INFO).read_text())
    info["config"]["model"]["fpn"]["channels"] = 16
    (copy / checkpoint.INFO).write_text(json.dumps(info))
    with pytest.raises(UserError, match="does not hold the model that its config describes"):
        checkpoint.load(copy)


@pytest.mark.parametrize("name", ["mask_scoring_rcnn", "cascade_mask_rcnn", "retinanet"])
def test_checkpoints_of_format_1_still_load_and_go_on(name):
    """They were written by tf.train.Checkpoint, from detectors whose objects were nested differently."""
    folder = REPOSITORY / "tests" / "fixtures" / "checkpoints" / name
    detector, info = checkpoint.load(folder)
    assert info["format"] == "awsdet checkpoint 1" and info["step"] == 2
    # Exported, with averaged weights, by the version that wrote the checkpoint.
    with np.load(folder / "weights.npz") as wanted:
        found = mmdet.export(detector)
        assert set(found) == set(wanted.files)
        for key in wanted.files:
            np.testing.assert_array_equal(found[key], wanted[key], key)

    config = info["config"]
    its_optimizer = optimizer.build_optimizer(config.optimizer, 0.01, config.model.precision)
    optimizer.create_slots(its_optimizer, detector.trainable_variables)
    restore(folder, detector, its_optimizer)
    assert int(detector.step) == 2 and int(its_optimizer.iterations) == 2
    momentum = [v for v in optimizer.state_variables(its_optimizer) if v.name.endswith("/momentum:0")]
    assert momentum and all(np.any(v) for v in momentum if "fc_cls" in v.name or "retina_cls" in v.name)


def test_a_file_of_weights_of_before_still_loads():
    """`awsdet weights` wrote it, of the version that wrote the checkpoint beside it."""
    folder = REPOSITORY / "tests" / "fixtures" / "checkpoints" / "mask_scoring_rcnn"
    detector = load(folder / "weights.safetensors")
    assert list(detector.class_names) == checkpoint.read_info(folder)["class_names"]
    with np.load(folder / "weights.npz") as wanted:
        for key, value in mmdet.export(detector).items():
            np.testing.assert_array_equal(value, wanted[key], key)


def test_a_state_that_lacks_a_variable_is_refused(tmp_path):
    model, its_optimizer = model_and_optimizer()
    path = Checkpoints(tmp_path).save(model, its_optimizer, {"step": 3})
    model.extra = tf.Variable(0.0, name="extra.bias")
    with pytest.raises(UserError, match="it has no extra.bias"):
        restore(path, model, its_optimizer)
