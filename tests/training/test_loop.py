"""Whole training runs, from settings to pictures."""

import json
import os
import re
import shutil
import signal

import numpy as np
import pytest
import tensorflow as tf

from awsdet.data.records.convert import convert
from awsdet.data.records.read import read_manifest
from awsdet.inference import checkpoint
from awsdet.models import builder
from awsdet.replay.failed_step import read as read_failed_step
from awsdet.runtime.errors import UserError
from awsdet.runtime.world import World
from awsdet.training import loop
from awsdet.training.inputs import prepare
from awsdet.training.run_folder import RunFolder
from awsdet.training.settings import check_continues
from awsdet.training.transfer import take_weights
from tests.training.tiny_run import QUICK, load_config, logged_lines


def test_a_run_leaves_all_that_it_should(finished_run):
    folder, outcome = finished_run
    assert outcome.exit_code == 0 and {"box_ap", "mask_ap", "per_class"} <= set(outcome.metrics)
    names = {path.name for path in folder.iterdir()}
    assert names == {
        *("config.json", "versions.json", "metrics.jsonl", "results.json", "examples.png"),
        *("ended.json", "tensorboard", "checkpoints", "profile"),
    }
    assert json.loads((folder / "config.json").read_text())["train"]["checkpoint_every_steps"] == 2
    assert {"tensorflow-cpu", "tensorflow"} & set(json.loads((folder / "versions.json").read_text()))
    kept = {path.name for path in (folder / "checkpoints").iterdir()}
    assert {"best", "step-00000004", "step-00000006"} <= kept and len(kept) <= 4
    info = checkpoint.read_info(folder / "checkpoints" / "step-00000006")
    assert info["metrics"] == outcome.metrics and info["step"] == 6 and info["epoch"] == 2

    logged = logged_lines(folder)
    steps = [line for line in logged if "loss" in line]
    assert [line["step"] for line in steps] == [1, 2, 3, 4, 5, 6]
    wanted = {"epoch", "rpn_class_loss", "mask_loss", "learning_rate", "images_per_second", "data_wait", "memory_mb"}
    assert wanted <= set(steps[0]) and all(np.isfinite(line["loss"]) for line in steps)
    # Warm-up of two updates from a thousandth of 0.02; the line of a step shows the rate of the next step.
    np.testing.assert_allclose([line["learning_rate"] for line in steps[:3]], [0.01001, 0.02, 0.02], rtol=1e-3)
    assert [line["step"] for line in logged if "box_ap" in line] == [3, 6]


def test_tensorboard_shows_losses_and_metrics(finished_run):
    folder, _ = finished_run
    points = set()
    for file in (folder / "tensorboard").iterdir():
        for event in tf.compat.v1.train.summary_iterator(str(file)):
            points |= {(value.tag, event.step) for value in event.summary.value}
    assert {
        ("train/loss", 1),
        ("train/learning_rate", 6),
        ("evaluation/box_ap", 3),
        ("evaluation/mask_ap", 6),
        ("classes_mask_ap/circle", 6),
        ("evaluation/precision over recall", 6),
        ("evaluation/predictions and ground truth", 3),
        ("evaluation/predictions and ground truth", 6),
    } <= points


def test_the_profile_of_two_steps(finished_run):
    folder, _ = finished_run
    first, _, parts, rows, *_ = (folder / "profile" / "table.txt").read_text().split("\n\n")
    assert first.startswith("Steps 5 to 6 on rank 0 took ")
    found = dict(re.findall(r"^([^\d\n]+?)  +(\d+\.\d+) ", parts, re.MULTILINE))
    wanted = {"backbone", "backbone, gradient", "FPN", "RPN head", "box head", "mask head, gradient", "RoIAlign"}
    assert wanted | {"proposals", "targets", "losses", "update"} <= set(found), parts
    assert all(float(found[part]) > 0 for part in wanted)
    assert re.search(r"^Conv2DBackpropFilter +backbone, gradient ", rows, re.MULTILINE), rows


def copy_of_run(finished_run, tmp_path):
    shutil.copytree(finished_run[0], tmp_path / "run", symlinks=True)
    return tmp_path / "run"


