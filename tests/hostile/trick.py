"""The definition of a trick, and common parts of the servers."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from hostile import openssl
from support.certificates import Authority, Certificate

USER, PASSWORD = "monitor", {"env": "HOSTILE_PASSWORD"}


class Tls:
    """The certificates and TLS contexts of the servers, each created on first use."""

    def __init__(self, authority: Authority) -> None:
        self.authority = authority

    @cached_property
    def certificate(self) -> Certificate:
        return self.authority.issue("hostile.test")

    @cached_property
    def context(self) -> ssl.SSLContext:
        context = self.context_of(self.certificate.path, self.certificate.key)
        context.set_alpn_protocols(["h2"])
        return context

    @staticmethod
    def context_of(certificate: Path, key: Path) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        return context

    def accept(self, connection: socket.socket, newest: int = 0) -> openssl.Connection:
        """TLS with features of OpenSSL that the module ssl does not offer."""
        certificate = self.certificate
        return openssl.Connection(connection, certificate.path, certificate.key, newest)


Act = Callable[[socket.socket, Tls], None]


class Asked:
    """A query to a name server, with the return path for responses."""

    def __init__(self, query: bytes, connection: socket.socket) -> None:
        self.query, self.connection = query, connection
        self.tcp = connection.type == socket.SOCK_STREAM

    def send(self, message: bytes) -> None:
        self.connection.sendall(
            len(message).to_bytes(2, "big") + message if self.tcp else message
        )


Answer = Callable[[Asked], None]


@dataclass(frozen=True)
class Trick:
    """A server that calls `act` for each connection, or `answer` for each DNS query, and the
    configuration of its probe without the address. By default this is a `url` with this scheme and
    suffix."""

    kind: str
    act: Act | None = None
    scheme: str = ""
    suffix: str = ""
    options: dict[str, Any] = field(default_factory=dict)
    answer: Answer | None = None

    def probe(self, name: str, port: int, authority: Path) -> dict[str, Any]:
        probe = {"name": name, "kind": self.kind, **self.options}
        host = f"{name}.test" if self.answer and self.kind != "dns" else "127.0.0.1"
        at = f"{host}:{port}"
        match self.kind:
            case "dns":
                probe |= {"server": at, "query": "hostile.test"}
            case "certificate":
                probe |= {"endpoint": at, "tls": {"ca": str(authority)}}
            case "backup":
                keys = {"access_key": PASSWORD, "secret_key": PASSWORD}
                probe["s3"] = {"bucket": "backups", "endpoint": f"http://{at}", **keys}
            case "http" | "relay":
                probe["url"] = f"{self.scheme}://{at}/{self.suffix}"
            case _:
                probe |= {"url": f"{self.scheme}://{USER}@{at}/{self.suffix}", "password": PASSWORD}
        return probe

    def ask(self, asked: Asked) -> None:
        assert self.answer
        with suppress(OSError):
            self.answer(asked)


def flood(connection: socket.socket, begin: bytes, piece: bytes) -> None:
    connection.recv(4096)
    connection.sendall(begin)
    many = piece * (65536 // len(piece))
    while True:
        connection.sendall(many)


def answer(body: bytes, status: int = 200) -> bytes:
    return f"HTTP/1.1 {status} Scripted\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body
