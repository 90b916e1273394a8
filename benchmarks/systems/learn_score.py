"""Scores the detections of a finished run of the learning benchmark with our scorer and with pycocotools.

    python benchmarks/systems/learn_score.py DATA RUN

Writes RUN/scores.json: a list with step, box_ap and mask_ap of ours, and box_ap and mask_ap of pycocotools.
"""

import contextlib
import io
import json
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))

from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from awsdet.evaluation import coco_metrics


def usual(truth, results):
    """(box AP, mask AP) by pycocotools."""
    if not results:
        return 0.0, 0.0  # it takes no empty list
    scores = []
    with contextlib.redirect_stdout(io.StringIO()):
        for kind, other in (("bbox", "segmentation"), ("segm", "bbox")):
            coco = COCO()
            coco.dataset = truth
            coco.createIndex()
            # Without boxes, loadRes takes the areas of the masks, as COCO's evaluation server does.
            found = coco.loadRes([{key: value for key, value in one.items() if key != other} for one in results])
            scored = COCOeval(coco, found, kind)
            scored.evaluate()
            scored.accumulate()
            scored.summarize()
            scores.append(float(scored.stats[0]))
    return tuple(scores)


def main(data, run):
    truth = json.loads((pathlib.Path(data) / "annotations/instances_val.json").read_text())
    scores = []
    for file in pathlib.Path(run).glob("results-*.json"):
        results = json.loads(file.read_text())
        ours = coco_metrics(truth, results, with_masks=True)
        box, mask = usual(truth, results)
        mine = {name: max(ours[name], 0.0) for name in ("box_ap", "mask_ap")}
        scores.append(
            {"step": int(file.stem.partition("-")[2]), **mine, "pycocotools": {"box_ap": box, "mask_ap": mask}}
        )
    scores.sort(key=lambda score: score["step"])
    (pathlib.Path(run) / "scores.json").write_text(json.dumps(scores, indent=2) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
