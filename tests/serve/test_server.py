"""`awsdet serve` as a process, from outside: what it answers, and what clients cannot do to it."""

import concurrent.futures
import http.client
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import time

import pytest
from PIL import Image

from tests.serve import tiny_model
from tests.serve.browser import PROGRAM, Browser
from tests.serve.running import ROOT, SECONDS, b64, encoded, serve

PREDICT = "/v1/models/tiny:predict"


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return tiny_model.write(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def server(model):
    running = serve(
        model, "--timeout=8", "--max-waiting=120", "--max-images=3", "--max-megapixels=1", "--max-image-bytes=200000",
        "--max-body-bytes=1000000",
    )  # fmt: skip
    running.until(lambda health: health["state"] == "ready")
    yield running
    running.process.send_signal(signal.SIGTERM)
    errors = running.process.communicate(timeout=SECONDS)[1]
    assert running.process.returncode == 0, errors
    assert "Traceback" not in errors, errors[errors.index("Traceback") :][:2000]


# ------------------------------------------------------------------------------------------------------ good requests


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "BMP", "GIF"])
def test_the_forms_of_a_request_give_the_same(server, kind):
    image = encoded(kind)
    forms = [
        {"instances": [b64(image)]},
        {"instances": [{"image_bytes": b64(image)}], "signature_name": "serving_default"},
        {"inputs": {"image_bytes": [b64(image)]}},
        {"inputs": [b64(image)]},
    ]
    found = []
    for form in forms:
        status, content, _ = server.ask("POST", PREDICT, form)
        assert status == 200, content
        found.append(
            content["predictions"][0] if "instances" in form else {k: v[0] for k, v in content["outputs"].items()}
        )
    assert all(other == found[0] for other in found)
    assert found[0]["class_names"] == ["bright thing", "picture", ""]
    assert found[0]["category_ids"] == [7, 9, -1] and found[0]["count"] == 2
    assert found[0]["image_size"] == [40, 60] and len(found[0]["masks"][0][27]) == 28
    if kind != "JPEG":
        assert found[0]["boxes"][:2] == [[10, 5, 30, 25], [0, 0, 60, 40]]


def test_pixels_and_versions(server):
    rows = [[[200 if 2 <= x < 5 else 0, 0, 0] for x in range(8)] for _ in range(4)]
    body = {"signature_name": "pixels", "instances": [rows, rows]}
    status, content, _ = server.ask("POST", "/v1/models/tiny/versions/3:predict", body)
    assert status == 200 and [p["boxes"][0] for p in content["predictions"]] == [[2, 0, 5, 4]] * 2
    status, content, _ = server.ask("GET", "/v1/models/tiny")
    assert content["model_version_status"][0]["state"] == "AVAILABLE"
    status, content, _ = server.ask("GET", "/v1/models/tiny/versions/3/metadata")
    signatures = content["metadata"]["signature_def"]["signature_def"]
    assert signatures["serving_default"]["inputs"]["image_bytes"]["dtype"] == "DT_STRING"
    assert content["model_spec"] == {"name": "tiny", "signature_name": "", "version": "3"}


def test_sagemakers_bodies(server):
    assert server.ask("GET", "/ping")[0] == 200
    assert server.ask("GET", "/execution-parameters")[1]["MaxPayloadInMB"] == 1
    expected = {"boxes": [10, 5, 30, 25], "score": 0.9}
    image = encoded()
    for kind in ("image/png", "application/x-image"):
        status, content, _ = server.ask("POST", "/invocations", image, Content_Type=kind)
        assert status == 200 and content["predictions"][0]["boxes"][0] == expected["boxes"]
    json_kind = {"Content_Type": "application/json; charset=utf-8"}
    status, content, _ = server.ask("POST", "/invocations", {"instances": [b64(image)]}, **json_kind)
    assert content["predictions"][0]["scores"][0] == pytest.approx(expected["score"])
    rows = f'{b64(image)["b64"]}\n\n"{b64(encoded("BMP"))["b64"]}"\r\n'
    status, content, _ = server.ask("POST", "/invocations", rows, Content_Type="text/csv", Accept="text/csv")
    assert content.decode().splitlines()[::2] == [f"{i},bright thing,0.899999976,10,5,30,25,7" for i in (0, 1)]


