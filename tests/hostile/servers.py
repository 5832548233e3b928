"""A hostile server: one trick on its own port."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress

from hostile.trick import Asked, Tls, Trick
from support.process import free_port, listener


class Hostile:
    """Runs one trick on its own port for every client that connects."""

    def __init__(self, trick: Trick, tls: Tls) -> None:
        self.trick, self.tls = trick, tls
        self.accepted = 0  # TCP connections
        self.port = free_port()
        self.sockets = [listener(self.port)]
        threading.Thread(target=self._serve, daemon=True).start()
        if trick.answer:
            self.sockets.append(self._datagrams())
            threading.Thread(target=self._answer, daemon=True).start()

    def close(self) -> None:
        for each in self.sockets:
            with suppress(OSError):  # the error of a socket without a peer
                each.shutdown(socket.SHUT_RDWR)  # wakes the thread that waits on it
            each.close()

    def _datagrams(self) -> socket.socket:
        made = socket.socket(type=socket.SOCK_DGRAM)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind(("127.0.0.1", self.port))
        return made

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self.sockets[0].accept()
                self.accepted += 1
                threading.Thread(target=self._converse, args=(connection,), daemon=True).start()

    def _converse(self, connection: socket.socket) -> None:
        with suppress(OSError, IndexError), connection:
            if self.trick.act:
                self.trick.act(connection, self.tls)
                return
            while size := connection.recv(2, socket.MSG_WAITALL):
                query = connection.recv(int.from_bytes(size, "big"), socket.MSG_WAITALL)
                self.trick.ask(Asked(query, connection))

    def _answer(self) -> None:
        with suppress(OSError):
            while True:
                query, peer = self.sockets[1].recvfrom(4096)
                if not query:
                    return
                threading.Thread(target=self._send, args=(query, peer), daemon=True).start()

    def _send(self, query: bytes, peer: tuple[str, int]) -> None:
        # The socket reports the end of the connection only with a single client.
        with suppress(OSError), self._datagrams() as connected:
            connected.connect(peer)
            self.trick.ask(Asked(query, connected))
