"""The table of ranges: it has every setting, takes what is ready made, and names what it refuses."""

import math
import pathlib

import pytest

from awsdet import config as configuration
from awsdet.config import kinds, ranges, relations
from awsdet.runtime.errors import UserError

FAMILIES = ("mask_rcnn", "faster_rcnn", "retinanet", "mask_scoring_rcnn", "cascade_rcnn", "cascade_mask_rcnn")
CONFIGS = sorted((pathlib.Path(__file__).parents[2] / "configs").rglob("*_*.py"))


def leaves(node, prefix=""):
    """{"section.key": value} of a ConfigDict or of the table."""
    found = {}
    for name, value in node.items():
        found.update(leaves(value, f"{prefix}{name}.") if hasattr(value, "items") else {prefix + name: value})
    return found


DEFAULTS, TABLE = leaves(configuration.mask_rcnn()), leaves(ranges.RANGES)


def put(config, key, value):
    """Sets a value past the checks and conversions of ml_collections."""
    *sections, name = key.split(".")
    for section in sections:
        config = config[section]
    config._fields[name] = value


def test_every_setting_has_a_range_and_every_range_a_setting():
    assert DEFAULTS.keys() == TABLE.keys()


@pytest.mark.parametrize("family", FAMILIES)
def test_families_are_within_the_ranges(family):
    configuration.check(getattr(configuration, family)())


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_ready_configs_are_within_the_ranges(path):
    config = configuration.load(path)
    configuration.check(config)
    assert not list(configuration.notes(config))


def bad_values(kind):
    """Values that no setting of this kind may have."""
    always = [None, {}, b"x", object(), [], 1j]
    if isinstance(kind, kinds.Whole):
        outside = [kind.least - 1, kind.most + 1] + ([kind.least + 1] if kind.multiple > 1 else [])
        return [*always, *outside, 1.5, math.nan, math.inf, True, "1", (1,), ""]
    if isinstance(kind, kinds.Number):
        ends = ([kind.least] if kind.above else []) + ([kind.most] if kind.below else [])
        outside = [end + step for end, step in ((kind.least, -1), (kind.most, 1)) if math.isfinite(end)]
        return [*always, *ends, *outside, math.nan, math.inf, -math.inf, 1e300, True, "1", "", (1.0,)]
    if isinstance(kind, kinds.Switch):
        return [*always, 0, 1, "true", 1.0, ()]
    if isinstance(kind, (kinds.Choice, kinds.Name)):
        return [*always, "", "no such one", 0, math.nan, ("none",), True]
    if isinstance(kind, kinds.Text):
        return [*always, 0, 1.0, ("",), True]
    assert isinstance(kind, kinds.Items)
    good = 1 if kind.count is None else kind.count
    lengths = [(), (1,) * (good + 1)] if kind.count is not None else [()] * bool(kind.least)
    wrong = [(value,) * good for value in bad_values(kind.each)]
    return [*always, 0, 1.0, "1,2", True, *lengths, *wrong]


@pytest.mark.parametrize("key", TABLE)
def test_values_out_of_range_are_named_in_one_line(key):
    config, section = configuration.mask_rcnn(), key.partition(".")[0]
    for number, value in enumerate(bad_values(TABLE[key])):
        put(config, key, value)
        with pytest.raises(UserError) as error:
            configuration.check_section(section, config[section]) if number else configuration.check(config)
        said = str(error.value)
        assert said.startswith(f"{key} is ") and "; it must be " in said, said
        assert "\n" not in said and len(said) < 300


