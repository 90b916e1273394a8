"""What is said when a converter cannot make a model of a graph."""

import contextlib
import re
from collections.abc import Iterator

from awsdet.runtime.errors import first_line

_LONGEST = 300  # characters
# How TensorFlow Lite's converter lists operators that it has not.
_MISSING = re.compile(r"^(?:Flex|Custom) ops: (.+)$", re.MULTILINE)


class CannotConvert(Exception):
    """A converter cannot turn a detector's graph into a model. Its text is one line."""


@contextlib.contextmanager
def converting(name: str) -> Iterator[None]:
    """A context whose exceptions become CannotConvert. `name`: of the converter."""
    try:
        yield
    except (OSError, MemoryError):
        raise
    except Exception as error:  # converters raise many types
        missing = ", ".join(_MISSING.findall(str(error)))
        reason = f"it does not know {missing}" if missing else first_line(error)[:_LONGEST]
        raise CannotConvert(f"{name} cannot convert this detector: {reason}") from error
