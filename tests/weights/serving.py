"""A server on this machine that hands out a file, or some, well or badly."""

import contextlib
import dataclasses
import http.server
import re
import threading
import time


@dataclasses.dataclass
class Behaviour:
    """What the server does.

    Attributes:
        content: of all paths. files: content by path; others are not found. ranges: whether it sends parts.
        cut: numbers of bytes after which it hangs up, one for each answer. code: answered to all requests.
        stall: bytes of an answer after which it sends nothing more, and keeps the connection.
        silent: it never answers. held: it answers once this is set. slow: seconds between two blocks.
    """

    content: bytes = b""
    etag: str = '"1"'
    ranges: bool = True
    cut: list = dataclasses.field(default_factory=list)
    code: int = 0
    location: str = ""
    stall: int | None = None
    silent: bool = False
    held: threading.Event | None = None
    slow: float = 0.0
    length: bool = True
    files: dict = dataclasses.field(default_factory=dict)
    asked: list = dataclasses.field(default_factory=list)


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves one file as a Behaviour says."""

    def do_GET(self):
        does = self.server.does
        asked = self.headers.get("Range")
        does.asked.append((self.path, asked))
        if does.held:
            does.held.wait(10)
        if does.silent:
            self.server.over.wait(5)
            return
        if does.code:
            self.send_response(does.code)
            if does.location:
                self.send_header("Location", does.location)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        content = does.files.get(self.path) if does.files else does.content
        if content is None:
            self.send_error(404)
            return
        part = asked and does.ranges and self.headers.get("If-Range", does.etag) == does.etag
        start, last = re.match(r"bytes=(\d+)-(\d*)", asked).groups() if part else (0, "")
        start, stop = int(start), min(int(last) + 1, len(content)) if last else len(content)
        if start >= len(content):
            self.send_error(416)
            return
        self.send_response(206 if part else 200)
        self.send_header("ETag", does.etag)
        if part:
            self.send_header("Content-Range", f"bytes {start}-{stop - 1}/{len(content)}")
        if does.length:
            self.send_header("Content-Length", str(stop - start))
        self.end_headers()
        if does.stall is not None:
            self.wfile.write(content[start : min(start + does.stall, stop)])
            self.server.over.wait(5)
            return
        end = min(does.cut.pop(0) if does.cut else stop, stop)
        for at in range(start, end, 2**19):
            self.wfile.write(content[at : min(at + 2**19, end)])
            time.sleep(does.slow)

    def log_message(self, *_):
        pass


@contextlib.contextmanager
def serving():
    """A context in which a server runs; its attribute `does` is a Behaviour."""
    made = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    made.does, made.over = Behaviour(), threading.Event()
    made.handle_error = lambda *_: None  # clients hang up
    thread = threading.Thread(target=made.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield made
    finally:
        made.over.set()
        made.shutdown()
        thread.join()
        made.server_close()
