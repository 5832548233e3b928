"""What hostile servers do, by protocol: one function a trick, which gets an accepted connection. Add
the next trick here, and its probe to TRICKS."""

from __future__ import annotations

import gzip
import itertools
import socket
import ssl
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Act = Callable[[socket.socket, ssl.SSLContext], None]


@dataclass(frozen=True)
class Trick:
    """A server that does `act`, and the options of the probe that meets it, but for where it is."""

    act: Act
    kind: str
    scheme: str
    suffix: str = ""
    options: tuple[tuple[str, Any], ...] = ()

    def probe(self, name: str, port: int) -> dict[str, Any]:
        user = "" if self.kind == "http" else "monitor@"
        url = f"{self.scheme}://{user}127.0.0.1:{port}/{self.suffix}"
        return {"name": name, "kind": self.kind, "url": url, **dict(self.options)}


# ---- PostgreSQL ---------------------------------------------------------------------------------


def message(kind: bytes, payload: bytes) -> bytes:
    return kind + struct.pack(">I", len(payload) + 4) + payload


def authentication(code: int, rest: bytes = b"") -> bytes:
    return message(b"R", struct.pack(">I", code) + rest)


def scram(connection: socket.socket, rounds: int) -> None:
    """Asks for a hash that takes the client hours."""
    connection.recv(4096)
    connection.sendall(authentication(10, b"SCRAM-SHA-256\0\0"))
    nonce = connection.recv(4096).split(b"r=")[1]
    challenge = b"r=" + nonce + b"server,s=c2FsdA==,i=" + str(rounds).encode()
    connection.sendall(authentication(11, challenge))
    connection.recv(4096)


def scram_in_the_clear(connection: socket.socket, _: ssl.SSLContext) -> None:
    scram(connection, 2**31 - 1)


def scram_under_tls(connection: socket.socket, tls: ssl.SSLContext) -> None:
    connection.recv(8)
    connection.sendall(b"S")
    with tls.wrap_socket(connection, server_side=True) as secure:
        scram(secure, 2**31 - 1)


def flood(connection: socket.socket, begin: bytes, piece: bytes) -> None:
    connection.recv(4096)
    connection.sendall(begin)
    many = piece * (65536 // len(piece))
    while True:
        connection.sendall(many)


def password_requests(connection: socket.socket, _: ssl.SSLContext) -> None:
    flood(connection, b"", authentication(5, b"salt"))


def error_without_end(connection: socket.socket, _: ssl.SSLContext) -> None:
    flood(connection, b"E", b"x")


def parameters(connection: socket.socket, _: ssl.SSLContext) -> None:
    """Each one of another name, for which the client searches all that it has."""
    connection.recv(4096)
    connection.sendall(authentication(0))
    for number in itertools.count():
        connection.sendall(message(b"S", f"p{number}\0x\0".encode()))


# ---- Redis --------------------------------------------------------------------------------------


def line_without_end(connection: socket.socket, _: ssl.SSLContext) -> None:
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    flood(connection, b"+", b"x")


def array_of_arrays(connection: socket.socket, _: ssl.SSLContext) -> None:
    flood(connection, b"", b"*1\r\n")


# ---- HTTP ---------------------------------------------------------------------------------------


def compressed_four_times(connection: socket.socket, _: ssl.SSLContext) -> None:
    body = bytes(10 << 20)
    for _round in range(4):
        body = gzip.compress(body)
    connection.recv(4096)
    coding = ", ".join(["gzip"] * 4)
    head = f"HTTP/1.1 200 OK\r\nContent-Encoding: {coding}\r\nContent-Length: {len(body)}\r\n\r\n"
    connection.sendall(head.encode() + body)


def headers_without_end(connection: socket.socket, _: ssl.SSLContext) -> None:
    flood(connection, b"HTTP/1.1 200 OK\r\n", b"X-More: x\r\n")


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    head = struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream)
    return head + payload


def empty_frames(connection: socket.socket, tls: ssl.SSLContext) -> None:
    """HTTP/2 (RFC 9113): DATA without data, for which a client may wait inside its library."""
    with tls.wrap_socket(connection, server_side=True) as secure:
        secure.recv(4096)
        secure.sendall(frame(4, 0, 0) + frame(4, 1, 0) + frame(1, 4, 1, b"\x88"))  # :status 200
        many = frame(0, 0, 1) * 1800
        while True:
            secure.sendall(many)


UNVERIFIED = ("tls", {"verify": False})

TRICKS = {
    "pg-scram": Trick(scram_in_the_clear, "postgres", "postgresql", "app?sslmode=disable"),
    "pg-scram-tls": Trick(scram_under_tls, "postgres", "postgresql", "app?sslmode=require"),
    "pg-passwords": Trick(password_requests, "postgres", "postgresql", "app?sslmode=disable"),
    "pg-error": Trick(error_without_end, "postgres", "postgresql", "app?sslmode=disable"),
    "pg-parameters": Trick(parameters, "postgres", "postgresql", "app?sslmode=disable"),
    "redis-line": Trick(line_without_end, "redis", "redis"),
    "redis-arrays": Trick(array_of_arrays, "redis", "redis"),
    "http-gzip": Trick(compressed_four_times, "http", "http"),
    "http-headers": Trick(headers_without_end, "http", "http"),
    "http-frames": Trick(empty_frames, "http", "https", "", (("http2", True), UNVERIFIED)),
}
