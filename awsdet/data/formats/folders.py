"""What all translations read in the same manner: texts, lists of images, sizes of images, folders of splits."""

import codecs
import os
import pathlib
import unicodedata
from collections.abc import Iterable, Iterator, Sequence

from PIL import Image

from awsdet.data.coco.files import read_file
from awsdet.data.coco.opening import FORMATS, ORIENTATION, PNG_HEADER, png_header
from awsdet.data.formats.names import SPLITS
from awsdet.runtime.errors import UserError
from awsdet.runtime.progress import Progress

SUFFIXES = frozenset(
    (
        *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".avif", ".jp2", ".jpx"),
        *(".ppm", ".pgm", ".pbm", ".pnm", ".pcx", ".sgi", ".qoi", ".tga", ".ico", ".psd", ".mpo", ".heic", ".jxl"),
    )
)
_MARKS = (  # the longer ones first: UTF-32's begins like UTF-16's
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_SIDEWAYS = (5, 6, 7, 8)  # values of the EXIF tag that swap height and width


class Unreadable(Exception):
    """An annotation file of one image that cannot be read. The text says why."""


def read_text(path: pathlib.Path, encoding: str = "utf-8") -> str:
    """The text of a file, by its byte order mark or as `encoding`. Raises Unreadable."""
    return decoded(read_bytes(path), encoding)


def read_bytes(path: pathlib.Path) -> bytes:
    """The bytes of a file. Raises Unreadable."""
    try:
        return read_file(path)
    except OSError as error:
        raise Unreadable(error.strerror or str(error)) from None


def decoded(data: bytes, encoding: str = "utf-8") -> str:
    """The text of some bytes, by their byte order mark or as `encoding`. Raises Unreadable."""
    encoding = next((name for mark, name in _MARKS if data.startswith(mark)), encoding)
    try:
        return data.decode(encoding)
    except LookupError:
        raise Unreadable(f"its encoding {encoding[:30]!r} is not known; save it as UTF-8") from None
    except UnicodeError as error:
        at = getattr(error, "start", 0)
        raise Unreadable(f"its byte {at} ({data[at]:#04x}) is no {encoding.upper()}; save it as UTF-8") from None


def lines_of(path: pathlib.Path, what: str) -> list[str]:
    """The lines of a list that the whole data set needs, without blanks around them. Raises UserError."""
    try:
        text = read_text(path)
    except Unreadable as error:
        raise UserError(f"{what} {path} cannot be read: {error}") from None
    return [line.strip() for line in text.splitlines() if line.strip()]


def read_classes(path: pathlib.Path) -> list[str]:
    """The class names of a file with one per line, as --classes names it. Raises UserError."""
    names = lines_of(path, "list of classes")
    twice = sorted({name for name in names if names.count(name) > 1})
    if not names or twice:
        what = f"names {twice[0]} twice" if twice else "is empty"
        raise UserError(f"list of classes {path} {what}; write each name on a line of its own, once")
    return names


def walk(folder: pathlib.Path, suffixes: Iterable[str]) -> Iterator[pathlib.Path]:
    """The files with one of these suffixes in a folder and those below it, ordered by path, without hidden ones.

    Links are followed; a folder that they lead to once more is passed over.
    """
    seen = set()
    for place, inner, files in os.walk(folder, followlinks=True):
        state = os.stat(place)
        if (state.st_dev, state.st_ino) in seen:
            inner.clear()
            continue
        seen.add((state.st_dev, state.st_ino))
        inner[:] = sorted(name for name in inner if not name.startswith("."))
        for name in sorted(files):
            if not name.startswith(".") and os.path.splitext(name)[1].lower() in suffixes:
                yield pathlib.Path(place, name)


def counted(items: Sequence, what: str) -> Iterator:
    """The items of a list, with a line of progress that begins with `what`."""
    with Progress(len(items), what, "files") as progress:
        for item in items:
            yield item
            progress.add()


class Images:
    """The image files of a folder and those below it, to be found by their names without the suffix."""

    def __init__(self, folder: pathlib.Path):
        self.folder = folder
        self.names = [path.relative_to(folder).as_posix() for path in walk(folder, SUFFIXES)]
        self._by_stem = {}
        for name in self.names:
            self._by_stem.setdefault(_key(os.path.splitext(name)[0]), []).append(name)
        self._known = set(self.names)

    def named(self, name: str) -> str | None:
        """The image that an annotation file means by a name, maybe with a path of another machine; None if it is not
        there."""
        name = posix(name).removeprefix("./")
        return next((one for one in (name, name.rpartition("/")[2]) if one in self._known), None)

    def find(self, stem: str, hint: str = "") -> str | None:
        """The name of the image `stem`, whose suffix is not known; None if there is none.

        hint: the name that the annotation file gives; see `named`. It decides between several images, and is looked
        for if there is no image of that stem. Raises UserError if several images fit.
        """
        found, named = self._by_stem.get(_key(stem), ()), self.named(hint)
        if len(found) > 1 and named not in found:
            raise UserError(f"{self.folder} holds several images called {stem}: {', '.join(found)}; keep one of them")
        return found[0] if len(found) == 1 else named


def posix(name: str) -> str:
    """A path with "/", whatever system it was written on."""
    return name.strip().replace("\\", "/")


def _key(stem):
    return unicodedata.normalize("NFC", stem)


def upright_size(path: pathlib.Path) -> tuple[int, int] | None:
    """Height and width of an image file as it is seen, turned as its EXIF tag says; None if it cannot be read."""
    if not path.is_file():  # a pipe would be waited for
        return None
    try:
        with Image.open(path, formats=[name for name in FORMATS if name in Image.OPEN or not Image.init()]) as image:
            width, height = image.size
            exif = image.getexif() if image.format != "PNG" else Image.Image.getexif(image)
            turned = exif.get(ORIENTATION) in _SIDEWAYS
    except Exception:  # the conversion says what is wrong with the image
        return _size_of_png(path)
    return (width, height) if turned else (height, width)


def _size_of_png(path):
    """The size that the header of a PNG gives; the conversion can decode some of which Pillow cannot even read that."""
    try:
        with path.open("rb") as file:
            header = png_header(file.read(PNG_HEADER))
    except OSError:
        return None
    return (header.height, header.width) if header else None


def split_folders(folder: pathlib.Path) -> dict[str, pathlib.Path]:
    """The folders of splits in a folder: split -> folder. Raises UserError for two of one split."""
    found = {}
    for split, names in SPLITS.items():
        places = [folder / name for name in names if (folder / name).is_dir()]
        if len(places) > 1:
            raise UserError(f"{folder} holds {' and '.join(place.name for place in places)}; name one of them {split}")
        if places:
            found[split] = places[0]
    return found


def one_split(folder: pathlib.Path, split: str | None) -> dict[str, pathlib.Path]:
    """The splits of a data set whose splits are folders, or the whole of it as `split`. Raises UserError."""
    found = split_folders(folder)
    if not found and not split:
        raise UserError(f"{folder} has no folders train, val, test; name the split that all of it is with --split")
    if not found:
        return {split: folder}
    if split and split not in found:
        raise UserError(f"{folder} has no folder of the split {split}, but {', '.join(found)}")
    return {split: found[split]} if split else found
