"""How many CPU cores this process may use."""

import os


def usable_cores():
    """The cores that the scheduler allows, which a container or a launcher may have narrowed; 1 at least."""
    if hasattr(os, "sched_getaffinity"):  # Linux
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
