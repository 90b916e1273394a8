"""What the summary says of runs whose numbers are known by hand."""

import pytest

from awsdet import config as config_module
from awsdet.training.evaluating import evaluation_due
from awsdet.training.first_losses import first_losses
from awsdet.training.parameters import Part
from awsdet.training.saving import checkpoint_due
from awsdet.training.schedule import build_schedule
from awsdet.training.steps import Steps
from awsdet.training.summary import Facts, due_steps, lines, table

PARTS = [Part("stem", 0, 9536), Part("layer2", 1_219_584, 7168), Part("FPN", 3_344_384, 0)]


def said(config, steps=None, per_epoch=7330, images=16, accumulate=1, update_steps=None, peak=0.02):
    """{label: text} of a config, with a run of 12 epochs unless `steps` are given."""
    steps = steps or Steps(0, per_epoch, config.train.epochs * per_epoch, images=images, accumulate=accumulate)
    schedule = build_schedule(config.schedule, peak, steps.per_epoch, steps.total, accumulate)
    first = list(first_losses(config.model, 80))
    update_steps = update_steps or accumulate
    facts = Facts(config, None, None, 80, PARTS, 8, images, accumulate, update_steps, steps, peak, schedule, first)
    return dict(lines(facts))


def test_the_1x_recipe():
    text = said(config_module.mask_rcnn())
    assert text["length"] == "87,960 steps, 12 epochs of 7,330 steps; 16 images per step (8 processes)"
    assert text["learning rate"] == (
        "sgd, 2e-05 rising to 0.02 by step 500 (epoch 0.0682), then 0.002 from step 58,640 (epoch 8), "
        "0.0002 from step 80,630 (epoch 11)"
    )
    assert text["evaluation"].startswith("12 times, first at step 7,330; 12 checkpoints, of which the last 3 and the")
    assert "rpn_class 0.69 (ln 2), class 4.39 (ln 81)" in text["first losses"]
    assert "4.58 million parameters, of which 0.0167 million are frozen (stem, parts of layer2)" in text["model"]
    assert "RGB minus (123.7, 116.3, 103.5), divided by (58.4, 57.12, 57.38)" in text["images"]


@pytest.mark.parametrize(
    "changes, label, words",
    [
        ({"schedule.name": "cosine"}, "learning rate", "then along a cosine to 0 at step 80 (epoch 8)"),
        ({"schedule.warmup_steps": 80}, "learning rate", "which this run does not reach: it ends within its warm-up"),
        ({"schedule.warmup_steps": 0}, "learning rate", "sgd, 0.02 from the start, then it stays"),
        ({"schedule.decay_shares": (0.5,)}, "learning rate", "then 0.002 from step 40 (epoch 4)"),
        ({"train.evaluate_every_epochs": 0}, "evaluation", "never; 8 checkpoints, of which the last 3 are kept"),
        ({"train.max_evaluations": 2}, "evaluation", "2 times, first at step 40; 2 checkpoints"),
        ({"data.canvas": 1024}, "images", "long side 102 to 2048 px, in a canvas of 1024 x 1024 px; RGB"),
        ({"data.short_side_range": (640, 800)}, "images", "short side 640 to 800 px, long side at most 1333"),
        ({"data.crop": (0.5, 0.6)}, "images", "after a crop to 0.5 x 0.6 or more"),
        ({"model.image.bgr": True}, "images", "BGR minus"),
        ({}, "augmentation", "mirrored with probability 0.5"),
        ({"data.flip_probability": 0.0}, "augmentation", "none"),
        ({"data.hue": 0.1, "data.brightness": 0.4}, "augmentation", "; brightness 0.4, hue 0.1"),
        (
            {"data.canvas": 64, "data.copy_paste": 0.5},
            "augmentation",
            "up to 100 objects of another image pasted on wit",
        ),
        (
            {"data.canvas": 64, "data.boxes_from_masks": True},
            "augmentation",
            "anywhere; boxes of cut objects from their",
        ),
        (
            {"data.crop": (0.5, 1.0), "data.min_visible": 0.3},
            "augmentation",
            "objects of which less than 30% is left are",
        ),
        ({"data.canvas": 64, "data.crop_keeps_object": True}, "augmentation", "0.5; a crop holds an object"),
        ({"train.epochs": 1}, "length", "80 steps, 8 epochs of 10 steps"),
    ],
)
def test_each_setting_is_told(changes, label, words):
    config = config_module.mask_rcnn()
    config.schedule.warmup_steps = 5
    config.update_from_flattened_dict(changes)
    assert words in said(config, Steps(0, 10, 80, images=16))[label]


def test_points_of_the_schedule_are_steps_of_this_run():
    """With accumulation an update takes several steps; if an elastic run's pace changed, the schedule's do not."""
    config = config_module.mask_rcnn()
    text = said(config, per_epoch=1000, accumulate=4)
    assert "by step 2,000 (epoch 2), then 0.002 from step 8,000 (epoch 8)" in text["learning rate"]
    assert "4 steps and 64 images per update" in text["length"]
    assert "by step 1,000 (epoch 1)" in said(config, per_epoch=1000, update_steps=2.0)["learning rate"]


@pytest.mark.parametrize("every, most, checkpoints", [(1, 0, 0), (3, 0, 7), (2, 4, 0), (0, 0, 5)])
@pytest.mark.parametrize("done", [0, 23])
def test_evaluations_and_checkpoints_are_those_of_the_run(every, most, checkpoints, done):
    """Against the callbacks' rules, asked at every single step."""
    train = config_module.mask_rcnn().train
    train.update(evaluate_every_epochs=every, max_evaluations=most, checkpoint_every_steps=checkpoints)
    steps, evaluated, saved = Steps(done, 10, 96), [], 0
    expected = due_steps(steps, train)
    assert steps.step == done
    for step in range(done + 1, 97):
        steps.step = step
        if evaluation_due(steps, train):
            evaluated.append(step)
        saved += checkpoint_due(steps, train) or step == 96
    assert expected == (evaluated, saved)


def test_one_of_each():
    length = said(config_module.mask_rcnn(), Steps(0, 1, 1), images=1)["length"]
    assert length == "1 step, 1 epoch of 1 step; 1 image per step (8 processes)"


def test_table():
    header, *rows = table(PARTS)
    assert header.split() == ["part", "trained", "frozen"] and rows[1].split() == ["layer2", "1,219,584", "7,168"]
    assert len({len(row) for row in [header, *rows]}) == 1
