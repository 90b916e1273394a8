"""What the compliance checker of mlperf-logging says about a log, in words."""

import re
from collections.abc import Iterator

_TIMES = {"EXACTLY_ONE": "must be there once", "AT_LEAST_ONE": "must be there"}
_SEPARATOR = "-" * 30
_RULES = (
    # A pattern of the beginning of a message, and the function from its match to words.
    (
        r"Required (\w+) occurrence of '(\w+)' but found (\d+)",
        lambda m: f"{m[2]}: {_found(m[3])}, and it {_TIMES[m[1]]}",
    ),
    (r"Required AT_LEAST_ONE occurrence of ('\w+' or .*)", lambda m: f"{m[1].replace(chr(39), '')}: one must be there"),
    (
        r"CHECK for '(\w+)' failed in line (\d+):\n(?:.*\n)*?failed test: *(.*)",
        lambda m: f"{m[1]} (:::MLLOG line {int(m[2]) + 1}): {m[3].strip()} does not hold",
    ),
    (
        r"Failed executing CHECK code:\n(.*)\ntriggered by line:\n.*?\"key\": \"(\w+)\"",
        lambda m: f"{m[2]}: {m[1].strip()} cannot be computed",
    ),
    (r"Failed checks for (\w+) : (.*)", lambda m: f"{m[1]}: no line fulfils {m[2].strip()}"),
    (r"Log lines had parsing errors", lambda m: "a :::MLLOG line is not whole"),
    (r"No log lines detected", lambda m: "there is no :::MLLOG line"),
)


def in_words(output: str) -> list[str]:
    """What a log lacks, one line per fault, from what the checker printed."""
    return list(dict.fromkeys(_found_in(output)))


def _found_in(output: str) -> Iterator[str]:
    said = re.sub(r"^(INFO|ERROR) - .*$", "", output, flags=re.MULTILINE)
    for message in re.split(rf"{_SEPARATOR}|^WARNING - ", said, flags=re.MULTILINE):
        message = message.strip()
        for pattern, words in _RULES:
            match = re.match(pattern, message)
            if match:
                yield " ".join(words(match).split())
                break


def _found(count):
    return "it is missing" if count == "0" else f"it is there {count} times"
