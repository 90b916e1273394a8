"""The hosts of a job, and how many processes each of them runs."""

import pathlib
import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from awsdet.runtime.errors import UserError

_EXAMPLE = "write h1:8,h2:8, or name a file with one host per line"
# "h1", "h1:8", "h1 8", "h1 slots=8", also with what else Open MPI's host files may hold on the line.
_LINE = re.compile(r"(?P<name>[^\s:]+)(?:\s*:\s*|\s+slots\s*=\s*|\s+)?(?P<slots>-?\d+)?(?:\s+max[-_]slots\s*=\s*\d+)?")
_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?")


class Host(NamedTuple):
    """A machine. slots: the number of processes that it runs."""

    name: str
    slots: int


def parse_hosts(text: str, slots: int = 0) -> list[Host]:
    """The hosts in a list such as "h1:8,h2:8", or in a file with one host per line.

    Args:
        text: the list, or the path of the file. In a file, `#` starts a comment.
        slots: for hosts without a number of their own; 0: each must have one.

    Raises UserError if there is no host, or if one is invalid, has no slots or comes twice.
    """
    lines, source = _lines(text)
    hosts = parse_lines(lines, source, slots)
    if not hosts:
        raise UserError(f"{source} names no host; {_EXAMPLE}")
    return hosts


def parse_lines(lines: Iterable[str], source: str, slots: int = 0) -> list[Host]:
    """The hosts in lines of a file; may be none. `source`: what the lines come from. Raises what `parse_hosts` does."""
    lines = [line.partition("#")[0].strip() for line in lines]
    hosts = [_host(line, slots, source) for line in lines if line]
    names = [host.name for host in hosts]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise UserError(f"{source} names {', '.join(twice)} more than once; give each host one line with all its slots")
    return hosts


def is_file(text: str) -> bool:
    """Whether a text that stands for hosts is the path of a file, and not a list."""
    try:
        return pathlib.Path(text).is_file()
    except OSError:  # a list that is too long for the name of a file
        return False


def host_list(hosts: Sequence[Host]) -> str:
    """The hosts as horovodrun and mpirun take them: "h1:8,h2:8"."""
    return ",".join(f"{host.name}:{host.slots}" for host in hosts)


def rank_hosts(hosts: Sequence[Host]) -> list[str]:
    """The name of the host of each rank: the ranks of the first host come first."""
    return [host.name for host in hosts for _ in range(host.slots)]


def _lines(text):
    """(the lines that name hosts, what they come from)."""
    if is_file(text):
        try:
            return pathlib.Path(text).read_text(encoding="utf-8-sig").splitlines(), f"host file {text}"
        except (OSError, ValueError) as error:
            raise UserError(f"host file {text} cannot be read as text ({error}); save it as UTF-8") from error
    if "/" in text:
        raise UserError(f"host file {text} does not exist; {_EXAMPLE}")
    return text.split(","), f"the host list {text!r}"


def _host(line, slots, source):
    found = _LINE.fullmatch(line)
    if found is None or not _NAME.fullmatch(found["name"]):
        user = " (a user name belongs in ~/.ssh/config)" if "@" in line else ""
        raise UserError(f"{source}: {line!r} is not a host with a number of processes{user}; {_EXAMPLE}")
    count = int(found["slots"]) if found["slots"] else slots
    if found["slots"] is None and not slots:
        file = "" if source.startswith("host file") else f" (if {line} is to be a file: there is none of this name)"
        raise UserError(f"{source}: {line} has no number of processes; write {line}:8, say, or give --slots=8{file}")
    if count < 1:
        raise UserError(f"{source}: {found['name']} has {count} processes; it must have at least 1")
    return Host(found["name"], count)
