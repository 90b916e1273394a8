"""The exceptions whose text alone is for the user: a traceback would say nothing more."""


class UserError(Exception):
    """A mistake that the user can fix. Its text is one line: what is wrong, and what to do about it.

    The command line prints only that line and exits with code 2. Users of the library see an ordinary exception.
    """


class RankFailed(RuntimeError):
    """Another rank failed, which tells of it itself. The text names the rank and its error."""
