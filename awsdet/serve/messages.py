"""What the server and the process of its model send each other: JSON, and arrays as their bytes, over a socket.

8 bytes   the length of the header, the largest digit first
header    {"kind": …, …, "arrays": [[name, dtype, shape, lengths], …]} as JSON
bytes     of the arrays one after the other; lengths has one entry, or for dtype "bytes" one per string
"""

import json
import math
import socket
import struct
from typing import Any

import numpy as np

_LENGTH = struct.Struct(">Q")
BYTES = "bytes"


def send(sock: socket.socket, kind: str, arrays: dict[str, np.ndarray] | None = None, **content: Any) -> None:
    """Sends a message. content: what JSON takes; arrays: of numbers, or of bytes (dtype object). Raises OSError."""
    listed, parts = [], []
    for name, array in (arrays or {}).items():
        if array.dtype == object:
            strings = array.ravel().tolist()
            listed.append([name, BYTES, array.shape, [len(string) for string in strings]])
            parts += strings
        else:
            listed.append([name, array.dtype.str, array.shape, [array.nbytes]])
            parts.append(memoryview(np.ascontiguousarray(array).reshape(-1)).cast("B") if array.size else b"")
    header = json.dumps({"kind": kind, **content, "arrays": listed}).encode()
    sock.sendall(_LENGTH.pack(len(header)) + header)
    for part in parts:
        sock.sendall(part)


def receive(sock: socket.socket) -> tuple[str, dict, dict[str, np.ndarray]]:
    """The next message: (kind, content, arrays). Raises EOFError if the other side closed, TimeoutError, OSError."""
    header = json.loads(bytes(_exactly(sock, _LENGTH.unpack(_exactly(sock, _LENGTH.size))[0])))
    arrays = {}
    for name, dtype, shape, lengths in header.pop("arrays"):
        data = [_exactly(sock, length) for length in lengths]
        if dtype == BYTES:
            array = np.empty(math.prod(shape), object)
            array[:] = [bytes(string) for string in data]
        else:
            array = np.frombuffer(data[0], dtype)
        arrays[name] = array.reshape(shape)
    return header.pop("kind"), header, arrays


def _exactly(sock, length):
    data = bytearray(length)
    view, filled = memoryview(data), 0
    while filled < length:
        count = sock.recv_into(view[filled:])
        if count == 0:
            raise EOFError("the other side has closed the connection")
        filled += count
    return data
