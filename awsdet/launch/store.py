"""A key-value store for the stall watch of the ranks (`awsdet.runtime.stall`) under mpirun; horovodrun has its own."""

import hmac
import http.server
import threading

LONGEST_VALUE = 1 << 16  # bytes


class Store:
    """Keeps texts by key until `close`, in this process. GET and PUT /TOKEN/KEY, over HTTP.

    Args:
        address: where to listen.
        token: what the path of each request must start with.

    Attributes: place, as `KeyValueStore.at` takes it.
    """

    def __init__(self, address: str, token: str):
        self._server = http.server.ThreadingHTTPServer((address, 0), _Handler)
        self._server.token, self._server.texts = token, {}
        self.place = f"{address}:{self._server.server_port}/{token}"
        threading.Thread(target=self._server.serve_forever, daemon=True, name="launch-store").start()

    def close(self) -> None:
        """Ends the server."""
        self._server.shutdown()
        self._server.server_close()


class _Handler(http.server.BaseHTTPRequestHandler):
    timeout = 10  # seconds; for a client whose machine has gone in the middle of a request

    def do_GET(self):
        key = self._key()
        text = self.server.texts.get(key)
        self._answer(404 if text is None else 200, text or b"")

    def do_PUT(self):
        key, length = self._key(), int(self.headers.get("Content-Length", 0))
        if key is None or length > LONGEST_VALUE:
            self._answer(404)
            return
        self.server.texts[key] = self.rfile.read(length)
        self._answer(200)

    def _key(self):
        """The key that is asked for; None without the right token."""
        token, _, key = self.path.removeprefix("/").partition("/")
        return key if key and hmac.compare_digest(token.encode(), self.server.token.encode()) else None

    def _answer(self, code, text=b""):
        self.send_response(code)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_):
        """Says nothing: the server's lines would be among those of the ranks."""
