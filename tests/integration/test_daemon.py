"""The daemon itself: a hanging probe loop, and its limits."""

from __future__ import annotations

import contextlib
import resource
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from support import wait_until
from support.process import free_port, inside
from support.redis import Redis
from support.vitalsd import Vitalsd, run
from support.wedge import wedged

pytestmark = pytest.mark.threads

Daemon = Callable[..., Vitalsd]


def test_a_probe_loop_that_hangs(vitalsd: Daemon, redis_server: Redis, tmp_path: Path) -> None:
    """If the loop hangs, readings are outdated, so none is published, and the liveness check fails
    so that Kubernetes restarts the container. Facts stay, because they are still correct."""
    (tmp_path / "today.dump").write_bytes(b"a backup")
    daemon = vitalsd(
        [
            {"name": "port", "kind": "tcp", "endpoint": f"127.0.0.1:{redis_server.port}"},
            {"name": "dumps", "kind": "backup", "directory": str(tmp_path), "settle": "0s"},
        ]
    )
    daemon.wait_ok("port")
    assert daemon.value("vcci_last_successful_backup_timestamp") >= 0
    health_check = ("healthcheck", "--url", f"http://{daemon.address}/-/healthy")
    assert run(*health_check).returncode == 0
    with wedged(daemon.pid):
        wait_until(lambda: daemon.get("/-/healthy")[0] == 503, what="it is unhealthy")
        assert daemon.absent("probe_success")
        assert daemon.absent("probe_tcp_connect_duration_seconds")
        assert daemon.value("vcci_last_successful_backup_timestamp") >= 0
        assert "the probe loop does not respond" in daemon.page("/")
        assert daemon.status()["healthy"] is False
        done = run(*health_check)
        assert done.returncode == 1
        assert "/-/healthy: status 503: The probe loop does not respond." in done.stderr
    wait_until(lambda: daemon.get("/-/healthy")[0] == 200, what="it is healthy again")
    daemon.wait_ok("port")


def test_open_files(vitalsd: Daemon) -> None:
    """The soft limit is raised to the hard limit, and the log contains the number of concurrent
    runs that it allows."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(1024, hard), hard))
    try:
        daemon = vitalsd([{"name": "port", "kind": "tcp", "endpoint": f"127.0.0.1:{free_port()}"}])
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert resource.prlimit(daemon.pid, resource.RLIMIT_NOFILE) == (hard, hard)
    (line,) = daemon.log_lines("starting vitalsd")
    assert int(line["open_files"]) == hard
    assert int(line["probes_at_once"]) == (hard - 256) // 3


def test_the_start_of_the_process(vitalsd: Daemon) -> None:
    """The start time has the kernel's precision in ticks. A restart has a later time."""
    before = time.time()
    daemon = vitalsd([])
    started = daemon.value("process_start_time_seconds")
    assert before - 0.02 < started < time.time()


class FewDescriptors:
    """A place for processes with a hard limit on descriptors, which this process could not raise
    again."""

    enter = ("prlimit", "--nofile=1024:1024", "--")

    def forward(self, port: int) -> None:
        pass

    def listener(self, port: int) -> socket.socket:
        return socket.create_server(("127.0.0.1", port))


@pytest.mark.long
def test_a_thousand_kept_connections_at_the_limit_of_descriptors(
    vitalsd: Daemon, redis_server: Redis
) -> None:
    """Connections are kept only while descriptors remain for runs, for a reload and for the web
    server. The connections of the other probes are closed after each run."""
    probe = {"kind": "redis", "url": redis_server.url(user="monitor"), "password": {"env": "PW"}}
    probes = [{"name": f"cache-{i}", **probe} for i in range(1_000)]
    with inside(FewDescriptors()):
        daemon = vitalsd(
            probes,
            environment={"PW": redis_server.monitor_password},
            interval="10s",
            timeout="10s",
            log={"format": "json", "level": "info"},
        )
    daemon.wait_runs("cache-0", 2)
    descriptors = daemon.value("process_open_fds")
    assert 256 < descriptors < 1024
    assert daemon.absent("vitalsd_probe_failures_total")
    assert len([s for s in daemon.samples("redis_up") if s.value == 1]) == 1_000
    daemon.reload()


@pytest.mark.serial
def test_a_thousand_probes_run_on_time_beside_hanging_probes(vitalsd: Daemon) -> None:
    """900 probes run at each of their due times while 100 hang until their deadlines. The backlog
    of the hanging target is full, so it does not even accept connections."""
    with contextlib.ExitStack() as stack:
        well = stack.enter_context(listener("0.0.0.0", backlog=1024))
        full = stack.enter_context(listener("127.0.0.1", backlog=0))
        for _ in range(4):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(full.getsockname())
        accepting = threading.Thread(target=accept_all, args=[well])
        accepting.start()
        stack.callback(accepting.join)
        stack.callback(well.shutdown, socket.SHUT_RDWR)

        healthy = [
            {
                "name": f"well-{i}",
                "kind": "tcp",
                "endpoint": f"127.0.{i // 250}.{i % 250 + 1}:{well.getsockname()[1]}",
            }
            for i in range(900)
        ]
        hanging = [
            {"name": f"hung-{i}", "kind": "tcp", "endpoint": f"127.0.0.1:{full.getsockname()[1]}"}
            for i in range(100)
        ]
        daemon = vitalsd(healthy + hanging, interval="2s", timeout="1s", log={"level": "error"})
        runs = daemon.runs("well-7")
        wait_until(lambda: daemon.runs("well-7") >= runs + 3, what="three rounds more")
        lost = {
            sample.labels["probe"]
            for sample in daemon.samples("vitalsd_probe_runs_total")
            if sample.labels["outcome"] in ("skipped", "stuck") and sample.value > 0
        }
        failed = {s.labels["probe"] for s in daemon.samples("vitalsd_probe_failures_total")}
        assert not {probe for probe in lost | failed if probe.startswith("well")}
        assert len(failed) == len(hanging)


def listener(address: str, backlog: int) -> socket.socket:
    made = socket.socket()
    made.bind((address, 0))
    made.listen(backlog)
    return made


def accept_all(server: socket.socket) -> None:
    with contextlib.suppress(OSError):  # it has been shut down
        while True:
            server.accept()[0].close()
