"""Image files of every format and pixel type that the tests read, made here from one picture."""

import functools
import io
import struct
import zlib

import numpy as np
from PIL import Image

HEIGHT, WIDTH = 24, 40
PASSES = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))  # of Adam7
GREY, COLOUR, PALETTE, GREY_ALPHA, COLOUR_ALPHA = 0, 2, 3, 4, 6  # of PNG


def picture(height=HEIGHT, width=WIDTH):
    """uint8 [height, width, 3] that JPEG hardly changes, from dark to bright; all rotations of it differ."""
    y, x = np.mgrid[:height, :width]
    planes = [x * 255 / max(width - 1, 1), y * 255 / max(height - 1, 1), (x + y) * 255 / max(width + height - 2, 1)]
    return np.stack(planes, axis=2).astype(np.uint8)


def saved(image, kind, **options):
    """The bytes of a Pillow image, or of an array, as Pillow stores it."""
    out = io.BytesIO()
    (Image.fromarray(image) if isinstance(image, np.ndarray) else image).save(out, kind, **options)
    return out.getvalue()


def chunk(kind, content, damaged=False):
    """One chunk of a PNG; damaged: with a wrong checksum."""
    checksum = zlib.crc32(kind + content) ^ damaged
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum)


def png(samples, bits, colour, extra=(), interlaced=False):
    """A PNG of unsigned integers [height, width, channels]; extra: (kind, content) of chunks before the pixels."""
    height, width = samples.shape[:2]
    parts = [samples[y::down, x::right] for x, y, right, down in PASSES] if interlaced else [samples]
    rows = b"".join(b"\0" + _packed(row, bits) for part in parts if part.size for row in part)
    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, int(interlaced))
    chunks = [(b"IHDR", header), *extra, (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*one) for one in chunks)


def chunks(data):
    """[(kind, content)] of a PNG."""
    found, position = [], 8
    while position < len(data):
        (length,) = struct.unpack(">I", data[position : position + 4])
        found.append((data[position + 4 : position + 8], data[position + 8 : position + 8 + length]))
        position += 12 + length
    return found


def tiff(samples, sample_format=1, photometric=None, tags=(), order="<", bits=None):
    """An uncompressed TIFF of samples [height, width] or [height, width, channels] of any NumPy type.

    sample_format: 1 unsigned, 2 signed, 3 floats; tags: (number, type, values) more, types 3 (short) and 11 (float);
    order: "<" or ">"; bits: BitsPerSample if it is not that of the type, then `samples` are bytes that are stored as
    they are, [height, bytes of a row].
    """
    height, width = samples.shape[:2]
    channels = samples.shape[2] if samples.ndim == 3 else 1
    if bits is None:
        pixels = samples.astype(samples.dtype.newbyteorder(order)).tobytes()
        bits = 8 * samples.dtype.itemsize
    else:
        pixels, width = samples.tobytes(), samples.shape[1] * 8 // bits
    photometric = (2 if channels >= 3 else 1) if photometric is None else photometric
    entries = [
        (256, 3, [width]),
        (257, 3, [height]),
        (258, 3, [bits] * channels),
        (259, 3, [1]),
        (262, 3, [photometric]),
    ]
    entries += [(273, 4, [8]), (277, 3, [channels]), (278, 3, [height]), (279, 4, [len(pixels)])]
    entries += [(339, 3, [sample_format] * channels), *tags]
    return _tiff_file(pixels, sorted(entries), order)


