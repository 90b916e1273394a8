"""Reads small XML files that nobody vouches for.

Entities are how XML becomes dangerous: a few lines can stand for gigabytes, or for a file of this machine. They are
declared in a DOCTYPE. No annotation file needs one, so the parser (expat) stops at the first.
"""

import re
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

from awsdet.data.formats.folders import Unreadable, decoded

_DEEPEST = 32  # elements within elements
_DECLARED = re.compile(rb"""^\s*<\?xml[^>]*?encoding\s*=\s*["']([\w.-]+)["']""")


def parse(data: bytes) -> Element:
    """The root element of an XML file's bytes, in any encoding that it declares. Raises Unreadable."""
    declared = _DECLARED.match(data[:200])
    text = decoded(data, declared[1].decode() if declared else "utf-8").lstrip("\ufeff \t\r\n")
    builder, depth = TreeBuilder(), 0
    parser = expat.ParserCreate()

    def start(tag, attributes):
        nonlocal depth
        depth += 1
        if depth > _DEEPEST:
            raise Unreadable(f"it has more than {_DEEPEST} elements within each other")
        builder.start(tag, attributes)

    def end(tag):
        nonlocal depth
        depth -= 1
        builder.end(tag)

    def refuse(*_):
        raise Unreadable("it has a DOCTYPE, which may declare entities; remove it")

    parser.StartElementHandler, parser.EndElementHandler = start, end
    parser.CharacterDataHandler = builder.data
    parser.StartDoctypeDeclHandler = refuse
    parser.buffer_text = True
    try:
        parser.Parse(text, True)  # of text, expat ignores the declared encoding
    except expat.ExpatError as error:
        raise Unreadable(f"it is no valid XML: {error}") from None
    return builder.close()
