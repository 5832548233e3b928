"""Clients that request a large page and do not read it, with the default limits of the web server."""

from __future__ import annotations

import itertools
import re
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from support.http_peer import HttpPeer, Request, answer
from support.vitalsd import Vitalsd, sanitized
from support.waiting import wait_until

SERIES, PAGE = 30_000, 4_000_000  # bytes
READERS, CLIENTS = 30, 256
# web/options.hpp: as many large pages may be sent to slow clients at the same time.
MAX_PAGES = 8


@pytest.fixture
def large(vitalsd: Callable[..., Vitalsd], http_peer: HttpPeer) -> Vitalsd:
    """A daemon whose page has 4 MB. Each run changes the values of all lines."""
    numbers = itertools.count()
    names = [f'filler{{name="{"x" * 80}{number:06}"}} ' for number in range(SERIES)]

    def page(_: Request) -> bytes:
        value = f"{next(numbers)}\n"
        return answer("".join(name + value for name in names), Content_Type="text/plain")

    http_peer.answers["/metrics"] = page
    relay = {
        "name": "large",
        "kind": "relay",
        "url": http_peer.url("/metrics"),
        "max_series": SERIES,
        "max_body": "16MB",
    }
    daemon = vitalsd([relay])
    assert len(daemon.page()) > PAGE
    return daemon


@pytest.fixture
def reader(large: Vitalsd) -> Iterator[Callable[[], socket.socket]]:
    """reader() requests the page and reads nothing of it."""
    with ExitStack() as stack:

        def connect() -> socket.socket:
            connection = stack.enter_context(socket.socket())
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            connection.settimeout(10)
            connection.connect((large.host, large.port))
            connection.sendall(b"GET /metrics HTTP/1.1\r\nHost: vitalsd\r\n\r\n")
            return connection

        yield connect


def resident(daemon: Vitalsd, what: str = "VmRSS") -> int:
    """Returns the memory of the process in bytes; VmHWM is its maximum."""
    status = Path(f"/proc/{daemon.pid}/status").read_text()
    found = re.search(rf"{what}:\s+(\d+) kB", status)
    assert found
    return int(found[1]) * 1024


def forget_maximum(daemon: Vitalsd) -> None:
    Path(f"/proc/{daemon.pid}/clear_refs").write_text("5")


def check_health(daemon: Vitalsd) -> float:
    began = time.monotonic()
    assert daemon.get("/-/healthy")[0] == 200
    return time.monotonic() - began


def counted(daemon: Vitalsd, counter: str) -> int:
    """Returns the sum of the samples that match, from the small page."""
    found = re.findall(rf"^{counter} (\d+)$", daemon.page("/metrics/core"), re.MULTILINE)
    return sum(map(int, found))


def wait_more(daemon: Vitalsd, counter: str, count: int) -> None:
    goal = counted(daemon, counter) + count
    wait_until(lambda: counted(daemon, counter) >= goal, what=f"{count} more of {counter}")


RUNS = r'vitalsd_probe_runs_total\{.*outcome="ok"\}'
ANSWERS = r'vitalsd_http_requests_total\{.*route="/metrics"\}'


@pytest.mark.serial
def test_memory_of_slow_readers(large: Vitalsd, reader: Callable[[], socket.socket]) -> None:
    wait_more(large, RUNS, 3)
    page = len(large.page())
    before = resident(large)
    forget_maximum(large)
    slowest = 0.0

    # All at once: they share the page. A run in the meantime copies it once.
    goal = counted(large, ANSWERS) + READERS
    for _ in range(READERS):
        reader()
    wait_until(lambda: counted(large, ANSWERS) >= goal, what="answers to all readers")
    wait_more(large, RUNS, 2)
    slowest = max(slowest, check_health(large))
    together = resident(large)

    # One after another: each reader has a page of its own.
    for _ in range(12):
        reader()
        slowest = max(slowest, check_health(large))
        wait_more(large, RUNS, 1)
    apart = resident(large)

    for _ in range(CLIENTS):
        reader()
        slowest = max(slowest, check_health(large))
    flooded = resident(large)
    most = resident(large, "VmHWM")
    print(
        f"page {page / 1e6:.1f} MB; before {before / 1e6:.1f} MB; {READERS} readers at once "
        f"{together / 1e6:.1f} MB; 12 more, one per run {apart / 1e6:.1f} MB; {CLIENTS} more "
        f"{flooded / 1e6:.1f} MB; maximum {most / 1e6:.1f} MB; slowest health {slowest:.3f} s"
    )
    if not sanitized():
        assert together - before < 3 * page
        assert most - before < (MAX_PAGES + 4) * page
    assert slowest < 1