@functools.cache
def every_kind(height=HEIGHT, width=WIDTH):
    """Name -> bytes of one file of every kind that can be read, and of every decoder that there is."""
    colour = picture(height, width)
    image = Image.fromarray(colour)
    grey, deep = image.convert("L"), colour.astype(np.uint16) * 257
    transparent = image.convert("RGBA")
    transparent.putalpha(grey)
    exif = Image.Exif()
    exif[274] = 6
    return {
        "jpeg": saved(image, "JPEG", quality=90),
        "jpeg_444": saved(image, "JPEG", quality=95, subsampling=0),
        "jpeg_progressive": saved(image, "JPEG", progressive=True),
        "jpeg_restarts": saved(image, "JPEG", restart_marker_blocks=2),
        "jpeg_grey": saved(grey, "JPEG"),
        "jpeg_cmyk": saved(image.convert("CMYK"), "JPEG"),
        "jpeg_turned": saved(image, "JPEG", exif=exif),
        "jpeg_rgb": saved(image, "JPEG", keep_rgb=True),
        "mpo": saved(image, "MPO", save_all=True, append_images=[image.rotate(180)]),
        "png": saved(image, "PNG"),
        "png_grey": saved(grey, "PNG"),
        "png_interlaced": png(colour, 8, COLOUR, interlaced=True),
        "png_palette": saved(image.quantize(200), "PNG"),
        "png_palette_4": saved(image.quantize(16), "PNG", bits=4),
        "png_palette_2": saved(image.quantize(4), "PNG", bits=2),
        "png_palette_1": saved(image.quantize(2), "PNG", bits=1),
        "png_grey_1": saved(image.convert("1"), "PNG"),
        "png_grey_2": png(colour[:, :, :1] >> 6, 2, GREY),
        "png_grey_4": png(colour[:, :, :1] >> 4, 4, GREY),
        "png_grey_16": png(deep[:, :, :1], 16, GREY),
        "png_colour_16": png(deep, 16, COLOUR),
        "png_alpha": saved(transparent, "PNG"),
        "png_grey_alpha": saved(transparent.convert("LA"), "PNG"),
        "png_one_transparent": saved(image, "PNG", transparency=(0, 0, 0)),
        "apng": saved(image, "PNG", save_all=True, append_images=[image.rotate(180)]),
        "gif": saved(image, "GIF"),
        "gif_animated": saved(image, "GIF", save_all=True, append_images=[image.rotate(180)]),
        "bmp": saved(image, "BMP"),
        "webp": saved(image, "WEBP"),
        "webp_lossless": saved(transparent, "WEBP", lossless=True),
        "avif": saved(image, "AVIF", speed=10, max_threads=1),
        "jpeg_2000": saved(image, "JPEG2000"),
        "tiff": tiff(colour),
        "tiff_lzw": saved(image, "TIFF", compression="tiff_lzw"),
        "tiff_jpeg": saved(image, "TIFF", compression="jpeg"),
        "tiff_pages": saved(image, "TIFF", save_all=True, append_images=[image.rotate(180)]),
        "tiff_16": tiff(deep[:, :, 0]),
        "tiff_16_big_endian": tiff(deep[:, :, 0], order=">"),
        "tiff_float": tiff(colour[:, :, 0] / np.float32(255), 3),
        "tiff_cmyk": saved(image.convert("CMYK"), "TIFF"),
        "ppm": saved(image, "PPM"),
        "pgm_16": b"P5 %d %d 65535\n" % (width, height) + deep[:, :, 0].astype(">u2").tobytes(),
        "pcx": saved(image, "PCX"),
        "sgi": saved(image, "SGI"),
        "qoi": saved(image, "QOI"),
        "ico": saved(image, "ICO", sizes=[(width, height)]),
        "tga": saved(image, "TGA", rle=True),
    }


def _packed(row, bits):
    """The bytes of one row [width, channels] of a PNG."""
    if bits == 16:
        return row.astype(">u2").tobytes()
    if bits == 8:
        return row.astype(np.uint8).tobytes()
    spread = (row.reshape(-1, 1).astype(np.uint8) >> np.arange(bits - 1, -1, -1)) & 1
    return np.packbits(spread.reshape(-1)).tobytes()


def _tiff_file(pixels, entries, order):
    codes = {3: "H", 4: "I", 11: "f"}
    start = 8 + len(pixels)
    start += start % 2
    more = start + 2 + 12 * len(entries) + 4  # where values go that do not fit into an entry
    table, outside = struct.pack(f"{order}H", len(entries)), b""
    for number, kind, values in entries:
        content = struct.pack(f"{order}{len(values)}{codes[kind]}", *values)
        if len(content) > 4:
            content, outside = struct.pack(f"{order}I", more + len(outside)), outside + content
        table += struct.pack(f"{order}HHI", number, kind, len(values)) + content.ljust(4, b"\0")
    head = (b"II" if order == "<" else b"MM") + struct.pack(f"{order}HI", 42, start)
    return (head + pixels).ljust(start, b"\0") + table + bytes(4) + outside


def by_pillow(data):
    """uint8 RGB [H, W, 3] of a file of 8 bits per channel."""
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
