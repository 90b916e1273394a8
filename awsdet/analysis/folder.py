"""The folder of a report: index.html, analysis.json and, of a checkpoint, its detections. Files of others stay."""

import pathlib

from awsdet.analysis.report_json import FORMAT
from awsdet.analysis.report_page import MARK
from awsdet.runtime.errors import UserError
from awsdet.runtime.files import check_folder, write_json, written_aside

PAGE, FIGURES = "index.html", "analysis.json"
RESULTS = "analysis_results.json"  # not results.json, which a run folder may hold
_HEAD = 2000  # bytes in which our files say what they are


def check(folder) -> None:
    """Raises UserError unless a report can be written to a folder, which may not exist; others' files must not go."""
    folder = pathlib.Path(folder)
    check_folder(folder, "output")
    for name, sign in ((PAGE, MARK), (FIGURES, f'"format":"{FORMAT}"')):
        if (folder / name).exists() and sign not in _head(folder / name):
            raise UserError(f"--output={folder} holds {name}, which awsdet analyse did not write; name another folder")


def _head(path):
    if not path.is_file():
        return ""
    with path.open("rb") as file:
        return file.read(_HEAD).decode("utf-8", "replace")


def write(folder, page: str, figures: dict) -> None:
    """Writes the page and the figures; `check` comes before. Raises OSError."""
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / FIGURES, figures)
    with written_aside(folder / PAGE) as aside:
        aside.write_text(page, encoding="utf-8")
