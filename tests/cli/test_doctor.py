"""`awsdet doctor` on the machine that runs the tests."""

from awsdet.cli import main as cli


def test_doctor_of_this_machine(capsys):
    """The environment of the tests is the pinned one, so nothing in it may be broken."""
    assert cli.main(["doctor"]) == 0
    out = capsys.readouterr().out
    for words in ("tensorflow", "2.15.1", "horovod", "0.28.1", "gloo: yes", "free for", "All is well."):
        assert words in out, out
    assert "BROKEN" not in out
