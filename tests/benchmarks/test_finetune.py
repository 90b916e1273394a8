"""The parts of the benchmark of the fine-tuning recipe: its config, its candidates, its data, what is chosen."""

import argparse
import json

import pytest

from awsdet import config as config_lib
from awsdet.runtime.errors import UserError
from benchmarks import finetune, measure
from benchmarks.learn.report import BEGIN, END
from benchmarks.tune import report, runs
from benchmarks.tune.candidates import CONFIG, NOW, RECIPE, candidates, overrides
from benchmarks.tune.runs import Scores


def sum_of_rates(config):
    """Of all steps, at their peak: a step's is in proportion to its images."""
    return config.train.max_steps * config.data.batch_size * config.optimizer.learning_rate


class TestConfig:
    def test_is_the_recipe_but_for_the_network_and_the_length(self):
        ours, recipe = config_lib.load(CONFIG), config_lib.load(RECIPE)
        assert ours.schedule.warmup_steps / ours.train.max_steps == pytest.approx(
            recipe.schedule.warmup_steps / recipe.train.max_steps
        )
        for key in ("name", "decay_shares", "decay_factor", "warmup_ratio"):
            assert ours.schedule[key] == recipe.schedule[key]
        assert ours.optimizer == recipe.optimizer
        for key in ("frozen_stages", "norm", "norm_affine_trainable"):
            assert ours.model.backbone[key] == recipe.model.backbone[key]

    def test_has_the_network_of_make_train(self):
        ours, made = config_lib.load(CONFIG).model, config_lib.load(measure.ROOT / "configs/shapes_mask_rcnn.py").model
        ours.backbone.update(frozen_stages=made.backbone.frozen_stages, norm=made.backbone.norm)
        assert ours == made


class TestCandidates:
    @pytest.mark.parametrize("name", candidates(96))
    def test_are_settings_and_one_change_each(self, name):
        flags = [flag.removeprefix("--config.") for flag in overrides(candidates(96)[name])]
        config, now = config_lib.load(CONFIG, flags), config_lib.load(CONFIG)
        assert (config == now) == (name == NOW)
        for key, value in candidates(96)[name].items():
            section, setting = key.rsplit(".", 1)
            found = config
            for part in section.split("."):
                found = found[part]
            assert found[setting] == value

    def test_one_has_the_sum_of_the_rates_of_the_recipe(self):
        flags = [flag.removeprefix("--config.") for flag in overrides(candidates(96)["6.25 times the rate"])]
        assert sum_of_rates(config_lib.load(CONFIG, flags)) == pytest.approx(sum_of_rates(config_lib.load(RECIPE)))

    def test_keep_within_the_images(self):
        assert candidates(160)["short sides from 0.8"] == {"data.short_side_range": (128, 160)}


def of(*pairs):
    return [Scores(box, mask) for box, mask in pairs]


class TestChoice:
    now = of((0.30, 0.20), (0.32, 0.22))  # means of 0.25 and 0.27, a spread of 0.02

    def test_what_lies_within_the_spread_is_not_better(self):
        assert not report.is_better(self.now, of((0.32, 0.22), (0.33, 0.23)))
        assert report.is_better(self.now, of((0.34, 0.24), (0.33, 0.23)))
        assert not report.is_better(self.now, of((0.30, 0.20), (0.50, 0.40))), "its own spread counts too"

    def test_it_must_be_better_on_all_data(self):
        good, better = of((0.4, 0.3), (0.4, 0.3)), of((0.5, 0.4), (0.5, 0.4))
        photos = {NOW: self.now, "good": good, "better": better}
        assert report.contenders(photos) == ["better", "good"]
        assert report.chosen({"photos": photos}) == "better"
        assert report.chosen({"photos": photos, "objects": {NOW: self.now, "better": self.now, "good": good}}) == "good"
        assert report.chosen({"photos": photos, "objects": {NOW: self.now}}) == NOW
        assert report.chosen({"photos": {NOW: self.now}}) == NOW

    def test_tables(self):
        scores = {
            NOW: self.now,
            "up": of((0.4, 0.3), (0.4, 0.3)),
            "down": of((0.1, 0.1), (0.1, 0.1)),
            "same": self.now,
            "burst": [Scores(0.0, 0.0, diverged=True), Scores(0.3, 0.2)],
        }
        rows = report.val_table("photos", scores).splitlines()
        assert rows[2] == "| as now | 0.310 ± 0.010 | 0.210 ± 0.010 |  |  |"
        assert [row.split(" | ")[-1] for row in rows[3:6]] == ["better |", "worse |", "no |"]
        assert "+0.090" in rows[3] and "| burst | diverged | diverged |" in rows[6]
        assert report.test_table({"photos": {NOW: self.now}}).splitlines()[2] == (
            "| photos | as now | 0.310 ± 0.010 | 0.210 ± 0.010 |"
        )


