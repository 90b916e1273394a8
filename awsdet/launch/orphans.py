"""Child processes that do not outlive the process that started them."""

import ctypes
import signal
from collections.abc import Callable

_PR_SET_PDEATHSIG = 1


def end_with_parent() -> Callable[[], None]:
    """A `preexec_fn` for subprocess: the child is killed when the thread that starts it ends, however that happens."""
    libc = ctypes.CDLL(None, use_errno=True)  # not in the child, which may only call
    return lambda: libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
