"""The odd record set and its pages, which several tests read."""

import contextlib
import io

import pytest

from awsdet.cli.main import main
from tests.survey import odd_set


@pytest.fixture(scope="session")
def odd_records(tmp_path_factory):
    """Records folder of `odd_set`, splits train and val."""
    return odd_set.make(tmp_path_factory.mktemp("odd"))


@pytest.fixture(scope="session")
def odd_pages(odd_records, tmp_path_factory):
    """(folder of the pages of `odd_records`, what the command printed)."""
    folder, printed = tmp_path_factory.mktemp("pages") / "out", io.StringIO()
    with contextlib.redirect_stdout(printed):
        assert main(["inspect", f"--records={odd_records}", f"--draw={folder}"]) == 0
    return folder, printed.getvalue()
