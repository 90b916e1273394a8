"""A request that is not answered with a result."""


class Refused(Exception):
    """Its text is the line that the client gets.

    Args:
        status: of HTTP.
        line: what is wrong and what to do about it.
        headers: more headers of the answer.
    """

    def __init__(self, status: int, line: str, **headers: str):
        super().__init__(" ".join(line.split()))
        self.status = status
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


def busy(line: str, seconds: int = 1) -> Refused:
    """The answer to a request that would be welcome later, after so many seconds."""
    return Refused(503, line, Retry_After=str(seconds))