@pytest.mark.parametrize(
    "override, words",
    [
        ("optimizer.learning_rate=nan", "a finite number, above 0"),
        ("optimizer.learning_rate=inf", "a finite number, above 0"),
        ("optimizer.learning_rate=1e-60", "above 0"),  # zero as float32
        ("optimizer.learning_rate=1e60", "a finite number"),
        ("optimizer.momentum=0.999999999999", "0 or more and below 1"),  # 1 as float32
        ("data.pad_multiple=7", "a multiple of 32"),
        ("data.pad_multiple=0", "a multiple of 32"),
        ("model.anchors.ratios=0", "each a finite number, above 0"),
        ("model.anchors.ratios=()", "a tuple of 1 or more values"),
        ("model.anchors.scales=8,-1", "each a finite number, above 0"),
        ("model.rpn.sample_size=0", "1 or more"),
        ("model.rpn.sample_size=3000000000", "at most 2147483647"),
        ("model.box_head.sampling_ratio=1000", "between 0 and 256"),
        ("model.cascade.box_stds=((1,1,1,1),(1,1,1,0))", "a tuple of 4 values, each a finite number, above 0"),
        ("model.image.std=(0,1,1)", "a tuple of 3 values"),
        ("schedule.decay_epochs=8,8", "epochs that rise"),
        ("schedule.decay_epochs=11,8", "epochs that rise"),
        ("data.train_split=", "a name, without a slash"),
        ("data.eval_split=../val", "a name, without a slash"),
        ("seed=-1", "between 0 and 4294967295"),
        ("model.mask_head.threshold=1", "above 0 and below 1"),
        ("optimizer.layer_decay=0", "above 0 and at most 1"),
        ("optimizer.compression=bf16", "none or fp16, since Horovod 0.28.1 cannot add bfloat16"),
    ],
)
def test_an_override_out_of_range_changes_nothing(override, words):
    config = configuration.mask_rcnn()
    before = configuration.to_json(config)
    with pytest.raises(UserError) as error:
        configuration.apply_override(config, override)
    assert str(error.value).startswith(f"{override.partition('=')[0]} is ") and words in str(error.value)
    assert configuration.to_json(config) == before


@pytest.mark.parametrize(
    "changes, complaint",
    [
        (("model.cascade.ious=0.5,0.6",), r"cascade.ious, box_stds, loss_weights have \[2, 3, 3\] entries"),
        (("model.backbone.name=resnet_v1d", "model.backbone.base_width=7"), "base_width is 7; resnet_v1d halves it"),
        (("model.fpn.name=hrfpn", "model.fpn.extra_convs=on_input"), "extra_convs is 'on_input'; hrfpn has none"),
        (("schedule.decay_updates=3,5", "schedule.decay_shares=0.5"), "decay_updates is 3, 5 and .* is 0.5; only one"),
        (("model.rpn.negative_iou=0.8",), "rpn.negative_iou is 0.8, more than positive_iou, 0.7"),
        (("model.box_head.sample_size=3",), "box_head.positive_fraction is 0.25 of sample_size 3, which is less than"),
        (("optimizer.beta_2=0.9",), "optimizer.beta_2 is 0.9, but sgd has none"),
        (("optimizer.name=lamb", "optimizer.rules=*.bias decay=0"), "optimizer.rules is .*; lamb treats all variables"),
        (("optimizer.name=novograd", "optimizer.layer_decay=0.7"), "layer_decay is 0.7; novograd treats all variables"),
        (
            ("optimizer.weight_decay=0", "optimizer.rules=*.bias decay=0"),
            "and optimizer.weight_decay is 0; leave these",
        ),
        (("train.box_ap_target=0.3", "train.evaluate_every_epochs=0"), "needs evaluations"),
        (("train.mlperf_log=log", "train.box_ap_target=0.3"), "mlperf_log needs both targets, whose time it tells"),
        (("train.mask_ap_target=0.3", "model.detector=retinanet"), "needs masks, and retinanet has none"),
        (("data.canvas=1000",), "data.canvas is 1000; it must be a multiple of data.pad_multiple, 32"),
        (("data.batch_size=0",), "data.batch_size is 0; give the images per process, or data.global_batch_size"),
        (("data.padded_sizes=800x1333",), "has the side 1333, and its sides must be multiples"),
        (("data.padded_sizes=0x1344",), "has the side 0, and its sides must be multiples"),
    ],
)
def test_settings_that_contradict_each_other_are_named(tmp_path, changes, complaint):
    path = tmp_path / "config.py"
    path.write_text("from awsdet.config import mask_rcnn as get_config\n")
    with pytest.raises(UserError, match=complaint) as error:
        configuration.load(path, changes)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "changes, note",
    [
        (("train.epochs=8",), "decay_epochs has 8, 11, and training ends with epoch 8"),
        (("train.epochs=11",), "decay_epochs has 11, and training ends with epoch 11"),
        (("model.box_head.norm=batch_norm",), "box_head.norm is 'batch_norm', and model.box_head.convs is 0"),
        (("model.mask_head.norm=group_norm", "model.mask_head.convs=0"), "mask_head.norm is 'group_norm', and model.m"),
        (("data.max_long_side=640",), "short_sides has 800, more than data.max_long_side, 640"),
        (("data.short_side_range=640,1600",), "short_side_range has 1600, more than data.max_long_side, 1333"),
        (("data.eval_short_side=1400",), "eval_short_side is 1400, more than data.max_long_side, 1333"),
        (("train.epochs=8", "schedule.name=cosine"), None),
        (("data.canvas=1024", "data.max_long_side=800"), None),
    ],
)
def test_what_may_not_be_meant_is_noted(changes, note):
    config = configuration.mask_rcnn()
    for change in changes:
        configuration.apply_override(config, change)
    configuration.check(config)
    found = list(configuration.notes(config))
    assert found == [] if note is None else note in found[0]


