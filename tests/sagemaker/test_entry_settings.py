"""From hyper-parameters to the settings of a run."""

import pytest

from awsdet.runtime.errors import UserError
from tests.sagemaker import fake_jobs  # noqa: F401, for the folder of the modules below

import container_settings  # isort: skip

IN_IMAGE = "configs/shapes_mask_rcnn.py"


@pytest.fixture
def read(tmp_path):
    """read(hyperparameters, channels) -> Settings, with a channel `config` that holds own/mine.py."""
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "mine.py").write_text(
        "from awsdet import config as base\ndef get_config():\n    return base.mask_rcnn()\n"
    )

    def call(hyperparameters, channels=("train", "config")):
        return container_settings.read_settings(hyperparameters, set(channels), tmp_path)

    return call


def test_a_config_of_the_image(read):
    settings = read({"config": IN_IMAGE, "data.batch_size": "4", "config.train.epochs": "3"}, ["train"])
    assert settings.file == fake_jobs.REPOSITORY / IN_IMAGE
    assert settings.overrides == ("data.batch_size=4", "train.epochs=3")
    assert settings.config.data.batch_size == 4 and settings.config.train.epochs == 3


def test_a_config_of_the_channel(read, tmp_path):
    assert read({"config": "own/mine.py"}).file == tmp_path / "own" / "mine.py"


def test_lists_and_booleans_reach_the_config(read):
    config = read({"config": IN_IMAGE, "data.short_sides": "[640, 800]", "data.keep_empty": "false"}).config
    assert config.data.short_sides == (640, 800) and config.data.keep_empty is False


@pytest.mark.parametrize(
    "hyperparameters, message",
    [
        ({}, "hyper-parameter config is missing"),
        ({"config": "configs/none.py"}, "neither in the image nor in a channel"),
        ({"config": "/etc/passwd"}, "name a file in the image"),
        ({"config": "../secret.py"}, "name a file in the image"),
        ({"config": "own/mine.py", "channels": "no"}, "unknown config key channels"),
        ({"config": IN_IMAGE, "data.batch_sise": "4"}, "did you mean data.batch_size"),
        ({"config": IN_IMAGE, "data.batch_size": "four"}, "hyper-parameter data.batch_size=four: expected an int"),
        ({"config": IN_IMAGE, "--data.batch_size": "4"}, "is not a setting"),
        ({"config": IN_IMAGE, "data..batch_size": "4"}, "is not a setting"),
        ({"config": IN_IMAGE, "data.batch_size": "4", "config.data.batch_size": "8"}, "are the same setting"),
        ({"config": IN_IMAGE, "data.train_records": "/x"}, "is what the channel train is for"),
    ],
)
def test_mistakes_are_named(read, hyperparameters, message):
    with pytest.raises(UserError, match=message) as caught:
        read(hyperparameters)
    assert "\n" not in str(caught.value) and "--config" not in str(caught.value)


def test_a_setting_that_a_channel_decides(read):
    settings = {"config": IN_IMAGE, "train.init_from": "/opt/weights.npz"}
    assert read(settings, ["train"]).config.train.init_from == "/opt/weights.npz"
    with pytest.raises(UserError, match="channel weights"):
        read(settings, ["train", "weights"])
