#!/usr/bin/python3
"""Measures kind relay beside Prometheus's parser of the text format (tests/bench/textparse) and beside
Telegraf's prometheus input, on the same pages. All times are CPU times of the process or thread. The
programs run in turn, several times, and the best of each counts, because the machine may be busy.

    relay.py [--rounds N]    builds the peers (tests/bench/peers.sh) if they are missing
"""

from __future__ import annotations

import argparse
import asyncio
import collections
import json
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench import BUILD, Row, cpu_seconds, memory_mb, running  # noqa: E402
from support import process, wait_until  # noqa: E402
from support.process import Server, free_port  # noqa: E402
from support.vitalsd import Vitalsd  # noqa: E402

TARGETS, SERIES, INTERVAL = 1_000, 1_000, 15  # seconds
WINDOW = 15.0  # seconds for one page


def peer(name: str) -> str:
    """Returns the path of a peer, which is built if it does not exist."""
    script = Path(__file__).with_name("peers.sh")
    return subprocess.run([script, name], stdout=subprocess.PIPE, text=True, check=True).stdout.strip()


def parsers(rounds: int, textparse: str) -> Iterator[Row]:
    def run(*command: str | Path) -> dict[str, float]:
        return json.loads(subprocess.run(command, capture_output=True, check=True).stdout)

    ours: dict[str, float] = {}
    theirs: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory) / "page"
        file.write_bytes(page(100_000, 0))
        for _ in range(rounds):
            for key, value in run(BUILD / "bench_relay").items():
                ours[key] = min(value, ours.get(key, value))
            for mode in ("labels", "cached"):
                seconds = run(textparse, file, mode)["cpu_seconds"]
                theirs[mode] = min(seconds, theirs.get(mode, seconds))
    megabytes = ours["page_bytes"] / 1e6
    budget = max(megabytes / 500, theirs["labels"] / 2) * 1e3

    def row(what: str, mode: str, budget: float | None, peer: str, name: str) -> Row:
        what = f"{what} ({megabytes / ours[mode]:.0f} MB/s, peer {megabytes / theirs[peer]:.0f} MB/s)"
        return Row(what, ours[mode] * 1e3, "ms", budget, theirs[peer] * 1e3, name)

    what = f"relay: {megabytes:.1f} MB of 100,000 series are read, every value has changed"
    yield row(what, "changed", budget, "labels", "textparse")
    yield row("... no value has changed", "same", budget, "labels", "textparse")
    yield row("... for the first time", "first", None, "labels", "textparse")
    yield row("... compared without labels", "changed", None, "cached", "textparse, known series")


class Pages:
    """An HTTP server on all loopback addresses, in this process. Each address sends the pages in
    turn."""

    def __init__(self, pages: list[bytes]) -> None:
        self.port = free_port()
        self.served = 0
        self._turns: collections.Counter[str] = collections.Counter()
        self._answers = [
            b"HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4\r\n"
            b"Content-Length: %d\r\n\r\n" % len(page) + page
            for page in pages
        ]
        self._loop = asyncio.new_event_loop()
        self._server = self._loop.run_until_complete(
            asyncio.start_server(self._serve, "0.0.0.0", self.port, backlog=2048)
        )
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        address = writer.get_extra_info("sockname")[0]
        try:
            while True:
                await reader.readuntil(b"\r\n\r\n")
                writer.write(self._answers[self._turns[address] % len(self._answers)])
                self._turns[address] += 1
                await writer.drain()
                self.served += 1
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()


def page(series: int, more: int) -> bytes:
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory) / "page"
        subprocess.run([BUILD / "bench_relay", "write", file, str(series), str(more)], check=True)
        return file.read_bytes()


class Telegraf(Server):
    name = "telegraf"

    def __init__(self, executable: str, url: str) -> None:
        super().__init__()
        file = self.directory / "telegraf.conf"
        file.write_text(
            '[agent]\ninterval = "1s"\nflush_interval = "1s"\nmetric_buffer_limit = 400000\n'
            "metric_batch_size = 100000\nquiet = true\n[[outputs.discard]]\n"
            f'[[inputs.prometheus]]\nurls = ["{url}"]\nmetric_version = 2\n'
        )
        self.launch([executable, "--config", file], lambda: True)


