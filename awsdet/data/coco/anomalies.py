"""What is wrong with annotations and images: counted by kind, with the first few of each kind named.

A kind that *skips* leaves an image, an annotation or a part of one out of the records; `awsdet convert --strict`
refuses such data. The other kinds are corrected, or only worth knowing.
"""

from typing import NamedTuple

from awsdet.runtime.errors import UserError
from awsdet.runtime.shown import shown

EXAMPLES = 5  # names kept of each kind


class Kind(NamedTuple):
    """A kind of anomaly: in words, and whether something is left out because of it."""

    text: str
    skips: bool


KINDS = {
    "category_name": Kind("name of several categories: they stay classes of their own", False),
    "image_malformed": Kind("image entry without a usable id or file name: skipped", True),
    "image_duplicate": Kind("image id used twice: the later entry skipped", True),
    "image_missing": Kind("image file missing: image skipped", True),
    "image_no_access": Kind("image file that cannot be opened, or is no regular file: image skipped", True),
    "image_unreadable": Kind("truncated, corrupt or unknown image: skipped", True),
    "image_too_large": Kind("image of more pixels than --max-megapixels: skipped", True),
    "image_of_floats": Kind("image of floating-point numbers whose range is not known: skipped", True),
    "image_range_unknown": Kind("image of 16-bit or 32-bit values whose range is not known: skipped", True),
    "image_mode": Kind("image in a colour space that is not read: skipped", True),
    "image_size_differs": Kind("image size differs from the annotation file: image skipped", True),
    "image_size_absent": Kind("no image size in the annotation file: taken from the image", False),
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
    "annotation_of_unknown_image": Kind("annotation of an unknown image: skipped", True),
    "annotation_of_unknown_category": Kind("annotation of an unknown category: skipped", True),
    "annotation_of_skipped_image": Kind("annotation of a skipped image: skipped", True),
    "annotation_malformed": Kind("annotation without a usable box or mask: skipped", True),
    "annotation_id": Kind("annotation id missing, zero or used twice: a new one given", False),
    "rle_invalid": Kind("RLE that does not fit its image: object skipped", True),
    "polygon_short": Kind("polygon with fewer than 3 points: polygon skipped", True),
    "polygon_none_left": Kind("no polygon of 3 points or more: object skipped", True),
    "box_degenerate": Kind("box under 1 px inside the image: not trained on, evaluation only", True),
    "box_clipped": Kind("box reaches out of the image by more than 1 px: clipped in training", False),
    "mask_absent": Kind("object without a mask: kept with an empty one", False),
    "area_absent": Kind("annotation without an area: computed", False),
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
            examples.append(shown(name))

    def merge(self, other):
        """Adds the counts and examples of another Anomalies."""
        for kind, count in other.counts.items():
            self.counts[kind] = self.counts.get(kind, 0) + count
            mine = self.examples.setdefault(kind, [])
            mine.extend(other.examples[kind][: EXAMPLES - len(mine)])

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