def test_a_chunked_body_and_one_that_waits_for_the_word_to_go_on(server):
    body = json.dumps({"instances": [b64(encoded())]}).encode()
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=SECONDS)
    for _ in range(2):  # on the same connection
        connection.request("POST", PREDICT, iter([body[:7], body[7:]]), encode_chunked=True)
        assert json.loads(connection.getresponse().read())["predictions"][0]["count"] == 2
    connection.close()
    head = f"POST {PREDICT} HTTP/1.1\r\nExpect: 100-continue\r\nConnection: close\r\nContent-Length: "
    with socket.create_connection(("127.0.0.1", server.port), timeout=SECONDS) as sock:
        sock.sendall(f"{head}{len(body)}\r\n\r\n".encode())
        assert sock.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        sock.sendall(body)
        assert sock.recv(1 << 16).startswith(b"HTTP/1.1 200")
    assert server.raw(f"{head}99999999\r\n\r\n".encode()).startswith(b"HTTP/1.1 413")  # without "100 Continue"


def test_a_hundred_clients_at_once(server):
    images = [encoded(box=(x, 5, 30, 25)) for x in range(10)]

    def one(index):
        return server.ask("POST", PREDICT, {"instances": [b64(images[index % 10])]})

    with concurrent.futures.ThreadPoolExecutor(100) as pool:
        answers = list(pool.map(one, range(100)))
    assert [status for status, _, _ in answers] == [200] * 100
    assert [content["predictions"][0]["boxes"][0][0] for _, content, _ in answers] == [i % 10 for i in range(100)]


# ------------------------------------------------------------------------------------------------------- bad requests

