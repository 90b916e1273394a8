"""What a training step and a detection may cost on a GPU. The figures hold at every batch size."""

# Of launches, library calls and fills together, by part. A part is what `parts` makes of the operations' names.
TRAIN = {
    ("rpn targets", "anchors"): 10,
    ("roi targets",): 6,
    ("rpn head, proposals",): 45,
    ("layer2", "layer3", "layer4"): 310,
}
# RetinaNet's targets are those of all anchors, by TensorFlow's operations; a cascade has three stages of RoIs.
TRAIN_OF = {"retinanet": {("rpn targets", "anchors"): 50}, "cascade_mask_rcnn": {("roi targets",): 18}}
TRAIN_ALL = {"mask_rcnn": 800, "cascade_mask_rcnn": 1220, "retinanet": 1140}
UPDATE = {"mixed_float16": 22}  # with averaged weights 20, otherwise 18
UPDATE_OTHERWISE = 8  # with averaged weights 7, otherwise 5
DETECT_ALL = {"mask_rcnn": 300, "cascade_mask_rcnn": 370, "retinanet": 380}
COPIES = {"mask_rcnn": 3, "cascade_mask_rcnn": 5, "retinanet": 2}  # to the host, in a training step
BYTES = 32 * 1024
WAITS = 2  # of the host, one after the other
WORK = ("launch", "library", "memset")


def check(work, precision, result, detector="mask_rcnn"):
    """The budgets for a result of `count.summary`: list of (text, whether it holds)."""
    parts = result["parts"]
    rows = []

    def limit(name, value, most):
        rows.append((f"{name}: {value:,} of at most {most:,}", value <= most))

    if work == "detect":
        limit("launches and library calls", _calls(parts, parts), DETECT_ALL[detector])
        limit("waits one after the other", len(result["waits"]), WAITS)
        return rows
    limit("launches and library calls", _calls(parts, parts), TRAIN_ALL[detector])
    for names, most in (TRAIN | TRAIN_OF.get(detector, {})).items():
        limit(" and ".join(names), _calls(parts, names), most)
    limit("update", _calls(parts, ["update"]), UPDATE.get(precision, UPDATE_OTHERWISE))
    copies = [row["d2h"] for row in parts.values() if "d2h" in row]
    limit("copies to the host", sum(count for count, _ in copies) + len(result["moved"]), COPIES[detector])
    limit("bytes copied to the host", sum(size for _, size in copies), BYTES)
    for name in ("rpn targets", "roi targets"):
        limit(f"copies to the host in {name}", parts.get(name, {}).get("d2h", [0])[0], 0)
    limit("waits one after the other", len(result["waits"]), WAITS)
    return rows


def _calls(parts, names):
    return sum(parts.get(name, {}).get(kind, [0])[0] for name in names for kind in WORK)
