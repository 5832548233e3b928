"""Kind tcp with real servers and network faults, and properties of all kinds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from support import wait_until
from support.dns_server import DnsServer
from support.fault_proxy import FaultProxy
from support.nginx import Nginx
from support.postgres import Postgres
from support.process import free_port
from support.redis import Redis
from support.vitalsd import Vitalsd, run

Daemon = Callable[..., Vitalsd]


def tcp(name: str, endpoint: int | str, **options: object) -> dict[str, object]:
    where = f"127.0.0.1:{endpoint}" if isinstance(endpoint, int) else endpoint
    return {"name": name, "kind": "tcp", "endpoint": where, **options}


def test_a_server_that_listens(vitalsd: Daemon, redis_server: Redis) -> None:
    daemon = vitalsd([tcp("cache", redis_server.port, labels={"environment": "test"})])
    seen = {"probe": "cache", "environment": "test"}
    assert daemon.value("probe_success", **seen) == 1
    assert daemon.value("vitalsd_target_up", kind="tcp", **seen) == 1
    assert 0 < daemon.value("probe_tcp_connect_duration_seconds", **seen) < 10
    assert daemon.failures("cache") == {}
    # Both formats have the same samples.
    for name in ("probe_success", "vitalsd_target_up"):
        assert daemon.samples(name) == daemon.text_samples(name)


def test_a_port_that_nobody_listens_on(vitalsd: Daemon) -> None:
    daemon = vitalsd([tcp("nobody", free_port())])
    daemon.wait_failed("nobody", "connect")
    assert daemon.value("vitalsd_target_up", probe="nobody") == 0
    assert daemon.absent("probe_tcp_connect_duration_seconds", probe="nobody")
    assert daemon.log_lines("probe failed", probe="nobody", reason="connect")


def test_a_server_that_stops_and_starts(vitalsd: Daemon, redis_server: Redis) -> None:
    daemon = vitalsd([tcp("cache", redis_server.port)])
    daemon.wait_ok("cache")
    redis_server.stop()
    daemon.wait_for("probe_success", 0, probe="cache")
    # A reading is kept after one failed run and removed after a second one.
    daemon.wait_for("probe_tcp_connect_duration_seconds", None, probe="cache")
    redis_server.start()
    daemon.wait_ok("cache")
    assert len(daemon.log_lines("probe recovered", probe="cache")) == 1


def test_a_stopped_process_still_connects(vitalsd: Daemon, postgres: Postgres) -> None:
    """The kernel accepts connections for a frozen server. Kind tcp checks only the port, so the
    target is up."""
    daemon = vitalsd([tcp("db", postgres.port)])
    postgres.freeze()
    daemon.wait_runs("db", 3)
    daemon.wait_ok("db")
    assert daemon.failures("db") == {}


def test_names(vitalsd: Daemon, dns_server: DnsServer, redis_server: Redis) -> None:
    dns_server.set("cache.test", "127.0.0.1")
    dns_server.set("broken.test", rcode="SERVFAIL")
    dns_server.set("silent.test", silent=True)
    dns_server.set("late.test", delay=3)
    daemon = vitalsd(
        [tcp(name, f"{name}.test:{redis_server.port}") for name in ("cache", "absent", "broken")]
        + [tcp(name, f"{name}.test:{redis_server.port}") for name in ("silent", "late")],
        dns={"servers": [dns_server.address]},
    )
    daemon.wait_ok("cache")
    daemon.wait_failed("absent", "dns")
    daemon.wait_failed("broken", "dns")
    daemon.wait_failed("silent", "timeout")
    daemon.wait_failed("late", "timeout")
    # The slow names have not delayed the others.
    daemon.wait_runs("cache", 4)
    assert daemon.failures("cache") == {}
    assert "silent.test" in daemon.log_lines("probe failed", probe="silent")[0]["error"]


def test_a_network_between(
    vitalsd: Daemon, fault_proxy: Callable[..., FaultProxy], redis_server: Redis
) -> None:
    """This kind ignores events after the connection, but a refusal fails the run. (An early reset
    can count as a refusal.)"""
    proxy = fault_proxy(redis_server.port)
    daemon = vitalsd([tcp("through", proxy.port)], interval="300ms", timeout="300ms")
    for mode in ("ok", "slow", "hang", "silent", "truncate", "garbage"):
        proxy.set_mode(mode)
        daemon.wait_runs("through", 2)
        daemon.wait_ok("through")
    proxy.set_mode("refuse")
    daemon.wait_failed("through", "connect")
    proxy.set_mode("ok")
    daemon.wait_ok("through")


def test_one_that_hangs_does_not_delay_another(
    vitalsd: Daemon, dns_server: DnsServer, nginx: Nginx
) -> None:
    dns_server.set("silent.test", silent=True)
    hanging = [tcp(f"hanging-{number}", f"silent.test:{number + 1}") for number in range(20)]
    daemon = vitalsd(
        [tcp("web", nginx.port), *hanging],
        interval="200ms",
        timeout="200ms",
        dns={"servers": [dns_server.address]},
    )
    daemon.wait_failed("hanging-7", "timeout")
    daemon.wait_runs("web", 10)
    outcomes = {
        sample.labels["outcome"]: sample.value
        for sample in daemon.samples("vitalsd_probe_runs_total", probe="web")
    }
    assert outcomes["failed"] == 0 and "stuck" not in outcomes


def test_reload_changes_what_is_watched(vitalsd: Daemon, redis_server: Redis, nginx: Nginx) -> None:
    daemon = vitalsd([tcp("stays", redis_server.port), tcp("goes", redis_server.port)])
    runs = daemon.runs("stays")
    daemon.configuration["probes"][1] = tcp("comes", nginx.port)
    daemon.reload()
    daemon.wait_ok("comes")
    assert daemon.absent("probe_success", probe="goes")
    assert daemon.runs("stays") >= runs

    good = list(daemon.configuration["probes"])
    daemon.configuration["probes"].append({"name": "bad", "kind": "tpc", "endpoint": "x:1"})
    daemon.reload(successful=False)
    assert {s.labels["probe"] for s in daemon.samples("probe_success")} == {"stays", "comes"}
    daemon.configuration["probes"] = good
    daemon.reload()


def test_pages_of_a_running_daemon(vitalsd: Daemon, nginx: Nginx) -> None:
    daemon = vitalsd([tcp("web", nginx.port)])
    assert daemon.get("/-/healthy")[0] == 200
    assert 'probe_success{probe="web",instance="web"} 1' in daemon.page("/probes/web/metrics")
    assert daemon.get("/probes/other/metrics")[0] == 404
    assert "web" in daemon.page("/")
    assert [probe["name"] for probe in daemon.status()["probes"]] == ["web"]


@pytest.mark.parametrize(("listens", "code"), [(True, 0), (False, 2)])
def test_check_once(tmp_path: Path, redis_server: Redis, listens: bool, code: int) -> None:
    port = redis_server.port if listens else free_port()
    config = tmp_path / "vitalsd.yaml"
    config.write_text(f"probes: [{{name: cache, kind: tcp, endpoint: '127.0.0.1:{port}'}}]\n")
    done = run("check", "--config", config)
    assert done.returncode == code, done.stdout + done.stderr
    assert "cache" in done.stdout


def test_the_daemon_ends_in_the_middle_of_runs(vitalsd: Daemon, dns_server: DnsServer) -> None:
    dns_server.set("silent.test", silent=True)
    daemon = vitalsd(
        [tcp("hanging", "silent.test:1")],
        interval="30s",
        timeout="30s",
        dns={"servers": [dns_server.address]},
        ready=False,
    )
    wait_until(lambda: dns_server.questions("silent.test") > 0, what="the start of the run")
    daemon.end()
