"""An HTTP server whose responses a test defines byte by byte: encoded, truncated or invalid.

It handles one request per connection, each in a separate thread.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import BinaryIO

from support.process import free_port, listener
from support.serving import serve, stop


@dataclass(frozen=True)
class Request:
    method: str
    target: str
    headers: dict[str, str]  # with lower-case names
    body: bytes


def read_request(stream: BinaryIO) -> Request:
    """Reads one request. Raises ValueError for an invalid or incomplete one."""
    method, target, _ = stream.readline().decode().split(" ", 2)
    headers = {}
    while (line := stream.readline().decode().strip()) != "":
        name, value = line.split(":", 1)
        headers[name.lower()] = value.strip()
    return Request(method, target, headers, stream.read(int(headers.get("content-length", 0))))


def answer(body: bytes | str = b"", status: int = 200, **headers: str) -> bytes:
    """Returns a complete response. In header names, _ stands for -."""
    content = body.encode() if isinstance(body, str) else body
    lines = [f"HTTP/1.1 {status} Scripted", f"Content-Length: {len(content)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + content


@dataclass
class HttpPeer:
    """Responds by path with the bytes in `answers`, or with the result of a function of the
    request. For other paths it responds with an empty 404. Then it closes the connection."""

    answers: dict[str, bytes | Callable[[Request], bytes]] = field(default_factory=dict)
    requests: list[Request] = field(default_factory=list)
    port: int = field(default_factory=free_port)
    host: str = "127.0.0.1"

    def __post_init__(self) -> None:
        self._listener = listener(self.port, self.host)
        serve(self._listener, self._converse)

    @property
    def endpoint(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    def url(self, path: str = "/") -> str:
        return f"http://{self.endpoint}{path}"

    def close(self) -> None:
        stop(self._listener)

    def _converse(self, connection: socket.socket) -> None:
        with connection, connection.makefile("rb") as stream:
            with contextlib.suppress(OSError, ValueError):  # the client has closed the connection
                request = read_request(stream)
                self.requests.append(request)
                self._respond(connection, request)

    def _respond(self, connection: socket.socket, request: Request) -> None:
        reply = self.answers.get(request.target.split("?")[0], answer(status=404))
        connection.sendall(reply(request) if callable(reply) else reply)
