"""Reload: the effects of a new configuration and of an invalid one, and what stays unchanged."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from support import wait_until
from support.certificates import Authority
from support.dns_server import DnsServer
from support.nginx import Nginx
from support.postgres import Postgres
from support.process import free_port
from support.redis import Redis
from support.vitalsd import Vitalsd

pytestmark = pytest.mark.threads

Daemon = Callable[..., Vitalsd]

QUICK = {"interval": "300ms", "timeout": "250ms"}


def db(server: Postgres, **options: object) -> dict:
    url = server.url(sslmode="disable")
    return {"name": "db", "kind": "postgres", "url": url, "password": {"env": "DB"}, **options}


def cache(server: Redis, **options: object) -> dict:
    url = server.url(user="monitor")
    return {"name": "cache", "kind": "redis", "url": url, "password": {"env": "CACHE"}, **options}


def passwords(postgres: Postgres, redis: Redis) -> dict[str, str]:
    return {"DB": postgres.passwords["monitor"], "CACHE": redis.monitor_password}


def backends(postgres: Postgres) -> list[int]:
    """Returns the server processes of the probe's connections."""
    question = "SELECT pid FROM pg_stat_activity WHERE application_name = 'vitalsd'"
    return [pid for (pid,) in postgres.execute(question)]


def last_change(daemon: Vitalsd) -> dict[str, str]:
    """Returns the numbers of probes that the last reload added, changed, kept and removed."""
    line = daemon.log_lines("configuration loaded")[-1]
    return {word: line[word] for word in ("added", "changed", "unchanged", "removed")}


def test_what_has_not_changed_goes_on(
    vitalsd: Daemon, postgres: Postgres, redis_server: Redis
) -> None:
    """An unchanged probe keeps its counters, its connection and its window of lookups. A probe with
    changed options restarts and keeps its connection."""
    daemon = vitalsd(
        [db(postgres), cache(redis_server)], environment=passwords(postgres, redis_server), **QUICK
    )
    redis_server.look_up(hits=9, misses=3)
    daemon.wait_for("redis_cache_hit_rate", 0.75)
    daemon.wait_runs("db", 2)
    connection, connected = backends(postgres), redis_server.info("total_connections_received")
    assert len(connection) == 1
    runs = daemon.runs("db")

    daemon.configuration["probes"] = [
        cache(redis_server, checks={"hit_rate": {"warn": "60%"}}, labels={"team": "blue"}),
        db(postgres),
    ]
    daemon.reload()
    assert last_change(daemon) == {"added": "0", "changed": "1", "unchanged": "1", "removed": "0"}
    assert daemon.runs("db") >= runs
    daemon.wait_for("redis_cache_hit_rate", 0.75, team="blue")
    daemon.wait_for("vitalsd_check_status", 0, probe="cache", check="hit_rate")
    assert {s.labels.get("team") for s in daemon.samples("redis_up")} == {"blue"}
    daemon.wait_runs("db", 2)
    assert backends(postgres) == connection
    more = int(redis_server.info("total_connections_received")) - int(connected)
    assert more == 1  # the connection of redis-cli
    for probe in ("db", "cache"):
        assert daemon.failures(probe) == {}


def test_what_has_changed_starts_anew(
    vitalsd: Daemon, postgres: Postgres, redis_server: Redis, nginx: Nginx
) -> None:
    """If the target or the kind changes, only the counters stay, because they belong to the
    name."""
    daemon = vitalsd(
        [db(postgres), cache(redis_server)], environment=passwords(postgres, redis_server), **QUICK
    )
    daemon.wait_ok("db")
    runs = daemon.runs("cache")
    nobody = f"redis://127.0.0.1:{free_port()}"
    web = {"name": "db", "kind": "http", "url": nginx.url()}
    daemon.configuration["probes"] = [
        web,
        {"name": "cache", "kind": "redis", "url": nobody, "password": {"env": "CACHE"}},
    ]
    daemon.reload()
    assert last_change(daemon) == {"added": "0", "changed": "2", "unchanged": "0", "removed": "0"}
    daemon.wait_for("probe_http_status_code", 200, probe="db")
    assert daemon.samples("pg_up") == daemon.samples("pg_stat_activity_count") == []
    daemon.wait_failed("cache", "connect")
    assert daemon.absent("redis_memory_used_bytes")
    assert daemon.runs("cache") > runs
    wait_until(lambda: backends(postgres) == [], what="the old connection is closed")


def test_probes_that_come_and_go(vitalsd: Daemon, nginx: Nginx) -> None:
    def web(name: str) -> dict:
        return {"name": name, "kind": "http", "url": nginx.url()}

    daemon = vitalsd([web("stays"), web("goes")], **QUICK)
    daemon.configuration["probes"] = [web("comes"), web("stays")]
    daemon.reload()
    assert last_change(daemon) == {"added": "1", "changed": "0", "unchanged": "1", "removed": "1"}
    daemon.wait_ok("comes")
    assert 'probe="goes"' not in daemon.page()
    assert daemon.get("/probes/goes/metrics")[0] == 404
    assert {row["name"] for row in daemon.status()["probes"]} == {"comes", "stays"}


def test_another_rhythm(vitalsd: Daemon, nginx: Nginx) -> None:
    probe = {"name": "web", "kind": "http", "url": nginx.url()}
    daemon = vitalsd([probe | {"interval": "1h", "timeout": "1s"}])
    assert daemon.runs("web") == 1
    daemon.configuration["probes"] = [probe | {"interval": "200ms", "timeout": "200ms"}]
    daemon.reload()
    daemon.wait_runs("web", 5)