def relay(interval: str = "1s", **options: object) -> Vitalsd:
    probe = {"name": "app", "kind": "relay", **options}
    return Vitalsd([probe], interval=interval, timeout=interval, ready=False, log={"level": "error"})


def cpu_of_a_pass(pages: Pages, pid: int) -> float:
    begin = pages.served
    wait_until(lambda: pages.served >= begin + 3, deadline=60, what="three passes")
    begin, cpu = pages.served, cpu_seconds(pid)
    time.sleep(WINDOW)
    return (cpu_seconds(pid) - cpu) / (pages.served - begin)


def every_second(measure: Callable[[], float], seconds: int) -> list[float]:
    values = []
    for _ in range(seconds):
        time.sleep(1)
        values.append(measure())
    return values


def kept_mb(daemon: Vitalsd) -> float:
    status, body = daemon.get("/metrics/relay")
    assert status == 200
    return len(body) / 2**20


def one_target(rounds: int, telegraf: str) -> Iterator[Row]:
    with running(lambda: Pages([page(100_000, 0), page(100_000, 1)])) as pages:
        url = f"http://127.0.0.1:{pages.port}/metrics"
        ours, theirs = [], []
        for _ in range(rounds):
            with running(lambda: relay(url=url, max_series=200_000)) as daemon:
                ours.append(cpu_of_a_pass(pages, daemon.pid))
            with running(lambda: Telegraf(telegraf, url)) as program:
                theirs.append(cpu_of_a_pass(pages, program.pid))
        with running(lambda: relay(url=url, keep="none")) as daemon:
            cpu_of_a_pass(pages, daemon.pid)
            idle = memory_mb(daemon.pid)
        with running(lambda: relay(f"{INTERVAL}s", url=url, max_series=200_000)) as daemon:
            begin = pages.served
            wait_until(lambda: pages.served >= begin + 2, deadline=60, what="two passes")
            memory = statistics.mean(every_second(lambda: memory_mb(daemon.pid), 2 * INTERVAL)) - idle
            peak = memory_mb(daemon.pid, "VmHWM") - idle
            kept = kept_mb(daemon)
    cpu, their_cpu = min(ours) * 1e3, min(theirs) * 1e3
    what = "relay: one pass over this page, whole process, every value changes"
    yield Row(what, cpu, "ms", their_cpu / 4, their_cpu, "Telegraf")
    yield Row(f"... memory for {kept:.1f} MB of lines, average", memory, "MB", 2 * kept)
    yield Row("... peak", peak, "MB", None)


def many_targets() -> Iterator[Row]:
    million_a_minute = TARGETS * SERIES / 1e6 * 60 / INTERVAL
    for what, pages_of in (
        (f"relay: {TARGETS:,} targets of {SERIES:,} series every {INTERVAL} s, every value changes", (0, 1)),
        ("... no value changes", (0,)),
    ):
        with running(lambda: Pages([page(SERIES, more) for more in pages_of])) as pages:  # noqa: B023
            urls = [f"http://127.1.{i // 250}.{i % 250 + 1}:{pages.port}/" for i in range(TARGETS)]
            with running(lambda: relay(f"{INTERVAL}s", urls=urls)) as daemon:  # noqa: B023
                wait_until(lambda: pages.served >= 2 * TARGETS, deadline=60, what="two passes")
                begin, cpu = pages.served, cpu_seconds(daemon.pid)
                memory = every_second(lambda: memory_mb(daemon.pid), 4 * INTERVAL)  # noqa: B023
                cpu, served = cpu_seconds(daemon.pid) - cpu, pages.served - begin
                assert served > 3 * TARGETS, served
                kept = kept_mb(daemon)
            share = cpu / served * TARGETS / INTERVAL / million_a_minute * 100
            yield Row(f"{what}: CPU a million series a minute", share, "% of a core", 2)
            what = f"... memory of the process for {kept:.0f} MB of lines, average"
            yield Row(what, statistics.mean(memory), "MB", 2 * kept)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    textparse, telegraf = peer("textparse"), peer("telegraf")
    process.begin()
    print("| what | vitalsd | peer | ratio | budget | met |\n|---|---|---|---|---|---|")
    try:
        for rows in (
            parsers(options.rounds, textparse),
            one_target(options.rounds, telegraf),
            many_targets(),
        ):
            for row in rows:
                print(row.line(), flush=True)
    finally:
        process.end_all()


if __name__ == "__main__":
    main()
