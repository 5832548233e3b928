"""A machine with a Kerberos account, whose name servers do not respond."""

from __future__ import annotations

import random
import socket
import struct
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

REALM = "SILENT.TEST"
AES256 = 18


def _counted(text: str) -> bytes:
    return struct.pack(">H", len(text)) + text.encode()


def keytab(principal: str) -> bytes:
    """Returns the account's key in MIT's format."""
    key = bytes(32)
    entry = struct.pack(">H", 1) + _counted(REALM) + _counted(principal)
    entry += struct.pack(">IIBHH", 1, 0, 1, AES256, len(key)) + key
    return b"\x05\x02" + struct.pack(">i", len(entry)) + entry


class SilentNames:
    """A place (support.process) where the C library asks a name server that does not respond. The
    realm names no server, so that Kerberos asks for one."""

    def __init__(self, directory: Path) -> None:
        self.queries = 0
        self._socket = socket.socket(type=socket.SOCK_DGRAM)
        self._bind()
        threading.Thread(target=self._receive, daemon=True).start()
        resolv_conf = directory / "resolv.conf"
        resolv_conf.write_text(f"nameserver {self._socket.getsockname()[0]}\n")
        configuration, key = directory / "krb5.conf", directory / "client.keytab"
        configuration.write_text(f"[libdefaults]\ndefault_realm = {REALM}\ndns_lookup_kdc = true\n")
        key.write_bytes(keytab("vitalsd"))
        self.environment = {
            "KRB5_CONFIG": str(configuration),
            "KRB5_CLIENT_KTNAME": f"FILE:{key}",
            "KRB5CCNAME": f"FILE:{directory}/tickets",
        }
        script = f'mount --bind {resolv_conf} /etc/resolv.conf && exec "$@"'
        self.enter: Sequence[str] = ["unshare", "--mount", "sh", "-c", script, "sh"]

    def forward(self, port: int) -> None:
        """Its loopback interface is that of this machine."""

    def listener(self, port: int) -> socket.socket:
        return socket.create_server(("127.0.0.1", port))

    def close(self) -> None:
        with suppress(OSError):  # the error of a socket without a peer
            self._socket.shutdown(socket.SHUT_RDWR)  # wakes the thread that waits on it
        self._socket.close()

    def _bind(self) -> None:
        """The C library asks port 53 only. Other sessions may use the same addresses."""
        for _ in range(100):
            address = "127." + ".".join(str(random.randint(1, 254)) for _ in range(3))
            with suppress(OSError):
                self._socket.bind((address, 53))
                return
        raise OSError("no loopback address has a free port 53")

    def _receive(self) -> None:
        with suppress(OSError):
            while self._socket.recv(4096):
                self.queries += 1
