"""What C libraries write to the terminal, for those that have no other way to tell of something odd.

libjpeg decodes damaged data and only says so on stderr: not to its caller, and not of which file.
"""

import contextlib
import os
import re
import threading
from collections.abc import Iterator

_lock = threading.Lock()


@contextlib.contextmanager
def overheard(pattern: str) -> Iterator[list[str]]:
    """A context that yields a list, which has the matching lines once the context has ended.

    What C code and Python write to stderr in the meantime is held back; lines that do not match `pattern` follow at the
    end. Other threads' output is held back too, so this is for code that runs alone.
    """
    lines: list[str] = []
    with _lock:
        try:
            terminal = os.dup(2)
        except OSError:  # the process has no stderr
            yield lines
            return
        held = os.memfd_create("stderr")
        os.dup2(held, 2)
        try:
            yield lines
        finally:
            os.dup2(terminal, 2)
            text = _content(held)
            os.close(held)
            os.close(terminal)
            for line in text.splitlines(keepends=True):
                if re.search(pattern, line):
                    lines.append(line.strip())
                else:
                    os.write(2, line.encode(errors="surrogateescape"))


def _content(descriptor):
    os.lseek(descriptor, 0, os.SEEK_SET)
    with open(descriptor, "rb", closefd=False) as file:
        return file.read().decode(errors="surrogateescape")