AS_FINISHED = ("train.checkpoint_every_steps=2", "train.keep_last=2", "optimizer.ema_decay=0.5")


def test_resuming_a_finished_run_trains_and_evaluates_no_more(finished_run, config_file, tmp_path, log):
    run = copy_of_run(finished_run, tmp_path)
    outcome = loop.train(load_config(config_file, *AS_FINISHED, "train.pictures=0"), run, World(), resume=True)
    assert outcome == finished_run[1] and "resumed from" in log.text
    assert logged_lines(run) == logged_lines(finished_run[0])


def test_run_killed_while_it_evaluated_catches_up(finished_run, config_file, tmp_path, log):
    """The missing evaluation is done, with the same numbers; then the run ends without meeting its target."""
    run = copy_of_run(finished_run, tmp_path)
    newest = RunFolder(run).checkpoints.newest()
    RunFolder(run).checkpoints.record_metrics(newest, None)
    config = load_config(config_file, *AS_FINISHED, "train.pictures=0", "train.box_ap_target=0.99")
    outcome = loop.train(config, run, World(), resume=True)
    assert outcome == loop.Outcome(1, finished_run[1].metrics) and "without meeting the target" in log.text
    assert checkpoint.read_info(newest)["metrics"] == finished_run[1].metrics


@pytest.mark.parametrize("epochs, mask_ap, exit_code", [(2, 0.1, 1), (5, 0.5, 0)])
def test_both_targets_must_be_met(finished_run, config_file, tmp_path, epochs, mask_ap, exit_code):
    """A resumed run trains no more if its last evaluation met both targets; at its end, one that missed one fails."""
    run = copy_of_run(finished_run, tmp_path)
    checkpoints = RunFolder(run).checkpoints
    checkpoints.record_metrics(checkpoints.newest(), {**finished_run[1].metrics, "box_ap": 0.5, "mask_ap": mask_ap})
    changes = ("train.box_ap_target=0.4", "train.mask_ap_target=0.4", f"train.epochs={epochs}", "train.pictures=0")
    outcome = loop.train(load_config(config_file, *AS_FINISHED, *changes), run, World(), resume=True)
    assert outcome.exit_code == exit_code
    assert logged_lines(run) == logged_lines(finished_run[0])


def test_mask_target_needs_masks_to_evaluate_on(training_folder, config_file, tmp_path):
    """The mistake is reported at the start, not by a KeyError after the first evaluation."""
    truth = json.loads((training_folder / "annotations" / "instances_val.json").read_text())
    for annotation in truth["annotations"]:
        del annotation["segmentation"]
    (tmp_path / "boxes.json").write_text(json.dumps(truth))
    images = training_folder / "images" / "val"
    convert(tmp_path / "boxes.json", images, tmp_path / "records", "val", shards=1, workers=1)
    overrides = (f"data.eval_records={tmp_path / 'records'}", "train.mask_ap_target=0.3")
    with pytest.raises(UserError, match=r"mask_ap_target needs masks, which the evaluation records .*records \(val\)"):
        prepare(load_config(config_file, *overrides), tmp_path / "run", resume=False, processes=1)
    prepare(load_config(config_file, overrides[0], "train.box_ap_target=0.3"), tmp_path / "run", False, processes=1)


def test_split_without_an_image_to_train_on(training_folder, config_file, tmp_path):
    """This is found before any process starts, since messages of several processes are hard to read."""
    truth = json.loads((training_folder / "annotations" / "instances_train.json").read_text())
    (tmp_path / "empty.json").write_text(json.dumps({**truth, "annotations": []}))
    images = training_folder / "images" / "train"
    convert(tmp_path / "empty.json", images, tmp_path / "records", "train", shards=1, workers=1)
    changes = ("model.detector=faster_rcnn", "train.evaluate_every_epochs=0", "data.keep_empty=false")
    config = load_config(config_file, *changes, f"data.train_records={tmp_path / 'records'}")
    with pytest.raises(UserError, match=r"split train in .*records has no image to train on"):
        prepare(config, tmp_path / "run", resume=False, processes=2)


