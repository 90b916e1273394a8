"""The server as a whole: a model, a service, a transport, from the start until a signal or a failure."""

import signal
import threading
import time
from collections.abc import Callable

from absl import logging

from awsdet.runtime.errors import UserError
from awsdet.serve.limits import Limits
from awsdet.serve.model import Model
from awsdet.serve.service import Service
from awsdet.serve.transport import Server

_GRACE_SECONDS = 25.0  # for requests that run when the server is stopped; SageMaker kills after 30
_LOOK_SECONDS = 0.05


def serve(folder: str, name: str, host: str, port: int, limits: Limits, tell: Callable[[str], None]) -> int:
    """Serves a model until SIGTERM or Ctrl-C, then finishes the requests that run. Call it from the main thread.

    Args:
        folder: of an exported model, with saved_model.pb in it.
        name: of the model in addresses; empty: the one in its awsdet.json.
        host, port: where to listen; port 0: one that is free.
        limits: Limits.
        tell: gets the line that says where the server listens, and the one that says why it ended by itself.

    Returns the exit code. Raises UserError if the address cannot be had.
    """
    signals, ends = [], []

    def signalled(number, frame):
        if signals:  # a second one: whoever sent it does not want to wait
            raise KeyboardInterrupt
        signals.append(number)

    model = Model(folder, limits, lambda line, code: ends.append((line, code)))
    service = Service(model, limits, name)
    try:
        server = Server(host, port, service, limits)
    except (OSError, OverflowError) as error:
        words = getattr(error, "strerror", None) or error
        raise UserError(
            f"the server cannot listen at {host}:{port}: {words}; give another --host or --port, or end the program "
            "that listens there"
        ) from None
    before = {number: signal.signal(number, signalled) for number in (signal.SIGTERM, signal.SIGINT)}
    thread = threading.Thread(target=server.serve_forever, daemon=True, name="serve-accept")
    try:
        model.start()
        thread.start()
        tell(f"loading {folder}; the server is at http://{_address(host, server.server_address[1])}/")
        while not signals and not ends:
            time.sleep(_LOOK_SECONDS)
        failed = list(ends)  # to close a model while it loads looks like a failure of it
        service.stopping = True
        server.shutdown()
        server.server_close()
        if not failed:
            _finish(server)
        model.close()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    for line, code in failed:
        tell(line)
        return code
    logging.info("stopped")
    return 0


def _finish(server):
    """Waits for the requests that run."""
    until = time.monotonic() + _GRACE_SECONDS
    logging.info("stopping; %d requests are being answered", server.active)
    while server.active and time.monotonic() < until:
        time.sleep(_LOOK_SECONDS)
    if server.active:
        logging.warning("%d requests were not answered within %.0f s", server.active, _GRACE_SECONDS)


def _address(host, port):
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
