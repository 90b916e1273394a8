"""Parts of files, fetched side by side and put together; tests/weights/test_download.py is about whole files."""

import hashlib
import os

import pytest

from awsdet.runtime import segments
from awsdet.runtime.fetching import Patience, Wanted, fetch
from awsdet.runtime.http_get import FetchFailed, NoRanges
from awsdet.runtime.segments import fetch_all
from tests.weights.serving import Behaviour, serving

CONTENT = {f"/{name}": os.urandom(size) for name, size in (("large", 1_000_100), ("other", 600_000), ("small", 90_000))}
SEGMENT = 100_000
HASTY = Patience(seconds=1.0, attempts=2, pause=0.01)


@pytest.fixture
def server():
    with serving() as made:
        made.does = Behaviour(files=CONTENT)
        yield made


@pytest.fixture
def wanted(server, tmp_path):
    """The files of the server, whose bytes are checked."""

    def right(path, name):
        found = hashlib.sha256(path.read_bytes()).digest()
        return "" if found == hashlib.sha256(CONTENT[name]).digest() else "it is another one"

    url = f"http://127.0.0.1:{server.server_port}"
    return [
        Wanted(name[1:], url + name, tmp_path / name[1:], lambda path, name=name: right(path, name), len(content))
        for name, content in CONTENT.items()
    ]


def bring(files, **options):
    """Fetches files, and returns the counts that were told."""
    told = []
    fetch_all(files, 4, told.append, **{"patience": HASTY, "segment": SEGMENT, **options})
    for file in files:
        assert file.path.read_bytes() == CONTENT[f"/{file.name}"]
    assert sorted(path.name for path in files[0].path.parent.iterdir()) == sorted(file.name for file in files)
    return told


def test_files_come_in_segments_over_some_connections(server, wanted):
    told = bring(wanted)
    assert told[-1] == sum(map(len, CONTENT.values())) == max(told)
    ranges = sorted(asked for path, asked in server.does.asked if path == "/large")
    assert len(ranges) == 11 and "bytes=1000000-1000099" in ranges and "bytes=900000-999999" in ranges
    assert [asked for path, asked in server.does.asked if path == "/small"] == [None]


def test_what_an_earlier_call_fetched_is_kept(server, wanted):
    server.does.cut = [10**9] * 3 + [340_000] + [0] * 99
    with pytest.raises(FetchFailed, match="the connection ended after 40000 of 100000 bytes"):
        fetch_all(wanted[:1], 1, lambda count: None, HASTY, SEGMENT)
    server.does = Behaviour(files=CONTENT)
    assert bring(wanted[:1])[0] in (100_000, 200_000, 300_000, 0)
    asked = sorted(asked for _, asked in server.does.asked)
    assert asked[0] == "bytes=1000000-1000099" and asked[1] == "bytes=340000-399999" and len(asked) == 8


@pytest.mark.parametrize("appended", [0, 1, 50_000, 100_000, 150_000, 1_000_000, 1_000_050, 1_000_100])
def test_putting_together_goes_on_wherever_it_was_interrupted(server, wanted, appended, tmp_path):
    """Segments that are in are removed; half of one may be in, and is still there."""
    large, content = wanted[0], CONTENT["/large"]
    (tmp_path / ".large.joined").write_bytes(content[:appended])
    first = appended // SEGMENT * SEGMENT if appended < len(content) else len(content)
    for begin in range(first, len(content), SEGMENT):
        part = tmp_path / f".large.{begin // SEGMENT:04d}-{SEGMENT}"
        part.write_bytes(content[begin : begin + SEGMENT])
    assert bring([large])[0] == first and server.does.asked == []


def test_a_server_without_ranges_sends_files_whole(server, wanted):
    server.does.ranges = False
    with pytest.raises(NoRanges, match="can only be fetched as a whole"):
        fetch(wanted[0]._replace(span=(0, 10), fault=lambda path: ""), HASTY)
    bring(wanted)
    assert ("/large", None) in server.does.asked


def test_another_file_is_refused_and_not_gone_on_with(server, wanted, tmp_path):
    server.does.files = {**CONTENT, "/large": bytes(len(CONTENT["/large"]))}
    with pytest.raises(FetchFailed, match="/large gives another file: it is another one; it was removed"):
        bring(wanted[:1])
    assert list(tmp_path.iterdir()) == []
    server.does.files = CONTENT
    bring(wanted[:1])


@pytest.mark.parametrize("begin, end", [(0, 100_000), (1_000_000, 1_000_100)])
def test_no_segment_stays_that_was_put_in_before_a_kill(server, wanted, tmp_path, begin, end):
    (tmp_path / ".large.joined").write_bytes(CONTENT["/large"][:end])
    (tmp_path / f".large.{begin // SEGMENT:04d}-{SEGMENT}").write_bytes(CONTENT["/large"][begin:end])
    bring(wanted[:1])


@pytest.mark.parametrize(
    "change, words", [({"files": {"/x": b""}}, "answers 404"), ({"silent": True}, "no answer in time")]
)
def test_the_first_final_failure_ends_all(server, wanted, change, words):
    server.does = Behaviour(**{"files": CONTENT, **change})
    with pytest.raises(FetchFailed, match=words):
        fetch_all(wanted, 2, lambda count: None, HASTY._replace(seconds=0.2), SEGMENT)
    assert len(server.does.asked) <= 4  # of 18 segments, two at a time, twice at most


def test_a_server_that_stops_sending_is_asked_again(server, wanted):
    server.does.stall = 40_000
    bring(wanted[2:], patience=HASTY._replace(seconds=0.2))
    assert [asked for _, asked in server.does.asked] == [None, "bytes=40000-", "bytes=80000-"]
    server.does.stall = 0
    with pytest.raises(FetchFailed, match="no answer in time"):
        fetch_all(wanted[1:2], 1, lambda count: None, HASTY._replace(seconds=0.2), SEGMENT)


def test_a_file_that_changes_between_segments_is_noticed(server, wanted):
    """Its size is another, or its validator in the middle of a segment."""
    shorter = {**CONTENT, "/large": CONTENT["/large"][:-1]}
    server.does.files = shorter
    with pytest.raises(FetchFailed, match="/large has 1000099 bytes, not 1000100"):
        bring(wanted[:1])
    server.does = Behaviour(files=CONTENT, cut=[40_000])
    with pytest.raises(FetchFailed, match="the connection ended after 40000 of 100000 bytes"):
        fetch_all(wanted[:1], 1, lambda count: None, HASTY._replace(attempts=1), SEGMENT)
    server.does = Behaviour(files=CONTENT, etag='"2"')
    bring(wanted[:1])


def test_the_usual_segment_is_large():
    """COCO's 19 GB take 37 requests; a file of weights takes one."""
    assert segments.SEGMENT == 512 * 2**20
