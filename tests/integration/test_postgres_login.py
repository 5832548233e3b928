"""Which passwords kind postgres sends to a server that it cannot verify, at an address that is not
loopback. A scripted server requests them, because a real one cannot impersonate itself."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from typing import Any

import pytest

from support.process import unused_port
from support.vitalsd import Vitalsd, run

Daemon = Callable[..., Vitalsd]

SSL_REQUEST = 80877103
CLEARTEXT, MD5 = 3, 5
PASSWORD = "hunter22-hunter22"


def own_address(family: socket.AddressFamily) -> str:
    """Returns an address of this machine that is not loopback, or an empty string."""
    outside = "203.0.113.1" if family == socket.AF_INET else "2001:db8::1"
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((outside, 9))  # sends nothing
        except OSError:
            return ""
        return str(probe.getsockname()[0])


OUTSIDE = list(filter(None, map(own_address, (socket.AF_INET, socket.AF_INET6))))


class Impostor:
    """Refuses TLS, requests the password in one way, and records what it receives."""

    def __init__(self, address: str, method: int) -> None:
        self.method = method
        self.received: list[bytes] = []
        self.address, self.port = address, unused_port()
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self.socket = socket.create_server((address, self.port), family=family)
        threading.Thread(target=self._serve, daemon=True).start()

    def url(self, sslmode: str) -> str:
        host = f"[{self.address}]" if ":" in self.address else self.address
        return f"postgresql://monitor@{host}:{self.port}/app?sslmode={sslmode}"

    def close(self) -> None:
        with suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self.socket.accept()
                with suppress(OSError, struct.error), connection:
                    connection.settimeout(60)
                    self._log_in(connection)

    def _log_in(self, connection: socket.socket) -> None:
        while True:
            size, code = struct.unpack(">II", connection.recv(8, socket.MSG_WAITALL))
            if code != SSL_REQUEST:
                break
            connection.sendall(b"N")
        connection.recv(size - 8, socket.MSG_WAITALL)
        request = struct.pack(">I", self.method) + (b"salt" if self.method == MD5 else b"")
        connection.sendall(b"R" + struct.pack(">I", len(request) + 4) + request)
        if response := connection.recv(4096):
            self.received.append(response)


@pytest.fixture
def impostor() -> Iterator[Callable[[str, int], Impostor]]:
    made: list[Impostor] = []

    def make(address: str, method: int) -> Impostor:
        made.append(Impostor(address, method))
        return made[-1]

    yield make
    for each in made:
        each.close()


def db(url: str, **options: Any) -> dict[str, Any]:
    return {"name": "db", "kind": "postgres", "url": url, "password": {"env": "PW"}} | options


def test_this_machine_has_an_address() -> None:
    """Otherwise the tests below would test nothing."""
    assert OUTSIDE


@pytest.mark.parametrize("address", OUTSIDE)
@pytest.mark.parametrize("sslmode", ["disable", "allow", "prefer"])
def test_a_password_is_not_sent_in_the_clear(
    vitalsd: Daemon, impostor: Callable[[str, int], Impostor], sslmode: str, address: str
) -> None:
    server = impostor(address, CLEARTEXT)
    daemon = vitalsd([db(server.url(sslmode))], environment={"PW": PASSWORD})
    daemon.wait_failed("db", "auth")
    daemon.check_reason("db", "auth")
    (line,) = daemon.log_lines("probe failed", probe="db")
    assert "use sslmode=verify-full, or set allow_cleartext_password: true" in line["error"]
    assert server.received == []
    assert daemon.value("pg_up") == 1


@pytest.mark.parametrize("sslmode", ["disable", "allow", "prefer"])
def test_a_password_is_sent_in_the_clear_if_that_is_allowed(
    vitalsd: Daemon, impostor: Callable[[str, int], Impostor], sslmode: str
) -> None:
    server = impostor(OUTSIDE[0], CLEARTEXT)
    probe = db(server.url(sslmode), allow_cleartext_password=True)
    daemon = vitalsd([probe], environment={"PW": PASSWORD})
    daemon.wait_runs("db")
    assert f"{PASSWORD}\0".encode() in server.received[0]


def test_a_password_is_sent_in_the_clear_to_this_machine(
    vitalsd: Daemon, impostor: Callable[[str, int], Impostor]
) -> None:
    server = impostor("127.0.0.1", CLEARTEXT)
    daemon = vitalsd([db(server.url("disable"))], environment={"PW": PASSWORD})
    daemon.wait_runs("db")
    assert f"{PASSWORD}\0".encode() in server.received[0]


def test_md5_to_an_unverified_server_is_warned_of(
    vitalsd: Daemon, impostor: Callable[[str, int], Impostor]
) -> None:
    """The hash is sent, because old servers need it. The page, the API and `config check` warn."""
    server = impostor(OUTSIDE[0], MD5)
    probe = db(server.url("prefer"))
    daemon = vitalsd([probe], environment={"PW": PASSWORD})
    daemon.wait_runs("db")
    assert b"md5" in server.received[0]
    (notice,) = daemon.status()["notices"]
    warning = "another machine in its place can request an md5 hash of the password"
    assert warning in notice
    assert warning in daemon.get("/")[1].decode()
    assert warning in run("config", "check", daemon.config_file, PW=PASSWORD).stderr
    daemon.configuration["probes"] = [probe | {"url": server.url("verify-full")}]
    daemon.reload()
    assert daemon.status()["notices"] == []
