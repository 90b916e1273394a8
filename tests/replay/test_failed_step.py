"""The folder of a failed step: written, read, and run again."""

import json
import os

import numpy as np
import pytest
import tensorflow as tf

from awsdet.cli import main as cli
from awsdet.models.builder import build
from awsdet.replay.batch_file import arrays_of, kinds_of, repeated, spec_of
from awsdet.replay.batch_file import batch_of as restored
from awsdet.replay.failed_step import BATCH, INFO, KEPT, read, read_report, write
from awsdet.replay.saving import save_failed_step
from awsdet.runtime.errors import UserError
from awsdet.runtime.world import World
from awsdet.training.checkpoint import state_of
from awsdet.training.failure import explain, non_finite_report
from awsdet.training.inputs import Inputs
from awsdet.training.optimizer import build_optimizer, create_slots
from awsdet.training.pace import Pace
from awsdet.training.run import Run
from awsdet.training.run_folder import RunFolder
from awsdet.training.snapshot import Snapshot
from tests.models.small_detectors import TWO_IMAGES, batch_of, small_config

NAMES = ["a", "b", "c"]


def failing_run(folder, change, *overrides):
    """(Run that has just failed because of `change`, a function of its detector; text of the error; state before)."""
    config = small_config(*overrides, detector="faster_rcnn")
    detector = build(config, NAMES)
    optimizer = build_optimizer(config.optimizer, 0.01)
    detector.compile(optimizer)
    create_slots(optimizer, detector.trainable_variables)
    good = Snapshot(state_of(detector, optimizer))
    change(detector)
    with pytest.raises(tf.errors.InvalidArgumentError) as caught:
        detector.fit(tf.data.Dataset.from_tensors(batch_of(TWO_IMAGES)), verbose=0)
    inputs = Inputs(None, None, NAMES, (1, 2, 3), 0, RunFolder(folder), None)
    parts = (config, inputs, World(), detector, optimizer, None, None, Pace(2, 1, 1.0), None, lambda updates: 0.01)
    return Run(*parts, elastic=False), caught.value.message, good


@pytest.fixture(scope="module")
def failing(tmp_path_factory):
    """What `failing_run` returns for a weight that is NaN."""

    def change(detector):
        bias = detector.roi_heads.stages[0].box_head.logits.bias
        bias.assign(tf.tensor_scatter_nd_update(bias, [[2]], [np.nan]))

    return failing_run(tmp_path_factory.mktemp("run"), change)


@pytest.fixture(scope="module")
def failed(failing):
    """(folder of the step that failed, folder of the same step with the weights before)."""
    run, text, good = failing
    line = save_failed_step(run, text)
    path = run.inputs.folder.failed / "step-00000000-rank-0"
    assert line.endswith(f"awsdet replay {path}")
    found, info = read_report(text)._replace(step=1), json.loads((path / INFO).read_text())
    return path, write(run.inputs.folder.failed, found, run.detector.train_function.refused, good, info)


def test_the_cause_is_a_weight_of_a_checkpoint(failed, capsys):
    assert cli.main(["replay", str(failed[0])]) == 0
    text = capsys.readouterr().out
    assert text.startswith(
        "step 0 of rank 0, 1 process(es): faster_rcnn in float32, learning rate 0.01, images 100, 101\n"
    )
    assert "The losses are those of the run, bit for bit." in text
    assert "appears in the weights: roi_head.bbox_head.fc_cls.bias holds such numbers before the step" in text
    row = next(line for line in text.splitlines() if "<- first that is not finite" in line)
    assert row.split()[0] == "roi_head.bbox_head.fc_cls"
    assert "of any one of them is not finite either" in text and "data: no box without area" in text


def test_the_cause_is_a_gradient_beyond_float32(tmp_path, capsys):
    """Features are as much larger as the weights that read them are smaller: the loss does not see it."""

    def change(detector):
        head = detector.roi_heads.stages[0].box_head
        head.fc2.kernel.assign(head.fc2.kernel * 1e6)
        for reader in (head.logits, head.deltas):
            reader.kernel.assign(reader.kernel / 1e6)

    run, text, _ = failing_run(tmp_path, change, "model.box_head.class_loss_weight=2e36")
    assert "the gradient is not finite" in non_finite_report(text, run.config, 2)
    save_failed_step(run, text)
    assert cli.main(["replay", str(run.inputs.folder.failed / "step-00000000-rank-0")]) == 0
    text = capsys.readouterr().out
    assert "The losses are those of the run, bit for bit." in text and "gradient_norm" in text
    assert "not finite: gradients of " in text and "roi_head.bbox_head.fc_cls" in text
    row = next(line for line in text.splitlines() if "<- first that is not finite" in line)
    assert row.startswith("  gradient of ")


