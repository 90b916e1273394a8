"""Runs a command's work in every process that a launcher started, or in the only process if there was no launcher."""

from absl import logging

from awsdet.runtime.errors import UserError


def run_on_all(work, expected_size=0, stall_seconds=600, elastic=False):
    """Joins the other processes, calls `work(world)` and leaves. Returns its exit code. Only rank 0 logs.

    Args:
        work: function that takes a World and returns an exit code.
        expected_size, stall_seconds, elastic: see `processes.start`.

    A UserError is raised on rank 0 only, so that the user reads it once. The other ranks return 2.
    """
    from awsdet.runtime import processes
    from awsdet.runtime.world import LeftOut, RunFailed

    try:
        world = processes.start(expected_size, stall_seconds, elastic)
    except LeftOut as left:
        logging.warning("%s; the others go on", left)
        return 0
    except RunFailed as failed:
        logging.error("%s", failed)
        return 1
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
