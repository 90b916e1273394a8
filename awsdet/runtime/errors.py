"""The exceptions whose text alone is for the user, as a traceback would say nothing more; and the text of others."""


class UserError(Exception):
    """A mistake that the user can fix. Its text is one line: what is wrong, and what to do about it.

    The command line prints only that line and exits with code 2. Users of the library see an ordinary exception.
    """


class RankFailed(RuntimeError):
    """Another rank failed, which tells of it itself. The text names the rank and its error."""


def first_line(error: BaseException) -> str:
    """The first line of what an exception says, of which a library may have written many; its type if it is silent."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__).strip()
