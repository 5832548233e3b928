#!/usr/bin/python3
"""Measures vitalsd and the usual programs for the same task, one after the other on the same
machine, and prints a table. CPU is the CPU time that the kernel reports for the process without its
children. Wall clock time is used only where time itself is measured.

    bench.py [--only WORD] [--quick] [--telegraf FILE]     run by tests/bench/run.sh, which installs
                                                           the peers
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import json
import resource
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from support import REPOSITORY, process, wait_until  # noqa: E402
from support.certificates import Authority  # noqa: E402
from support.nginx import Nginx  # noqa: E402
from support.postgres import Postgres  # noqa: E402
from support.process import Server, accepts_connections, free_port  # noqa: E402
from support.redis import Redis  # noqa: E402
from support.vitalsd import Vitalsd, binary  # noqa: E402

BUILD = REPOSITORY / "build" / "release" / "tests"
WINDOW = 20.0  # seconds per measurement; --quick shortens it for trials
ROUNDS = 6  # interval of the 10,000 probes


@dataclass
class Row:
    what: str
    ours: float
    unit: str
    budget: float | None  # None: the row is only a comparison
    peer: float | None = None
    peer_name: str = ""
    reference: float | None = None  # the peer's value on the machine that the budgets were set on

    @property
    def met(self) -> str:
        if self.budget is None:
            return ""
        if self.ours <= self.budget:
            return "yes"
        # Machines and their load differ, so the ratio to the peer counts as well.
        if self.peer and self.reference:
            if self.peer / self.ours >= self.reference / self.budget:
                return "by ratio"
        return "**no**"

    def line(self) -> str:
        ratio = f"{self.peer / self.ours:.1f}" if self.peer else ""
        peer = f"{self.peer:.4g} {self.unit} ({self.peer_name})" if self.peer else ""
        budget = "" if self.budget is None else f"{self.budget:g} {self.unit}"
        ours = f"{self.ours:.3g} {self.unit}"
        return f"| {self.what} | {ours} | {peer} | {ratio} | {budget} | {self.met} |"


# ---- measuring ----------------------------------------------------------------------------------


def cpu_seconds(pid: int) -> float:
    """Returns the CPU time of the process so far from its CPU clock. The clock id is derived from
    the pid (man 3 clock_getcpuclockid)."""
    return time.clock_gettime(~pid << 3 | 2)


def thread_cpu_seconds(pid: int, name: str) -> float:
    for task in Path(f"/proc/{pid}/task").iterdir():
        if (task / "comm").read_text().strip() == name:
            return int((task / "schedstat").read_text().split()[0]) / 1e9
    raise LookupError(name)


def memory_mb(pid: int, key: str = "VmRSS") -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(key + ":"):
            return int(line.split()[1]) / 1024
    raise LookupError(key)


def get(port: int, path: str, timeout: float = 60, **headers: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
    try:
        connection.request("GET", path, headers=headers)
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def timed(action: Callable[[], object]) -> float:
    begin = time.monotonic()
    action()
    return time.monotonic() - begin


def p99(values: Sequence[float]) -> float:
    return statistics.quantiles(values, n=100)[98]


class Program(Server):
    """A peer: a command with an HTTP port."""

    def __init__(self, name: str, command: Callable[[int, Path], list[str]], **env: str) -> None:
        self.name = name
        super().__init__()
        self.port = free_port()
        self.launch(
            command(self.port, self.directory),
            lambda: accepts_connections(self.port),
            environment=env,
        )


class Peer(Server):
    """tests/bench/peer.cpp: thousands of HTTP and TCP targets on loopback. Some of them hang."""

    name = "bench-peer"

    def __init__(self, interval_ms: int = 10_000) -> None:
        super().__init__()
        self.http, self.tcp, self.hung = free_port(), free_port(), free_port()
        self.launch(
            [BUILD / "bench_peer", str(self.http), str(self.tcp), str(self.hung)],
            lambda: accepts_connections(self.hung),
            environment={"INTERVAL_MS": str(interval_ms)},
        )

    def forget(self) -> None:
        self.process.send_signal(signal.SIGUSR1)

    def rhythm(self) -> dict[str, Any]:
        """Stops the process."""
        self.stop()
        return json.loads(self.log().splitlines()[-1])


@contextlib.contextmanager
def running(make: Callable[[], Any]) -> Iterator[Any]:
    thing = make()
    try:
        yield thing
    finally:
        thing.close()


def runs_of(daemon: Vitalsd) -> float:
    return sum(sample.value for sample in daemon.text_samples("vitalsd_probe_runs_total"))


def ours_per_run(probes: list[dict[str, Any]], interval: str, **options: Any) -> float:
    """Returns the CPU seconds for one run of one probe, including everything except a scrape."""
    make = lambda: Vitalsd(probes, interval=interval, timeout=interval, **options)  # noqa: E731
    with running(make) as daemon:
        time.sleep(3)  # skip the first round
        runs, cpu = runs_of(daemon), cpu_seconds(daemon.pid)
        time.sleep(WINDOW)
        cpu = cpu_seconds(daemon.pid) - cpu
        return cpu / (runs_of(daemon) - runs)


def peer_per_request(program: Program, paths: Sequence[str], pause: float) -> float:
    """Returns the CPU seconds of a peer for one request at the rate of vitalsd's runs."""
    for path in paths[:3]:
        status, body = get(program.port, path)
        assert status == 200, body
    count, end = 0, time.monotonic() + WINDOW
    cpu = cpu_seconds(program.pid)
    while time.monotonic() < end:
        get(program.port, paths[count % len(paths)])
        count += 1
        time.sleep(pause)
    return (cpu_seconds(program.pid) - cpu) / count


