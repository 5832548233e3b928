"""HTTP, JSON bodies, the API of Prometheus, and pages of metrics."""

from __future__ import annotations

import gzip
import itertools
import socket
import struct
import zlib
from collections.abc import Callable, Iterator

from hostile.trick import Act, Tls, Trick, answer, flood

# ---- HTTP ---------------------------------------------------------------------------------------


def compressed_four_times(connection: socket.socket, _: Tls) -> None:
    body = bytes(10 << 20)
    for _round in range(4):
        body = gzip.compress(body)
    connection.recv(4096)
    coding = ", ".join(["gzip"] * 4)
    head = f"HTTP/1.1 200 OK\r\nContent-Encoding: {coding}\r\nContent-Length: {len(body)}\r\n\r\n"
    connection.sendall(head.encode() + body)


def headers_without_end(connection: socket.socket, _: Tls) -> None:
    flood(connection, b"HTTP/1.1 200 OK\r\n", b"X-More: x\r\n")


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    head = struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream)
    return head + payload


def empty_frames(connection: socket.socket, tls: Tls) -> None:
    """HTTP/2 (RFC 9113): empty DATA frames. A client may wait inside its library for data."""
    with tls.context.wrap_socket(connection, server_side=True) as secure:
        secure.recv(4096)
        secure.sendall(frame(4, 0, 0) + frame(4, 1, 0) + frame(1, 4, 1, b"\x88"))  # :status 200
        many = frame(0, 0, 1) * 1800
        while True:
            secure.sendall(many)


UNVERIFIED = {"tls": {"verify": False}}

HTTP = {
    "http-gzip": Trick("http", compressed_four_times, "http"),
    "http-headers": Trick("http", headers_without_end, "http"),
    "http-frames": Trick("http", empty_frames, "https", "", {"http2": True, **UNVERIFIED}),
}

# ---- JSON ---------------------------------------------------------------------------------------

LARGE = 1_000_000  # bytes, less than the 1 MiB that a probe reads by default


def reply(body: bytes) -> Act:
    def act(connection: socket.socket, _: Tls) -> None:
        connection.recv(4096)
        connection.sendall(answer(body))

    return act


def json(body: bytes) -> Trick:
    """The probe expects a value at /a."""
    return Trick("http", reply(body), "http", "", {"expect": {"json": {"/a": "1"}}})


def members(count: int) -> bytes:
    return b",".join(b'"%x":0' % number for number in range(count))


JSON = {
    "json-deep": json(b'{"a":' + b"[" * 100_000),
    "json-deep-objects": json(b'{"a":' * 100_000),
    "json-digits": json(b'{"a":' + b"9" * LARGE + b"}"),
    "json-fraction": json(b'{"a":0.' + b"0" * LARGE + b"1e999999}"),
    "json-text": json(b'{"a":"' + b"\\u20ac" * (LARGE // 6) + b'"}'),
    "json-same-keys": json(b'{"a":1,' + b'"a":0,' * 100_000 + b'"a":0}'),
    "json-keys": json(b'{"b":{' + members(95_000) + b"}}"),
    "json-not-utf8": json(b'{"a":"' + b"\xff" * LARGE + b'"}'),
}

# ---- the API of Prometheus ----------------------------------------------------------------------

Pieces = Callable[[], Iterator[bytes]]


def prometheus(path: bytes, pieces: Pieces) -> Trick:
    """Responds to requests of this path with pieces without end, and to others with 404."""

    def act(connection: socket.socket, _: Tls) -> None:
        if path not in connection.recv(4096).split(b" ", 2)[1]:
            connection.sendall(answer(b"404 page not found", 404))
            return
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        for piece in pieces():
            connection.sendall(piece)

    return Trick("prometheus", act, "http")


def after(begin: bytes, piece: bytes) -> Pieces:
    return lambda: itertools.chain([begin], itertools.repeat(piece * (65536 // len(piece))))


def new_lines(line: str) -> Pieces:
    """Sends sample lines with a different number in each line."""

    def pieces() -> Iterator[bytes]:
        for first in itertools.count(0, 1000):
            yield "".join(line % number for number in range(first, first + 1000)).encode()

    return pieces


TARGETS = b'{"status":"success","data":{"activeTargets":['
PROMETHEUS = {
    "prometheus-targets": prometheus(
        b"/targets", after(TARGETS, b'{"labels":{"job":"a"},"health":"down"},')
    ),
    "prometheus-jobs": prometheus(
        b"/targets",
        lambda: itertools.chain([TARGETS], new_lines('{"labels":{"job":"%d"}},')()),
    ),
    "prometheus-text": prometheus(b"/targets", after(b'{"status":"', b"x")),
    "prometheus-keys": prometheus(b"/targets", after(b'{"', b"x" * 1000 + b'":1,"')),
    "prometheus-deep": prometheus(b"/rules", after(b'{"a":', b"[")),
    "prometheus-line": prometheus(b"/metrics", after(b"prometheus_", b"x")),
    "prometheus-lines": prometheus(b"/metrics", after(b"", b"x 1\n")),
    "prometheus-alertmanagers": prometheus(
        b"/metrics", new_lines('prometheus_notifications_sent_total{alertmanager="%d"} 1\n')
    ),
}

# ---- pages of metrics ---------------------------------------------------------------------------


MOST = {"max_body": "1MB"}  # the default of other kinds; the test must not use up the CPU


def page(pieces: Pieces) -> Trick:
    """Responds with pieces without end."""

    def act(connection: socket.socket, _: Tls) -> None:
        connection.recv(4096)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4\r\n\r\n")
        for piece in pieces():
            connection.sendall(piece)

    return Trick("relay", act, "http", "metrics", MOST)


def compressed_page(body: bytes) -> Trick:
    """Responds with a compressed body that is sent again and again, as one stream."""

    def act(connection: socket.socket, _: Tls) -> None:
        connection.recv(4096)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n")
        compressor = zlib.compressobj(wbits=31)
        while True:
            connection.sendall(compressor.compress(body) + compressor.flush(zlib.Z_SYNC_FLUSH))

    return Trick("relay", act, "http", "metrics", MOST)


TYPES = b"".join(
    b"# TYPE t %s\nt 1\n" % word for word in (b"gauge", b"counter", b"histogram", b"summary")
)
RELAY = {
    "relay-line": page(after(b"x", b"x")),
    "relay-series": page(new_lines('s{n="%d"} 1\n')),
    "relay-families": page(new_lines("f%d 1\n")),
    "relay-types": page(after(b"", TYPES)),
    "relay-labels": page(after(b"l{", b'a="b",')),
    "relay-nul": page(after(b"", b"n\0 1\r\n")),
    "relay-buckets": page(
        lambda: itertools.chain(
            [b"# TYPE h histogram\n"], new_lines('h_bucket{le="%d"} 1\n')()
        )
    ),
    "relay-bomb": compressed_page(b"b 1\n" * (1 << 20)),
}
