"""From a file to a Pillow image: what the file is, how large it is, and whether it is whole.

Only formats of the list below are tried. Others that Pillow knows run a program (EPS) or have no signature by which
they could be told from damaged data. It needs no TensorFlow.
"""

import io
import struct
import warnings
from typing import NamedTuple

from PIL import Image, TiffImagePlugin

from awsdet.runtime.errors import UserError

MAX_MEGAPIXELS = 250  # the default limit: 750 MB of decoded pixels, and some images are decoded at the same time
MOST_PIXELS = 2**29 - 1  # of an image, which is what TensorFlow's decoders take
MOST_MEGAPIXELS = MOST_PIXELS // 1_000_000
FORMATS = (
    *("JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP", "JPEG2000", "AVIF"),
    *("PPM", "PCX", "SGI", "QOI", "ICO", "PSD", "TGA"),
)
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
PNG_HEADER = 33  # bytes of the signature and the header
TGA_FOOTER = b"TRUEVISION-XFILE.\x00"  # the format has no signature at its beginning
ORIENTATION = 274  # the EXIF tag
PREVIEW = 254  # the TIFF tag NewSubfileType; its lowest bit means a reduced image
NOT_IMAGES = (  # position, beginning, what such a file is and what to do
    (4, b"ftyphei", "a HEIC image, which cannot be read; convert it to JPEG"),
    (4, b"ftyphev", "a HEIC image, which cannot be read; convert it to JPEG"),
    (4, b"ftypmif1", "a HEIF image, which cannot be read; convert it to JPEG"),
    (4, b"ftypmsf1", "a HEIF image, which cannot be read; convert it to JPEG"),
    (4, b"ftypcrx", "a camera's raw file, which cannot be read; convert it to JPEG"),
    (4, b"ftyp", "a video, not an image"),
    (4, b"JXL ", "a JPEG XL image, which cannot be read; convert it to JPEG or PNG"),
    (0, b"\xff\x0a", "a JPEG XL image, which cannot be read; convert it to JPEG or PNG"),
    (128, b"DICM", "a DICOM file, which cannot be read; convert it to PNG"),
    (0, b"\x76\x2f\x31\x01", "an OpenEXR image, which cannot be read; convert it to PNG"),
    (0, b"#?RADIANCE", "a Radiance HDR image, which cannot be read; convert it to PNG"),
    (0, b"II\x55\x00", "a camera's raw file, which cannot be read; convert it to JPEG"),
    (0, b"FUJIFILM", "a camera's raw file, which cannot be read; convert it to JPEG"),
    (0, b"SIMPLE  =", "a FITS file, which cannot be read; convert it to PNG"),
    (0, b"%!PS", "PostScript, which is not read; convert it to PNG"),
    (0, b"%PDF", "a PDF, not an image"),
    (0, b"<svg", "a vector drawing (SVG), not an image of pixels; convert it to PNG"),
    (0, b"<?xml", "XML, not an image"),
    (0, b"<!doctype html", "a web page, not an image; the download failed"),
    (0, b"<html", "a web page, not an image; the download failed"),
    (0, b"version https://git-lfs", "a pointer of Git LFS, not the image; fetch it with: git lfs pull"),
    (0, b"pk\x03\x04", "an archive (zip), not an image"),
)


class ImageRefused(Exception):
    """An image that cannot be used. `kind` is the kind of anomaly."""

    def __init__(self, kind, detail):
        super().__init__(detail)
        self.kind = kind


def settle_pillow():
    """Switches off Pillow's own limit of size and its warnings, for a process of a command; ours are in this file."""
    Image.MAX_IMAGE_PIXELS = None
    warnings.filterwarnings("ignore", module="PIL")
    TiffImagePlugin.logger.disabled = True  # it logs what it also raises
    warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)


def check_megapixels(value):
    """The limit as a number of pixels. Raises UserError unless it is a number of megapixels that can be decoded."""
    if not 0 < value <= MOST_MEGAPIXELS:
        raise UserError(
            f"--max-megapixels={value}: it must be more than 0 and at most {MOST_MEGAPIXELS}, which is all that the "
            "decoder takes"
        )
    return int(value * 1_000_000)