class TestRuns:
    def test_all_classes_become_one_and_no_number_comes_twice(self):
        part = {
            "images": [{"id": 4, "file_name": "4.jpg"}],
            "annotations": [{"id": 1, "image_id": 4, "category_id": 9, "iscrowd": 1}],
            "categories": [{"id": 9, "name": "dog"}],
        }
        other = {**part, "images": [{"id": 5, "file_name": "4.jpg"}]}
        merged = runs.one_class({"a": part, "b": other})
        assert [image["file_name"] for image in merged["images"]] == ["a/4.jpg", "b/4.jpg"]
        assert [(a["id"], a["category_id"], a["iscrowd"]) for a in merged["annotations"]] == [(1, 1, 1), (2, 1, 1)]
        assert merged["categories"] == [{"id": 1, "name": "object"}]

    def test_the_last_evaluation_counts(self, tmp_path):
        lines = [{"step": 1, "box_ap": 0.1, "mask_ap": 0.2}, {"step": 2, "loss": 1.0}]
        (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
        assert runs.last_scores(tmp_path) == (0.1, 0.2)
        (tmp_path / "metrics.jsonl").write_text(json.dumps(lines[1]) + "\n")
        with pytest.raises(UserError, match="ended without an evaluation"):
            runs.last_scores(tmp_path)

    def job(self, folder):
        return runs.Job("x", folder / "x", folder, folder, (96, 128), {}, 1)

    def test_a_finished_run_is_not_run_again(self, tmp_path):
        (tmp_path / "x").mkdir()
        (tmp_path / "x" / "figures.json").write_text(json.dumps(Scores(0.1, 0.3)._asdict()))
        (tmp_path / "x" / "test.json").write_text('{"box_ap": 0.5, "mask_ap": 0.5}')
        assert runs.trained(self.job(tmp_path)).ap == pytest.approx(0.2)
        assert runs.tested(self.job(tmp_path)) == Scores(0.5, 0.5)

    @pytest.mark.parametrize("words, diverged", [(runs.DIVERGED, True), ("no room on the disk", False)])
    def test_a_run_that_diverges_is_told_from_one_that_fails(self, tmp_path, monkeypatch, words, diverged):
        def failing(job, *arguments):
            (job.folder / "log.txt").write_text(f"step 3\nthe loss {words}\n")
            raise UserError("x failed with exit code 1")

        monkeypatch.setattr(runs, "awsdet", failing)
        if diverged:
            scores = runs.trained(self.job(tmp_path))
            assert (scores.diverged, scores.ap) == (True, 0.0) and runs.trained(self.job(tmp_path)) == scores
        else:
            with pytest.raises(UserError, match="exit code 1"):
                runs.trained(self.job(tmp_path))
            assert not (tmp_path / "x" / "figures.json").exists()


class TestProgram:
    def flags(self, folder, **changed):
        (folder / "start" / "checkpoints").mkdir(parents=True, exist_ok=True)
        values = {"output": folder, "start": folder / "start", "photos": 20, "steps": 4, "coco": None, "seeds": 1}
        return argparse.Namespace(**{**values, **changed})

    def test_runs_of_other_flags_are_refused(self, tmp_path):
        (tmp_path / "flags.json").write_text('{"photos": 400}')
        with pytest.raises(UserError, match="holds runs of .*400.*give another --output"):
            finetune.prepare(self.flags(tmp_path))

    def test_what_is_missing_is_named(self, tmp_path):
        with pytest.raises(UserError, match="nowhere holds no checkpoints to start from; make train makes some"):
            finetune.prepare(self.flags(tmp_path, start=tmp_path / "nowhere"))
        flags = self.flags(tmp_path / "runs", coco=tmp_path / "none")
        for name in (finetune.START, runs.PHOTOS):
            folder = finetune.records_of(name, flags).parent
            folder.mkdir(parents=True)
            (folder / "done").touch()
        with pytest.raises(UserError, match="instances_train2017.json does not exist; --coco names a folder"):
            finetune.prepare(flags)

    def test_each_run_has_a_folder_of_its_own(self, tmp_path):
        flags = self.flags(tmp_path)
        jobs = [finetune.job_of(data, name, 1, flags) for data in runs.SIDES for name in candidates(96)]
        assert len({job.folder for job in jobs}) == len(jobs)
        assert all(job.folder.is_relative_to(tmp_path / "runs") for job in jobs)

    def test_the_docs_have_a_place_for_the_figures(self):
        text = finetune.DOCS.read_text()
        assert text.count(BEGIN) == text.count(END) == 1
