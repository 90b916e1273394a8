"""What is wrong with annotations and images: counted by kind, with the first few of each kind named.

A kind that *skips* leaves an image, an annotation or a part of one out of the records; `awsdet convert --strict`
refuses such data. The other kinds are corrected, or only worth knowing.
"""

from typing import NamedTuple

from awsdet.runtime.errors import UserError

EXAMPLES = 5  # names kept of each kind
_LONGEST_NAME, _LONGEST_VALUE = 200, 40  # characters


class Kind(NamedTuple):
    """A kind of anomaly: in words, and whether something is left out because of it."""

    text: str
    skips: bool


KINDS = {
    "category_name": Kind("name of several categories: they stay classes of their own", False),
    "category_similar": Kind("names that differ in case or white space only: they stay classes of their own", False),
    "category_duplicate": Kind("category listed twice: kept once", False),
    "category_nameless": Kind("category without a name, or with one that is no text: named as shown", False),
    "key_twice": Kind("key given twice in one JSON object: the last one taken", False),
    "image_malformed": Kind("image entry without a usable id or file name: skipped", True),
    "image_duplicate": Kind("image listed twice: kept once", False),
    "image_file_shared": Kind("image file listed under several ids: kept as an image of each", False),
    "image_name_from_url": Kind("image without a file name (LVIS): named by its URL", False),
    "image_federated": Kind("image annotated for some categories only (LVIS): taken as annotated for all", False),
    "image_missing": Kind("image file missing: image skipped", True),
    "image_unreadable": Kind("truncated, corrupt or too large image: skipped", True),
    "image_of_floats": Kind("image of floating-point numbers: skipped", True),
    "image_size_differs": Kind("image size differs from the annotation file: image skipped", True),
    "image_size_absent": Kind("no usable image size in the annotation file: taken from the image", False),
    "image_empty": Kind("image without annotations: kept", False),
    "image_exif_rotated": Kind("image rotated by its EXIF tag: stored upright", False),
    "image_exif_ignored": Kind("annotated as if unrotated: EXIF tag ignored", False),
    "image_grey": Kind("grey image: read as RGB", False),
    "image_cmyk": Kind("CMYK image: stored as RGB", False),
    "image_16_bit": Kind("16-bit image: its high bytes stored", False),
    "image_reencoded": Kind("image of another format: stored as PNG", False),
    "annotation_of_unknown_image": Kind("annotation of an unknown image: skipped", True),
    "annotation_of_unknown_category": Kind("annotation of an unknown category: skipped", True),
    "annotation_of_skipped_image": Kind("annotation of a skipped image: skipped", True),
    "id_of_other_type": Kind('image or category id written as another type (7 and "7"): matched', False),
    "annotation_malformed": Kind("annotation without a usable box or mask: skipped", True),
    "annotation_id": Kind("annotation id missing, zero, used twice or no 64-bit integer: a new one given", False),
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
            examples.append(_printable(str(name), _LONGEST_NAME))

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


def shown(value):
    """A value of the annotation file as it is shown in a message: strings in quotes, shortened, in one line."""
    try:
        text = repr(value)
    except RecursionError:
        text = f"a deeply nested {type(value).__name__}"
    return _printable(text, _LONGEST_VALUE)


def _printable(text, length):
    text = text if len(text) <= length else f"{text[: length - 1]}…"
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
