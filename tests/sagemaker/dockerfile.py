"""Reads a Dockerfile: its instructions in order, with the arguments and variables that each of them sees."""

import json
import pathlib
import re
import shlex
from typing import NamedTuple

_VARIABLE = re.compile(r"\$(?:\{(\w+)\}|(\w+))")


class Instruction(NamedTuple):
    """One instruction. name: in capitals. text: the rest, on one line. line: number of its first line, from 1."""

    name: str
    text: str
    line: int

    def words(self):
        """The parts of its JSON array, or its words."""
        return json.loads(self.text) if self.text.startswith("[") else shlex.split(self.text)

    def pairs(self):
        """{name: value} of an ENV or ARG instruction; the value of an ARG without one is ""."""
        return {word.partition("=")[0]: word.partition("=")[2] for word in self.words()}


def read(path):
    """The list of Instructions in a Dockerfile. Comments are left out; a backslash at the end joins two lines."""
    instructions, start, text = [], 0, ""
    for number, line in enumerate(pathlib.Path(path).read_text().splitlines(), 1):
        if line.lstrip().startswith("#") or (not line.strip() and not text):
            continue
        start = start or number
        if line.endswith("\\"):
            text += line[:-1].rstrip() + " "
            continue
        name, _, rest = (text + line.strip()).partition(" ")
        instructions.append(
            Instruction(name.upper(), re.sub(r"\s+", " ", rest.strip()) if name == "ENV" else rest, start)
        )
        start, text = 0, ""
    if text:
        raise ValueError(f"{path} ends in the middle of an instruction")
    return instructions


def fill(text, variables):
    """The text with ${NAME} and $NAME replaced. Raises KeyError for a variable that is not known."""
    return _VARIABLE.sub(lambda found: variables[found[1] or found[2]], text)
