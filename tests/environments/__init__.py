"""The environments of programs that tests start beside awsdet; scripts/setup_test_environments.sh makes them."""

import pathlib
import subprocess

import pytest

ROOT = pathlib.Path(__file__).parents[2]


def place_of(name):
    """The folder of an environment, by the name of its file in this folder; None if it was not made."""
    script = [ROOT / "scripts" / "setup_test_environments.sh", "--where", name]
    folder = subprocess.run(script, capture_output=True, text=True, check=True).stdout.strip()
    return pathlib.Path(folder) if folder else None


def environment(name):
    """As `place_of`, but skips the test if there is none."""
    place = place_of(name)
    if place is None:
        pytest.skip(f"there is no environment {name}; scripts/setup_test_environments.sh {name} makes it")
    return place
