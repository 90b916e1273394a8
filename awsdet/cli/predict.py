"""Finds objects in an image, or in all images of a folder and its subfolders, and writes them as JSON.

The JSON has four parts:
- "classes";
- "images", each with its "predictions": bbox [x, y, width, height], score, category_id, class_name and segmentation
  (COCO RLE), in pixels of the upright image. Mask Scoring R-CNN adds iou_score, the IoU that the mask is expected to
  have, and mask_score, which is score x iou_score;
- "skipped": images that could not be read, links that lead nowhere, folders that may not be read or are met under a
  second name, each with its reason. If an image may have been lost, the exit code is 1;
- "other_files": how many files there are that are no images, by suffix.

--format=msrcnn writes the JSON of MindSpore's Mask Scoring R-CNN instead: a dict from the path of an image to its
objects. It has no place for images that could not be read; these are only named in the log.
"""

import pathlib
import sys

from absl import flags, logging

from awsdet.cli.arguments import define_max_megapixels, define_path
from awsdet.runtime.errors import UserError

TOLD = {"image_16_bit", "image_scaled", "image_float", "image_alpha", "image_frames", "image_repaired"}  # of the notes


def define(flag_values):
    """Adds the flags of `awsdet predict`."""
    define_path("checkpoint", None, "a checkpoint, or a run folder: its best checkpoint, or its newest", flag_values)
    define_path("input", None, "an image, or a folder of images", flag_values)
    define_path("output", None, "JSON file to write; its folder is made if needed", flag_values, written=True)
    define_path("draw", "", "folder for pictures with the objects drawn in", flag_values, written=True)
    flags.DEFINE_float(
        "score_threshold",
        0.0,
        "objects with a lower score are left out, as are those below the checkpoint's own threshold",
        flag_values=flag_values,
        lower_bound=0.0,
        upper_bound=1.0,
    )
    flags.DEFINE_enum(
        "format",
        "awsdet",
        ["awsdet", "msrcnn"],
        "of the JSON: the one described above, or that of MindSpore's Mask Scoring R-CNN",
        flag_values=flag_values,
    )
    define_max_megapixels(flag_values)
    flags.DEFINE_float(
        "draw_threshold",
        0.5,
        "objects with a lower score are not drawn",
        flag_values=flag_values,
        lower_bound=0.0,
        upper_bound=1.0,
    )


def run(flag_values, overrides):
    """Predicts and writes the files. Returns the exit code: 1 if an image could not be read."""
    del overrides
    for name in ("checkpoint", "input", "output"):
        if not flag_values[name].value:
            raise UserError(f"--{name} is missing (see awsdet predict --help)")
    from awsdet.data.coco.opening import check_megapixels, settle_pillow
    from awsdet.inference import checkpoint, predict
    from awsdet.inference.fast_convolutions import use_fast_convolutions
    from awsdet.inference.find_images import find_images
    from awsdet.inference.msrcnn import write_msrcnn
    from awsdet.runtime import processes
    from awsdet.runtime.files import check_folder, check_writable

    check_writable(flag_values.output, "output")
    max_pixels = check_megapixels(flag_values.max_megapixels)
    settle_pillow()
    found = find_images(flag_values.input)
    root = _root(flag_values.input)
    _keep_images(found.paths, flag_values.output)
    if flag_values.draw:
        check_folder(flag_values.draw, "draw")
        found = found._replace(paths=_outside(found.paths, root, pathlib.Path(flag_values.draw)))
    world = processes.start(expected_size=1)
    try:
        detector, info = checkpoint.load(flag_values.checkpoint)
        use_fast_convolutions(detector)
        logging.info("predicting with %s (step %d)", info["path"], info["step"])
        predictions = predict.predict(detector, found.paths, flag_values.score_threshold, max_pixels)
        entries, unread, remarks = _collect(predictions, len(found.paths), root, info, flag_values)
    finally:
        world.close()
    skipped = unread + [{"image": _name(path, root), "reason": reason} for path, reason, _ in found.skipped]
    classes = info["class_names"], info["category_ids"]
    if flag_values["format"].value == "msrcnn":
        write_msrcnn(flag_values.output, entries, root, info["category_ids"])
    else:
        predict.write_predictions(flag_values.output, entries, skipped, *classes, found.others)
    if remarks.counts:
        logging.info("found in the images:\n%s", remarks.table())
    return _summary(entries, unread, found, flag_values)


