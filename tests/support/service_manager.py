"""The notification socket of a service manager, without systemd."""

from __future__ import annotations

import select
import socket
import time
from pathlib import Path


class ServiceManager:
    def __init__(self, address: str) -> None:
        """Listens on a path, or in the abstract namespace if the path starts with @."""
        self.address = address
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(address.replace("@", "\0", 1) if address[0] == "@" else address)
        self.received: list[dict[str, str]] = []

    @classmethod
    def at(cls, directory: Path) -> ServiceManager:
        return cls(str(directory / "notify"))

    def close(self) -> None:
        self._socket.close()

    def hear(self, key: str, *, deadline: float = 60) -> dict[str, str]:
        """Waits for the next message that contains this word and ignores other messages."""
        end = time.monotonic() + deadline
        while select.select([self._socket], [], [], max(0, end - time.monotonic()))[0]:
            lines = self._socket.recv(65536).decode().splitlines()
            self.received.append(dict(line.split("=", 1) for line in lines))
            if key in self.received[-1]:
                return self.received[-1]
        raise AssertionError(f"{key} was not reported; received: {self.received[-20:]}")

    def is_silent(self, seconds: float) -> bool:
        """Discards earlier messages, then returns whether no message arrives within that time."""
        while select.select([self._socket], [], [], 0)[0]:
            self._socket.recv(65536)
        return not select.select([self._socket], [], [], seconds)[0]
