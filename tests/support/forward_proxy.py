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
    """Forwards one request, or one tunnel, per connection."""

    user: str = "scout"
    password: str = field(default_factory=lambda: secrets.token_hex(8))

    @property
    def address(self) -> str:
        """Its URL with the user."""
        return f"http://{self.user}@127.0.0.1:{self.port}"

    def _respond(self, connection: socket.socket, request: Request) -> None:
        credentials = base64.b64encode(f"{self.user}:{self.password}".encode()).decode()
        if request.headers.get("proxy-authorization") != f"Basic {credentials}":
            connection.sendall(answer(status=407))
            return
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
            back = threading.Thread(target=self._pump, args=(server, connection), daemon=True)
            back.start()
            self._pump(connection, server)
            back.join()

    @staticmethod
    def _pump(source: socket.socket, to: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while piece := source.recv(65536):
                to.sendall(piece)
            to.shutdown(socket.SHUT_WR)