def open_image(data, max_pixels):
    """The Pillow image in `data`, of which only the header was read: see `load`.

    Raises ImageRefused for data that is no image, for a reduced preview, and for more than `max_pixels` pixels.
    """
    image = _identified(data)
    width, height = image.size
    if width < 1 or height < 1:
        raise ImageRefused("image_unreadable", f"its header gives a size of {width} x {height}")
    if width * height > max_pixels:
        raise ImageRefused("image_too_large", _too_large(width, height, max_pixels))
    if _is_preview(image):
        raise ImageRefused(
            "image_unreadable",
            "its first picture is a reduced preview (is it a camera's raw file?); convert it to JPEG or PNG",
        )
    return image


def load(image):
    """Decodes a Pillow image in full. Raises ImageRefused if it is not complete."""
    try:
        image.load()
    except Image.DecompressionBombError:
        words = f"its {_megapixels(*image.size)} megapixels are more than PIL.Image.MAX_IMAGE_PIXELS allows; raise that"
        raise ImageRefused("image_too_large", words) from None
    except MemoryError:
        raise ImageRefused("image_too_large", f"no memory for its {_megapixels(*image.size)} megapixels") from None
    except Exception as error:  # Pillow's decoders raise many types on broken files
        raise ImageRefused("image_unreadable", _reason(error)) from None
    return image


class PngHeader(NamedTuple):
    """What the header of a PNG says. bits: per sample."""

    width: int
    height: int
    bits: int
    has_alpha: bool


def png_header(data):
    """The PngHeader of a file's bytes; None if they do not begin like a PNG."""
    if not data.startswith(PNG_SIGNATURE) or data[12:16] != b"IHDR" or len(data) < PNG_HEADER:
        return None
    width, height, bits, colour = struct.unpack(">IIBB", data[16:26])
    return PngHeader(width, height, bits, bool(colour & 4))


def has_frames(data, image):
    """Whether a Pillow image, opened from `data`, is the first of several frames or pages."""
    try:
        if image.format in ("GIF", "TIFF"):  # these must look for a second one, which changes the image
            image = _identified(data)
        return bool(getattr(image, "is_animated", False))
    except Exception:  # what follows the first frame is damaged: it is not used anyway
        return False


def orientation(image, data=b""):
    """The value of an image's EXIF tag; 1, which is upright, if it has none."""
    try:
        # Pillow's PNG decodes all pixels to look for a tag behind them, which is rare.
        late = image.format != "PNG" or b"eXIf" in data
        exif = image.getexif() if late else Image.Image.getexif(image)
        value = exif.get(ORIENTATION)
        return value if isinstance(value, int) else 1
    except Exception:  # a broken EXIF block says nothing about the orientation
        return 1


def _is_preview(image):
    try:
        return image.format == "TIFF" and bool(image.tag_v2.get(PREVIEW, 0) & 1)
    except Exception:  # a damaged tag says nothing
        return False


def _identified(data):
    if not data:
        raise ImageRefused("image_unreadable", "it is empty (0 bytes)")
    Image.init()
    prefix, reason = data[:16], None
    for name in FORMATS:
        factory, accept = Image.OPEN.get(name, (None, None))
        accepted = factory and (accept(prefix) if accept else data.endswith(TGA_FOOTER))
        if isinstance(accepted, str):  # a format that this Pillow was built without
            reason = accepted
        elif accepted:
            # Like Image.open, but with the plugin's reason, and without Pillow's own limit of size.
            try:
                return factory(io.BytesIO(data), "")
            except (SyntaxError, IndexError, TypeError, struct.error) as error:
                reason = f"damaged {name}: {_reason(error)}"
            except Exception as error:
                raise ImageRefused("image_unreadable", f"damaged {name}: {_reason(error)}") from None
    raise ImageRefused("image_unreadable", reason or _what_it_is(data))


def _what_it_is(data):
    start = data[:256].lower()
    for position, beginning, words in NOT_IMAGES:
        if start[position:].startswith(beginning.lower()):
            return words
    return "not an image of a known format"


def _reason(error):
    return " ".join(str(error).split()) or type(error).__name__


def _megapixels(width, height):
    millions = width * height / 1e6
    return f"{millions:.1f}".removesuffix(".0") if millions > 10 else f"{millions:.3g}"


def _too_large(width, height, max_pixels):
    size = f"it is large: {width} x {height}, {_megapixels(width, height)} megapixels"
    if width * height > MOST_PIXELS:
        return f"{size}, and the decoder takes at most {MOST_MEGAPIXELS}; cut it into parts or make it smaller"
    return (
        f"{size}, more than the limit of {max_pixels / 1e6:g}; raise the limit (--max-megapixels), or make it smaller"
    )
