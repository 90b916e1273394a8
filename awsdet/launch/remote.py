"""How the hosts of a job are reached."""

from typing import NamedTuple


class Ssh(NamedTuple):
    """How to reach the hosts by ssh. port 0 and an empty identity leave it to ~/.ssh/config."""

    port: int = 0
    identity: str = ""
