"""The parts of the learning benchmark that need no PyTorch: settings, names of weights, curves, tables, records."""

import json

import numpy as np
import pytest

from awsdet import config as config_lib
from awsdet.models.builder import build
from awsdet.runtime.errors import UserError
from awsdet.weights import mmdet
from benchmarks import measure
from benchmarks.learn import curves, jobs, report
from benchmarks.learn.record import Recorder, read_lines
from benchmarks.learn.settings import FIXED, settings_of
from benchmarks.learn.torch_names import from_torchvision, to_torchvision, torchvision_name

CONFIG = measure.ROOT / "benchmarks/learn/config.py"


@pytest.fixture
def config():
    return config_lib.load(CONFIG)


def run_of(losses, aps, seconds=1.0, memory=(100.0,), batch=8):
    """A Run with one step per loss, each of `seconds` and twice the CPU time, and evaluations at its last steps."""
    steps = [
        {"step": i + 1, "losses": {"loss": loss}, "seconds": (i + 1) * seconds, "cpu_seconds": 2 * (i + 1) * seconds}
        for i, loss in enumerate(losses)
    ]
    first = len(losses) - len(aps)
    scores = [{"step": first + i + 1, "box_ap": ap, "mask_ap": ap / 2} for i, ap in enumerate(aps)]
    return curves.Run(steps, scores, list(memory), 1.0, 2.0, batch)


class TestSettings:
    def test_takes_the_numbers_of_the_config(self, config):
        settings = settings_of(config, 4)
        assert json.loads(json.dumps(settings)) == settings
        assert settings["box"]["weights"] == pytest.approx([10, 10, 5, 5])
        # torchvision pools a RoI from P2 up to half of canonical_scale; ours up to twice finest_scale.
        assert settings["box"]["canonical_scale"] / 2 == 2 * config.model.box_head.finest_scale
        assert settings["mean"] == pytest.approx([0.485, 0.456, 0.406])
        assert settings["rpn"]["sample_size"] == config.model.rpn.sample_size

    @pytest.mark.parametrize(
        "change",
        [
            "model.box_head.aligned=True",
            "model.backbone.norm=group_norm",
            "model.rpn.box_loss=l1",
            "model.rpn.channels=32",
            "train.accumulate_steps=2",
            "data.eval_short_side=64",
            "optimizer.ema_decay=0.9",
        ],
    )
    def test_refuses_a_rule_that_torchvision_lacks(self, change):
        config = config_lib.load(CONFIG, [change])
        with pytest.raises(UserError, match=change.partition("=")[0].replace("eval_", "(eval_)?")):
            settings_of(config, 4)

    def test_every_fixed_setting_exists(self, config):
        for key in FIXED:
            assert _at(config.model, key) is not None


def _at(value, key):
    for part in key.split("."):
        value = value[part]
    return value


@pytest.fixture(scope="module")
def arrays():
    return mmdet.export(build(config_lib.load(CONFIG), list("abcd")))


class TestNames:
    def test_weights_survive_both_ways(self, arrays):
        table = to_torchvision(arrays)
        assert len(table) == len(arrays)
        back = from_torchvision(table, arrays)
        assert all(np.array_equal(back[name], array) for name, array in arrays.items())

    def test_background_is_the_first_class_and_has_no_box_or_mask(self):
        arrays = {
            "roi_head.bbox_head.fc_cls.bias": np.arange(3.0),
            "roi_head.bbox_head.fc_reg.bias": np.arange(1.0, 9.0),
            "roi_head.mask_head.conv_logits.bias": np.array([5.0, 6.0]),
            "rpn_head.rpn_reg.bias": np.arange(12.0),
        }
        table = to_torchvision(arrays)
        assert table["roi_heads.box_predictor.cls_score.bias"].tolist() == [2, 0, 1]
        assert table["roi_heads.box_predictor.bbox_pred.bias"].tolist() == [0, 0, 0, 0, *range(1, 9)]
        assert table["roi_heads.mask_predictor.mask_fcn_logits.bias"].tolist() == [0, 5, 6]
        assert table["rpn.head.bbox_pred.bias"].tolist() == list(range(12))

    def test_a_weight_without_a_place_is_named(self):
        with pytest.raises(KeyError, match="bbox_head.retina_cls"):
            torchvision_name("bbox_head.retina_cls.weight")


