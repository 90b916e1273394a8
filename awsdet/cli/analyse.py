"""Shows why a detector loses points: one web page with figures, curves and pictures, and the figures as JSON.

The page tells how much AP each kind of error costs (TIDE, COCO's analysis), which classes are confused, whether scores
mean what they say, AP by class, size and crowding, the images with the most errors, and annotations that may be wrong.
It needs no network and no scripts. It comes from a checkpoint, which detects objects in the records first, or from a
file of detections in COCO's results format, whoever wrote it.
"""

import json
import pathlib

from absl import flags, logging

from awsdet.cli.arguments import define_path
from awsdet.cli.ranks import run_on_all
from awsdet.runtime.errors import UserError


def define(flag_values):
    """Adds the flags of `awsdet analyse`."""
    define_path("checkpoint", "", "a checkpoint, or a run folder: its best checkpoint, or its newest", flag_values)
    define_path("results", "", "instead of a checkpoint: detections in COCO's results format", flag_values)
    define_path("records", None, "folder with the records", flag_values)
    flags.DEFINE_string(
        "split", "", "split of the records; empty: the checkpoint's eval_split, or val", flag_values=flag_values
    )
    define_path("output", None, "folder for index.html and analysis.json; made if needed", flag_values, written=True)
    flags.DEFINE_float(
        "score_threshold",
        None,
        "least score of detections where only one is looked at (confusions, images); not given: where F1 is best",
        flag_values=flag_values,
        lower_bound=0.0,
    )
    text = "annotation file whose categories give the supercategories, which records do not hold"
    define_path("annotations", "", text, flag_values)


def run(flag_values, overrides):
    """Analyses and writes the files. Returns the exit code."""
    del overrides
    for name in ("records", "output"):
        if not flag_values[name].value:
            raise UserError(f"--{name} is missing (see awsdet analyse --help)")
    if bool(flag_values.checkpoint) == bool(flag_values.results):
        raise UserError("give either --checkpoint or --results (see awsdet analyse --help)")
    from awsdet.analysis import folder

    folder.check(flag_values.output)
    if flag_values.checkpoint:
        return run_on_all(lambda world: _of_checkpoint(flag_values, world))
    from awsdet.data.records.read import read_manifest
    from awsdet.runtime import gpus

    gpus.hide()  # nothing is computed on one
    manifest = read_manifest(flag_values.records, flag_values.split or "val")
    parents = _supercategories(flag_values.annotations, manifest)
    return _report(flag_values, manifest, parents, flag_values.results, flag_values.results)


def _of_checkpoint(flag_values, world):
    from awsdet.analysis.folder import RESULTS
    from awsdet.cli.evaluated import prepare
    from awsdet.evaluation import evaluate
    from awsdet.runtime.together import together

    def start():
        parts = prepare(flag_values.checkpoint, flag_values.records, flag_values.split)
        return *parts, _supercategories(flag_values.annotations, parts[1])

    results = pathlib.Path(flag_values.output) / RESULTS
    detector, manifest, options, source, parents = together(world, start)
    logging.info("analysing %s on %d images", source, manifest.num_images)
    evaluate(detector, manifest, options, world, output=str(results))
    return _report(flag_values, manifest, parents, results, source) if world.is_chief else 0


def _report(flag_values, manifest, parents, results, source):
    """Writes the report of a results file and prints its first words. parents: of `_supercategories`. Returns 0."""
    from awsdet.analysis import advice, folder
    from awsdet.analysis.report import analyse
    from awsdet.analysis.report_json import report_json
    from awsdet.analysis.report_page import picture_count, report_page
    from awsdet.data.records.read import read_ground_truth
    from awsdet.evaluation.results_file import read_results
    from awsdet.runtime.progress import Progress

    truth = read_ground_truth(manifest)
    for category in truth["categories"]:
        category["supercategory"] = parents.get(category["id"], "")
    numbers = {manifest.own_image_id(number): number for number in manifest.image_id.tolist()}
    found = read_results(results, truth, numbers)
    with_masks = manifest.has_masks and any("segmentation" in one for one in found)
    report = analyse(truth, found, with_masks, flag_values.score_threshold)
    with Progress(picture_count(report), "draw", "pictures") as progress:
        page = report_page(report, manifest, str(source), progress)
    folder.write(flag_values.output, page, report_json(report, manifest, str(source)))
    for kind in report.kinds:
        print(f"{kind.name}: {' '.join(advice.first_words(kind, report.labels))}")
    print(f"\nOpen {pathlib.Path(flag_values.output) / folder.PAGE} in a browser.")
    return 0


def _supercategories(path, manifest):
    """Category id -> supercategory, of an annotation file; empty without one. UserError if it says nothing of ours."""
    from awsdet.data.coco.ids import read_id

    if not path:
        return {}
    try:
        entries = json.loads(pathlib.Path(path).read_bytes())["categories"]
        parents = {read_id(entry["id"]): str(entry.get("supercategory") or "") for entry in entries}
    except OSError as error:
        raise UserError(f"--annotations={path} cannot be read: {error.strerror or error}") from None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise UserError(f"--annotations={path} is no COCO annotation file with categories ({error!r:.80})") from None
    if not any(parents.get(one) for one in manifest.category_ids):
        raise UserError(f"--annotations={path} gives no supercategory for the classes of the records; leave it out")
    return parents
