"""A command's work in each of the processes that a launcher started, or in the only one."""

from absl import logging

from awsdet.runtime.errors import UserError


def run_on_all(work, expected_size=0, stall_seconds=600):
    """Joins the other processes, does `work(world)` and leaves. Returns its exit code. Rank 0 alone logs.

    Args:
        work: function of a World that returns an exit code.
        expected_size, stall_seconds: see `processes.start`.

    Raises UserError on rank 0 alone, which says it for all; the others return 2.
    """
    from awsdet.runtime import processes

    world = processes.start(expected_size, stall_seconds)
    try:
        if not world.is_chief:
            logging.set_verbosity(logging.WARNING)
        return work(world)
    except UserError:
        if world.is_chief:
            raise
        return 2
    finally:
        world.close()
