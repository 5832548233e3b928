"""Up to eight hostile servers at once, together with a probe that must still run every 200 ms."""

from __future__ import annotations

import itertools
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, suppress
from typing import Any

import pytest

from hostile.name_servers import by_name
from hostile.trick import PASSWORD, Asked, Tls, Trick
from hostile.tricks import TRICKS
from support import wait_until
from support.certificates import Authority
from support.process import free_port, listener
from support.vitalsd import Vitalsd, sanitized

SECRET = "hunter2-hunter2"
TARGETS = 8


class Hostile:
    """One trick on its own port, for each client."""

    def __init__(self, trick: Trick, tls: Tls) -> None:
        self.trick, self.tls = trick, tls
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


def runs(daemon: Vitalsd) -> Counter[str]:
    """Returns the number of runs of each probe with any outcome, from one page."""
    counts: Counter[str] = Counter()
    for sample in daemon.samples("vitalsd_probe_runs_total"):
        if sample.labels["outcome"] in ("ok", "failed"):
            counts[sample.labels["probe"]] += int(sample.value)
    return counts


@pytest.fixture
def tls(certificates: Authority) -> Tls:
    return Tls(certificates)


@pytest.fixture
def hostile(tls: Tls) -> Iterator[Callable[[Trick], Hostile]]:
    with ExitStack() as stack:
        yield lambda trick: stack.enter_context(closing(Hostile(trick, tls)))


@pytest.mark.serial
@pytest.mark.parametrize("group", TRICKS)
def test_nothing_that_servers_do_disturbs_the_others(
    group: str,
    vitalsd: Callable[..., Vitalsd],
    hostile: Callable[[Trick], Hostile],
    certificates: Authority,
) -> None:
    tricks = TRICKS[group]
    targets = [
        (f"{name}.{number}", name)
        for number, name in enumerate(itertools.islice(itertools.cycle(tricks), TARGETS))
    ]
    assert len(tricks) <= TARGETS
    # A sanitizer makes the daemon slow and delays the reuse of freed memory.
    interval, timeout, most_memory = 200, 150, 100 << 20
    if sanitized():
        interval, timeout, most_memory = 1000, 1000, 800 << 20
    closes = hostile(Trick("tcp", lambda _connection, _tls: None))
    canary = {
        "name": "canary",
        "kind": "tcp",
        "endpoint": f"127.0.0.1:{closes.port}",
        "interval": f"{interval}ms",
        "timeout": f"{timeout}ms",
    }
    sections: dict[str, Any] = {}
    if "names" in group:
        resolver = hostile(Trick("dns", answer=by_name))
        sections["dns"] = {"servers": [f"127.0.0.1:{resolver.port}"]}
        ports = dict.fromkeys(tricks, resolver.port)
    else:
        ports = {name: hostile(trick).port for name, trick in tricks.items()}
    daemon = vitalsd(
        [
            canary,
            *(tricks[of].probe(name, ports[of], certificates.path) for name, of in targets),
        ],
        interval="500ms",
        timeout="500ms",
        environment={PASSWORD["env"]: SECRET},
        **sections,
    )
    daemon.wait_runs("canary", 1)
    before = runs(daemon)
    began = time.monotonic()

    def each_has_run() -> bool:
        now = runs(daemon)
        return all(now[name] >= before[name] + 3 for name, _ in targets)

    wait_until(each_has_run, what="three runs of each probe")
    due = (time.monotonic() - began) * 1000 / interval
    served = runs(daemon)["canary"] - before["canary"]

    assert served >= 0.9 * due - 1, f"{served} of {due:.0f} runs"
    assert daemon.failures("canary") == {}
    well = [s.labels["probe"] for s in daemon.samples("probe_success") if s.value != 0]
    assert well == ["canary"]
    assert (daemon.value("process_resident_memory_bytes") or 0) < most_memory
    assert (daemon.value("process_open_fds") or 0) < 100
    log = daemon.log()
    assert len(log) < 32 << 10
    assert SECRET not in log + daemon.page()

    ended = time.monotonic()
    daemon.end()
    assert time.monotonic() - ended < 6