def floor_per_request(how: str, *target: object, per_second: float, ca: Path | None = None) -> float:
    """Returns the CPU seconds for one request without an exporter (tests/bench/floor.cpp)."""
    command = [BUILD / "bench_floor", how, *target, per_second, WINDOW, *([ca] if ca else [])]
    answer = subprocess.run([str(word) for word in command], capture_output=True, check=True)
    return float(answer.stdout) / 1e6


# ---- the peers ----------------------------------------------------------------------------------


def blackbox(authority: Authority | None = None) -> Program:
    modules = f"""
modules:
  http: {{prober: http, http: {{preferred_ip_protocol: ip4}}}}
  tcp: {{prober: tcp, tcp: {{preferred_ip_protocol: ip4}}}}
  https:
    prober: http
    http:
      preferred_ip_protocol: ip4
      tls_config: {{ca_file: {authority.path if authority else "/dev/null"}}}
"""

    def command(port: int, directory: Path) -> list[str]:
        file = directory / "blackbox.yaml"
        file.write_text(modules)
        return [
            "prometheus-blackbox-exporter",
            f"--config.file={file}",
            f"--web.listen-address=127.0.0.1:{port}",
        ]

    return Program("blackbox", command)


def postgres_exporter(server: Postgres) -> Program:
    return Program(
        "postgres-exporter",
        lambda port, _: [
            "prometheus-postgres-exporter",
            f"--web.listen-address=127.0.0.1:{port}",
        ],
        DATA_SOURCE_URI=f"127.0.0.1:{server.port}/{server.database}?sslmode=require",
        DATA_SOURCE_USER="monitor",
        DATA_SOURCE_PASS=server.passwords["monitor"],
    )


def redis_exporter(port: int, password: str) -> Program:
    return Program(
        "redis-exporter",
        lambda listen, _: [
            "prometheus-redis-exporter",
            f"-web.listen-address=127.0.0.1:{listen}",
            f"-redis.addr=redis://127.0.0.1:{port}",
        ],
        REDIS_PASSWORD=password,
    )


def node_exporter() -> Program:
    return Program(
        "node-exporter",
        lambda port, _: ["prometheus-node-exporter", f"--web.listen-address=127.0.0.1:{port}"],
    )


def pushgateway() -> Program:
    return Program(
        "pushgateway",
        lambda port, _: ["prometheus-pushgateway", f"--web.listen-address=127.0.0.1:{port}"],
    )


# ---- rows ---------------------------------------------------------------------------------------


def addresses(count: int, net: int) -> list[str]:
    return [f"127.{net}.{i // 250}.{i % 250 + 1}" for i in range(count)]


def bench_http_and_tcp() -> Iterator[Row]:
    with running(Peer) as peer, running(blackbox) as peer_blackbox:
        hosts = addresses(100, 1)
        probes = [
            {"name": f"http-{i}", "kind": "http", "url": f"http://{host}:{peer.http}/"}
            for i, host in enumerate(hosts)
        ]
        ours = ours_per_run(probes, "1s")
        paths = [f"/probe?module=http&target=http://{host}:{peer.http}/" for host in hosts]
        theirs = peer_per_request(peer_blackbox, paths, 0.01)
        yield Row("one HTTP probe, new connection", ours * 1e6, "us", 110, theirs * 1e6, "blackbox_exporter", 420)
        bare = floor_per_request("curl", f"http://127.1.0.1:{peer.http}/", per_second=100)
        yield Row("... compared with the library alone", ours * 1e6, "us", None, bare * 1e6, "libcurl")
        bare = floor_per_request("sockets", "127.1.0.1", peer.http, per_second=100)
        yield Row("... compared with the system calls alone", ours * 1e6, "us", None, bare * 1e6, "sockets")
        probes = [
            {"name": f"tcp-{i}", "kind": "tcp", "endpoint": f"{host}:{peer.tcp}"}
            for i, host in enumerate(hosts)
        ]
        ours = ours_per_run(probes, "1s")
        paths = [f"/probe?module=tcp&target={host}:{peer.tcp}" for host in hosts]
        theirs = peer_per_request(peer_blackbox, paths, 0.01)
        yield Row("one TCP probe", ours * 1e6, "us", 75, theirs * 1e6, "blackbox_exporter", 231)


