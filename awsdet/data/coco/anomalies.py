"""What is wrong with annotations and images: counted by kind, with the first few of each kind named.

A kind that *skips* leaves an image, an annotation or a part of one out of the records; `awsdet convert --strict`
refuses such data. The other kinds are corrected, or only worth knowing.
"""

from typing import NamedTuple

from awsdet.runtime.errors import UserError
from awsdet.runtime.shown import shown

EXAMPLES = 5  # names kept of each kind
_LONGEST_NAME, _LONGEST_VALUE = 200, 40  # characters


class Kind(NamedTuple):
    """A kind of anomaly: in words, and whether something is left out because of it."""

    text: str
    skips: bool


KINDS = {
    "file_of_corners": Kind("most boxes look like x1, y1, x2, y2; COCO's are x, y, width, height: convert them", False),
    "file_of_shares": Kind(
        "most boxes are numbers from 0 to 1; COCO's are pixels: multiply by the image's size", False
    ),
    "file_unreadable": Kind("annotation file of one image that cannot be read: image left out", True),
    "file_without_image": Kind("annotation file without an image: skipped", True),
    "category_name": Kind("name of several categories: they stay classes of their own", False),
    "category_similar": Kind("names that differ in case or white space only: they stay classes of their own", False),
    "category_duplicate": Kind("category listed twice: kept once", False),
    "category_nameless": Kind("category without a name, or with one that is no text: named as shown", False),
    "key_twice": Kind("key given twice in one JSON object: the last one taken", False),
    "image_without_file": Kind("image without an annotation file: left out", True),
    "image_unlabelled": Kind("image without a label file or mask: taken as an image without objects", False),
    "image_malformed": Kind("image entry without a usable id or file name: skipped", True),
    "image_duplicate": Kind("image listed twice: kept once", False),
    "image_file_shared": Kind("image file listed under several ids: kept as an image of each", False),
    "image_name_from_url": Kind("image without a file name (LVIS): named by its URL", False),
    "image_federated": Kind("image annotated for some categories only (LVIS): taken as annotated for all", False),
    "image_missing": Kind("image file missing: image skipped", True),
    "image_no_access": Kind("image file that cannot be opened, or is no regular file: image skipped", True),
    "image_unreadable": Kind("truncated, corrupt or unknown image: skipped", True),
    "image_too_large": Kind("image of more pixels than --max-megapixels: skipped", True),
    "image_of_floats": Kind("image of floating-point numbers whose range is not known: skipped", True),
    "image_range_unknown": Kind("image of 16-bit or 32-bit values whose range is not known: skipped", True),
    "image_mode": Kind("image in a colour space that is not read: skipped", True),
    "image_size_differs": Kind("image size differs from the annotation file: image skipped", True),
    "image_size_absent": Kind("no usable image size in the annotation file: taken from the image", False),
    "image_empty": Kind("image without annotations: kept", False),
    "image_exif_rotated": Kind("image rotated by its EXIF tag: stored upright", False),
    "image_exif_ignored": Kind("annotated as if unrotated: EXIF tag ignored", False),
    "image_grey": Kind("grey image: read as RGB", False),
    "image_cmyk": Kind("CMYK image: stored as RGB", False),
    "image_16_bit": Kind("16-bit image: its high bytes stored", False),
    "image_scaled": Kind("image of more than 8 bits: scaled by the largest value that the file states", False),
    "image_float": Kind("image of floating-point numbers: scaled to 8 bits", False),
    "image_alpha": Kind("image with transparency or a further channel: only its colours used", False),
    "image_frames": Kind("image of several frames or pages: the first one used", False),
    "image_repaired": Kind("damaged image of which all pixels could be decoded: stored anew", False),
    "image_damaged": Kind("JPEG with damaged data: stored as it is, a part of it may be grey", False),
    "image_renamed": Kind("image file found under another Unicode spelling of its name", False),
    "image_reencoded": Kind("image of another format: stored as PNG", False),
    "object_unread": Kind("shape that is no object with an area, such as a point or a line: left out", True),
    "object_difficult": Kind("object marked as difficult (Pascal VOC): kept as a crowd region", False),
    "line_malformed": Kind("line that is neither a class and a box nor a class and a polygon (YOLO): skipped", True),
    "box_from_zero": Kind("box that begins at 0 (Pascal VOC counts from 1): all boxes read as counted from 0", False),
    "mask_image": Kind("mask image, or a part of one, that cannot be used: left out", True),
    "annotation_of_unknown_image": Kind("annotation of an unknown image: skipped", True),
    "annotation_of_unknown_category": Kind("annotation of an unknown category: skipped", True),
    "annotation_of_skipped_image": Kind("annotation of a skipped image: skipped", True),
    "id_of_other_type": Kind('image or category id written as another type (7 and "7"): matched', False),
    "annotation_malformed": Kind("annotation without a usable box or mask: skipped", True),
    "annotation_id": Kind("annotation id missing, zero, used twice or no 64-bit integer: a new one given", False),
    "annotation_duplicate": Kind("same image, class and box as an annotation before it: kept", False),
    "annotation_flag": Kind("annotation marked as ignore or difficult: kept as an object like any other", False),
    "crowd_unknown": Kind("iscrowd is neither 0 nor 1: other numbers taken as 1, anything else as 0", False),
    "number_text": Kind("number written as text: read", False),
    "rle_invalid": Kind("RLE that does not fit its image: left out", True),
    "rle_turned": Kind("RLE with height and width swapped, or made before the EXIF rotation: left out", True),
    "polygon_short": Kind("polygon with fewer than 3 points: left out", True),
    "polygon_odd": Kind("polygon with an odd number of coordinates: left out", True),
    "polygon_box": Kind("box (two points) in place of a polygon: left out", True),
    "polygon_not_numbers": Kind(
        "part of a mask that is neither a polygon of finite numbers nor an RLE: left out", True
    ),
    "polygon_relative": Kind("polygon of numbers from 0 to 1, such as shares of the image: mask left out", True),
    "polygon_far": Kind("polygon reaches more than one image size out of its image: cut there", False),
    "polygon_outside": Kind("polygon more than one image size out of its image: left out", True),
    "mask_form": Kind("mask in another form than COCO's, such as a list of points or of RLE: read", False),
    "mask_png": Kind("PNG as text in place of a mask: left out", True),
    "mask_text": Kind("text in place of a mask: left out", True),
    "mask_dropped": Kind("no part of the mask can be used: a sound box is kept without a mask", True),
    "mask_empty": Kind("mask without a pixel in its image: object kept without a mask", False),
    "mask_absent": Kind("object without a mask: kept, takes no part in the mask loss", False),
    "box_from_mask": Kind("no usable box: made from the mask", False),
    "box_nested": Kind("box in a further list: read", False),
    "box_of_corners": Kind("box looks like x1, y1, x2, y2: kept as x, y, width, height", False),
    "box_relative": Kind(
        "box of numbers from 0 to 1, such as shares of the image: COCO's are pixels, and it is read as such", False
    ),
    "box_contradicts_mask": Kind("box has an IoU below 0.3 with the bounds of its mask: both kept", False),
    "box_far": Kind("box reaches more than one image size out of its image: cut there", False),
    "box_degenerate": Kind("box under 1 px inside the image: not trained on, evaluation only", True),
    "box_clipped": Kind("box reaches out of the image by more than 1 px: clipped in training", False),
    "area_absent": Kind("annotation without an area: computed", False),
    "area_negative": Kind("negative area: computed anew", False),
    "area_unusable": Kind("area that is no number, or far larger than the image: computed anew", False),
    "area_contradicts_mask": Kind("area is less than half or more than twice that of the mask: kept", False),
}