def test_facts_outlive_a_reload(
    vitalsd: Daemon, nginx: Nginx, certificates: Authority, tmp_path: Path
) -> None:
    """The date of a certificate stays if its server is down when the probe restarts."""
    certificate = certificates.issue()
    port = nginx.serve_tls("fact", certificate)
    probe = {"name": "tls", "kind": "certificate", "endpoint": f"127.0.0.1:{port}"}
    probe |= {"tls": {"ca": str(certificates.path)}}
    daemon = vitalsd([probe], **QUICK)
    daemon.wait_for("cert_expiry_timestamp", certificate.expiry)
    nginx.stop()
    daemon.wait_failed("tls", "connect")
    daemon.configuration["probes"] = [probe | {"labels": {"team": "blue"}}]
    daemon.reload()
    daemon.wait_failed("tls", "connect")
    (sample,) = daemon.samples("cert_expiry_timestamp")
    assert (sample.value, sample.labels["team"]) == (certificate.expiry, "blue")


def test_a_bad_configuration_changes_nothing(vitalsd: Daemon, nginx: Nginx) -> None:
    """It is rejected as a whole. The log has every problem with its position, and a metric shows
    it."""
    probe = {"name": "web", "kind": "http", "url": nginx.url()}
    daemon = vitalsd([probe], **QUICK)
    since = daemon.value("vitalsd_config_last_reload_success_timestamp_seconds")
    text = daemon.config_file.read_text()
    faults = ["- {name: a, kind: htpp}\n", "- {name: b, kind: http, url: 'http://b', tmo: 1}\n"]
    wrong = text + "".join(faults)
    for content in (wrong, "probes: [", ""):
        refused = len(daemon.log_lines("configuration is invalid"))
        daemon.config_file.write_text(content)
        daemon.hang_up(successful=False)
        assert len(daemon.log_lines("configuration is invalid")) > refused
        assert daemon.value("vitalsd_config_last_reload_successful") == 0
        assert daemon.value("vitalsd_config_last_reload_success_timestamp_seconds") == since
        daemon.wait_runs("web", 2)
        assert {s.labels["probe"] for s in daemon.samples("probe_success")} == {"web"}
    problems = [line["problem"] for line in daemon.log_lines("configuration is invalid")]
    line = text.count("\n") + 1
    for place in (
        f"{line}:{faults[0].index('htpp') + 1}: probes[1].kind: unknown kind 'htpp'",
        f"{line + 1}:{faults[1].index('tmo') + 1}: probes[2].tmo: ",
    ):
        assert any(each.startswith(f"{daemon.config_file}:{place}") for each in problems), problems
    daemon.reload()
    assert daemon.value("vitalsd_config_last_reload_successful") == 1
    assert daemon.failures("web") == {}


def test_a_file_that_is_replaced(vitalsd: Daemon, nginx: Nginx) -> None:
    """A mounted ConfigMap is replaced without a signal. While the file is missing, nothing
    changes."""
    daemon = vitalsd([{"name": "web", "kind": "http", "url": nginx.url()}], **QUICK)
    away = daemon.config_file.with_suffix(".away")
    daemon.config_file.rename(away)
    daemon.wait_runs("web", 5)
    assert daemon.value("vitalsd_config_last_reload_successful") == 1
    away.rename(daemon.config_file)
    tcp = {"name": "port", "kind": "tcp", "endpoint": f"127.0.0.1:{nginx.port}"}
    daemon.configuration["probes"].append(tcp)
    daemon.write_configuration()
    daemon.wait_ok("port")
    assert daemon.log_lines("configuration file has changed")
    assert daemon.failures("web") == {}


def test_reload_over_http(vitalsd: Daemon, nginx: Nginx) -> None:
    """The reload endpoint must be enabled. Its response contains the problems."""
    probe = {"name": "web", "kind": "http", "url": nginx.url()}
    closed = vitalsd([probe])
    assert closed.get("/-/reload", method="POST")[0] in (403, 404, 405)
    daemon = vitalsd([probe])
    daemon.configuration["web"]["reload"] = True
    daemon.restart()
    good = daemon.config_file.read_text()
    assert daemon.get("/-/reload", method="POST") == (200, b"Configuration reloaded.\n")
    assert daemon.get("/-/reload")[0] == 405
    daemon.config_file.write_text(good.replace("kind: http", "kind: htpp"))
    status, text = daemon.get("/-/reload", method="POST")
    assert status >= 400
    assert b"unknown kind 'htpp'" in text
    daemon.config_file.write_text(good)
    assert daemon.get("/-/reload", method="POST")[0] == 200


def test_reload_during_a_run(vitalsd: Daemon, dns_server: DnsServer, nginx: Nginx) -> None:
    """A reload does not wait for runs. Idle probes change at once, a running probe when its run has
    ended."""
    dns_server.set("silent.test", silent=True)
    dns_server.set("web.test")
    slow = {"name": "web", "kind": "tcp", "interval": "3s", "timeout": "3s"}
    daemon = vitalsd(
        [slow | {"endpoint": f"silent.test:{nginx.port}"}],
        dns={"servers": [dns_server.address]},
        ready=False,
    )
    wait_until(lambda: dns_server.questions("silent.test") > 0, what="the start of the run")
    daemon.configuration["probes"] = [
        {"name": "web", "kind": "tcp", "endpoint": f"web.test:{nginx.port}", **QUICK},
        {"name": "other", "kind": "tcp", "endpoint": f"web.test:{nginx.port}", **QUICK},
    ]
    daemon.reload()
    daemon.wait_ok("other")
    assert daemon.absent("probe_success", probe="web")
    daemon.wait_ok("web")
    assert daemon.failures("web") == {"timeout": 1}
    daemon.wait_runs("web", 3)
