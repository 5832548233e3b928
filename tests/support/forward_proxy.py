"""An HTTP proxy that requires credentials: CONNECT, and requests with absolute URLs."""

from __future__ import annotations

import base64
import contextlib
import secrets
import socket
import threading
from urllib.parse import urlsplit

from support.process import free_port, listener
from support.serving import serve, stop


class ForwardProxy:
    """Serves each connection in a separate thread. `heads` are the received request headers."""

    user = "scout"

    def __init__(self) -> None:
        self.port = free_port()
        self.password = secrets.token_hex(8)
        self.heads: list[str] = []
        self._listener = listener(self.port)
        serve(self._listener, self._converse)

    @property
    def url(self) -> str:
        return f"http://{self.user}@127.0.0.1:{self.port}"

    def close(self) -> None:
        stop(self._listener)

    def _converse(self, client: socket.socket) -> None:
        with client, contextlib.suppress(OSError):
            head = b""
            while b"\r\n\r\n" not in head:
                head += client.recv(65536)
            lines = head.decode().split("\r\n")
            self.heads.append(head.decode())
            credentials = base64.b64encode(f"{self.user}:{self.password}".encode()).decode()
            if f"Proxy-Authorization: Basic {credentials}" not in lines:
                refusal = b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n"
                client.sendall(refusal)
                return
            method, target, version = lines[0].split(" ")
            url = urlsplit(f"//{target}" if method == "CONNECT" else target)
            with socket.create_connection((url.hostname, url.port), timeout=5) as server:
                if method == "CONNECT":
                    client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
                else:
                    lines[0] = f"{method} {url.path} {version}"
                    server.sendall("\r\n".join(lines).encode())
                back = threading.Thread(target=self._pump, args=(server, client), daemon=True)
                back.start()
                self._pump(client, server)
                back.join()

    @staticmethod
    def _pump(source: socket.socket, to: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while piece := source.recv(65536):
                to.sendall(piece)
            to.shutdown(socket.SHUT_WR)
