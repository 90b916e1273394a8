"""How many CPU cores this process may use."""

import os


def usable_cores() -> int:
    """Number of cores that the scheduler lets this process use; a container or a launcher may have reduced it."""
    if hasattr(os, "sched_getaffinity"):  # Linux
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