JPEG = encoded("JPEG", size=(300, 200), quality=95)
TURNED = Image.Exif()
TURNED[0x0112] = 6
BAD = {
    "no JSON": (b"{", 400, "no JSON"),
    "not UTF-8": (b'{"instances": "\xff"}', 400, "not UTF-8"),
    "NaN": (b'{"signature_name": "pixels", "instances": [NaN]}', 400, "NaN"),
    "deep": (b"[" * 100_000, 400, "levels"),
    "twice": (b'{"instances": [], "instances": []}', 400, "twice"),
    "list": ([], 400, "must be an object"),
    "neither": ({}, 400, "neither"),
    "both": ({"instances": [], "inputs": []}, 400, "both"),
    "unknown key": ({"instance": []}, 400, '"instance"'),
    "half a character": (b'{"\\ud800": []}', 400, "unknown key"),
    "empty": ({"instances": []}, 400, "no images"),
    "too many": ({"instances": [b64(encoded())] * 4}, 413, "--max-images"),
    "signature": ({"instances": [1], "signature_name": "no"}, 400, "the model has"),
    "input": ({"instances": [{"image": 1}]}, 400, '"image"'),
    "text": ({"instances": ["/etc/passwd"]}, 400, "base64"),
    "base64": ({"instances": [{"b64": "%%%"}]}, 400, "valid base64"),
    "no image": ({"instances": [b64(b"hello")]}, 400, "instances[0]: this is no image"),
    "format": ({"instances": [b64(encoded("WEBP"))]}, 400, "WEBP"),
    "palette": ({"instances": [b64(encoded("BMP", mode="P"))]}, 400, "BMP with a palette; send PNG"),
    "one bit": ({"instances": [b64(encoded("BMP", mode="1"))]}, 400, "BMP with a palette; send PNG"),
    "turned": ({"instances": [b64(encoded("PNG", exif=TURNED))]}, 400, "EXIF block says that it is turned"),
    "truncated": ({"instances": [b64(JPEG[: len(JPEG) // 2])]}, 400, "truncated or damaged JPEG"),
    "truncated, second": ({"instances": [b64(JPEG), b64(JPEG[: len(JPEG) // 2])]}, 400, "image 1: truncated"),
    "huge": ({"instances": [b64(encoded("PNG", size=(2000, 1000)))]}, 413, "megapixels"),
    "heavy": ({"instances": [b64(encoded("BMP", size=(400, 300)))]}, 413, "--max-image-bytes"),
    "ragged": ({"signature_name": "pixels", "instances": [[[1, 2, 3], [1]]]}, 400, "different lengths"),
    "range": ({"signature_name": "pixels", "instances": [[[[1, 2, 256]]]]}, 400, "from 0 to 255"),
    "sizes": ({"signature_name": "pixels", "instances": [[[[1, 2, 3]]], [[[1, 2, 3]] * 2]]}, 400, "one size"),
    "long": (b" " * 1_000_001, 413, "--max-body-bytes"),
}


@pytest.mark.parametrize("what", BAD)
def test_a_bad_body_is_told_in_a_line(server, what):
    body, status, words = BAD[what]
    got, content, _ = server.ask("POST", PREDICT, body)
    assert (got, list(content)) == (status, ["error"])
    assert words in content["error"] and "\n" not in content["error"]


@pytest.mark.parametrize(
    "method, path, headers, status",
    [
        ("GET", "/etc/passwd", {}, 404),
        ("GET", "/../../etc/passwd", {}, 404),
        ("GET", "/v1/models/other", {}, 404),
        ("GET", "/v1/models/tiny/versions/4", {}, 404),
        ("POST", "/v1/models/tiny:classify", {}, 404),
        ("GET", PREDICT, {}, 405),
        ("PUT", "/ping", {}, 405),
        ("POST", PREDICT, {"Content_Type": "image/png"}, 415),
        ("POST", PREDICT, {"Content_Encoding": "gzip"}, 415),
        ("POST", "/invocations", {"Content_Type": "text/html"}, 415),
        ("POST", "/invocations", {"Content_Type": "image/png", "Accept": "text/html"}, 406),
    ],
)
def test_a_bad_request_is_told_in_a_line(server, method, path, headers, status):
    got, content, _ = server.ask(method, path, None if method == "GET" else b"x", **headers)
    assert (got, list(content)) == (status, ["error"])


@pytest.mark.parametrize(
    "data, status",
    [
        (b"GET /\r\n\r\n", 400),
        (b"nonsense\r\n\r\n", 400),
        (b"GET / HTTP/9.9\r\n\r\n", 505),
        (b"GET /" + b"x" * 70_000 + b" HTTP/1.1\r\n\r\n", 414),
        (b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 200 + b"\r\n", 431),
        (b"POST %s HTTP/1.1\r\n\r\n" % PREDICT.encode(), 411),
        (b"POST %s HTTP/1.1\r\nContent-Length: -1\r\n\r\n" % PREDICT.encode(), 400),
        (b"POST %s HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n" % PREDICT.encode(), 400),
        (b"POST %s HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n" % PREDICT.encode(), 400),
    ],
)
def test_bad_http_is_told_in_a_line(server, data, status):
    with socket.create_connection(("127.0.0.1", server.port), timeout=SECONDS) as sock:
        sock.sendall(data)
        sock.shutdown(socket.SHUT_WR)
        answer = b""
        while part := sock.recv(1 << 16):
            answer += part
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 %d " % status), answer
    assert list(json.loads(body)) == ["error"]


# --------------------------------------------------------------------------------------- the page, in a real browser


@pytest.mark.skipif(PROGRAM is None, reason="needs Chromium: apt-get install chromium-headless-shell")
def test_the_page(server, tmp_path):
    (tmp_path / "thing.png").write_bytes(encoded(size=(600, 400), box=(100, 50, 300, 250)))
    (tmp_path / "text.png").write_bytes(b"no image")
    browser = Browser(tmp_path / "profile")
    try:
        browser.open(f"http://127.0.0.1:{server.port}/")
        browser.press("Tab", 9)
        assert browser.value("document.activeElement.id") == "file"
        assert browser.value("document.querySelector('label[for=file]').textContent").startswith("Choose an image")
        browser.choose("#file", tmp_path / "thing.png")
        assert "2 objects" in browser.wait(
            "document.getElementById('state').textContent.includes('objects') && state.textContent"
        )
        assert browser.value("objects.rows.length") == 1  # the other one has a score of 0.25
        assert browser.value("objects.rows[0].innerText").split() == [
            *("bright", "thing", "0.900", "100,", "50", "200", "×", "200")
        ]
        assert browser.value("summary.textContent") == "The picture shows: 1 bright thing."
        # The mask is the left half of the box: the colour of the class lies over the image there, and not on the right.
        pixel = "Array.from(canvas.getContext('2d').getImageData({}, 150, 1, 1).data.slice(0, 3))"
        left, right = browser.value(pixel.format(150)), browser.value(pixel.format(280))
        assert right == [250, 90, 30] and left != right
        assert '"count": 2' in browser.value("json.textContent")
        for _ in range(4):
            browser.press("Tab", 9)
            if browser.value("document.activeElement.id") == "threshold":
                break
        browser.press("Home", 36)
        assert browser.value("[threshold.value, objects.rows.length]") == ["0", 2]
        if folder := os.environ.get("AWSDET_PICTURES"):  # to look at
            browser.picture(pathlib.Path(folder) / "wide.png")
            browser.resize(390, 844, mobile=True)
            browser.picture(pathlib.Path(folder) / "phone.png")
        browser.resize(390, 844, mobile=True)
        assert browser.value("document.documentElement.scrollWidth") <= 390
        browser.choose("#file", tmp_path / "text.png")
        browser.wait("!document.getElementById('error').hidden")
        assert "no image that can be used" in browser.value("document.getElementById('error').textContent")
        assert browser.value("result.hidden")
        assert all(
            url.startswith((f"http://127.0.0.1:{server.port}/", "data:", "blob:")) for url in browser.requested
        ), browser.requested
    finally:
        browser.close()


# ------------------------------------------------------------------------- a model that hangs, dies, cannot be started


def test_a_full_queue_and_a_killed_process(server):
    """A process that is stopped stands for one that computes long."""
    process = server.until(lambda health: health["state"] == "ready")["process"]
    body = {"instances": [b64(encoded())]}
    os.kill(process, signal.SIGSTOP)
    with concurrent.futures.ThreadPoolExecutor(140) as pool:
        answers = [pool.submit(server.ask, "POST", PREDICT, body) for _ in range(120)]
        server.until(lambda health: health["waiting"] == 120)
        status, content, headers = server.ask("POST", PREDICT, body)
        assert (status, headers["Retry-After"]) == (503, "1") and "waiting" in content["error"]
        os.kill(process, signal.SIGCONT)
        assert {answer.result()[0] for answer in answers} == {200}

        os.kill(process, signal.SIGSTOP)
        answer = pool.submit(server.ask, "POST", PREDICT, body)
        server.until(lambda health: health["waiting"] == 1)
        time.sleep(0.3)  # until it has been sent to the process
        os.kill(process, signal.SIGKILL)
        status, content, headers = answer.result()
        assert status == 503 and "signal 9, SIGKILL" in content["error"] and "Retry-After" in headers
    health = server.until(lambda health: health["state"] != "ready")
    assert health["state"] == "restarting" and server.ask("GET", "/ping")[0] == 503
    assert server.ask("POST", PREDICT, body)[0] in (200, 504)  # waits for the new process
    server.until(lambda health: health["state"] == "ready" and health["restarts"] == 1)
    assert server.ask("POST", PREDICT, body)[0] == 200


def test_a_call_without_end(server):
    health = server.until(lambda health: health["state"] == "ready")
    os.kill(health["process"], signal.SIGSTOP)
    status, content, _ = server.ask("POST", PREDICT, {"instances": [b64(encoded())]})
    assert status == 504 and "8 s" in content["error"]
    after = server.until(lambda now: now["restarts"] > health["restarts"] and now["state"] == "ready")
    assert after["process"] != health["process"]


def test_what_ends_at_once(model, tmp_path):
    def ends(*flags):
        command = [sys.executable, "-m", "awsdet.cli.main", "serve", *flags]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=SECONDS, check=False)
        assert done.stdout == "" and "Traceback" not in done.stderr
        return done.returncode, done.stderr.splitlines()[-1]

    with socket.create_server(("127.0.0.1", 0)) as taken:
        code, line = ends(f"--model={model}", f"--port={taken.getsockname()[1]}")
        assert code == 2 and "cannot listen at 127.0.0.1" in line
    code, line = ends(f"--model={tmp_path}")
    assert code == 2 and "holds no exported model" in line
    code, line = ends(f"--model={model}", "--name=a/b")
    assert code == 2 and "--name=a/b cannot stand in an address" in line
    broken = tmp_path / "1"
    broken.mkdir()
    (broken / "awsdet.json").write_bytes((model / "3" / "awsdet.json").read_bytes())
    (broken / "saved_model.pb").write_bytes(b"nothing")
    code, line = ends(f"--model={tmp_path}", "--port=0")
    assert code == 2 and "the model cannot be started: TensorFlow cannot load" in line
