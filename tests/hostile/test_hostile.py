"""Up to eight hostile servers at once, together with a probe that must still run every 200 ms."""

from __future__ import annotations

import itertools
import os
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest

from hostile.databases import ASKS_FOR_KERBEROS, COMPUTES
from hostile.kerberos import SilentNames
from hostile.name_servers import by_name
from hostile.servers import Hostile
from hostile.trick import PASSWORD, Tls, Trick
from hostile.tricks import TRICKS
from support import wait_until
from support.certificates import Authority
from support.postgres import Postgres
from support.process import inside
from support.vitalsd import Vitalsd, sanitized
from support.watching import database

SECRET = "hunter2-hunter2"
TARGETS = 8


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


def policies(daemon: Vitalsd) -> list[int]:
    """Returns the scheduling policies of its threads."""
    return [os.sched_getscheduler(int(each)) for each in os.listdir(f"/proc/{daemon.pid}/task")]


def canary_of(closes: Hostile, interval: int, timeout: int) -> dict[str, Any]:
    return {
        "name": "canary",
        "kind": "tcp",
        "endpoint": f"127.0.0.1:{closes.port}",
        "interval": f"{interval}ms",
        "timeout": f"{timeout}ms",
    }


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
    canary = canary_of(closes, interval, timeout)
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
    assert daemon.value("process_resident_memory_bytes") < most_memory
    assert daemon.value("process_open_fds") < 100
    log = daemon.log()
    assert len(log) < 32 << 10
    assert SECRET not in log + daemon.page()

    ended = time.monotonic()
    daemon.end()
    assert time.monotonic() - ended < 6


@pytest.mark.serial
def test_four_servers_that_make_libpq_compute(
    vitalsd: Callable[..., Vitalsd],
    hostile: Callable[[Trick], Hostile],
    postgres: Postgres,
    certificates: Authority,
) -> None:
    """As many servers as there are threads that connect. Each computation takes 20 minutes or more."""
    interval, timeout = (1000, 1000) if sanitized() else (200, 150)
    closes = hostile(Trick("tcp", lambda _connection, _tls: None))
    servers = [hostile(COMPUTES) for _ in range(4)]
    targets = [
        COMPUTES.probe(f"computes.{number}", server.port, certificates.path)
        | {"tls": {"ca": str(certificates.path)}}
        for number, server in enumerate(servers)
    ]
    daemon = vitalsd(
        [
            canary_of(closes, interval, timeout),
            database("main-db", postgres, "MONITOR_PASSWORD"),
            *targets,
        ],
        interval="1s",
        timeout="900ms",
        environment={
            PASSWORD["env"]: SECRET,
            "MONITOR_PASSWORD": postgres.passwords["monitor"],
        },
    )
    before, began = runs(daemon), time.monotonic()
    daemon.wait_for("vitalsd_hanging_threads", 4)
    assert policies(daemon).count(os.SCHED_IDLE) == 4

    # vitalsd connects again to a server whose connection ends while the four computations continue.
    for _ in range(3):
        postgres.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'monitor'"
        )
        daemon.wait_runs("main-db", 2)
        assert daemon.value("pg_up", probe="main-db") == 1
    due = (time.monotonic() - began) * 1000 / interval
    served = runs(daemon)["canary"] - before["canary"]
    assert served >= 0.9 * due - 1, f"{served} of {due:.0f} runs"
    assert daemon.failures("canary") == {}
    assert daemon.failures("main-db") == {}

    # vitalsd does not connect again to the four servers, and the status page says why.
    for number, server in enumerate(servers):
        name = f"computes.{number}"
        assert server.accepted == 1
        assert daemon.runs(name) >= 3
        daemon.check_reason(name, "timeout")
        (status,) = [each for each in daemon.status()["probes"] if each["name"] == name]
        assert "still hangs from an earlier run" in status["error"]
    assert daemon.value("vitalsd_hanging_threads") == 4
    assert daemon.get("/-/healthy")[0] == 200

    ended = time.monotonic()
    daemon.end()
    assert time.monotonic() - ended < 6


@pytest.mark.serial
def test_kerberos_with_silent_name_servers(
    vitalsd: Callable[..., Vitalsd],
    hostile: Callable[[Trick], Hostile],
    postgres: Postgres,
    certificates: Authority,
    tmp_path: Path,
) -> None:
    """libpq asks the system's name servers for the server of the realm, for longer than any
    deadline."""
    interval, timeout = (1000, 1000) if sanitized() else (200, 150)
    closes = hostile(Trick("tcp", lambda _connection, _tls: None))
    servers = [hostile(ASKS_FOR_KERBEROS) for _ in range(2)]
    targets = [
        ASKS_FOR_KERBEROS.probe(f"kerberos.{number}", server.port, certificates.path)
        for number, server in enumerate(servers)
    ]
    with closing(SilentNames(tmp_path)) as names, inside(names):
        daemon = vitalsd(
            [
                canary_of(closes, interval, timeout),
                database("main-db", postgres, "MONITOR_PASSWORD"),
                *targets,
            ],
            interval="1s",
            timeout="900ms",
            environment={
                PASSWORD["env"]: SECRET,
                "MONITOR_PASSWORD": postgres.passwords["monitor"],
            },
            plain=names.environment,
        )
        before, began = runs(daemon), time.monotonic()
        daemon.wait_for("vitalsd_hanging_threads", len(servers))
        assert names.queries > 0
        wait_until(
            lambda: all(daemon.runs(target["name"]) >= 3 for target in targets), what="three runs"
        )
        due = (time.monotonic() - began) * 1000 / interval
        served = runs(daemon)["canary"] - before["canary"]
        assert served >= 0.9 * due - 1, f"{served} of {due:.0f} runs"
        assert daemon.failures("canary") == {}
        assert daemon.failures("main-db") == {}
        assert [server.accepted for server in servers] == [1, 1]
        for target in targets:
            daemon.check_reason(target["name"], "timeout")

        ended = time.monotonic()
        daemon.end()
        assert time.monotonic() - ended < 6
