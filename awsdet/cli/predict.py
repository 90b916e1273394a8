"""Finds objects in an image, or in all images of a folder and its subfolders, and writes them as JSON.

The JSON has three parts:
- "classes";
- "images", each with its "predictions": bbox [x, y, width, height], score, category_id, class_name and segmentation
  (COCO RLE), in pixels of the upright image. Mask Scoring R-CNN adds iou_score, the IoU that the mask is expected to
  have, and mask_score, which is score x iou_score;
- "skipped": the files that are no images or are damaged. If there are any, the exit code is 1.
"""

import pathlib
import sys

from absl import flags, logging

from awsdet.cli.arguments import define_path
from awsdet.runtime.errors import UserError


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
    from awsdet.inference import checkpoint, predict
    from awsdet.inference.fast_convolutions import use_fast_convolutions
    from awsdet.runtime import processes
    from awsdet.runtime.files import check_folder, check_writable

    check_writable(flag_values.output, "output")
    paths = predict.find_images(flag_values.input)
    root = _root(flag_values.input)
    if flag_values.draw:
        check_folder(flag_values.draw, "draw")
        paths = _outside(paths, root, pathlib.Path(flag_values.draw))
    world = processes.start(expected_size=1)
    try:
        detector, info = checkpoint.load(flag_values.checkpoint)
        use_fast_convolutions(detector)
        logging.info("predicting with %s (step %d)", info["path"], info["step"])
        found = predict.predict(detector, paths, flag_values.score_threshold)
        entries, skipped = _collect(found, len(paths), root, info, flag_values)
    finally:
        world.close()
    predict.write_predictions(flag_values.output, entries, skipped, info["class_names"], info["category_ids"])
    objects = sum(len(entry["predictions"]) for entry in entries)
    print(f"{objects} objects in {len(entries)} images -> {flag_values.output}")
    if skipped:
        print(f"awsdet predict: {len(skipped)} of {len(paths)} images could not be read", file=sys.stderr)
    return 1 if skipped else 0


def _root(source):
    """The folder that the images are named relative to."""
    source = pathlib.Path(source)
    return source if source.is_dir() else source.parent


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
    """Collects all predictions, and draws them if --draw is given. Returns (entries of images, of skipped files)."""
    from awsdet.inference.predict import prediction_entry
    from awsdet.runtime.progress import Progress

    entries, skipped = [], []
    with Progress(count, "predicting", "images") as progress:
        for prediction in found:
            name = prediction.path.relative_to(root).as_posix()
            if prediction.error:
                logging.error("%s", prediction.error)
                skipped.append({"image": name, "reason": prediction.error})
            else:
                entries.append(prediction_entry(prediction, name, info["class_names"], info["category_ids"]))
                if flag_values.draw:
                    _draw(prediction, pathlib.Path(flag_values.draw) / name, info, flag_values.draw_threshold)
            progress.add()
    return entries, skipped


def _draw(prediction, path, info, threshold):
    from awsdet.inference.drawing import detected_objects, draw_objects

    picture = draw_objects(prediction.image, detected_objects(prediction.found, info["class_names"], threshold))
    if path.suffix.lower() not in (".jpg", ".jpeg", ".png"):
        path = path.with_name(f"{path.name}.png")
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.save(path, **({} if path.suffix.lower() == ".png" else {"quality": 92}))
