"""The folder of a step in which a loss or gradient was not finite, and all that is needed to run that step again.

    <run>/failed/step-00001234-rank-0/
        failed.json                what failed: step, rank, losses; config, classes, versions, kinds of the batch
        batch.npz                  the batch as the network got it (see `batch_file`)
        state.index, state.data-…  tensors by name, as in a checkpoint: the weights; of rank 0 the optimizer's state too

The random keys of the step follow from seed, step and rank. Each rank in which a check failed writes a folder of its
own, and keeps the last two. The weights are those before the step: an update with such gradients is left out.
"""

import json
import pathlib
import re
from typing import Any, NamedTuple

import numpy as np

from awsdet import config as config_module
from awsdet.inference.checkpoint import STATE, State, assign, damage_named
from awsdet.replay.batch_file import arrays_of, batch_of, kinds_of, spec_of
from awsdet.runtime.errors import UserError
from awsdet.runtime.files import remove_at_once, remove_leftovers, write_json, written_aside
from awsdet.runtime.paths import given_path
from awsdet.runtime.room import check_room

INFO, BATCH = "failed.json", "batch.npz"
FORMAT = "awsdet failed step 1"
_COPY = "copy the whole folder again"
KEPT = 2  # folders per rank; a run that is resumed again and again must not fill the disk


class Report(NamedTuple):
    """What the check of the training step said."""

    terms: dict[str, float]  # the losses, float32; gradient_norm if that failed; loss_scale if there is one
    step: int
    rank: int


class FailedStep(NamedTuple):
    """A folder that `write` wrote. info: the dict of its failed.json."""

    path: pathlib.Path
    info: dict
    report: Report
    config: Any  # ConfigDict
    batch: dict
    spec: Any  # element_spec of the dataset that the batch came from


def read_report(text: str) -> Report:
    """The Report in the text of the error that the training step raised."""
    fields = dict(re.findall(r"\[(\w+)=\] \[([^\]]*)\]", text[text.index("non-finite loss") :]))
    step, rank, _ = (fields.pop(name) for name in ("step", "rank", "image_id"))
    return Report({name: float(value) for name, value in fields.items()}, int(step), int(rank))


def write(root, report: Report, refused, state, info: dict) -> pathlib.Path:
    """Writes the folder of a failed step. Returns its path.

    Args:
        root: the folder `failed` of the run; need not exist.
        report: Report.
        refused: `keras_steps.Refused`.
        state: Snapshot of the variables.
        info: JSON-ready dict for failed.json: image_ids, processes, learning_rate, class_names, config, versions.

    Raises OSError, tf.errors.OpError or UserError if it cannot be written, TypeError for a batch of other kinds.
    """
    root = pathlib.Path(root)
    path = root / f"step-{report.step:08d}-rank-{report.rank}"
    arrays = arrays_of(refused.batch)
    content = {"format": FORMAT, **report._asdict(), **info, "batch": kinds_of(refused.spec)}
    content["terms"] = {name: str(value) for name, value in report.terms.items()}  # JSON has no NaN
    check_room(root, state.bytes + sum(array.nbytes for array in arrays.values()), "the failed step")
    root.mkdir(parents=True, exist_ok=True)
    with written_aside(path) as aside:
        aside.mkdir()
        state.write(str(aside / STATE))
        np.savez(aside / BATCH, **arrays)
        write_json(aside / INFO, content, indent=1)
    mine = sorted(root.glob(f"step-*-rank-{report.rank}"))
    for old in mine[:-KEPT]:
        remove_at_once(old)
    remove_leftovers(root, f"step-*-rank-{report.rank}.")
    return path


def read(path) -> FailedStep:
    """The FailedStep in a folder. Raises UserError if there is none, or if it is damaged; PermissionError."""
    path = pathlib.Path(given_path(path, "step"))
    if not (path / INFO).is_file():
        raise UserError(f"{path} holds no failed step; give a folder RUN/failed/step-…, which a failed run names")
    try:
        info = json.loads((path / INFO).read_text())
        if info["format"] != FORMAT:
            raise UserError(f"{path} is of another version of awsdet: {INFO} does not say {FORMAT!r}")
        for name in (BATCH, f"{STATE}.index", f"{STATE}.data-00000-of-00001"):
            if not (path / name).is_file():
                raise UserError(f"{path} lacks {name}: {_COPY}")
        terms = {name: float(text) for name, text in info["terms"].items()}
        report = Report(terms, int(info["step"]), int(info["rank"]))
        with np.load(path / BATCH, allow_pickle=False) as arrays:
            batch = batch_of(arrays, info["batch"])
        spec, settings, _ = spec_of(info["batch"]), json.dumps(info["config"]), info["class_names"]
    except (UserError, PermissionError):  # a file that may not be read is not damaged
        raise
    except Exception as error:  # a damaged file can cause any error in the readers
        reason = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
        raise UserError(f"{path} is damaged ({reason}): {_COPY}") from error
    return FailedStep(path, info, report, config_module.from_json(settings), batch, spec)


def load_weights(failed: FailedStep, detector) -> None:
    """Gives a detector the weights of a failed step. Raises UserError if they are not there or do not fit."""
    with damage_named(failed.path):
        assign(detector.variables, State(failed.path))
    detector.step.assign(failed.report.step)