def test_settings_newer_than_a_checkpoint_had_their_defaults(finished_run, config_file):
    info = checkpoint.read_info(RunFolder(finished_run[0]).checkpoints.newest())
    settings = info["config"]["optimizer"]
    settings["name"] = "lamb"
    del settings["beta_2"]
    config = load_config(config_file, *AS_FINISHED, "optimizer.name=lamb")
    manifest = read_manifest(config.data.train_records, "train")
    check_continues(info, config, manifest.class_names, manifest.num_images, images_per_step=2)


@pytest.mark.parametrize("steps", [0, 1])
def test_few_sizes_are_not_switched_on_or_off_within_an_epoch(finished_run, config_file, steps):
    """The images of its remaining steps would not be those that the steps before left over."""
    info = checkpoint.read_info(RunFolder(finished_run[0]).checkpoints.newest())
    info["position"] = [1, [[2, steps]] if steps else []]
    manifest = read_manifest(load_config(config_file).data.train_records, "train")

    def check(*changes):
        config = load_config(config_file, *AS_FINISHED, *changes)
        check_continues(info, config, manifest.class_names, manifest.num_images, images_per_step=2)

    check()
    if not steps:
        return check("data.padded_sizes=auto")
    with pytest.raises(UserError, match=r"within an epoch, .* finish the epoch with --config\.data\.padded_sizes=$"):
        check("data.padded_sizes=auto")
    info["config"]["data"]["padded_sizes"] = "auto"
    check("data.padded_sizes=512x512")
    with pytest.raises(UserError, match=r"--config\.data\.padded_sizes=auto$"):
        check()


def test_metrics_without_masks_meet_no_mask_target(finished_run, config_file, tmp_path):
    """A resumed run has such metrics if its last evaluation was on records without masks."""
    run = copy_of_run(finished_run, tmp_path)
    checkpoints = RunFolder(run).checkpoints
    checkpoints.record_metrics(checkpoints.newest(), {"box_ap": 0.5})
    changes = ("train.box_ap_target=0.4", "train.mask_ap_target=0.4", "train.pictures=0")
    assert loop.train(load_config(config_file, *AS_FINISHED, *changes), run, World(), resume=True).exit_code == 1


def test_one_trace_serves_every_size(config_file, tmp_path):
    """One trace of the training step and of detection, over epochs with images of several sizes, and when resumed."""
    seen, sizes = [], set()

    class Watch(tf.keras.callbacks.Callback):
        def on_train_begin(self, logs=None):
            seen.append(self.model)

        def on_train_batch_begin(self, batch, logs=None):
            timed = self.model.train_function
            for key, function in timed._compiled.items():
                if isinstance(function, tf.types.experimental.PolymorphicFunction):
                    functions.append(function)
                    timed._compiled[key] = lambda data, f=function: sizes.add(tuple(data["image"].shape)) or f(data)

    functions, watch = [], Watch()
    changes = ("data.short_sides=(48,64,90)", "data.max_long_side=128", "train.evaluate_every_epochs=1")
    changes = (*QUICK, *changes, "train.pictures=0", "train.checkpoint_every_steps=2")
    stopped = load_config(config_file, *changes, "train.max_steps=2")
    loop.train(stopped, tmp_path / "run", World(), callbacks=[watch])
    config = load_config(config_file, *changes)
    loop.train(config, tmp_path / "run", World(), resume=True, callbacks=[watch])  # step 3, then an epoch
    assert len(sizes) >= 3 and len(functions) == 2, sizes
    for function in functions:
        assert function.experimental_get_tracing_count() == 1
    for detector in seen:
        assert detector._detect_any_size.experimental_get_tracing_count() == 1


def test_run_ends_soon_if_a_checkpoint_cannot_be_written(config_file, tmp_path, monkeypatch):
    """It does not go on to the next checkpoint, at step 12."""
    write = RunFolder.log

    def write_and_block(self, record):
        write(self, record)
        if record["step"] == 2:
            self.checkpoints.root.touch()  # a file at the path of the folder

    monkeypatch.setattr(RunFolder, "log", write_and_block)
    changes = ("data.batch_size=1", "train.epochs=100")
    with pytest.raises(UserError, match="step-00000006 could not be written: "):
        loop.train(load_config(config_file, *QUICK, *changes), tmp_path / "run", World())
    assert 6 <= logged_lines(tmp_path / "run")[-1]["step"] < 12