def postgres_probe(server: Postgres, name: str = "db") -> dict[str, Any]:
    return {
        "name": name,
        "kind": "postgres",
        "url": server.url(),
        "tls": {"ca": str(server.authority.path)},
        "password": {"env": "DB_PASSWORD"},
    }


def redis_probe(url: str, name: str = "cache") -> dict[str, Any]:
    return {"name": name, "kind": "redis", "url": url, "password": {"env": "CACHE_PASSWORD"}}


def bench_postgres(authority: Authority) -> Iterator[Row]:
    with running(lambda: Postgres(authority)) as server:
        environment = {"DB_PASSWORD": server.passwords["monitor"]}
        ours = ours_per_run([postgres_probe(server)], "100ms", environment=environment)
        with running(lambda: postgres_exporter(server)) as peer:
            theirs = peer_per_request(peer, ["/metrics"], 0.1)
        yield Row("one PostgreSQL pass", ours * 1e3, "ms", 0.5, theirs * 1e3, "postgres_exporter", 4.85)


def bench_redis(authority: Authority) -> Iterator[Row]:
    with running(lambda: Redis(authority)) as server:
        environment = {"CACHE_PASSWORD": server.password}
        ours = ours_per_run([redis_probe(server.url())], "100ms", environment=environment)
        with running(lambda: redis_exporter(server.port, server.password)) as peer:
            theirs = peer_per_request(peer, ["/metrics"], 0.1)
        yield Row("one Redis pass", ours * 1e3, "ms", 0.2, theirs * 1e3, "redis_exporter", 2.73)


def bench_https(authority: Authority) -> Iterator[Row]:
    with running(lambda: Nginx(authority)) as server:
        url = server.url("/health/live", tls=True)
        probe = {"kind": "http", "url": url, "tls": {"ca": str(authority.path)}}
        probes = [{"name": f"https-{i}", **probe} for i in range(20)]
        ours = ours_per_run(probes, "1s")
        with running(lambda: blackbox(authority)) as peer:
            theirs = peer_per_request(peer, [f"/probe?module=https&target={url}"], 0.05)
        what = "one HTTPS probe, new connection, verified"
        bare = floor_per_request("curl", url, per_second=20, ca=authority.path)
        yield Row(what, ours * 1e3, "ms", 2, bare * 1e3, "libcurl, CAs cached", 1.5)
        yield Row("... compared with an exporter", ours * 1e3, "ms", None, theirs * 1e3, "blackbox_exporter")


def bench_memory(authority: Authority) -> Iterator[Row]:
    with contextlib.ExitStack() as stack:
        database = stack.enter_context(running(lambda: Postgres(authority)))
        cache = stack.enter_context(running(lambda: Redis(authority)))
        web = stack.enter_context(running(lambda: Nginx(authority)))
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        (directory / "today.dump").write_bytes(b"a backup")
        make = lambda: Vitalsd(  # noqa: E731
            [
                postgres_probe(database),
                redis_probe(cache.url()),
                {"name": "api", "kind": "http", "url": web.url()},
                {"name": "tls", "kind": "certificate", "files": [str(authority.path)]},
                {"name": "dumps", "kind": "backup", "directory": str(directory)},
                {"name": "disks", "kind": "filesystem", "mounts": ["/"]},
            ],
            interval="1s",
            timeout="1s",
            environment={
                "DB_PASSWORD": database.passwords["monitor"],
                "CACHE_PASSWORD": cache.password,
            },
        )
        with running(make) as daemon:
            for _ in range(30):
                daemon.page()
                time.sleep(1)
            ours = memory_mb(daemon.pid)
        peers = [
            stack.enter_context(running(make_peer))
            for make_peer in (
                lambda: postgres_exporter(database),
                lambda: redis_exporter(cache.port, cache.password),
                blackbox,
                node_exporter,
                pushgateway,
            )
        ]
        for _ in range(30):
            for peer in peers:
                get(peer.port, "/metrics")
            get(peers[2].port, f"/probe?module=http&target={web.url()}")
            time.sleep(0.2)
        yield Row("memory, the six core probes", ours, "MB", 16, sum(memory_mb(p.pid) for p in peers), "five exporters")


