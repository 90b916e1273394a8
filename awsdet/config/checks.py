"""Checks a config, or one of its sections, against `ranges` and `relations`."""

from typing import Any

from awsdet.config import ranges, relations
from awsdet.runtime.errors import UserError


def check(config: Any) -> None:
    """Raises UserError, which names the setting, its value and what it must be, if a ConfigDict cannot be used."""
    _refuse(ranges.faults(config) or relations.complaints(config))


def check_section(name: str, settings: Any) -> None:
    """As `check`, for one section, as in `check_section("data", config.data)`; the seed counts as a section."""
    _refuse(ranges.faults(settings, name) or relations.of_section(name, settings))


def _refuse(found):
    for text in found:
        raise UserError(text)
