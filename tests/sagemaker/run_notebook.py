"""Runs a notebook from its first cell to its last, and stores it with its outputs.

    python tests/sagemaker/run_notebook.py NOTEBOOK OUT PARAMETERS

PARAMETERS is Python code that takes the place of the cell with the tag "parameters". The kernel works in the present
folder. The exit code is 1 if a cell fails; its error is printed.
"""

import sys

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError


def main(path, out, parameters):
    notebook = nbformat.read(path, as_version=4)
    marked = [cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", ())]
    assert len(marked) == 1, f"{len(marked)} cells have the tag parameters"
    marked[0].source = parameters
    try:
        NotebookClient(notebook, timeout=500, kernel_name="python3", resources={"metadata": {"path": "."}}).execute()
    except CellExecutionError as error:
        for cell in notebook.cells:
            for output in cell.get("outputs", ()):
                if output.output_type == "error":  # the exception's own text can be empty
                    print(cell.source, output.ename, output.evalue, *output.traceback, sep="\n", file=sys.stderr)
        print(error, file=sys.stderr)
        return 1
    nbformat.write(notebook, out)
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
