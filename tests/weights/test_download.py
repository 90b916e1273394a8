"""Weights fetched by name, from a server on this machine that behaves well or badly."""

import hashlib
import os
import pathlib
import re
import subprocess
import sys

import pytest

from awsdet.runtime import fetching
from awsdet.runtime.errors import UserError
from awsdet.weights import cache as cached
from awsdet.weights import download
from awsdet.weights.cache import Cache
from awsdet.weights.catalogue import Entry
from tests.weights.serving import Behaviour, Handler, serving

CONTENT = b"PK" + os.urandom(3_000_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()
ENTRY = Entry(
    "made", "https://weights.example/models/made.pth", len(CONTENT), "MIT", f"sha256:{SHA256[:8]}", "torchvision", ""
)
HASTY = download.Patience(seconds=1.0, attempts=2, pause=0.01)


def behaviour(content=CONTENT, **how):
    return Behaviour(content=content, **how)


@pytest.fixture
def server():
    with serving() as made:
        made.does = behaviour()
        yield made


@pytest.fixture
def cache(server, tmp_path):
    return Cache(tmp_path / "cache", f"http://127.0.0.1:{server.server_port}")


def names(cache):
    return sorted(path.name for path in cache.folder.iterdir() if not path.name.endswith(".lock"))


def refusal(cache, entry=ENTRY, patience=HASTY):
    """The one line in which a fetch fails; nothing but what can be gone on with is left."""
    with pytest.raises(UserError) as refused:
        download.fetch(entry, cache, patience)
    said = str(refused.value)
    assert "\n" not in said and not cache.holds(entry)
    assert f"by hand: fetch {cache.mirror or 'https://weights.example'}/models/made.pth" in said
    assert f"put the file at {cache.folder / 'made.pth'}" in said
    return said


def test_a_whole_file_is_fetched_once(server, cache):
    path = download.fetch(ENTRY, cache, HASTY)
    assert path == cache.folder / "made.pth" and path.read_bytes() == CONTENT and names(cache) == ["made.pth"]
    assert download.fetch(ENTRY, cache, HASTY) == path and server.does.asked == [("/models/made.pth", None)]


def test_a_file_cut_twice_is_gone_on_with_where_it_was_cut(server, cache):
    server.does.cut = [1_000_000, 2_000_000]
    assert download.fetch(ENTRY, cache, HASTY).read_bytes() == CONTENT and names(cache) == ["made.pth"]
    assert [asked for _, asked in server.does.asked] == [None, "bytes=1000000-", "bytes=2000000-"]


def test_a_later_process_goes_on_with_what_an_earlier_one_left(server, cache):
    server.does.cut = [1_000_000]
    said = refusal(cache, patience=HASTY._replace(attempts=1))
    assert "the connection ended after 1000000 of 3000002 bytes" in said
    assert download.fetch(ENTRY, cache, HASTY).read_bytes() == CONTENT
    assert server.does.asked[-1][1] == "bytes=1000000-"


@pytest.mark.parametrize(
    "change",
    [
        {"ranges": False},
        {"etag": '"2"'},
        {"etag": 'W/"1"'},
    ],
)
def test_a_part_that_cannot_be_gone_on_with_is_fetched_anew(server, cache, change):
    server.does.cut = [1_000_000]
    refusal(cache, patience=HASTY._replace(attempts=1))
    server.does = behaviour(**change)
    assert download.fetch(ENTRY, cache, HASTY).read_bytes() == CONTENT


def test_a_file_that_changed_between_two_parts_is_never_mixed(server, cache):
    """The server ignores If-Range, and its ETag shows the change; then one whose ETag does not show it."""
    entry = ENTRY._replace(checksum="")
    other = b"PK" + os.urandom(len(CONTENT) - 2)
    server.does.cut = [1_000_000]
    refusal(cache, entry, HASTY._replace(attempts=1))
    server.does = behaviour(content=other, etag='"2"')
    assert download.fetch(entry, cache, HASTY).read_bytes() == other
    cache.path(entry).unlink()

    server.does = behaviour(content=other, cut=[1_000_000])
    refusal(cache, patience=HASTY._replace(attempts=1))
    server.does = behaviour()  # the same ETag, but the right content
    assert download.fetch(ENTRY, cache, HASTY).read_bytes() == CONTENT
    assert [asked for _, asked in server.does.asked] == ["bytes=1000000-", None]


def test_a_file_that_became_shorter_is_fetched_anew(server, cache):
    entry = ENTRY._replace(size=None, checksum="")
    server.does.cut = [1_000_000]
    refusal(cache, entry, HASTY._replace(attempts=1))
    server.does = behaviour(CONTENT[:500_000])  # the same ETag, and 416 for what comes after
    assert download.fetch(entry, cache, HASTY).read_bytes() == CONTENT[:500_000]
    assert [asked for _, asked in server.does.asked] == ["bytes=1000000-", None]


def test_parts_that_do_not_go_together_are_fetched_anew_at_once(server, cache):
    """The content changes between two answers of one fetch, and no ETag or size tells."""
    server.does = behaviour(b"PK" + bytes(len(CONTENT) - 2), cut=[1_000_000])

    class Changing(Handler):
        def do_GET(self):
            if self.server.does.asked:
                self.server.does.content = CONTENT
            super().do_GET()

    server.RequestHandlerClass = Changing
    assert download.fetch(ENTRY, cache, HASTY).read_bytes() == CONTENT
    assert [asked for _, asked in server.does.asked] == [None, "bytes=1000000-", None]


def test_another_file_of_the_same_size_is_refused(server, cache):
    server.does = behaviour(content=b"PK" + bytes(len(CONTENT) - 2))
    said = refusal(cache)
    assert "gives another file: its SHA256 is " in said and f"and {SHA256[:8]} was published" in said
    assert names(cache) == []


def test_md5_is_checked_too(server, cache):
    entry = ENTRY._replace(checksum=f"md5:{hashlib.md5(CONTENT).hexdigest()}")
    assert download.fetch(entry, cache, HASTY).is_file()
    cache.path(entry).unlink()
    server.does = behaviour(content=CONTENT[:-1] + bytes([CONTENT[-1] ^ 1]))
    assert "its MD5 is" in refusal(cache, entry)


def test_without_a_published_checksum_the_first_one_seen_is_kept(server, cache):
    entry = ENTRY._replace(checksum="", size=None)
    path = download.fetch(entry, cache, HASTY)
    assert (cache.folder / "made.pth.sha256").read_text() == f"{SHA256}  made.pth\n"
    path.write_bytes(b"PK" + bytes(100))
    with pytest.raises(UserError, match=rf"its SHA256 is .*, and {SHA256} was seen at the first download; remove"):
        download.fetch(entry, cache, HASTY)


def test_a_checksum_that_cannot_be_kept_is_said(cache, monkeypatch, caplog):
    """As in a folder of an administrator, who put the file there."""
    cache.folder.mkdir()
    cache.path(ENTRY).write_bytes(CONTENT)

    def refuse(path, text):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(cached, "write_text", refuse)
    assert cached.verified(cache, ENTRY._replace(checksum="")) == cache.path(ENTRY)
    assert "cannot be kept beside it (Permission denied), so it is not compared" in caplog.text


def test_a_file_put_by_hand_is_checked(server, cache):
    cache.folder.mkdir()
    cache.path(ENTRY).write_bytes(CONTENT)
    assert download.fetch(ENTRY, cache, HASTY) == cache.path(ENTRY) and server.does.asked == []
    cache.path(ENTRY).write_bytes(CONTENT[:-1])
    with pytest.raises(UserError, match="made.pth are not made: it has 3000001 bytes, not 3000002; remove that file"):
        download.fetch(ENTRY, cache, HASTY)


@pytest.mark.parametrize(
    "how, entry, text",
    [
        ({"code": 404}, {}, "answers 404"),
        ({"code": 503}, {}, "answers 503"),
        ({"code": 416}, {}, "answers 416"),
        ({"silent": True}, {}, "cannot be reached (no answer in time)"),
        ({"content": b"PK"}, {}, "has 2 bytes, not 3000002"),
        ({"content": b"<html>sign in</html>"}, {"size": None, "checksum": ""}, "it does not begin like a .pth file"),
        ({"code": 302, "location": "http://weights.invalid/x"}, {}, "http://weights.invalid/x, which is not https"),
        (
            {"code": 302, "location": "file:///etc/passwd"},
            {},
            "answers 302 Found - Redirection to url 'file:///etc/passwd' is not allowed",
        ),
        ({"cut": [0] * 9}, {}, "the connection ended after 0 of 3000002 bytes"),
    ],
)
def test_what_fails_says_why_and_what_to_do_by_hand(server, cache, how, entry, text):
    server.does = behaviour(**how)
    assert text in refusal(cache, ENTRY._replace(**entry), HASTY._replace(seconds=0.3))
    attempts = 2 if text in ("answers 503", "cannot be reached (no answer in time)") or "ended" in text else 1
    assert len(server.does.asked) == attempts


def test_redirection_within_the_mirror_is_followed_and_a_missing_length_is_no_matter(server, cache):
    server.does = behaviour(length=False)
    path = f"/other{server.server_port}"

    class Leading(Handler):
        def do_GET(self):
            if self.path != path:
                self.server.does.asked.append((self.path, None))
                self.send_response(302)
                self.send_header("Location", path)
                self.end_headers()
            else:
                super().do_GET()

    server.RequestHandlerClass = Leading
    assert download.fetch(ENTRY, cache, HASTY).read_bytes() == CONTENT
    assert [asked for asked, _ in server.does.asked] == ["/models/made.pth", path]


def test_slow_is_not_silent(server, cache):
    server.does = behaviour(slow=0.25)
    assert download.fetch(ENTRY, cache, HASTY._replace(seconds=0.6, attempts=1)).read_bytes() == CONTENT
    assert len(server.does.asked) == 1


def test_without_a_network_one_line_says_what_to_do(tmp_path):
    cache = Cache(tmp_path / "cache", "http://127.0.0.1:9")
    assert "127.0.0.1:9 cannot be reached (Connection refused)" in refusal(cache)
    with pytest.raises(UserError, match="cannot be reached .*by hand: fetch"):
        download.probe(ENTRY, cache, HASTY)


def test_probe_fetches_nothing(server, cache):
    assert download.probe(ENTRY, cache, HASTY) == len(CONTENT)
    assert server.does.asked == [("/models/made.pth", "bytes=0-0")] and not cache.folder.exists()


def test_probe_tells_the_size_that_the_server_says(server, cache):
    sizeless = ENTRY._replace(size=None)
    assert download.probe(sizeless, cache, HASTY) == len(CONTENT)
    server.does.ranges = False
    assert download.probe(sizeless, cache, HASTY) == len(CONTENT)
    server.does.length = False
    assert download.probe(sizeless, cache, HASTY) is None and download.probe(ENTRY, cache, HASTY) == len(CONTENT)


@pytest.mark.parametrize("mirror", ["ftp://x", "mirror", "http://", "http://user:word@host", "https://host?x=1"])
def test_a_mirror_must_be_a_plain_url(mirror, tmp_path):
    with pytest.raises(UserError, match=cached.MIRROR):
        download.fetch(ENTRY, Cache(tmp_path, mirror), HASTY)


def test_a_folder_that_cannot_be_written_is_named(server, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot write .*file"):
        download.fetch(ENTRY, Cache(tmp_path / "file" / "cache", f"http://127.0.0.1:{server.server_port}"), HASTY)


def test_a_full_disk_is_said_before_and_on_the_way(server, tmp_path, monkeypatch):
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("only root can make a small file system")
    try:
        cache = Cache(folder, f"http://127.0.0.1:{server.server_port}")
        said = refusal(cache)
        assert re.search(r"it needs 3 MB, and .* has 1 MB left", said)
        monkeypatch.setattr(fetching, "_MARGIN", -(2**30))
        assert f"no space is left in {folder}" in refusal(cache)
        assert names(cache) == []  # the disk is not left full
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def test_a_cancelled_fetch_ends_soon_and_is_gone_on_with(server, cache):
    server.does = behaviour(slow=0.1)
    with pytest.raises(download.Cancelled):
        download.fetch(ENTRY, cache, HASTY, cancelled=lambda: any(cache.folder.glob(".made.pth.part")))
    download.fetch(ENTRY, cache, HASTY)
    assert cache.path(ENTRY).read_bytes() == CONTENT


def test_two_processes_fetch_a_file_once(server, cache):
    server.does = behaviour(slow=0.1)
    code = (
        "from tests.weights.test_download import *\n"
        "import sys\n"
        "entry = Entry('made', ENTRY.address, None, '', sys.argv[3], '', '')\n"
        "print(download.fetch(entry, Cache(pathlib.Path(sys.argv[1]), sys.argv[2])))"
    )
    command = [sys.executable, "-c", code, str(cache.folder), cache.mirror, ENTRY.checksum]
    root = pathlib.Path(__file__).parents[2]
    environment = {**os.environ, "PYTHONPATH": str(root)}
    both = [subprocess.Popen(command, cwd=root, env=environment, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    assert [process.communicate(timeout=60)[0].strip() for process in both] == [str(cache.path(ENTRY))] * 2
    assert server.does.asked == [("/models/made.pth", None)] and cache.path(ENTRY).read_bytes() == CONTENT
