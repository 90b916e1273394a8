"""docs/quickstart.ipynb: its cells run from top to bottom, and show what they should."""

import json
import pathlib
import subprocess
import sys

from PIL import Image

ROOT = pathlib.Path(__file__).parents[1]
NOTEBOOK = json.loads((ROOT / "docs/quickstart.ipynb").read_text())
CODE = ["".join(cell["source"]) for cell in NOTEBOOK["cells"] if cell["cell_type"] == "code"]
SMALLER = {"IMAGES, EPOCHS = 480, 8": "IMAGES, EPOCHS = 16, 4", "base_width=16": "base_width=16, depth=14"}
RUN = """
import json, pathlib, sys, types
shown = []
def display(picture):
    picture.save(f"shown{len(shown)}.png")
    shown.append(picture)
sys.modules["IPython"] = types.ModuleType("IPython")
sys.modules["IPython.display"] = types.SimpleNamespace(display=display)
names = {"__name__": "__main__"}
for number, cell in enumerate(json.loads(pathlib.Path(sys.argv[1]).read_text())):
    exec(compile(cell, f"cell {number}", "exec"), names)
"""


def test_notebook_is_stored_without_outputs():
    assert (NOTEBOOK["nbformat"], NOTEBOOK["nbformat_minor"]) == (4, 5)
    assert len({cell["id"] for cell in NOTEBOOK["cells"]}) == len(NOTEBOOK["cells"])
    for cell in NOTEBOOK["cells"]:
        assert cell["cell_type"] in ("markdown", "code") and cell["source"]
        if cell["cell_type"] == "code":
            assert cell["outputs"] == [] and cell["execution_count"] is None


def test_links_lead_somewhere():
    text = "".join("".join(cell["source"]) for cell in NOTEBOOK["cells"] if cell["cell_type"] == "markdown")
    links = [part.partition(")")[0] for part in text.split("](")[1:]]
    assert links and all((ROOT / "docs" / link).is_file() for link in links)
    for page in ("README.md", "docs/README.md"):
        assert "quickstart.ipynb" in (ROOT / page).read_text()


def test_cells_run_from_top_to_bottom(tmp_path):
    """With little data, so that nothing is learned, in a folder of its own and without Jupyter."""
    cells = CODE
    for theirs, ours in SMALLER.items():
        assert sum(theirs in cell for cell in cells) == 1
        cells = [cell.replace(theirs, ours) for cell in cells]
    (tmp_path / "cells.json").write_text(json.dumps(cells))
    command = [sys.executable, "-c", RUN, "cells.json"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    for wanted in ("step  box AP  mask AP", "COCO metrics", "class", "circle", "masks: (", "'val_loss'"):
        assert wanted in done.stdout, done.stdout
    pictures = [Image.open(path) for path in sorted(tmp_path.glob("shown*.png"))]
    assert len(pictures) == 4
    for picture in pictures:
        assert picture.width > 150 and len(picture.convert("RGB").getcolors(1 << 24)) > 3
    made = {path.name for path in tmp_path.iterdir()} - {"cells.json"} - {f"shown{k}.png" for k in range(4)}
    assert made == {"quickstart"} and (tmp_path / "quickstart/model.keras").is_file()
