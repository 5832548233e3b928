"""The sockets of scripted servers, which handle each connection on a thread of its own."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable


def serve(listener: socket.socket, converse: Callable[[socket.socket], None]) -> None:
    """Calls `converse` for each connection, until the listener is stopped. Returns at once."""

    def accept() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=converse, args=(connection,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()


def stop(listener: socket.socket) -> None:
    """Closes the listener, unless it is closed."""
    if listener.fileno() < 0:
        return
    listener.shutdown(socket.SHUT_RDWR)  # wakes the thread that waits on it
    listener.close()