def test_sigterm_finishes_the_step_saves_and_ends_well(config_file, tmp_path, log, monkeypatch):
    write = RunFolder.log

    def write_and_terminate(self, record):
        write(self, record)
        if record["step"] == 2:
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(RunFolder, "log", write_and_terminate)
    before = signal.getsignal(signal.SIGTERM)
    outcome = loop.train(load_config(config_file, *QUICK), tmp_path / "run", World())
    assert outcome.exit_code == 0 and signal.getsignal(signal.SIGTERM) == before
    assert [path.name for path in RunFolder(tmp_path / "run").checkpoints.all()] == ["step-00000002"]
    assert "go on with --resume" in log.text


def test_loss_that_is_not_finite_stops_the_run(config_file, tmp_path, log):
    overrides = ("optimizer.learning_rate=1e30", "optimizer.clip_norm=0", "train.checkpoint_every_steps=1")
    outcome = loop.train(load_config(config_file, *QUICK, *overrides), tmp_path / "run", World())
    assert outcome == loop.Outcome(1, None)
    report = next(record.getMessage() for record in log.records if "loss is not finite" in record.getMessage())
    for part in ("rpn_class_loss", "rpn_box_loss", "class_loss", "box_loss", "nan", "rank 0, step", "1e+30"):
        assert part in report, report
    images = report.split("image ids ")[1].splitlines()[0].split()
    assert len(images) == 2 and all(image.isdigit() for image in images)
    for path in RunFolder(tmp_path / "run").checkpoints.all():  # those before the step that failed
        assert checkpoint.read_info(path)["step"] < 6
    (failed,) = (tmp_path / "run" / "failed").iterdir()
    assert report.endswith(f"awsdet replay {failed}")
    assert read_failed_step(failed).info["image_ids"] == images


def test_a_record_that_cannot_be_read_is_named(config_file, training_folder, tmp_path):
    records = shutil.copytree(training_folder / "records", tmp_path / "records")
    manifest = read_manifest(records, "train")
    shard = records / manifest.shards[0].file
    data = bytearray(shard.read_bytes())
    for offset in manifest.offset[manifest.shard == 0]:
        data[int(offset) + 100] ^= 1
    shard.write_bytes(bytes(data))
    config = load_config(config_file, *QUICK, f"data.train_records={records}")
    with pytest.raises(
        UserError, match=rf"record \d+ of {shard} cannot be read \(image id \d+.*run awsdet convert again"
    ):
        loop.train(config, tmp_path / "run", World())


def test_init_from_takes_what_fits(finished_run, config_file, log):
    config = load_config(config_file)
    detector = builder.build(config, ["one", "two"])
    fresh = {v.name: v.numpy() for v in detector.variables}
    take_weights(detector, finished_run[0])
    source = {v.name: v.numpy() for v in checkpoint.load(finished_run[0])[0].variables}
    for variable in detector.variables:
        fits = variable.name in source and source[variable.name].shape == variable.shape
        of = source if fits and variable.name != "step:0" else fresh
        np.testing.assert_array_equal(variable.numpy(), of[variable.name], variable.name)
    assert "weights taken from" in log.text and "roi_head.bbox_head.fc_cls, " in log.text


def test_init_from_another_backbone_is_refused(finished_run, config_file):
    config = load_config(config_file, "model.backbone.base_width=8")
    with pytest.raises(UserError, match="its backbone differs from that of the config: backbone.bn1.bias has the"):
        take_weights(builder.build(config, ["one"]), finished_run[0])


