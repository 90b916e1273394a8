"""A server in a process of its own, and images for it."""

import base64
import http.client
import io
import json
import pathlib
import socket
import subprocess
import sys
import time

from PIL import Image

ROOT = pathlib.Path(__file__).parents[2]
SECONDS = 60.0  # by when a server must have done what it is waited for


def encoded(kind="PNG", size=(60, 40), box=(10, 5, 30, 25), mode="RGB", **options):
    """An image with one bright box."""
    image, data = Image.new("RGB", size, (20, 20, 20)), io.BytesIO()
    image.paste((250, 90, 30), box)
    image.convert(mode).save(data, kind, **options)
    return data.getvalue()


def b64(data):
    return {"b64": base64.b64encode(data).decode()}


def serve(model, *flags):
    """`awsdet serve` on any port that is free, Running."""
    return Running([sys.executable, "-m", "awsdet.cli.main", "serve", f"--model={model}", "--port=0", *flags])


class Running:
    """A server in a process of its own. environment: os.environ unless given."""

    def __init__(self, command, environment=None):
        self.process = subprocess.Popen(
            command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
        )
        first = self.process.stderr.readline()
        if "the server is at http://" not in first:
            self.process.kill()
            raise AssertionError(first + self.process.stderr.read())
        self.port = int(first.rstrip("/\n").rpartition(":")[2])

    def ask(self, method, path, body=None, **headers):
        """(status, content, headers) of an answer; content: of JSON what it says, else bytes."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=SECONDS)
        try:
            body = json.dumps(body) if isinstance(body, (dict, list)) else body
            connection.request(method, path, body, {k.replace("_", "-"): v for k, v in headers.items()})
            answer = connection.getresponse()
            data = answer.read()
            json_too = answer.headers["Content-Type"] == "application/json"
            return answer.status, json.loads(data) if json_too else data, answer.headers
        finally:
            connection.close()

    def raw(self, data, wait=SECONDS):
        """What the server sends until it closes the connection."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=wait) as sock:
            sock.sendall(data)
            answer = b""
            while part := sock.recv(1 << 16):
                answer += part
            return answer

    def until(self, condition):
        """Waits for a state of /health, and returns it."""
        end = time.monotonic() + SECONDS
        while True:
            health = self.ask("GET", "/health")[1]
            if condition(health):
                return health
            assert time.monotonic() < end, health
            time.sleep(0.05)
