"""Loads `awsdet serve` with clients, and times the same model called in a process without a server.

    python benchmarks/serving.py --model=exported [--image=photo.jpg] [--request=encoded] [--clients 1 4 16 64]
                                 [--seconds 10] [--server=--FLAG …] [--json FILE]

Each client is a thread with a connection of its own, which sends the next request when it has the answer to the last.
Request `encoded` is JSON with the image in base64, `pixels` JSON with its pixels. --server gives flags to awsdet serve.
Clients, server and model share the cores of this machine. "CPU ms" is processor time per answer, of the server's
process and of the model's, which a busy machine affects least. An error is any answer but 200, or none.
"""

import argparse
import base64
import contextlib
import http.client
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import threading
import time
from typing import NamedTuple

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

import numpy as np
import psutil
from PIL import Image

from awsdet.cli.diagnosis import judge_processor
from awsdet.data.coco.shapes import draw_image
from awsdet.export.contract import find_whole
from awsdet.runtime.errors import UserError
from benchmarks import measure

HEADER = ["clients", "img/s", "ms p50", "p95", "p99", "errors", "server CPU ms", "model CPU ms"]
START_SECONDS = 300
WARM_SECONDS = 2.0
DRAWN = 96  # px, of the image that is drawn if none is given: that of `make train`


def main(flags):
    try:
        find_whole(flags.model, "savedmodel")
    except UserError as error:
        sys.exit(str(error))
    if flags.image and not flags.image.is_file():
        sys.exit(f"--image={flags.image} is no file")
    processor = judge_processor(pathlib.Path("/proc/cpuinfo").read_text(), len(os.sched_getaffinity(0))).value
    print(f"{processor}; load average at the start: {os.getloadavg()[0]:.1f}")
    with tempfile.TemporaryDirectory() as folder:
        image = (flags.image or drawn(pathlib.Path(folder) / "drawn.jpg")).resolve()
        direct = measure.run(
            ["benchmarks/systems/exported_model.py"]
            + [f"--model={pathlib.Path(flags.model).resolve()}", f"--image={image}", f"--request={flags.request}"]
        )
        body = body_of(image, flags.request)
    print(f"{flags.request}: {len(body)} bytes per request, {direct['objects']} objects per image")
    with server(flags.model, flags.server) as running:
        loads = [load(running, body, clients, flags.seconds) for clients in flags.clients]
    measure.table([direct_row(direct), *map(row, loads)], HEADER)
    measure.write_json(
        flags.json, {"processor": processor, "direct": direct, "loads": [one._asdict() for one in loads]}
    )


def drawn(path):
    """Writes an image of the built-in shapes. Returns its path."""
    Image.fromarray(draw_image(DRAWN, np.random.default_rng(0))[0]).save(path, quality=95)
    return path


def body_of(path, request):
    """The body of a request for the image in a file."""
    if request == "encoded":
        return json.dumps({"instances": [{"b64": base64.b64encode(path.read_bytes()).decode()}]}).encode()
    with Image.open(path) as image:
        pixels = np.asarray(image.convert("RGB")).tolist()
    return json.dumps({"signature_name": "pixels", "instances": [pixels]}).encode()


class Running(NamedTuple):
    """A server that is ready. path: of its model's predictions. processes: its own, and that of its model."""

    port: int
    path: str
    processes: tuple[psutil.Process, psutil.Process]


@contextlib.contextmanager
def server(model, flags):
    """A context with a Running server of a model."""
    command = [sys.executable, "-m", "awsdet.cli.main", "serve", f"--model={model}", "--port=0", *flags]
    environment = {**os.environ, **measure.ENVIRONMENT, "PYTHONPATH": str(measure.ROOT)}
    with tempfile.TemporaryFile("w+") as log, subprocess.Popen(command, stderr=log, env=environment) as process:
        try:
            yield wait_until_ready(process, log)
        finally:
            process.send_signal(signal.SIGTERM)


