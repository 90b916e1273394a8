"""The COCO table as text."""

_ROWS = (
    ("ap", "AP   IoU 0.50:0.95"),
    ("ap50", "AP   IoU 0.50"),
    ("ap75", "AP   IoU 0.75"),
    ("ap_small", "AP   small (area < 32 x 32)"),
    ("ap_medium", "AP   medium"),
    ("ap_large", "AP   large (area > 96 x 96)"),
    ("ar1", "AR   1 detection per image"),
    ("ar10", "AR   10 detections"),
    ("ar100", "AR   100 detections"),
    ("ar_small", "AR   small"),
    ("ar_medium", "AR   medium"),
    ("ar_large", "AR   large"),
)


def format_table(metrics, per_class=True):
    """The metrics as a table; a metric that does not exist is "-".

    Args:
      metrics: the dict of `evaluate` or `coco_metrics`.
      per_class: whether to add a table of the classes. It lists those that have objects, and counts the others.
    """
    kinds = [kind for kind in ("box", "mask") if f"{kind}_ap" in metrics]
    rows = [[label, *(_number(metrics[f"{kind}_{key}"]) for kind in kinds)] for key, label in _ROWS]
    text = _align([["COCO metrics", *kinds], *rows])
    if not per_class or not metrics["per_class"]:
        return text
    header = ["class", "objects", *(f"{kind} AP" for kind in kinds)]
    seen = {name: row for name, row in metrics["per_class"].items() if row["objects"]}
    rows = [[name, str(row["objects"]), *(_number(row[f"{kind}_ap"]) for kind in kinds)] for name, row in seen.items()]
    text += "\n\n" + _align([header, *rows])
    absent = len(metrics["per_class"]) - len(seen)
    return text + (f"\n(classes without objects here: {absent})" if absent else "")


def format_steps(records):
    """AP over the steps of a run as a table, the best step marked.

    records: dicts of `coco_metrics`, with step and epoch; at least one.
    """
    kinds = [kind for kind in ("box", "mask") if any(f"{kind}_ap" in record for record in records)]
    best = max(range(len(records)), key=lambda i: (records[i].get(f"{kinds[-1]}_ap", -1.0), records[i]["step"]))
    rows = [
        [f"{one['step']:,}", str(one["epoch"]), *(_number(one.get(f"{kind}_ap", -1.0)) for kind in kinds)]
        for one in records
    ]
    lines = _align([["step", "epoch", *(f"{kind} AP" for kind in kinds)], *rows]).splitlines()
    lines[best + 2] += "  best"
    return "\n".join(lines)


def _number(value):
    return "-" if value < 0 else f"{value:.3f}"


def _align(rows):
    """Joins rows of cells to lines: first column left-aligned, the others right-aligned, a line below the header."""
    widths = [max(map(len, column)) for column in zip(*rows)]
    lines = [
        "  ".join([row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:]))])
        for row in rows
    ]
    return "\n".join([lines[0], "-" * len(lines[0]), *lines[1:]])
