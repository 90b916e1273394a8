"""What a score is computed from, as files: so another process can do it, now or after a run was killed.

    <run>/scoring/truth.json        the ground truth of the split
    <run>/scoring/detections.npz    what was found, and at which step: written last, so that with it all is there
    <run>/scoring/metrics.json      the score

Needs no TensorFlow.
"""

import json
import os
import pathlib
from typing import Any, NamedTuple

import numpy as np

from awsdet.evaluation.detections import Detections, unpack
from awsdet.evaluation.scoring import Truth, score
from awsdet.runtime.errors import UserError
from awsdet.runtime.files import remove, write_json, written_aside


class Evaluated(NamedTuple):
    """Where in a run an evaluation belongs: the number of steps and of whole epochs done."""

    step: int
    epoch: int


class ScoreFiles:
    """The files in one folder, which need not exist."""

    def __init__(self, folder: str | os.PathLike):
        self.folder = pathlib.Path(folder)
        self._truth, self._detections = self.folder / "truth.json", self.folder / "detections.npz"
        self._metrics = self.folder / "metrics.json"

    def write_truth(self, truth: Truth) -> None:
        """Writes the ground truth. Raises OSError."""
        self.folder.mkdir(parents=True, exist_ok=True)
        write_json(self._truth, {**truth._asdict(), "own_ids": list(truth.own_ids.items())})

    def write_detections(self, detections: Detections, evaluated: Evaluated) -> None:
        """Writes what was found. Raises OSError."""
        arrays = {name: array for name, array in detections._asdict().items() if array is not None}
        remove(self._metrics)
        with written_aside(self._detections) as aside, aside.open("wb") as file:
            np.savez(file, evaluated=np.array(evaluated, np.int64), **arrays)

    @property
    def detected(self) -> bool:
        """Whether there are detections."""
        return self._detections.is_file()

    def evaluated(self) -> Evaluated | None:
        """Where the detections belong; None if there are none. Raises UserError if they cannot be read."""
        if not self.detected:
            return None
        return Evaluated(*map(int, self._read()["evaluated"]))

    def score(self, output: str | os.PathLike | None, official: bool) -> dict[str, Any]:
        """Computes the score in this process. The arguments and errors are those of `scoring.score`.

        Raises UserError too, if the files cannot be read.
        """
        arrays = self._read()
        detections = Detections(**{name: arrays[name] for name in Detections._fields if name in arrays})
        try:
            content = json.loads(self._truth.read_text())
            truth = Truth(content["coco"], content["has_masks"], dict(map(tuple, content["own_ids"])))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise self._unreadable(self._truth, error) from error
        return score(unpack(detections), truth, output, official)

    def write_metrics(self, metrics: dict[str, Any]) -> None:
        """Writes the score. Raises OSError."""
        write_json(self._metrics, metrics)

    def metrics(self) -> dict[str, Any]:
        """The score that was written. Raises OSError or ValueError if there is none."""
        return json.loads(self._metrics.read_text())

    def discard(self) -> None:
        """Removes the detections and their score. The ground truth stays."""
        remove(self._detections)
        remove(self._metrics)

    def remove(self) -> None:
        """Removes the folder."""
        remove(self.folder)

    def _read(self):
        try:
            with np.load(self._detections, allow_pickle=False) as arrays:
                return dict(arrays)
        except Exception as error:  # of the disk, of zipfile, of NumPy
            raise self._unreadable(self._detections, error) from error

    def _unreadable(self, path, error):
        return UserError(
            f"{path} cannot be read ({error}), so this evaluation has no score; remove {self.folder} to go on without "
            "it: awsdet evaluate scores the checkpoint"
        )
