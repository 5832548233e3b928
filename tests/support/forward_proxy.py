"""An HTTP proxy that requires credentials: CONNECT, and requests with absolute URLs."""

from __future__ import annotations

import base64
import contextlib
import secrets
import socket
import threading
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from support.http_peer import HttpPeer, Request, answer


@dataclass
class ForwardProxy(HttpPeer):
    """Forwards one request, or one tunnel, per connection, in a mode that can be changed at any time:

    ok      forwards
    refuse  responds with `status`
    hang    does not respond
    close   closes the connection without a response
    cut     closes the connection after `limit` bytes from the target
    garbage responds with something that is not HTTP
    """

    user: str = "scout"
    password: str = field(default_factory=lambda: secrets.token_hex(8))
    mode: str = "ok"
    status: int = 503
    limit: int = 10

    @property
    def address(self) -> str:
        """Its URL with the user."""
        return f"http://{self.user}@{self.endpoint}"

    def _respond(self, connection: socket.socket, request: Request) -> None:
        credentials = base64.b64encode(f"{self.user}:{self.password}".encode()).decode()
        if request.headers.get("proxy-authorization") != f"Basic {credentials}":
            connection.sendall(answer(status=407))
        elif self.mode == "refuse":
            connection.sendall(answer(status=self.status))
        elif self.mode == "hang":
            connection.recv(1)  # returns when the client closes the connection
        elif self.mode == "garbage":
            connection.sendall(b"\x00\xff\x13 this is no protocol \r\n\r\n" * 4)
        elif self.mode in ("ok", "cut"):
            self._forward(connection, request, self.limit if self.mode == "cut" else None)

    def _forward(self, connection: socket.socket, request: Request, limit: int | None) -> None:
        tunnels = request.method == "CONNECT"
        url = urlsplit(f"//{request.target}" if tunnels else request.target)
        with socket.create_connection((url.hostname, url.port), timeout=60) as server:
            if tunnels:
                connection.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            else:
                path = url.path + (f"?{url.query}" if url.query else "")
                lines = [f"{request.method} {path} HTTP/1.1", "Connection: close"]
                lines += [f"{name}: {value}" for name, value in request.headers.items()]
                server.sendall("\r\n".join([*lines, "", ""]).encode() + request.body)
            back = threading.Thread(
                target=self._pump, args=(server, connection, limit), daemon=True
            )
            back.start()
            self._pump(connection, server)
            back.join()

    @staticmethod
    def _pump(source: socket.socket, to: socket.socket, limit: int | None = None) -> None:
        """Passes all bytes on or, with a limit, the first bytes only."""
        with contextlib.suppress(OSError):
            while piece := source.recv(limit or 65536):
                to.sendall(piece)
                if limit:
                    break
            to.shutdown(socket.SHUT_WR)