def wait_until_ready(process, log):
    """The Running server; ends this program with the server's words if there is none."""
    until, port, health = time.monotonic() + START_SECONDS, None, {}
    while health.get("state") != "ready":
        log.seek(0)
        said = log.read()
        if process.poll() is not None or time.monotonic() > until:
            sys.exit(f"the server is not ready:\n{said[-2000:]}")
        if port is None and "http://127.0.0.1:" in said:
            port = int(said.partition("http://127.0.0.1:")[2].partition("/")[0])
        if port:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=START_SECONDS)
            connection.request("GET", "/health")
            health = json.loads(connection.getresponse().read())
            connection.close()
        time.sleep(0.1)
    processes = psutil.Process(process.pid), psutil.Process(health["process"])
    return Running(port, f"/v1/models/{health['model']}:predict", processes)


class Load(NamedTuple):
    """What so many clients saw. latencies: seconds of each answer. errors: what -> how often. seconds: in which all
    this was. cpu: seconds of the server's process and of the model's."""

    clients: int
    latencies: list[float]
    errors: dict[str, int]
    seconds: float
    cpu: tuple[float, float]


def load(running, body, clients, seconds):
    """Sends requests from so many clients for so long, after a warm-up. Returns Load."""
    send_from_all(running, body, clients, WARM_SECONDS)
    before, begin = cpu_seconds(running), time.perf_counter()
    answers = send_from_all(running, body, clients, seconds)
    took, after = time.perf_counter() - begin, cpu_seconds(running)
    errors = {}
    for _, error in answers:
        if error:
            errors[error] = errors.get(error, 0) + 1
    latencies = [latency for latency, error in answers if not error]
    return Load(clients, latencies, errors, took, tuple(end - start for start, end in zip(before, after)))


def cpu_seconds(running):
    return [sum(process.cpu_times()[:2]) for process in running.processes]


def send_from_all(running, body, clients, seconds):
    """[(seconds until the answer, "" or what was wrong)] of all requests of all clients."""
    until, answers = time.perf_counter() + seconds, []
    threads = [threading.Thread(target=send, args=(running, body, until, answers)) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answers


def send(running, body, until, answers):
    """One client: requests one after the other until that time."""
    connection = http.client.HTTPConnection("127.0.0.1", running.port, timeout=START_SECONDS)
    while (begin := time.perf_counter()) < until:
        try:
            connection.request("POST", running.path, body, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            answer.read()
            error = "" if answer.status == 200 else f"status {answer.status}"
        except (OSError, http.client.HTTPException) as failure:
            connection.close()
            error = type(failure).__name__
        answers.append((time.perf_counter() - begin, error))
    connection.close()


def direct_row(direct):
    times, cpu = np.array(direct["seconds"]), 1e3 * np.median(direct["cpu_seconds"])
    return ["no server", f"{len(times) / times.sum():.1f}", *percentiles(times), "0", "", f"{cpu:.1f}"]


def row(load):
    count = len(load.latencies)
    if not count:
        return [load.clients, "0", "", "", "", say_errors(load), "", ""]
    cpu = [f"{1e3 * seconds / count:.1f}" for seconds in load.cpu]
    rate = f"{count / load.seconds:.1f}"
    return [load.clients, rate, *percentiles(load.latencies), say_errors(load), *cpu]


def percentiles(times):
    return [f"{1e3 * np.percentile(times, share):.0f}" for share in (50, 95, 99)]


def say_errors(load):
    return ", ".join(f"{number} x {what}" for what, number in sorted(load.errors.items())) or "0"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", required=True, help="what awsdet export wrote")
    parser.add_argument("--image", type=pathlib.Path, help="the image of all requests; without it, one is drawn")
    parser.add_argument("--request", choices=("encoded", "pixels"), default="encoded")
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 4, 16, 64])
    parser.add_argument("--seconds", type=float, default=10.0, help="for each number of clients")
    parser.add_argument(
        "--server", action="append", default=[], help="a flag of awsdet serve, such as --server=--max-waiting=8"
    )
    parser.add_argument("--json", help="also write all figures to this file")
    main(parser.parse_args())
