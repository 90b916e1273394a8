"""Configuration: files, overrides, the stored form, and mistakes in each."""

import pytest

from awsdet import config as configuration
from awsdet.runtime.errors import UserError

MASK_RCNN = "from awsdet.config import mask_rcnn as get_config\n"


def write(tmp_path, text, name="config.py"):
    path = tmp_path / name
    path.write_text(text)
    return path


def flat(node, prefix=""):
    """{"section.key": value} of a ConfigDict."""
    result = {}
    for name, value in node.items():
        if hasattr(value, "items"):
            result.update(flat(value, f"{prefix}{name}."))
        else:
            result[prefix + name] = value
    return result


def test_faster_rcnn_differs_from_mask_rcnn_only_where_it_must():
    mask, faster = flat(configuration.mask_rcnn()), flat(configuration.faster_rcnn())
    assert mask.keys() == faster.keys()
    assert {key for key in mask if mask[key] != faster[key]} == {
        "model.detector",
        "model.box_head.low_quality_matches",
    }


def test_each_call_gives_a_config_of_its_own():
    first, second = configuration.mask_rcnn(), configuration.mask_rcnn()
    first.train.epochs = 99
    assert second.train.epochs == 12


def test_file_changes_settings_and_overrides_change_them_again(tmp_path):
    path = write(
        tmp_path,
        "from awsdet.config import faster_rcnn\n"
        "def get_config():\n"
        "    config = faster_rcnn()\n"
        "    config.train.epochs = 3\n"
        "    config.optimizer.learning_rate = 0.5\n"
        "    return config\n",
    )
    config = configuration.load(path, ["optimizer.learning_rate=1e-3"])
    assert (config.model.detector, config.train.epochs, config.optimizer.learning_rate) == ("faster_rcnn", 3, 1e-3)


@pytest.mark.parametrize(
    "override, key, value",
    [
        ("train.epochs=7", "train.epochs", 7),
        ("optimizer.learning_rate=1", "optimizer.learning_rate", 1.0),
        ("data.keep_empty=false", "data.keep_empty", False),
        ("data.keep_empty=True", "data.keep_empty", True),
        ("train.init_from=/runs/a=b", "train.init_from", "/runs/a=b"),
        ("train.init_from=", "train.init_from", ""),
        ("data.short_sides=640,800", "data.short_sides", (640, 800)),
        ("data.short_sides=(640,)", "data.short_sides", (640,)),
        ("data.short_sides=[640, 800]", "data.short_sides", (640, 800)),
        ("data.short_sides=640", "data.short_sides", (640,)),
        ("schedule.decay_epochs=8,11", "schedule.decay_epochs", (8, 11)),
        ("model.anchors.scales=4,8.5", "model.anchors.scales", (4.0, 8.5)),
        ("model.image.bgr=1", "model.image.bgr", True),
        ("seed=5", "seed", 5),
    ],
)
def test_override_takes_the_type_of_the_default(override, key, value):
    config = configuration.mask_rcnn()
    configuration.apply_override(config, override)
    changed = flat(config)[key]
    assert changed == value and type(changed) is type(value)


@pytest.mark.parametrize(
    "override, words",
    [
        ("train.epochs=1.5", "expected an int"),
        ("train.epochs=", "expected an int"),
        ("optimizer.learning_rate=fast", "expected a float"),
        ("data.keep_empty=maybe", "expected a bool"),
        ("data.short_sides=wide", "expected a tuple"),
        ("data.short_sides=640.5", "expected a tuple"),
        ("data.short_sides=(640", "expected a tuple"),
        ("train.epoch=3", "did you mean train.epochs?"),
        ("optimizer.lr=3", "did you mean optimizer.learning_rate?"),
        ("epochs=3", "did you mean train.epochs?"),
        ("optimiser.learning_rate=3", "did you mean optimizer.learning_rate?"),
        ("train.epochs.more=3", "unknown config key train.epochs.more"),
        ("zzzz=3", "unknown config key zzzz"),
        ("train=3", "is a section"),
        ("train.epochs", "has no value"),
    ],
)
def test_wrong_override(override, words):
    config = configuration.mask_rcnn()
    before = configuration.to_json(config)
    with pytest.raises(UserError) as caught:
        configuration.apply_override(config, override)
    assert words in str(caught.value) and "\n" not in str(caught.value)
    assert override.partition("=")[0].split(".")[0] in str(caught.value)
    assert configuration.to_json(config) == before


