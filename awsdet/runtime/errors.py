"""The one exception that means "the user can fix this"."""


class UserError(Exception):
    """A mistake that the user can fix. Its text is one line: what is wrong, and what to do about it.

    The command line prints only that line and exits with code 2. Users of the library see an ordinary exception.
    """
