"""What runs wrote into their metrics.jsonl, as curves over steps. Reads nothing else, and needs no TensorFlow."""

import json
import math
import pathlib
from typing import NamedTuple

from awsdet.runtime.errors import UserError
from awsdet.runtime.files import why_no_folder

FILE = "metrics.jsonl"


class Run(NamedTuple):
    """A run. curves: name of a field -> list of (step, value), steps rising."""

    name: str
    curves: dict


def read_runs(folders) -> list:
    """The Runs of folders. A name is the folder's, with as much of the path above as tells them apart.

    Raises UserError for a folder that is no run, that is given twice, or whose run has written nothing yet.
    """
    paths = [pathlib.Path(folder) for folder in folders]
    real = [path.resolve() for path in paths]
    for index, path in enumerate(real):
        if path in real[:index]:
            raise UserError(f"run {paths[index]} is given twice; leave one of them out")
    return [Run(name, read_curves(path)) for name, path in zip(_names(real), paths)]


def _names(paths):
    names = [path.name for path in paths]
    for depth in range(2, max(len(path.parts) for path in paths) + 1):
        if len(set(names)) == len(names):
            break
        twice = {name for name in names if names.count(name) > 1}
        names = ["/".join(path.parts[-depth:]) if name in twice else name for name, path in zip(names, paths)]
    return names


def read_curves(folder) -> dict:
    """Field -> list of (step, value) of a run folder.

    A resumed run may have written a step twice: the later line counts, and earlier ones of later steps do not. The line
    of an evaluation may come some steps late, so it only replaces other evaluations. Values that are no finite number,
    and -1 (COCO's sign for what does not exist), are left out.
    """
    if not pathlib.Path(folder).is_dir():
        raise UserError(f"run {folder} {why_no_folder(folder)}; give the folder of a run, its --output")
    path = pathlib.Path(folder) / FILE
    if not path.is_file():
        raise UserError(f"{folder} holds no {FILE}; give the folder of a run, its --output")
    steps, evaluations = [], []
    for record in read_records(path):
        own, others = (evaluations, []) if "box_ap" in record else (steps, evaluations)
        for records in (own, others):
            while records and records[-1]["step"] > record["step"]:  # written before the run went back
                records.pop()
        own.append(record)
    curves = {}
    for record in sorted([*steps, *evaluations], key=lambda record: record["step"]):
        for name, value in record.items():
            if name != "step" and _is_value(name, value):
                curves.setdefault(name, {})[record["step"]] = float(value)
    if not curves:
        raise UserError(
            f"run {folder} has written no figures to {FILE} yet; wait for it, or see in its log why it ended"
        )
    return {name: list(points.items()) for name, points in curves.items()}


def read_records(path) -> list:
    """The dicts in a metrics.jsonl, each with its `step`. Raises UserError for a damaged line."""
    text = pathlib.Path(path).read_text(errors="replace")
    lines = text[: text.rfind("\n") + 1].splitlines()  # the last line may be half written
    return [_record(line, path, number) for number, line in enumerate(lines, start=1)]


def _record(line, path, number):
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        record = None
    step = record.get("step") if isinstance(record, dict) else None
    if isinstance(step, bool) or not isinstance(step, int):
        raise UserError(f"{path} is damaged: line {number} is no record with a step; remove that line")
    return record


def _is_value(name, value):
    number = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    return number and not (value == -1 and name.startswith(("box_a", "mask_a")))


def smoothed(points, share: float = 0.03) -> list:
    """The points with values averaged over their neighbours on both sides, so that nothing is shifted.

    Weights fall by e over `share` of the steps that the points cover.
    """
    if len(points) < 3:
        return points
    reach = max(share * (points[-1][0] - points[0][0]), 1e-9)
    before, after = _sums(points, reach), _sums(points[::-1], reach)[::-1]
    return [
        (step, (left - value + right) / (left_weight + right_weight - 1))
        for (step, value), (left, left_weight), (right, right_weight) in zip(points, before, after)
    ]


def _sums(points, reach):
    """For each point the weighted sum of its value and those before it, and the sum of the weights."""
    made, total, weight, last = [], 0.0, 0.0, points[0][0]
    for step, value in points:
        keep = math.exp(-abs(step - last) / reach)
        total, weight, last = total * keep + value, weight * keep + 1.0, step
        made.append((total, weight))
    return made