class Anomalies:
    """A count and the first few names for each kind of anomaly.

    `counts` maps a kind to its number, `examples` to the names of the first few.
    """

    def __init__(self):
        self.counts = {}
        self.examples = {}

    def add(self, kind, name):
        """Counts one more anomaly of `kind` (a key of KINDS); `name` says which image or annotation has it."""
        assert kind in KINDS, kind
        self.counts[kind] = self.counts.get(kind, 0) + 1
        examples = self.examples.setdefault(kind, [])
        if len(examples) < EXAMPLES:
            examples.append(_printable(str(name), _LONGEST_NAME))

    def merge(self, other):
        """Adds the counts and examples of another Anomalies."""
        for kind, count in other.counts.items():
            self.counts[kind] = self.counts.get(kind, 0) + count
            mine = self.examples.setdefault(kind, [])
            mine.extend(other.examples[kind][: EXAMPLES - len(mine)])

    def judge_file(self, annotations):
        """Adds what is true of the whole file if it is true of most of its `annotations`, a number."""
        for kind, of_file in (("box_of_corners", "file_of_corners"), ("box_relative", "file_of_shares")):
            count = self.counts.get(kind, 0)
            if 2 * count > annotations:
                self.add(of_file, f"{count} of {annotations} boxes")

    def refuse_skips(self):
        """Raises UserError, with an example, if any kind left something out."""
        for kind, count in self.counts.items():
            if KINDS[kind].skips:
                more = f" and {count - 1} more" if count > 1 else ""
                text = KINDS[kind].text
                raise UserError(
                    f"--strict: {text}: {self.examples[kind][0]}{more}; correct the data or leave out --strict"
                )

    def to_json(self):
        """A JSON-ready dict; `from_json` reads it back."""
        return {
            kind: {"count": self.counts[kind], "text": KINDS[kind].text, "examples": self.examples[kind]}
            for kind in KINDS
            if kind in self.counts
        }

    @classmethod
    def from_json(cls, values):
        """Anomalies from `to_json`'s dict; kinds this version does not know are left out."""
        anomalies = cls()
        for kind, value in values.items():
            if kind in KINDS:
                anomalies.counts[kind] = value["count"]
                anomalies.examples[kind] = list(value["examples"])
        return anomalies

    def table(self):
        """Lines on each kind, in the order of KINDS; an empty string if there are no anomalies."""
        lines = []
        for kind in (k for k in KINDS if k in self.counts):
            names = self.examples[kind]
            more = ", …" if self.counts[kind] > len(names) else ""
            lines.append(f"  {self.counts[kind]:>8}  {KINDS[kind].text}\n            {', '.join(names)}{more}")
        return "\n".join(lines)


def shown_value(value):
    """A value of the annotation file as it is shown in a message: strings in quotes, shortened, in one line."""
    try:
        text = repr(value)
    except RecursionError:
        text = f"a deeply nested {type(value).__name__}"
    return _printable(text, _LONGEST_VALUE)


def _printable(text, length):
    return shown(text if len(text) <= length else f"{text[: length - 1]}…")