def test_unknown_and_missing_settings_are_named():
    config = configuration.mask_rcnn()
    with config.unlocked():
        config.train.epoch = 3
    with pytest.raises(UserError, match=r"there is no setting train\.epoch; leave it out"):
        configuration.check(config)
    config = configuration.mask_rcnn()
    with config.unlocked():
        del config.model.rpn
    with pytest.raises(UserError, match=r"the setting model\.rpn is missing; start from"):
        configuration.check(config)


def test_a_stored_config_is_checked_too():
    text = configuration.to_json(configuration.mask_rcnn())
    for before, after, words in (
        ('"pad_multiple": 32', '"pad_multiple": 7', "data.pad_multiple is 7"),
        ('"learning_rate": 0.02', '"learning_rate": NaN', "optimizer.learning_rate is nan"),
        ('"epochs": 12', '"epochs": "x"', "epochs cannot be x, which is of type str; it must be of type int"),
        ('"epochs": 12', '"epochs": null', "train.epochs is None"),
    ):
        assert before in text
        with pytest.raises(UserError, match=words):
            configuration.from_json(text.replace(before, after))


def test_choices_are_those_of_the_code():
    """The table is on a lower floor than the code that knows the choices, so it repeats them."""
    from awsdet.detection.losses import BOX_LOSSES
    from awsdet.detection.suppression import METHODS
    from awsdet.models import builder
    from awsdet.models.backbones.resnet import BLOCKS, STYLES
    from awsdet.models.layers.norms import NORMS
    from awsdet.models.necks.fpn import EXTRA_CONVS

    for key, choices in {
        "rpn.box_loss": BOX_LOSSES,
        "retina_head.nms_method": METHODS,
        "backbone.depth": BLOCKS,
        "backbone.style": STYLES,
        "backbone.norm": [norm for norm in NORMS if norm != "none"],
        "fpn.norm": [norm for norm in NORMS if norm != "frozen_batch_norm"],
        "fpn.extra_convs": EXTRA_CONVS,
    }.items():
        assert TABLE[f"model.{key}"].values == tuple(choices), key
    assert set(relations.WITH_MASKS) < set(builder.DETECTORS)


def test_a_decay_that_would_end_all_learning_is_refused():
    assert ranges.fault_of("schedule.decay_factor", 0.0).startswith("schedule.decay_factor is 0.0; it must be")
    assert ranges.fault_of("schedule.decay_factor", 1.0) == "" and ranges.fault_of("schedule.decay_factor", 1e-3) == ""