def bench_hung(authority: Authority) -> Iterator[Row]:
    with running(Peer) as peer, running(lambda: Redis(authority)) as server:
        probes = [redis_probe(server.url(), f"well-{i}") for i in range(10)]
        probes += [redis_probe(f"redis://127.9.0.{i + 1}:{peer.hung}", f"hung-{i}") for i in range(10)]
        make = lambda: Vitalsd(  # noqa: E731
            probes,
            interval="1s",
            timeout="1s",
            ready=False,
            environment={"CACHE_PASSWORD": server.password},
        )
        with running(make) as daemon:
            took = []
            end = time.monotonic() + WINDOW
            while time.monotonic() < end:
                took.append(timed(daemon.page))
                time.sleep(0.01)
            ours = p99(took)
        with running(lambda: redis_exporter(peer.hung, "none")) as exporter:
            theirs = timed(lambda: get(exporter.port, "/metrics"))
        yield Row("`/metrics` while half of the targets hang, p99", ours * 1e3, "ms", 10, theirs * 1e3, "redis_exporter, one")


def bench_page() -> Iterator[Row]:
    def one(which: str) -> dict[str, float]:
        command = [BUILD / "bench_scrape", which]
        return json.loads(subprocess.run(command, capture_output=True, check=True).stdout)

    ours, theirs = one("ours"), one("prometheus-cpp")
    yield Row("`/metrics` of 100,000 series, CPU", ours["cpu_ms"], "ms", 5, theirs["cpu_ms"], "prometheus-cpp")
    one_copy = ours["bytes"] * 1.1 / 2**20
    yield Row("... memory for it", ours["more_mb"], "MB", one_copy, theirs["more_mb"], "prometheus-cpp")


TARGETS = 5_000


def ten_thousand(peer: Peer) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """Returns names and addresses of the HTTP and TCP targets. A tenth of them hang."""
    hung = TARGETS * 2 // 10
    hosts = addresses(TARGETS, 1)
    web = [
        (f"http-{i}", f"http://{host}:{peer.hung if i < hung else peer.http}/")
        for i, host in enumerate(hosts)
    ]
    return web, [(f"tcp-{i}", f"{host}:{peer.tcp}") for i, host in enumerate(addresses(TARGETS, 2))]


def telegraf(executable: str, peer: Peer) -> Program:
    def command(port: int, directory: Path) -> list[str]:
        web, tcp = ten_thousand(peer)
        text = (
            '[agent]\ninterval = "10s"\nflush_interval = "10s"\nmetric_buffer_limit = 100000\n'
            "metric_batch_size = 10000\nquiet = true\n[[outputs.prometheus_client]]\n"
            f'listen = "127.0.0.1:{port}"\nmetric_version = 2\n'
        )
        for _, url in web:
            text += f'[[inputs.http_response]]\nurls = ["{url}"]\nresponse_timeout = "5s"\n'
        for _, address in tcp:
            text += f'[[inputs.net_response]]\nprotocol = "tcp"\naddress = "{address}"\n'
        file = directory / "telegraf.conf"
        file.write_text(text)
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        return ["prlimit", f"--nofile={hard}:{hard}", executable, "--config", str(file)]

    return Program("telegraf", command)


def rounds(peer: Peer, pid: int) -> dict[str, Any]:
    """Measures the cost and the punctuality of 10,000 probes over some rounds, after two rounds."""
    time.sleep(20)
    peer.forget()
    cpu = cpu_seconds(pid)
    time.sleep(10 * ROUNDS)
    cpu = cpu_seconds(pid) - cpu
    result = {"us": cpu / (10_000 * ROUNDS) * 1e6, "mb": memory_mb(pid), "peak_mb": memory_mb(pid, "VmHWM")}
    return result