def _summary(entries, unread, found, flag_values):
    """Prints what was done and what was left out. Returns the exit code."""
    from awsdet.inference.find_images import counted
    from awsdet.runtime.shown import shown

    for path, reason, lost in found.skipped:
        (logging.error if lost else logging.info)("skipped %s: %s", shown(path), reason)
    lost = len(unread) + sum(one.lost for one in found.skipped)
    again = sum(not one.lost for one in found.skipped)
    others = f" (no images: {counted(found.others)})" if found.others else ""
    others += f" (folders met under another name: {again})" if again else ""
    objects = sum(len(entry["predictions"]) for entry in entries)
    print(f"{objects} objects in {len(entries)} images -> {shown(flag_values.output)}{others}")
    if objects:
        _print_sure(entries, flag_values)
    if lost:
        print(f"awsdet predict: {lost} of {len(entries) + lost} images could not be read", file=sys.stderr)
    return 1 if lost else 0


def _print_sure(entries, flag_values):
    """Prints how many objects have the score of those that are drawn: most objects of a detector are mere guesses."""
    from awsdet.runtime.shown import shown

    least = flag_values.draw_threshold
    sure = sum(found["score"] >= least for entry in entries for found in entry["predictions"])
    if flag_values.draw:
        print(
            f"{sure} of them, with a score of {least:g} or more (--draw_threshold), drawn -> {shown(flag_values.draw)}"
        )
    elif flag_values.score_threshold < least:
        print(f"{sure} of them with a score of {least:g} or more (--score_threshold={least:g} keeps only these)")


def _root(source):
    """The folder that the images are named relative to."""
    source = pathlib.Path(source)
    return source if source.is_dir() else source.parent


def _name(path, root):
    """The name of an image in the JSON."""
    return path.relative_to(root).as_posix()


def _keep_images(paths, output):
    """Raises UserError if the output would replace an image."""
    target = pathlib.Path(output).resolve()
    if target.exists() and any(path.resolve() == target for path in paths):
        raise UserError(f"--output={output} is one of the images, which would be overwritten; name a JSON file")


def _outside(paths, root, pictures):
    """The paths without those in the folder of pictures, which an earlier call drew. UserError if none is left."""
    pictures = pictures.resolve()
    if pictures == root.resolve():
        raise UserError(f"--draw={pictures} is the folder of the images, which would be overwritten; give another")
    outside = [path for path in paths if pictures not in path.resolve().parents]
    if not outside:
        raise UserError(f"all images of {root} are in --draw={pictures}, the folder for pictures; give another folder")
    return outside


def _collect(found, count, root, info, flag_values):
    """Collects all predictions, and draws them if --draw is given.

    Returns (entries of images, of skipped files, Anomalies of the images).
    """
    from awsdet.data.coco.anomalies import Anomalies
    from awsdet.inference.predict import prediction_entry
    from awsdet.runtime.progress import Progress

    entries, skipped, remarks = [], [], Anomalies()
    with Progress(count, "predicting", "images") as progress:
        for prediction in found:
            name = _name(prediction.path, root)
            if prediction.error:
                logging.error("%s", prediction.error)
                skipped.append({"image": name, "reason": prediction.error})
            else:
                for note in TOLD.intersection(prediction.notes):
                    remarks.add(note, name)
                entries.append(prediction_entry(prediction, name, info["class_names"], info["category_ids"]))
                if flag_values.draw:
                    _draw(prediction, pathlib.Path(flag_values.draw) / name, info, flag_values.draw_threshold)
            progress.add()
    return entries, skipped, remarks


def _draw(prediction, path, info, threshold):
    from awsdet.data.coco.categories import class_labels
    from awsdet.inference.drawing import detected_objects, draw_objects

    labels = class_labels(info["class_names"], info["category_ids"])
    picture = draw_objects(prediction.image, detected_objects(prediction.found, labels, threshold))
    jpeg, png = (".jpg", ".jpeg"), (".png",)
    if path.suffix.lower() not in (*jpeg, *png):
        # A file "a" must not take the name of the picture of "a.png".
        path = path.with_name(f"{path.name}.png" if path.suffix else f"{path.name}.drawn.png")
    path.parent.mkdir(parents=True, exist_ok=True)
    is_png = path.suffix.lower() in png
    picture.save(path, "PNG" if is_png else "JPEG", **({} if is_png else {"quality": 92}))
