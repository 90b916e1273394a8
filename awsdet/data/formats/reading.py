"""The formats that `awsdet convert --from` takes, by their names."""

import pathlib

from awsdet.data.formats import labelme, mask_images, voc, yolo
from awsdet.data.formats.folders import read_classes
from awsdet.data.formats.names import FORMATS
from awsdet.data.formats.translated import Translated
from awsdet.runtime.errors import UserError


def translate(
    form: str,
    dataset: pathlib.Path,
    images: pathlib.Path | None = None,
    classes: pathlib.Path | None = None,
    split: str | None = None,
) -> dict[str, Translated]:
    """The splits of a data set of another format.

    Args:
        form: a key of FORMATS.
        dataset: its folder; for YOLO also its data.yaml.
        images: the folder of images, if it is another one than the format's own.
        classes: a file with the name of a class per line, in their order.
        split: the split that is wanted, or the name for a data set that has no splits; None: all that it has.

    Raises UserError if it is no data set of this format, or one that cannot be understood in one way only.
    """
    if not dataset.exists():
        raise UserError(f"--dataset={dataset} does not exist")
    if not dataset.is_dir() and form != "yolo":
        raise UserError(f"--dataset={dataset} is a file; give the folder of the data set ({FORMATS[form]})")
    if images is not None and not images.is_dir():
        raise UserError(f"image folder {images} does not exist")
    names = read_classes(classes) if classes is not None else None
    if form == "yolo":
        if images is not None:
            raise UserError("--images does not go with --from=yolo, whose data.yaml or folders say where images are")
        return yolo.translate(dataset, names, split)
    return {"voc": voc, "labelme": labelme, "masks": mask_images}[form].translate(dataset, images, names, split)