@pytest.mark.parametrize(
    "text, words",
    [
        ("def get_config(:\n", "SyntaxError"),
        ("import no_such_module_here\n", "no_such_module_here"),
        ("x = 1\n", "get_config"),
        ("def get_config():\n    return {}\n", "returned dict, not a ConfigDict"),
        (
            "from awsdet.config import mask_rcnn\ndef get_config():\n    c = mask_rcnn()\n    c.train.epoch = 3\n",
            "epoch",
        ),
        (
            "from awsdet.config import mask_rcnn\ndef get_config():\n    c = mask_rcnn()\n    c.train.epochs = 'x'\n",
            "str",
        ),
    ],
)
def test_broken_config_file_is_named_in_one_line(tmp_path, text, words):
    path = write(tmp_path, text)
    with pytest.raises(UserError) as caught:
        configuration.load(path)
    assert str(path) in str(caught.value) and words in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "line, words",
    [
        ("data.crop = 'abc'", ": crop cannot be abc, which is of type str; it must be of type tuple (line 5)"),
        ("data.hue = 'red'", ": hue cannot be red, which is of type str; it must be of type float (line 5)"),
        ("data.hue = None", "data.hue is None; it must be a finite number, between 0 and 0.5"),
        ("data.short_sides = ('a', 'b')", "data.short_sides is ('a', 'b'); it must be a tuple of 1 or more values"),
        ("data.short_sides = [640, None]", "data.short_sides is (640, None); it must be"),
        ("optimizer.learning_rate = float('nan')", "optimizer.learning_rate is nan; it must be a finite number"),
        ("model.backbone = 5", ": backbone cannot be 5, which is of type int; it must be of type ConfigDict (line 5)"),
        ("train.update(epoch=3)", ": there is no setting epoch; did you mean epochs? (line 5)"),
        ("train.zzz = 3", ": there is no setting zzz (line 5)"),
        ("lock(); 1 / 0", ": ZeroDivisionError: division by zero (line 5)"),
    ],
)
def test_a_wrong_value_in_a_file_is_named_in_our_words(tmp_path, line, words):
    head = "from awsdet import config as base\n\ndef get_config():\n    c = base.mask_rcnn()\n"
    path = write(tmp_path, f"{head}    c.{line}\n    return c\n")
    with pytest.raises(UserError) as caught:
        configuration.load(path)
    said = str(caught.value)
    assert words in said and "\n" not in said and ("(line 5)" not in words or str(path) in said)


@pytest.mark.parametrize("text", ["(True, 800)", "640, 'wide'", "(640, 800.0)", "None"])
def test_a_tuple_takes_only_values_of_its_type(text):
    config = configuration.mask_rcnn()
    with pytest.raises(UserError, match="expected a tuple"):
        configuration.apply_override(config, f"data.short_sides={text}")


def test_missing_file_and_wrong_suffix(tmp_path):
    with pytest.raises(UserError, match="does not exist"):
        configuration.load(tmp_path / "none.py")
    with pytest.raises(UserError, match="is a folder, not a file; configs/"):
        configuration.load(tmp_path)
    with pytest.raises(UserError, match=r"must end in \.py"):
        configuration.load(write(tmp_path, "{}", "config.yaml"))


def test_loaded_config_is_locked(tmp_path):
    config = configuration.load(write(tmp_path, MASK_RCNN))
    with pytest.raises(AttributeError):
        config.train.new_key = 1


def test_stored_config_comes_back_equal(tmp_path):
    overrides = ["data.short_sides=640,672", "optimizer.learning_rate=0.125", "data.keep_empty=false", "seed=9"]
    config = configuration.load(write(tmp_path, MASK_RCNN), overrides)
    again = configuration.from_json(configuration.to_json(config))
    assert flat(again) == flat(config)
    assert {key: type(value) for key, value in flat(again).items()} == {k: type(v) for k, v in flat(config).items()}
    assert configuration.to_json(again) == configuration.to_json(config)


def test_stored_config_with_a_key_of_another_version():
    text = configuration.to_json(configuration.mask_rcnn()).replace('"epochs"', '"epochs_of_old"')
    with pytest.raises(UserError, match=r"unknown key train\.epochs_of_old"):
        configuration.from_json(text)
    with pytest.raises(UserError, match="not valid JSON"):
        configuration.from_json("{")


def test_scratch_takes_away_the_weights_that_a_config_names(tmp_path):
    path = write(
        tmp_path,
        "from awsdet import config as base\n\n\n"
        "def get_config():\n"
        "    config = base.mask_rcnn()\n"
        "    config.train.init_from = 'imagenet-r50'\n"
        "    return config\n",
    )
    assert configuration.load(path).train.init_from == "imagenet-r50"
    assert configuration.load(path, ["train.init_from=scratch"]).train.init_from == ""
    assert configuration.load(path, ["train.init_from=./scratch"]).train.init_from == "./scratch"
