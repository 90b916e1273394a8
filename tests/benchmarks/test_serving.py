"""The load test of the server: what its clients send, count and call an error."""

import base64
import http.server
import itertools
import json
import threading

import numpy as np
import psutil
import pytest
from PIL import Image

from benchmarks import serving


@pytest.fixture
def running(monkeypatch):
    """A server, each third answer of which is 503, and which breaks off each fifth."""
    numbers = itertools.count(1)

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self):
            number = next(numbers)
            assert self.rfile.read(int(self.headers["Content-Length"])) == b"body" and self.path == "/found"
            if number % 5 == 0:
                self.close_connection = True
                return
            self.send_response(503 if number % 3 == 0 else 200)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, *_):
            pass

    monkeypatch.setattr(serving, "WARM_SECONDS", 0.1)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield serving.Running(server.server_address[1], "/found", (psutil.Process(), psutil.Process()))
        server.shutdown()


def test_answers_and_errors_are_counted(running):
    load = serving.load(running, b"body", clients=3, seconds=0.4)
    errors = load.errors
    assert set(errors) == {"status 503", "RemoteDisconnected"}
    requests = len(load.latencies) + sum(errors.values())
    assert requests >= 5 and abs(errors["RemoteDisconnected"] - requests / 5) <= 5
    shown = serving.row(load)
    assert shown[:2] == [3, f"{len(load.latencies) / load.seconds:.1f}"]
    assert shown[5] == f"{errors['RemoteDisconnected']} x RemoteDisconnected, {errors['status 503']} x status 503"


def test_bodies_are_requests_of_the_image(tmp_path):
    path = tmp_path / "a.png"
    pixels = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
    Image.fromarray(pixels).save(path)
    (instance,) = json.loads(serving.body_of(path, "encoded"))["instances"]
    assert base64.b64decode(instance["b64"]) == path.read_bytes()
    body = json.loads(serving.body_of(path, "pixels"))
    assert body["signature_name"] == "pixels" and body["instances"] == [pixels.tolist()]
