"""The one exception that means "the user can mend this"."""


class UserError(Exception):
    """A mistake the user can correct: one line that names the thing and the cure.

    The command line prints the message alone and exits with code 2; library users see an ordinary exception.
    """
