"""Checks that a PNG holds what it takes to know all its pixels.

Pillow fills rows that the file lacks with zeros, and makes up the palette if there is none, without a word. The decoder
of the records refuses such files, so only PNG that are stored anew need this.
"""

import struct
import zlib

from awsdet.data.coco.opening import PNG_SIGNATURE, ImageRefused, png_header

_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # by the colour type of the header
_PALETTE = 3  # colour type
_PASSES = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1))  # of Adam7


def check_png(data):
    """Raises ImageRefused if rows or the palette of a PNG, which Pillow could decode, are missing.

    Checksums are not looked at: a damaged one does not mean that a pixel is missing.
    """
    header = png_header(data)
    if header is None:  # begins in an unusual way, which only Pillow understands
        return
    colour, interlaced = data[25], data[28]
    row_bits = header.bits * _CHANNELS.get(colour, 1)
    palette, packed = _chunks(data)
    if colour == _PALETTE and not palette:
        raise ImageRefused("image_unreadable", "damaged PNG: it has no palette, so its colours are not known")
    wanted = _size_of_rows(header.width, header.height, row_bits, interlaced)
    found = _unpacked_size(packed, wanted)
    if found < wanted:
        raise ImageRefused(
            "image_unreadable",
            f"truncated PNG: it holds {found:,} of the {wanted:,} bytes of its pixels; copy it again",
        )


def _chunks(data):
    """(whether there is a palette, the packed pixels): of the chunks up to the end of the pixels."""
    place, palette, parts = len(PNG_SIGNATURE), False, []
    while place + 8 <= len(data):
        length, kind = struct.unpack(">I4s", data[place : place + 8])
        if kind == b"IDAT":
            parts.append(data[place + 8 : place + 8 + length])
        elif parts:
            break
        palette = palette or kind == b"PLTE" and length > 0
        place += 12 + length
    return palette, b"".join(parts)


def _size_of_rows(width, height, row_bits, interlaced):
    """Bytes of all rows, each with the byte that names its filter."""
    passes = [(height, width)]
    if interlaced:
        passes = [(-(-(height - y) // down), -(-(width - x) // across)) for y, x, down, across in _PASSES]
    return sum(rows * (1 + (columns * row_bits + 7) // 8) for rows, columns in passes if rows > 0 and columns > 0)


def _unpacked_size(packed, wanted):
    """How many bytes the packed pixels hold, `wanted` at most."""
    stream, count, rest = zlib.decompressobj(-zlib.MAX_WBITS), 0, packed[2:]  # raw: without the checksum at the end
    try:
        while rest and count < wanted and not stream.eof:
            count += len(stream.decompress(rest, min(wanted - count, 1 << 20)))
            rest = stream.unconsumed_tail
    except zlib.error:  # what was unpacked before it counts
        pass
    return count