@pytest.mark.parametrize(
    "overrides, message",
    [
        (["data.train_records="], "data.train_records is empty"),
        (["data.train_records=/nowhere"], "/nowhere"),
        (["data.eval_split=test"], "hold images out of train: awsdet convert --holdout=0.1; .*evaluate_every_epochs=0"),
        (["optimizer.name=adam"], "optimizer.name is 'adam'"),
        (["schedule.name=poly"], "schedule.name is 'poly'"),
        (["train.loss_normalizer=all"], "train.loss_normalizer is 'all'"),
        (["train.epochs=0"], "train.epochs is 0"),
        (["data.flip_probability=2"], "flip_probability is 2"),
        (["train.keep_last=0"], "train.keep_last is 0"),
        (["train.box_ap_target=37.7"], "between 0 and 1"),
        (["train.box_ap_target=0.3", "train.evaluate_every_epochs=0"], "needs evaluations"),
        (["model.detector=faster_rcnn", "train.mask_ap_target=0.3"], "needs masks"),
    ],
)
def test_mistakes_in_the_settings(config_file, tmp_path, overrides, message):
    with pytest.raises(UserError, match=message):
        prepare(load_config(config_file, *overrides), tmp_path / "run", resume=False, processes=1)


def test_mistakes_with_the_output_folder(finished_run, config_file, tmp_path):
    config = load_config(config_file, *AS_FINISHED)
    with pytest.raises(UserError, match="nothing to resume"):
        prepare(config, tmp_path / "run", resume=True, processes=1)
    with pytest.raises(UserError, match="holds another run .*add --resume"):
        prepare(config, finished_run[0], resume=False, processes=1)
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="is a file"):
        prepare(config, tmp_path / "file", resume=False, processes=1)


@pytest.mark.parametrize(
    "overrides, processes, message",
    [
        (["model.fpn.channels=16"], 1, "model.fpn.channels was 8 and is now 16"),
        (["model.detector=faster_rcnn"], 1, "model.detector was mask_rcnn and is now faster_rcnn"),
        (["optimizer.name=lamb"], 1, "optimizer.name was sgd"),
        (["data.batch_size=1"], 1, "a step had 2 images and now has 1"),
        ([], 2, "a step had 2 images and now has 4"),
    ],
)
def test_resuming_with_what_does_not_continue(finished_run, config_file, overrides, processes, message):
    with pytest.raises(UserError, match=message):
        prepare(load_config(config_file, *AS_FINISHED, *overrides), finished_run[0], resume=True, processes=processes)


def test_resuming_with_other_classes(finished_run, config_file, tmp_path):
    run = copy_of_run(finished_run, tmp_path)
    newest = RunFolder(run).checkpoints.newest()
    info = checkpoint.read_info(newest)
    info["class_names"][0] = "zebra"
    (newest / checkpoint.INFO).write_text(json.dumps(info))
    with pytest.raises(UserError, match="another class list than the checkpoint .*zebra"):
        prepare(load_config(config_file, *AS_FINISHED), run, resume=True, processes=1)


def test_fewer_processes_with_larger_batches_continue(finished_run, config_file):
    """With as many images per step it is the same run, however they are distributed."""
    config = load_config(config_file, *AS_FINISHED, "data.batch_size=1")
    inputs = prepare(config, finished_run[0], resume=True, processes=2)
    assert inputs.start.name == "step-00000006"


@pytest.mark.parametrize(
    ("overrides", "named"),
    [
        (["model.backbone.frozen_stages=0"], ["frozen_stages=0"]),
        (["model.backbone.norm=frozen_batch_norm"], ["norm=frozen_batch_norm"]),
        (["model.backbone.frozen_stages=4", "model.backbone.norm=frozen_batch_norm"], ["frozen_stages=4", "norm="]),
    ],
)
def test_layers_frozen_at_random_values_are_refused(config_file, finished_run, tmp_path, overrides, named):
    """The error names what is frozen and three ways out, each of which is accepted."""
    with pytest.raises(UserError) as refused:
        prepare(load_config(config_file, *overrides), tmp_path / "run", resume=False, processes=1)
    said = str(refused.value)
    ways = ("train.init_from=imagenet-r50", "train.init_from=FILE", "frozen_stages=-1")
    assert all(text in said for text in [*named, *ways, "allow_random_frozen=true"])
    for way_out in ("train.init_from=imagenet-r50", "train.init_from=weights.npz", "train.allow_random_frozen=true"):
        prepare(load_config(config_file, *overrides, way_out), tmp_path / "run", resume=False, processes=1)