def test_a_healthy_step_is_called_so(failed, capsys):
    assert cli.main(["replay", "--step", str(failed[1])]) == 0
    text = capsys.readouterr().out
    assert "The step is healthy here: all losses and gradients are finite." in text
    assert "The losses are not those of the run, bit for bit: " in text and "first that" not in text


def test_all_tensors_come_back(failed):
    step = read(failed[0])
    assert step.info["image_ids"] == ["100", "101"] and np.isnan(step.report.terms["class_loss"])
    wanted = batch_of(TWO_IMAGES)
    tf.nest.assert_same_structure(step.batch, wanted, expand_composites=True)
    pairs = zip(*(tf.nest.flatten(batch, expand_composites=True) for batch in (step.batch, wanted)))
    for ours, theirs in pairs:
        np.testing.assert_array_equal(ours, theirs)
    assert step.spec == tf.data.Dataset.from_tensors(wanted).element_spec


def test_one_image_in_every_place():
    batch = repeated(batch_of(TWO_IMAGES), 1)
    assert batch["image_id"].numpy().tolist() == [101, 101]
    assert batch["masks"]["polygons"][0].to_list() == batch["masks"]["polygons"][1].to_list() != []
    kinds = kinds_of(tf.nest.map_structure(tf.type_spec_from_value, batch))
    again = restored(arrays_of(batch), json.loads(json.dumps(kinds)))
    assert again["masks"]["polygons"].to_list() == batch["masks"]["polygons"].to_list()
    assert kinds_of(spec_of(kinds)) == kinds
    with pytest.raises(TypeError, match="extra of the batch is a SparseTensorSpec"):
        kinds_of({"extra": tf.SparseTensorSpec([2, 3])})


def test_only_the_last_folders_of_a_rank_are_kept(failed, tmp_path):
    step = read(failed[0])

    class Refused:
        batch, spec = step.batch, step.spec

    for number, rank in [(3, 0), (5, 1), (7, 0), (20, 0)]:
        found = step.report._replace(step=number, rank=rank)
        write(tmp_path, found, Refused, Snapshot({"x": tf.constant(1.0)}), {})
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["step-00000005-rank-1", "step-00000007-rank-0", "step-00000020-rank-0"] and KEPT == 2


@pytest.mark.parametrize("name", [INFO, BATCH, "state.index"])
def test_a_damaged_folder_ends_in_one_line(failed, tmp_path, name, capsys):
    folder = tmp_path / "step"
    folder.mkdir()
    for path in failed[0].iterdir():
        (folder / path.name).write_bytes(path.read_bytes() if path.name != name else b"{}")
    assert cli.main(["replay", str(folder)]) == 2
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 1 and str(folder) in said[0]


@pytest.mark.parametrize("name", [BATCH, "state.index", "state.data-00000-of-00001"])
def test_a_file_that_was_not_copied_is_named(failed, tmp_path, name):
    for path in failed[0].iterdir():
        if path.name != name:
            (tmp_path / path.name).write_bytes(path.read_bytes())
    with pytest.raises(UserError, match=f"lacks {name}: copy the whole folder again"):
        read(tmp_path)


def test_a_file_that_may_not_be_read_is_not_called_damaged(failed, tmp_path, capsys):
    for path in failed[0].iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / BATCH).chmod(0)
    if os.access(tmp_path / BATCH, os.R_OK):
        pytest.skip("root may read everything")
    assert cli.main(["replay", str(tmp_path)]) == 2
    assert f"{tmp_path / BATCH}: Permission denied; " in capsys.readouterr().err


def test_what_cannot_be_saved_hides_nothing(failing, tmp_path, caplog):
    run, text, _ = failing
    (tmp_path / "failed").touch()  # a file where the folder would be
    inputs = run.inputs._replace(folder=RunFolder(tmp_path))
    line = save_failed_step(run._replace(inputs=inputs), text)
    assert line.startswith("The step could not be saved to be run again: ") and "exists" in line
    config = run.config
    explain(tf.errors.InvalidArgumentError(None, None, text), config, run.world, 2, save=lambda text: line)
    assert "the loss is not finite" in caplog.text and line in caplog.text


def test_mistakes(failed, tmp_path, capsys):
    for arguments, words in [
        ([], "no step is given; name a folder RUN/failed/step-"),
        ([str(tmp_path)], "holds no failed step; give a folder RUN/failed/step-"),
        ([str(failed[0]), "--precision=float8"], "precision"),
        ([str(failed[0]), "--config.seed=1"], "takes no --config.seed"),
    ]:
        assert cli.main(["replay", *arguments]) == 2
        said = capsys.readouterr().err.splitlines()
        assert len(said) == 1 and words in said[0]


def test_another_version_is_named(failed, tmp_path):
    (tmp_path / INFO).write_text(json.dumps({**json.loads((failed[0] / INFO).read_text()), "format": "2"}))
    with pytest.raises(UserError, match="is of another version of awsdet"):
        read(tmp_path)
