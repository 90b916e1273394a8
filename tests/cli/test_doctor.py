"""`awsdet doctor` on the machine that runs the tests."""

import pytest

from awsdet.cli import main as cli
from tests.cli.conftest import restored_logging  # noqa: F401 -- used by all tests


def test_doctor_of_this_machine(capsys):
    """The environment of the tests is the pinned one, so nothing in it may be broken."""
    assert cli.main(["doctor"]) == 0
    out = capsys.readouterr().out
    for words in ("tensorflow", "2.15.1", "horovod", "0.28.1", "gloo: yes", "free for", "All is well."):
        assert words in out, out
    assert "BROKEN" not in out


def test_doctor_of_a_config(capsys):
    changes = ("data.train_records=", "optimizer.name=sgd", "optimizer.learning_rate=1", "schedule.decay_epochs=3")
    given = [f"--config.{change}" for change in changes]
    assert cli.main(["doctor", "--config=configs/shapes_mask_rcnn.py", *given]) == 0
    out = capsys.readouterr().out
    for words in ("mask_rcnn, float32, 2.", "rising to 1 by step 50", "not known without records", "box head"):
        assert words in out, out
    idle, rate = out.partition("Look at:\n- ")[2].split("\n- ")
    assert idle == "--config.schedule.decay_epochs does nothing: schedule.name is cosine; its rate falls to final_ratio"
    assert rate.startswith("the learning rate is 1 for 8 images per update, 100 times")
    assert max(map(len, out.splitlines())) <= 120


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["--config=configs/nothing.py"], "configs/nothing.py"),
        (["--config=configs/shapes_mask_rcnn.py", "--config.data.train_records=/nowhere"], "/nowhere"),
        (["--config=configs/shapes_mask_rcnn.py", "--config.seed=x"], "seed"),
        (
            [
                "--config=configs/shapes_mask_rcnn.py",
                "--config.data.train_records=",
                "--config.optimizer.name=sgd",
                "--config.optimizer.rules=x.* rate=2",
            ],
            "'x.* rate=2'",
        ),
        (["--processes=2"], "--processes is of a run; name its config file by --config=FILE too"),
        (["--config.seed=2"], "--config.seed=2 is of a run; name its config file by --config=FILE too"),
    ],
)
def test_mistakes_in_a_config(capsys, arguments, words):
    assert cli.main(["doctor", *arguments]) == 2
    said = capsys.readouterr()
    assert not said.out and len(said.err.splitlines()) == 1 and words in said.err
