"""Names as they are shown to a person."""


def shown(name: object) -> str:
    """A name in one line: what cannot be printed (line breaks, control characters, bytes that are not UTF-8) escaped.

    Such a byte of a file name, which Python holds as a surrogate, is shown as backslash, x and two digits.
    """
    return "".join(c if c.isprintable() else _escaped(c) for c in str(name))


def _escaped(character):
    code = ord(character)
    return f"\\x{code - 0xDC00:02x}" if 0xDC80 <= code <= 0xDCFF else repr(character)[1:-1]