class TestCurves:
    def test_running_mean(self):
        assert curves.running_mean([1, 3, 5, 7], width=2).tolist() == [1, 2, 4, 6]

    def test_bands_reach_from_the_lowest_to_the_highest_seed(self):
        curve = curves.ap_curve([run_of([1, 1], [0.1, 0.4]), run_of([1, 1], [0.3, 0.2])], "box_ap")
        assert curve.steps.tolist() == [1, 2]
        for found, wanted in zip(curve[1:], ([0.2, 0.3], [0.1, 0.2], [0.3, 0.4])):
            assert found == pytest.approx(wanted)

    def test_runs_of_other_steps_are_refused(self):
        with pytest.raises(ValueError, match="2, 3 steps"):
            curves.loss_curve([run_of([1, 1], []), run_of([1, 1, 1], [])], "loss")

    def test_rate_leaves_out_the_first_steps(self):
        run = run_of([1.0] * 20, [0.0], seconds=0.5)
        for line in run.steps:
            line["seconds"] += 100  # of tracing
        assert curves.images_per_second(run) == pytest.approx(16)
        assert curves.images_per_second(run_of([1.0], [0.0], seconds=2.0)) == pytest.approx(4)

    def test_time_to_a_threshold(self):
        run = run_of([1] * 5, [0.1, 0.25, 0.2])
        assert curves.time_to(run, "box_ap", 0.2) == (4.0, 8.0)
        assert curves.time_to(run, "box_ap", 0.3) is None

    def test_difference_of_losses(self):
        assert curves.largest_difference(run_of([2, 2], []), run_of([2, 3], [])) == pytest.approx(0.25)


class TestRecords:
    def test_a_resumed_run_goes_on_after_its_step(self, tmp_path):
        first = Recorder(tmp_path)
        first.start(0)
        for step in (1, 2, 3):
            first.step(step, {"loss": float(step)})
        with (tmp_path / "steps.jsonl").open("a") as file:
            file.write('{"step": 4, "lo')  # cut off
        resumed = Recorder(tmp_path)
        resumed.start(2)
        resumed.step(3, {"loss": 7.0})
        lines = read_lines(tmp_path / "steps.jsonl")
        assert [(line["step"], line["losses"]["loss"]) for line in lines] == [(1, 1), (2, 2), (3, 7)]
        assert lines[2]["seconds"] >= lines[1]["seconds"]

    def test_steps_of_an_update_become_one(self):
        lines = run_of([1, 3, 5, 7, 9], []).steps
        updates = jobs.by_update(lines, 2)
        assert [(line["step"], line["losses"]["loss"], line["seconds"]) for line in updates] == [(1, 2, 2), (2, 6, 4)]
        assert [line["losses"] for line in jobs.by_update(lines, 1)] == [line["losses"] for line in lines]

    def test_a_failed_run_is_named_with_the_end_of_its_log(self, tmp_path):
        command = ["sh", "-c", "echo no such camera; exit 3"]
        job = jobs.Job("ours, seed 1", tmp_path / "run", (command, command), 5, 8)
        with pytest.raises(UserError, match="ours, seed 1 failed with exit code 3.*no such camera"):
            jobs.run(job, tmp_path)
        assert not (tmp_path / "run/figures.json").exists()

    def test_a_finished_run_is_not_run_again(self, tmp_path):
        (tmp_path / "figures.json").write_text("{}")
        jobs.run(jobs.Job("ours", tmp_path, (["false"], ["false"]), 5, 8), tmp_path)
        assert (tmp_path / "figures.json").read_text() == "{}"

    def test_changes_of_variants_are_settings(self):
        for variant in jobs.VARIANTS.values():
            config = config_lib.load(CONFIG, variant.changes)
            images = config.data.batch_size * variant.processes * config.train.accumulate_steps
            assert images == config_lib.load(CONFIG).data.batch_size
            assert config.train.accumulate_steps == variant.accumulate


class TestReport:
    def test_table(self):
        runs = {"awsdet": [run_of([1] * 20, [0.1, 0.4]), run_of([1] * 20, [0.1, 0.2])]}
        row = report.tables(runs, [0.3]).splitlines()[2]
        assert row == "| awsdet | 0.300 ± 0.100 | 0.150 ± 0.050 | 8.0 | 100 | 0.013 | 20 (40), 1 of 2 seeds |"

    def test_verdicts(self):
        ours, theirs = [run_of([1] * 20, [0.30])], [run_of([1] * 20, [0.31], seconds=2.4, memory=[300.0])]
        lines = report.verdicts(ours, theirs).splitlines()
        assert [line.rpartition(" ")[2] for line in lines] == ["missed", "met", "missed", "missed"]
        assert lines[0].startswith("- 2.40 x") and lines[1].startswith("- 0.33 x")
        spread = [*theirs, run_of([1] * 20, [0.29], seconds=2.6)]
        assert [line.rpartition(" ")[2] for line in report.verdicts(ours, spread).splitlines()][2:] == ["met", "met"]

    def test_figures_replace_those_before(self):
        text = report.put_into(f"a\n{report.BEGIN}\nold\n{report.END}\nb", "new")
        assert text == f"a\n{report.BEGIN}\n\nnew\n\n{report.END}\nb"
        assert report.put_into(text, "new") == text
        with pytest.raises(ValueError, match="marks"):
            report.put_into("a", "new")
