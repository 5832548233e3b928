#!/usr/bin/python3
"""Compares what one run of a probe costs in two builds of vitalsd: before and after a change.

    compare.py BEFORE AFTER [--only WORD] [--keep DIRECTORY]

BEFORE and AFTER are executables with symbols; valgrind must be installed. The figure is the number of
instructions that a build executes in user space for one run, counted by callgrind, with its share of
what the process does in the meantime, but without a scrape. CPU time is not precise enough: two
processes of the same build differ by a third for seconds. The number of instructions of the same build
differs by less than one percent. With --keep, the profiles stay, for callgrind_annotate.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench import Peer, addresses, get, postgres_probe, redis_probe, running  # noqa: E402
from kubernetes import change, load, restarts, some_pods  # noqa: E402

from support import process, wait_until  # noqa: E402
from support.certificates import Authority  # noqa: E402
from support.dns_server import DnsServer  # noqa: E402
from support.kubernetes import ApiServer  # noqa: E402
from support.nginx import Nginx  # noqa: E402
from support.postgres import Postgres  # noqa: E402
from support.redis import Redis  # noqa: E402
from support.vitalsd import Vitalsd  # noqa: E402

INTERVAL = "5s"  # long enough for a process that is slowed down fifty times
WINDOW = 20.0  # seconds
PODS = 2_000


@dataclass
class Case:
    probes: list[dict[str, Any]]
    environment: Mapping[str, str] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)  # of the configuration
    # Successful runs of each probe before the count begins: the first ones connect and fill caches. 0:
    # it begins with the process.
    rounds: int = 2
    # What is counted; returns how often it happened. None: runs for `window` seconds.
    action: Callable[[Vitalsd], int] | None = None
    window: float = WINDOW


@contextlib.contextmanager
def counted(executable: str, case: Case) -> Iterator[tuple[Vitalsd, Path]]:
    """Starts a build under callgrind. Returns the directory of its dumps, too."""
    with tempfile.TemporaryDirectory(prefix="vitalsd-callgrind-") as directory:
        wrapper = Path(directory) / "vitalsd"
        dump = f"--callgrind-out-file={directory}/dump"
        wrapper.write_text(f'#!/bin/sh\nexec valgrind -q --tool=callgrind {dump} "{executable}" "$@"\n')
        wrapper.chmod(0o700)
        os.environ["VITALSD_BINARY"] = str(wrapper)
        make = lambda: Vitalsd(  # noqa: E731
            case.probes,
            environment=case.environment,
            log={"level": "error"},
            **{"interval": INTERVAL, "timeout": INTERVAL, **case.options},
        )
        with running(make) as daemon:
            yield daemon, Path(directory)


def total_of(profile: str) -> int:
    total = re.search(r"^totals: (\d+)", profile, re.MULTILINE)
    assert total
    return int(total[1])


def runs_in(profile: str) -> int:
    """Returns the number of runs that ended: of calls of Ledger::publish with the result of a run. A
    scrape also returns it, but costs much."""
    run_end = r"vitalsd::Ledger::publish\(vitalsd::SampleSet"
    name = re.search(rf"^c?fn=(\(\d+\)) {run_end}", profile, re.MULTILINE)
    assert name, "the executable has no symbols, or no run has ended"
    calls = re.findall(rf"^cfn={re.escape(name[1])}.*\ncalls=(\d+)", profile, re.MULTILINE)
    return sum(map(int, calls))


def runs(daemon: Vitalsd, outcome: str) -> list[float]:
    """Returns the number of runs of each probe that have ended so far."""
    samples = daemon.text_samples("vitalsd_probe_runs_total", outcome=outcome)
    return [sample.value for sample in samples]


def instructions(executable: str, case: Case, keep: Path | None) -> float:
    """Returns the number of instructions for one run, or for one of the actions that the case
    counts."""

    def control(option: str, pid: int) -> None:
        subprocess.run(["callgrind_control", option, str(pid)], check=True, capture_output=True)

    with counted(executable, case) as (daemon, dumps):
        if case.rounds:
            enough = lambda: min(runs(daemon, "ok")) >= case.rounds  # noqa: E731
            wait_until(enough, what="runs of each probe", deadline=120, every=1)
            failed = runs(daemon, "failed")
            control("--dump", daemon.pid)  # unlike --zero, also resets what ended threads have done
        earlier = set(dumps.glob("dump*"))
        count = case.action(daemon) if case.action else time.sleep(case.window)
        control("--dump", daemon.pid)
        assert not case.rounds or runs(daemon, "failed") == failed, "runs failed: the machine is busy"
        dump = max(set(dumps.glob("dump*")) - earlier, key=lambda file: file.stat().st_size)
        if keep is not None:
            shutil.copy(dump, keep)
        profile = dump.read_text()
        return total_of(profile) / (count or runs_in(profile))


def measure(name: str, case: Case, builds: dict[str, str], keep: Path | None) -> None:
    before, after = (
        instructions(build, case, keep and keep / f"{name.replace(' ', '-')}.{which}")
        for which, build in builds.items()
    )
    print(f"| {name} | {before:,.0f} | {after:,.0f} | {after / before:.3f} |", flush=True)


@contextlib.contextmanager
def plain(kind: str) -> Iterator[Case]:
    with running(Peer) as peer:
        hosts = addresses(100, 1)
        if kind == "http":
            targets = [{"kind": "http", "url": f"http://{host}:{peer.http}/"} for host in hosts]
        else:
            targets = [{"kind": "tcp", "endpoint": f"{host}:{peer.tcp}"} for host in hosts]
        yield Case([{"name": f"p-{i}", **target} for i, target in enumerate(targets)])


@contextlib.contextmanager
def https(authority: Authority) -> Iterator[Case]:
    with running(lambda: Nginx(authority)) as server:
        url = server.url("/health/live", tls=True)
        probe = {"kind": "http", "url": url, "tls": {"ca": str(authority.path)}}
        yield Case([{"name": f"p-{i}", **probe} for i in range(20)], window=3 * WINDOW)


@contextlib.contextmanager
def postgres(authority: Authority) -> Iterator[Case]:
    with running(lambda: Postgres(authority)) as server:
        probes = [postgres_probe(server, f"p-{i}") for i in range(10)]
        yield Case(probes, {"DB_PASSWORD": server.passwords["monitor"]}, window=3 * WINDOW)


@contextlib.contextmanager
def redis(authority: Authority) -> Iterator[Case]:
    with running(lambda: Redis(authority)) as server:
        probes = [redis_probe(server.url(), f"p-{i}") for i in range(50)]
        yield Case(probes, {"CACHE_PASSWORD": server.password})


@contextlib.contextmanager
def certificates(authority: Authority) -> Iterator[Case]:
    with running(lambda: Nginx(authority)) as server:
        endpoint = f"127.0.0.1:{server.tls_port}"
        probe = {"kind": "certificate", "endpoint": endpoint, "tls": {"ca": str(authority.path)}}
        yield Case([{"name": f"p-{i}", **probe} for i in range(20)], window=3 * WINDOW)


@contextlib.contextmanager
def dns() -> Iterator[Case]:
    with running(DnsServer) as server:
        server.set_records("all.test", {"A": ["192.0.2.1", "192.0.2.2"]})
        probe = {"kind": "dns", "query": "all.test", "server": server.address}
        yield Case([{"name": f"p-{i}", **probe} for i in range(50)])


@contextlib.contextmanager
def filesystem() -> Iterator[Case]:
    probe = {"kind": "filesystem", "mounts": ["/"]}
    yield Case([{"name": f"p-{i}", **probe} for i in range(50)])


@contextlib.contextmanager
def backups(directory: Path) -> Iterator[Case]:
    directory.mkdir()
    for i in range(10):
        (directory / f"{i}.gz").write_bytes(b"x" * 100)
    probe = {"kind": "backup", "directory": str(directory)}
    yield Case([{"name": f"p-{i}", **probe} for i in range(50)])


@contextlib.contextmanager
def scrape(encoding: str) -> Iterator[Case]:
    """About 1,000 lines."""

    def action(daemon: Vitalsd) -> int:
        count = 20
        for _ in range(count):
            get(daemon.port, "/metrics", **{"Accept-Encoding": encoding})
        return count

    with plain("tcp") as case:
        case.rounds, case.action = 1, action
        case.options = {"interval": "1h", "timeout": INTERVAL}
        yield case


@contextlib.contextmanager
def cluster(action: Callable[[ApiServer, Vitalsd], int], rounds: int) -> Iterator[Case]:
    with running(ApiServer) as api:
        load(api, 100, PODS)
        probes = [{"name": "pods", "kind": "pod"}, {"name": "nodes", "kind": "node"}]
        options = {"kubernetes": {"kubeconfig": str(api.kubeconfig())}}
        yield Case(probes, {}, options, rounds, lambda daemon: action(api, daemon))


def first_page(_: ApiServer, daemon: Vitalsd) -> int:
    assert restarts(daemon) >= 2 * PODS  # the daemon is ready
    return 1


def events(api: ApiServer, daemon: Vitalsd) -> int:
    pods = some_pods(api)
    change(api, pods)
    time.sleep(WINDOW)
    return len(pods)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("before")
    parser.add_argument("after")
    parser.add_argument("--only", default="", help="cases with this in their name")
    parser.add_argument("--keep", type=Path, help="directory for the profiles, which must exist")
    options = parser.parse_args()
    process.begin()
    with tempfile.TemporaryDirectory(prefix="vitalsd-compare-") as scratch:
        authority = Authority(Path(scratch))
        cases: dict[str, Callable[[], contextlib.AbstractContextManager[Case]]] = {
            "http, new connection": lambda: plain("http"),
            "tcp": lambda: plain("tcp"),
            "https, new connection": lambda: https(authority),
            "postgres": lambda: postgres(authority),
            "redis": lambda: redis(authority),
            "certificate": lambda: certificates(authority),
            "dns": dns,
            "filesystem": filesystem,
            "backup": lambda: backups(Path(scratch) / "backups"),
            "scrape, plain": lambda: scrape("identity"),
            "scrape, gzip": lambda: scrape("gzip"),
            "cluster, first page": lambda: cluster(first_page, 0),
            "cluster, an event of a pod": lambda: cluster(events, 1),
        }
        builds = {"before": options.before, "after": options.after}
        print("| one run | instructions before | after | ratio |\n|---|---|---|---|", flush=True)
        try:
            for name, case in cases.items():
                if options.only in name:
                    with case() as what:
                        measure(name, what, builds, options.keep)
        finally:
            process.end_all()


if __name__ == "__main__":
    main()
