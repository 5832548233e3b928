"""An HTTP server whose answers a test writes itself, to the byte: encoded, cut off, senseless.

One request a connection, each in a thread.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from support.process import free_port, listener


@dataclass(frozen=True)
class Request:
    method: str
    target: str
    headers: dict[str, str]  # names in lower case
    body: bytes


def answer(body: bytes | str = b"", status: int = 200, **headers: str) -> bytes:
    """A whole answer; a header's name has _ for -."""
    content = body.encode() if isinstance(body, str) else body
    lines = [f"HTTP/1.1 {status} Scripted", f"Content-Length: {len(content)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + content


@dataclass
class HttpPeer:
    """Answers by path with the bytes in `answers`, or what a function there makes of the request;
    with an empty 404 what is not there. Then it closes the connection."""

    answers: dict[str, bytes | Callable[[Request], bytes]] = field(default_factory=dict)
    requests: list[Request] = field(default_factory=list)
    port: int = field(default_factory=free_port)

    def __post_init__(self) -> None:
        self._listener = listener(self.port)
        threading.Thread(target=self._serve, daemon=True).start()

    def url(self, path: str = "/") -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)  # wakes the thread that waits on it
        self._listener.close()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._converse, args=(connection,), daemon=True).start()

    def _converse(self, connection: socket.socket) -> None:
        with connection, connection.makefile("rb") as stream:
            try:
                method, target, _ = stream.readline().decode().split(" ", 2)
                headers = {}
                while (line := stream.readline().decode().strip()) != "":
                    name, value = line.split(":", 1)
                    headers[name.lower()] = value.strip()
                body = stream.read(int(headers.get("content-length", 0)))
                request = Request(method, target, headers, body)
                self.requests.append(request)
                reply = self.answers.get(target.split("?")[0], answer(status=404))
                connection.sendall(reply(request) if callable(reply) else reply)
            except (OSError, ValueError):
                pass  # the peer has gone
