"""Asks an HTTP server for a file, and tells what may succeed at another attempt from what will not."""

import email.message
import http.client
import os
import urllib.error
import urllib.parse
import urllib.request

from awsdet.runtime.errors import UserError

_PASSING = (408, 425, 429, 500, 502, 503, 504)  # answers after which another attempt may succeed
_SILENCE = 30.0  # seconds


class FetchFailed(Exception):
    """No other attempt would succeed. The text says why."""


class NoRanges(FetchFailed):
    """The server sends whole files only, and a part of one was asked for."""


class Again(Exception):
    """The attempt failed, but another one may succeed. The text says why."""


class Stale(Again):
    """The server has no such part of the file."""


def size_of(url: str, seconds: float = _SILENCE) -> int | None:
    """The bytes of the file at an address; None if the server does not say. Fetches one byte at most.

    seconds: how long the server may be silent.

    Raises FetchFailed.
    """
    try:
        with open_url(url, {"Range": "bytes=0-0"}, seconds) as answer:
            said = "Content-Range" if answer.status == 206 else "Content-Length"
            size = answer.headers.get(said, "").rpartition("/")[2]
            return int(size) if size.isdecimal() else None
    except Again as error:
        raise FetchFailed(str(error)) from error


def mirrored(address: str, mirror: str, name: str) -> str:
    """An address, or that of the same file on a mirror.

    Args:
        address: an http or https URL.
        mirror: URL that replaces scheme and host of the address; empty: none.
        name: of the flag or variable that holds the mirror, for errors.

    Raises UserError if the mirror is not a plain http or https URL.
    """
    if not mirror:
        return address
    mirror = mirror.rstrip("/")
    parts = urllib.parse.urlsplit(mirror)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise UserError(f"{name}={mirror} is no URL like https://mirror.example")
    if "@" in parts.netloc:
        raise UserError(f"{name} holds a user name, which would show in logs; use a mirror that needs none")
    return mirror + urllib.parse.urlsplit(address).path


def validator(headers: email.message.Message) -> str:
    """By which a server tells whether it still has the same file; empty if it says nothing firm."""
    etag = headers.get("ETag", "")
    return etag if etag.startswith('"') else headers.get("Last-Modified", "")


def open_url(url: str, headers: dict[str, str], seconds: float) -> http.client.HTTPResponse:
    """The answer of the server: 200 or 206. Raises Again or FetchFailed.

    Args:
        url: http or https.
        headers: of the request, such as its range.
        seconds: how long the server may be silent.
    """
    headers = {"User-Agent": "awsdet", "Accept-Encoding": "identity", **headers}
    opener = urllib.request.build_opener(_Redirects(url))
    try:
        answer = opener.open(urllib.request.Request(url, headers=headers), timeout=seconds)
    except urllib.error.HTTPError as error:
        error.close()
        kind = Again if error.code in _PASSING else FetchFailed
        if error.code == 416 and "Range" in headers:
            kind = Stale
        raise kind(f"{url} answers {error.code} {error.reason}") from error
    except (OSError, http.client.HTTPException) as error:
        raise Again(f"{urllib.parse.urlsplit(url).netloc} cannot be reached ({reason_of(error)})") from error
    if answer.headers.get("Content-Encoding", "identity") != "identity" or answer.status not in (200, 206):
        answer.close()
        raise FetchFailed(f"{url} answers in a way that is not understood (code {answer.status})")
    return answer


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows redirections to https only, and to the server of a plain http mirror that the user named."""

    def __init__(self, url):
        self._own = urllib.parse.urlsplit(url)[:2]

    def redirect_request(self, req, fp, code, msg, headers, newurl):
        """The request to follow, or FetchFailed."""
        parts = urllib.parse.urlsplit(newurl)
        if parts.scheme != "https" and parts[:2] != self._own:
            raise FetchFailed(f"{req.full_url} leads to {newurl}, which is not https")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def reason_of(error: Exception) -> str:
    """Why a connection failed, in words."""
    reason = getattr(error, "reason", None) or error
    if isinstance(reason, TimeoutError):
        return "no answer in time"
    if isinstance(reason, OSError) and reason.errno:
        return os.strerror(reason.errno) if reason.errno > 0 else str(reason.strerror or reason)
    return " ".join(str(reason).split()) or type(reason).__name__
