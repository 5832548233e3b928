#!/usr/bin/python3
"""Compares what one run of a probe costs in two builds of vitalsd: before and after a change.

    compare.py BEFORE AFTER [--only WORD]     two executables; valgrind must be installed

The figure is the number of instructions that a build executes in user space for one run, counted by
callgrind. CPU time is not precise enough: two processes of the same build differ by a third for seconds.
The number of instructions of the same build differs by less than one percent.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench import Peer, addresses, postgres_probe, redis_probe, runs_of, running  # noqa: E402

from support import process, wait_until  # noqa: E402
from support.certificates import Authority  # noqa: E402
from support.nginx import Nginx  # noqa: E402
from support.postgres import Postgres  # noqa: E402
from support.redis import Redis  # noqa: E402
from support.vitalsd import Vitalsd  # noqa: E402

INTERVAL = "5s"  # long enough for a process that is slowed down fifty times
WINDOW = 20.0  # seconds


@dataclass
class Case:
    probes: list[dict[str, Any]]
    environment: Mapping[str, str] = field(default_factory=dict)


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
            interval=INTERVAL,
            timeout=INTERVAL,
            environment=case.environment,
            log={"level": "error"},
        )
        with running(make) as daemon:
            yield daemon, Path(directory)


def instructions(executable: str, case: Case) -> float:
    """Returns the instructions of one run."""

    def control(option: str, pid: int) -> None:
        subprocess.run(["callgrind_control", option, str(pid)], check=True, capture_output=True)

    with counted(executable, case) as (daemon, dumps):
        runs = runs_of(daemon)  # after the first runs, which connect and fill caches
        wait_until(lambda: runs_of(daemon) >= runs + len(case.probes), what="a round of runs")
        control("--zero", daemon.pid)
        runs = runs_of(daemon)
        time.sleep(WINDOW)
        runs = runs_of(daemon) - runs
        control("--dump", daemon.pid)
        dump = max(dumps.glob("dump*"), key=lambda file: file.stat().st_size)
        totals = re.search(r"^(?:totals|summary): (\d+)", dump.read_text(), re.MULTILINE)
        assert totals, dump
        return int(totals[1]) / runs


def measure(name: str, case: Case, builds: tuple[str, str]) -> None:
    before, after = (instructions(build, case) for build in builds)
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
        yield Case([{"name": f"p-{i}", **probe} for i in range(50)])


@contextlib.contextmanager
def postgres(authority: Authority) -> Iterator[Case]:
    with running(lambda: Postgres(authority)) as server:
        probes = [postgres_probe(server, f"p-{i}") for i in range(5)]
        yield Case(probes, {"DB_PASSWORD": server.passwords["monitor"]})


@contextlib.contextmanager
def redis(authority: Authority) -> Iterator[Case]:
    with running(lambda: Redis(authority)) as server:
        probes = [redis_probe(server.url(), f"p-{i}") for i in range(50)]
        yield Case(probes, {"CACHE_PASSWORD": server.password})


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("before")
    parser.add_argument("after")
    parser.add_argument("--only", default="", help="cases with this in their name")
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
        }
        print("| one run | instructions before | after | ratio |\n|---|---|---|---|", flush=True)
        try:
            for name, case in cases.items():
                if options.only in name:
                    with case() as what:
                        measure(name, what, (options.before, options.after))
        finally:
            process.end_all()


if __name__ == "__main__":
    main()
