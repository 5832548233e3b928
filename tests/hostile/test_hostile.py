"""Hostile servers, all at once, beside a probe that has to run every 200 ms all the same."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, suppress
from pathlib import Path

import pytest

from hostile.tricks import TRICKS, Trick
from support import wait_until
from support.certificates import Authority
from support.process import listener
from support.vitalsd import Vitalsd

SECRET = "hunter2-hunter2"


class Hostile:
    """One trick on a port of its own, for each client that comes."""

    def __init__(self, trick: Trick, tls: ssl.SSLContext) -> None:
        self.trick, self.tls = trick, tls
        self.socket = listener(0)
        self.port = self.socket.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        self.socket.shutdown(socket.SHUT_RDWR)  # wakes the thread that waits on it
        self.socket.close()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self.socket.accept()
                threading.Thread(target=self._converse, args=(connection,), daemon=True).start()

    def _converse(self, connection: socket.socket) -> None:
        with suppress(OSError, IndexError), connection:
            self.trick.act(connection, self.tls)


@pytest.fixture
def hostile(certificates: Authority, tmp_path: Path) -> Iterator[dict[str, Hostile]]:
    certificate = certificates.issue("hostile.test")
    certificate.install(tmp_path / "tls.pem", tmp_path / "tls.key")
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(tmp_path / "tls.pem", tmp_path / "tls.key")
    tls.set_alpn_protocols(["h2"])
    with ExitStack() as stack:
        servers = {}
        for name, trick in TRICKS.items():
            servers[name] = Hostile(trick, tls)
            stack.callback(servers[name].close)
        yield servers


@pytest.fixture
def tcp_listener() -> Iterator[int]:
    """The port of a server that takes each connection and closes it."""
    nothing = Trick(lambda _connection, _tls: None, "tcp", "")
    with closing(Hostile(nothing, ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))) as server:
        yield server.port


@pytest.mark.serial
def test_nothing_that_servers_do_disturbs_the_others(
    vitalsd: Callable[..., Vitalsd], hostile: dict[str, Hostile], tcp_listener: int
) -> None:
    canary = {
        "name": "canary",
        "kind": "tcp",
        "endpoint": f"127.0.0.1:{tcp_listener}",
        "interval": "200ms",
        "timeout": "150ms",
    }
    targets = []
    for name, server in hostile.items():
        probe = server.trick.probe(name, server.port)
        if probe["kind"] != "http":
            probe["password"] = {"env": "HOSTILE_PASSWORD"}
        targets.append(probe)
    daemon = vitalsd(
        [canary, *targets],
        interval="1s",
        timeout="1s",
        environment={"HOSTILE_PASSWORD": SECRET},
    )
    daemon.wait_runs("canary", 1)
    began, runs = time.monotonic(), daemon.runs("canary")
    goals = {name: daemon.runs(name) + 3 for name in hostile}
    wait_until(
        lambda: all(daemon.runs(name) >= goal for name, goal in goals.items()),
        what="three runs of each",
    )
    served = daemon.runs("canary") - runs
    due = (time.monotonic() - began) / 0.2

    assert served >= 0.9 * due - 1, f"{served} of {due:.0f} runs"
    assert daemon.failures("canary") == {}
    for name in hostile:
        assert daemon.value("probe_success", probe=name) == 0, name
    assert (daemon.value("process_resident_memory_bytes") or 0) < 100 << 20
    assert (daemon.value("process_open_fds") or 0) < 100
    log = daemon.log()
    assert len(log) < 32 << 10
    assert SECRET not in log + daemon.page()

    ended = time.monotonic()
    daemon.end()
    assert time.monotonic() - ended < 6