def bench_ten_thousand(telegraf_file: str | None) -> Iterator[Row]:
    healthy = TARGETS * 2 - TARGETS * 2 // 10
    with running(Peer) as peer:
        web, tcp = ten_thousand(peer)
        probes = [{"name": name, "kind": "http", "url": url} for name, url in web]
        probes += [{"name": name, "kind": "tcp", "endpoint": address} for name, address in tcp]
        make = lambda: Vitalsd(  # noqa: E731
            probes, interval="10s", timeout="5s", log={"level": "error"}, ready=False
        )
        with running(make) as daemon:
            ours = rounds(peer, daemon.pid)
            gzip_cpu = thread_cpu_seconds(daemon.pid, "web-loop")
            plain = {"Accept": "text/plain"}
            for _ in range(10):
                get(daemon.port, "/metrics", **plain, **{"Accept-Encoding": "gzip"})
            gzip_cpu = (thread_cpu_seconds(daemon.pid, "web-loop") - gzip_cpu) / 10
            failed = [
                sample.labels["probe"]
                for sample in daemon.text_samples("vitalsd_probe_failures_total")
                if sample.labels["probe"] not in {name for name, _ in web[: TARGETS * 2 // 10]}
            ]
        ours_rhythm = peer.rhythm()
    theirs, their_rhythm = None, None
    if telegraf_file:
        with running(Peer) as peer:
            with running(lambda: telegraf(telegraf_file, peer)) as program:
                theirs = rounds(peer, program.pid)
            their_rhythm = peer.rhythm()

    def worst(rhythm: dict[str, Any]) -> float:
        return max(rhythm["http"]["p99_ms"], rhythm["tcp"]["p99_ms"])

    name = "Telegraf"
    what = "10,000 probes every 10 s, a tenth hung"
    yield Row(f"{what}: CPU a probe", ours["us"], "us", 90, theirs and theirs["us"], name, 131)
    with running(Peer) as peer:
        web_floor, tcp_floor = (
            floor_per_request(how, "127.1.0.1", port, per_second=500)
            for how, port in (("sockets", peer.http), ("connect", peer.tcp))
        )
    bare = (web_floor + tcp_floor) / 2
    yield Row("... compared with the system calls alone", ours["us"], "us", None, bare * 1e6, "sockets")
    yield Row("... memory", ours["mb"], "MB", 64, theirs and theirs["mb"], name)
    yield Row("... p99 deviation from the schedule", worst(ours_rhythm), "ms", 5, their_rhythm and worst(their_rhythm), name)
    probed = ours_rhythm["http"]["targets"] + ours_rhythm["tcp"]["targets"]
    yield Row("... healthy targets not probed or disturbed", healthy - probed + len(failed), "targets", 0)
    yield Row("... gzip scrape, CPU of the web thread", gzip_cpu * 1e3, "ms", 50)


def bench_start() -> Iterator[Row]:
    took = []
    for _ in range(11):
        with tempfile.TemporaryDirectory() as directory:
            port = free_port()
            file = Path(directory) / "vitalsd.yaml"
            file.write_text(
                f'web: {{listen: "127.0.0.1:{port}"}}\n'
                f'probes: [{{name: self, kind: tcp, endpoint: "127.0.0.1:{port}"}}]\n'
            )
            begin = time.monotonic()
            started = subprocess.Popen([binary(), "--config", file], stderr=subprocess.DEVNULL)
            wait_until(lambda: accepts_connections(port), what="it listens")  # noqa: B023
            get(port, "/metrics")
            took.append(time.monotonic() - begin)
            started.terminate()
            started.wait()
    yield Row("start to first `/metrics`, median", statistics.median(took) * 1e3, "ms", 100)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--only", default="", help="benchmarks with this in their name")
    parser.add_argument("--telegraf", help="its executable; without it that peer is left out")
    parser.add_argument("--quick", action="store_true", help="seconds instead of minutes")
    options = parser.parse_args()
    if options.quick:
        global WINDOW, ROUNDS
        WINDOW, ROUNDS = 2.0, 2
    process.begin()
    scratch = Path(tempfile.mkdtemp(prefix="vitalsd-bench-"))
    authority = Authority(scratch)
    benches: dict[str, Callable[[], Iterator[Row]]] = {
        "http-and-tcp": bench_http_and_tcp,
        "https": lambda: bench_https(authority),
        "postgres": lambda: bench_postgres(authority),
        "redis": lambda: bench_redis(authority),
        "memory": lambda: bench_memory(authority),
        "hung": lambda: bench_hung(authority),
        "page": bench_page,
        "ten-thousand": lambda: bench_ten_thousand(options.telegraf),
        "start": bench_start,
    }
    print("| what | vitalsd | peer | ratio | budget | met |\n|---|---|---|---|---|---|")
    try:
        for name, bench in benches.items():
            if options.only in name:
                for row in bench():
                    print(row.line(), flush=True)
    finally:
        process.end_all()
        shutil.rmtree(scratch, ignore_errors=True)


if __name__ == "__main__":
    main()
