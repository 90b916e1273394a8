"""`awsdet plot` from the command line."""

import json
import subprocess
import sys
import xml.etree.ElementTree

import pytest
from PIL import Image

from awsdet.cli import main as cli


@pytest.fixture
def runs(tmp_path):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        records = [{"step": step, "loss": 1 / step} for step in range(1, 9)]
        (tmp_path / name / "metrics.jsonl").write_text("".join(f"{json.dumps(record)}\n" for record in records))
    return [str(tmp_path / "one"), str(tmp_path / "two")]


def test_svg_and_png(runs, tmp_path, capsys):
    assert cli.main(["plot", *runs, f"--output={tmp_path / 'new' / 'a.svg'}"]) == 0
    assert capsys.readouterr().out == f"2 runs -> {tmp_path / 'new' / 'a.svg'}\n"
    root = xml.etree.ElementTree.parse(tmp_path / "new" / "a.svg").getroot()
    assert {"one", "two", "loss"} <= {element.text for element in root.iter() if element.text}
    assert cli.main(["plot", "--run", runs[0], f"--output={tmp_path / 'a.PNG'}", runs[1], "--fields=loss"]) == 0
    with Image.open(tmp_path / "a.PNG") as picture:
        assert picture.format == "PNG" and picture.size[0] == 2 * int(root.attrib["width"])


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["--output=x.svg"], "no run is given"),
        (["RUN"], "--output is missing"),
        (["RUN", "--output=TMP/x.jpg"], "is neither .svg nor .png"),
        (["RUN", "--output=TMP/x"], "is neither .svg nor .png"),
        (["RUN", "--output=/proc/x.svg"], "cannot be written"),
        (["RUN", "RUN", "--output=TMP/x.svg"], "is given twice"),
        (["TMP/no", "--output=TMP/x.svg"], "no does not exist; give the folder of a run"),
        (["RUN", "--output=TMP/x.svg", "--fields=lss"], "no run has the field lss; there are loss"),
        (["s3://bucket/run", "--output=TMP/x.svg"], "is an address"),
    ],
)
def test_mistakes_end_in_one_line(runs, tmp_path, arguments, words, capsys):
    given = [one.replace("RUN", runs[0]).replace("TMP", str(tmp_path)) for one in arguments]
    assert cli.main(["plot", *given]) == 2
    error = capsys.readouterr().err.splitlines()
    assert len(error) == 1 and error[0].startswith("awsdet plot: ") and words in error[0]
    assert not (tmp_path / "x.svg").exists()


def test_it_needs_no_tensorflow(runs, tmp_path):
    source = "import sys; from awsdet.cli.main import main; sys.exit(main(sys.argv[1:]) or 'tensorflow' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", source, "plot", *runs, f"--output={tmp_path / 'a.png'}"], check=False)
    assert done.returncode == 0
