"""What a user is told of an exception that nothing has put into words before."""

import errno
import os
import select
import sys
import traceback

from awsdet.runtime.errors import RankFailed

# What a user can mend without waiting: another path, other rights. All else, such as a full disk, is a failure.
_MISTAKES = (
    errno.EACCES,
    errno.EPERM,
    errno.EROFS,
    errno.ENOENT,
    errno.ENOTDIR,
    errno.EISDIR,
    errno.EEXIST,
    errno.ENAMETOOLONG,
    errno.ELOOP,
    errno.EINVAL,
)
_SYSTEM = (*_MISTAKES, errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EMFILE, errno.ENFILE, errno.ESTALE, errno.EFBIG)
_CURES = {
    errno.ENOSPC: "make room, and give the command again",
    errno.EDQUOT: "make room, and give the command again",
    errno.EMFILE: "raise the limit of open files (ulimit -n)",
    errno.ENFILE: "the machine has too many open files: close some programs",
    errno.EIO: "the disk or its network has a fault",
    errno.ESTALE: "the network file system has a fault; mount it again",
    errno.EACCES: "name another path, or give yourself the right",
    errno.EPERM: "name another path, or give yourself the right",
    errno.EROFS: "name another path",
    errno.ENAMETOOLONG: "give shorter names",
    errno.ELOOP: "its links lead in a circle",
}


def report(command: str, error: Exception) -> int:
    """Prints what went wrong to stderr: one line if the system refused something, else a traceback and what to do.

    Prints nothing if nobody reads the output any more, as after `| head`. Returns the exit code.
    """
    if isinstance(error, BrokenPipeError) and _output_is_gone():
        return 1
    number, line = (0, str(error)) if isinstance(error, RankFailed) else _of_system(error)
    if line:
        print(f"awsdet {command}: {line}", file=sys.stderr)
        return 2 if number in _MISTAKES else 1
    traceback.print_exception(error)
    if isinstance(error, MemoryError):
        print(f"awsdet {command}: out of memory; use smaller images or batches, or a larger machine", file=sys.stderr)
        return 1
    print(
        f"awsdet {command}: this should not have happened ({type(error).__name__}); please report the lines above with "
        "the command and the output of awsdet doctor",
        file=sys.stderr,
    )
    return 1


def _output_is_gone():
    """Whether nobody reads stdout any more."""
    try:
        number = sys.stdout.fileno()
    except (OSError, ValueError):  # no file
        return False
    poll = select.poll()
    poll.register(number, 0)
    if not any(event & (select.POLLERR | select.POLLHUP) for _, event in poll.poll(0)):
        return False
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, number)  # else Python complains when it flushes once more at its end
    os.close(nowhere)
    return True


def _of_system(error):
    """(errno, a line) of an error of the operating system, also if a library put it into words; (0, "") of others."""
    if isinstance(error, OSError):
        text = " ".join(str(error.strerror or error).split()) or type(error).__name__
        paths = [os.fsdecode(p) for p in (error.filename, error.filename2) if isinstance(p, (str, bytes))]
        number = error.errno or 0
    elif type(error).__module__.startswith("tensorflow."):
        text, paths = " ".join(str(getattr(error, "message", error)).split()), []
        number = next((n for n in _SYSTEM if os.strerror(n) in text), 0)
        text = text[:300]
    else:
        number = 0
    if not number and not isinstance(error, OSError):
        return 0, ""
    where = f"{' -> '.join(paths)}: " if paths else ""
    cure = f"; {_CURES[number]}" if number in _CURES else ""
    return number, f"{' '.join(where.split())}{' ' if where else ''}{text}{cure}"
