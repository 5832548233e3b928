"""The documented alert rules with live data: tests break and repair real servers, vitalsd probes
them, and a real Prometheus uses the shipped rules.

All tests except the last share one daemon and one Prometheus. Expressions are as shipped; `for` is
shortened to a second. A test starts when no rule of both files is pending or firing and the series
of the rules exist. It ends when the fault is repaired and the alert is resolved.

The scrape attaches labels of vitalsd itself to its target, as a service discovery does by default.
Samples with their own labels must keep them.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

import shorten_rules
from support import wait_until
from support.certificates import Authority, Certificate
from support.fault_proxy import FaultProxy
from support.mounts import Mounts
from support.nginx import Nginx
from support.postgres import Postgres
from support.prometheus import ABSENCE_RULES, SHIPPED, Prometheus, shipped_configuration
from support.rabbitmq import Consumer, Rabbitmq
from support.redis import Redis
from support.s3 import S3
from support.stores import Bucket, Directory, Disks, Store, keep_none, keep_only
from support.vitalsd import Vitalsd
from support.watching import broker, cache, database, endpoint_certificate

DOCUMENTED = SHIPPED / "documented.yaml"
RULE_FILES = (DOCUMENTED, SHIPPED / "vitalsd.yaml", ABSENCE_RULES)

# The labels of the target, and the labels of the database probe's samples.
ATTACHED = {"namespace": "monitoring", "pod": "vitalsd-0", "container": "vitalsd", "node": "n1"}
OWN = {"namespace": "vcci-production", "pod": "postgres-0", "container": "postgres", "node": "db-1"}

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
MIB = 1 << 20
MAX_MEMORY = 40 * MIB

# The probes that provide the series of each rule.
SOURCES = {
    ("guide", "HighDatabaseConnections"): ["main-db", "other-db"],
    ("guide", "HighRedisMemory"): ["cache"],
    ("guide", "DiskSpaceLow"): ["disks"],
    ("guide", "BackupFailed"): ["archives", "backups", "dumps"],
    ("manual", "DatabaseDown"): ["main-db", "other-db"],
    ("manual", "CacheHitRateLow"): ["cache"],
    ("manual", "HighQueueDepth"): ["broker"],
    ("manual", "CertificateExpiringSoon"): ["back-tls", "front-tls"],
    ("runbook", "APIDown"): ["api", "api-live"],
    ("runbook", "DatabaseDown"): ["main-db", "other-db"],
    ("runbook", "DiskSpaceCritical"): ["disks", "disks"],
}


TENANTS = {"name": "tenants", "sql": "SELECT count(*) AS n FROM tenants", "values": ["n"]}


# ---- targets ------------------------------------------------------------------------------------


@dataclass
class Watch:
    """The daemon, the Prometheus that scrapes it, and the other targets."""

    daemon: Vitalsd
    prometheus: Prometheus
    stores: dict[str, Store]
    disks: Disks

    def culprits(self, name: str, **labels: str) -> list[str]:
        """Returns the probes whose alert of this name is pending or firing."""
        return sorted(alert["labels"]["probe"] for alert in self.prometheus.alerts(name, **labels))

    def fires(self, name: str, probe: str, **labels: str) -> dict[str, Any]:
        """Waits until this probe's alert fires and no other probe has one. On a busy machine, a
        late run can give another probe an alert for a moment."""
        alert = self.prometheus.wait_firing(name, probe=probe, **labels)
        wait_until(
            lambda: self.culprits(name, **labels) == [probe],
            what=f"{name} for {probe} alone",
        )
        return alert

    def holds(self, expression: str) -> None:
        """Waits until Prometheus has scraped samples that make the expression true."""
        self.prometheus.wait_for(expression)

    def is_silent(self, name: str, **labels: str) -> None:
        """Checks that no such alert is pending or firing after rule evaluations of the scraped
        data."""
        self.prometheus.wait_evaluated()
        assert self.prometheus.alerts(name, **labels) == []

    def becomes_silent(self, name: str, **labels: str) -> None:
        self.prometheus.wait_silent(name, **labels)


def backups(store: Store) -> dict[str, Any]:
    criteria = {"pattern": "*.dump.gz", "min_size": "1KiB", "max_age": "24h"}
    return {"name": store.probe, "kind": "backup", **criteria, **store.configuration()}


def rules(file: Path) -> list[dict[str, Any]]:
    return [rule for group in yaml.safe_load(file.read_text())["groups"] for rule in group["rules"]]


@pytest.fixture(scope="module")
def platform(
    _postgres: Postgres,
    _other_postgres: Postgres,
    _redis_server: Redis,
    _rabbitmq: Rabbitmq,
    _nginx: Nginx,
    _s3: S3,
    certificates: Authority,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Watch]:
    """Two databases with one name, a cache, a broker, an API, two TLS endpoints with one name, three backup
    stores and a host's disks, all monitored."""
    bucket = _s3.new_bucket()
    stores: dict[str, Store] = {
        "backups": Bucket("backups", _s3, bucket),
        "archives": Bucket("archives", _s3, bucket),
        "dumps": Directory("dumps", tmp_path_factory.mktemp("dumps")),
    }
    for store in stores.values():
        store.add(HOUR)
    _postgres.execute("CREATE TABLE IF NOT EXISTS tenants (id int)", _postgres.database)
    _postgres.execute("GRANT SELECT ON tenants TO monitor", _postgres.database)
    ports = [_nginx.serve_tls(name, certificates.issue("api.test")) for name in ("front", "back")]
    with ExitStack() as closing:
        mounts = Mounts()
        closing.callback(mounts.close)
        disks = Disks(tmp_path_factory.mktemp("host"), mounts)
        healthy = {"status": 200, "json": {"/status": "ok"}}
        probes = [
            database("main-db", _postgres, "MAIN") | {"labels": OWN, "queries": [TENANTS]},
            database("other-db", _other_postgres, "OTHER"),
            cache("cache", _redis_server, "CACHE"),
            broker("broker", _rabbitmq, "BROKER", interval="1s", timeout="1s"),
            {"name": "api", "kind": "http", "url": _nginx.url("/health/ready"), "expect": healthy},
            {"name": "api-live", "kind": "http", "url": _nginx.url("/health/live")},
            endpoint_certificate("front-tls", ports[0], certificates),
            endpoint_certificate("back-tls", ports[1], certificates),
            *map(backups, stores.values()),
            {
                "name": "disks",
                "kind": "filesystem",
                "root": str(disks.root),
                "mounts": ["/", "/data"],
                "node": "web-7",
            },
        ]
        daemon = Vitalsd(
            probes,
            interval="500ms",
            timeout="500ms",
            environment={
                "MAIN": _postgres.passwords["monitor"],
                "OTHER": _other_postgres.passwords["monitor"],
                "CACHE": _redis_server.password,
                "BROKER": _rabbitmq.passwords["monitor"],
                "S3_SECRET": _s3.secret_key,
            },
            state={"directory": str(tmp_path_factory.mktemp("state"))},
        )
        closing.callback(daemon.close)
        prometheus = Prometheus(
            shipped_configuration([daemon.address], labels=ATTACHED),
            [shorten_rules.shorten(file.read_text(), at_most="1s") for file in RULE_FILES],
        )
        closing.callback(prometheus.close)
        prometheus.wait_scraped()
        yield Watch(daemon, prometheus, stores, disks)


@pytest.fixture
def watch(
    platform: Watch,
    postgres: Postgres,
    other_postgres: Postgres,
    redis_server: Redis,
    rabbitmq: Rabbitmq,
    nginx: Nginx,
    s3: S3,
) -> Iterator[Watch]:
    """Waits until all targets are healthy in Prometheus and no alert is pending or firing."""
    for store in platform.stores.values():
        keep_only(store, HOUR)
    redis_server.set_max_memory(MAX_MEMORY)
    redis_server.look_up(hits=100, misses=0)
    rabbitmq.declare("emissions")
    platform.holds('rabbitmq_queue_messages_ready{queue="emissions"} == 0')
    platform.holds(f"redis_memory_max_bytes == {MAX_MEMORY}")
    platform.holds("redis_cache_hit_rate >= 0.8")

    def alerts() -> list[dict[str, Any]]:
        # The loop lag depends on this machine.
        found = platform.prometheus.alerts()
        return [alert for alert in found if alert["labels"]["alertname"] != "ProbeLoopLag"]

    def silent() -> bool:
        # On a loaded machine, a late run can make an alert pending for a moment.
        platform.prometheus.wait_evaluated()
        return not alerts()

    wait_until(
        silent,
        deadline=60,
        what=lambda: f"no alert; there are {[alert['labels'] for alert in alerts()]}",
    )
    yield platform
    platform.disks.free()
    if not platform.daemon.running:
        platform.daemon.kill()
        platform.daemon.start()


# ---- health -------------------------------------------------------------------------------------


def test_all_rules_are_silent_over_series_that_are_there(watch: Watch) -> None:
    """The fixture `watch` waits until no rule fires. This test checks that each rule has data: the
    expression without its comparison must return a result."""
    expressions = {
        (rule["labels"]["document"], rule["alert"]): rule["expr"] for rule in rules(DOCUMENTED)
    }
    for rule, probes in SOURCES.items():
        compared, comparisons = re.subn(r" (?:[<>]|==) [0-9.]+", "", expressions[rule])
        assert comparisons == 1, expressions[rule]
        found = watch.prometheus.query(compared)
        assert sorted(labels["probe"] for labels, _ in found) == probes, rule
        assert watch.prometheus.query(expressions[rule]) == [], rule


def test_labels_of_the_target_shadow_none_of_a_sample(watch: Watch) -> None:
    ((labels, _),) = watch.prometheus.query('pg_up{probe="main-db"}')
    assert labels.items() >= OWN.items()
    ((labels, _),) = watch.prometheus.query('pg_up{probe="other-db"}')
    assert labels.items() >= ATTACHED.items()
    disks = watch.prometheus.query("node_filesystem_size_bytes")
    assert [labels["node"] for labels, _ in disks] == ["web-7", "web-7"]
    # If the target's label overrides a sample's label, Prometheus keeps it under this prefix.
    names = watch.prometheus.api("labels")
    assert not [name for name in names if name.startswith("exported_")]


# ---- databases ----------------------------------------------------------------------------------


def test_a_database_out_of_connections(watch: Watch, other_postgres: Postgres) -> None:
    """Rule 4. Of two databases with one name on two servers, the alert names the full one."""
    used = 'pg_stat_activity_count{probe="other-db",datname="vcci_production"}'
    other_postgres.hold(24)  # of 30, exactly 80%
    watch.holds(f"{used} == 24")
    watch.is_silent("HighDatabaseConnections")
    other_postgres.hold(1)
    alert = watch.fires("HighDatabaseConnections", "other-db")
    assert alert["labels"]["severity"] == "warning"
    assert "vcci_production (other-db) uses 83.33%" in alert["annotations"]["summary"]
    # Few connections are left, but the server works.
    assert watch.prometheus.alerts("DatabaseDown") == []
    other_postgres.release()
    watch.holds(f"{used} == 0")
    watch.becomes_silent("HighDatabaseConnections")


@pytest.mark.parametrize("fault", ["stopped", "frozen"])
def test_a_database_that_is_down(watch: Watch, postgres: Postgres, fault: str) -> None:
    """Rules 12 and 23. A frozen server still accepts connections but sends nothing."""
    postgres.stop() if fault == "stopped" else postgres.freeze()
    for document in ("manual", "runbook"):
        alert = watch.fires("DatabaseDown", "main-db", document=document)
        assert alert["labels"]["severity"] == "critical"
        assert alert["labels"].items() >= OWN.items()
    # vitalsd and the API are up, and the database is monitored.
    for name in ("VitalsdDown", "DatabaseUnwatched", "APIDown"):
        watch.is_silent(name)
    postgres.start() if fault == "stopped" else postgres.thaw()
    watch.holds('pg_up{probe="main-db"} == 1')
    watch.becomes_silent("DatabaseDown")


# ---- the cache ----------------------------------------------------------------------------------


def test_a_cache_out_of_memory(watch: Watch, redis_server: Redis) -> None:
    """Rule 5. A server without a limit does not fire the alert."""
    redis_server.fill(MAX_MEMORY * 95 // 100 - redis_server.used_memory)
    alert = watch.fires("HighRedisMemory", "cache")
    assert re.search(r"cache uses 9[4-6]\.\d*% of its maxmemory", alert["annotations"]["summary"])
    # The same memory usage with `maxmemory 0`.
    redis_server.set_max_memory(0)
    watch.holds(f"redis_memory_used_bytes > {MAX_MEMORY * 9 // 10} unless redis_memory_max_bytes")
    watch.becomes_silent("HighRedisMemory")
    watch.is_silent("HighRedisMemory")
    redis_server.set_max_memory(MAX_MEMORY)
    watch.fires("HighRedisMemory", "cache")
    redis_server.empty()
    watch.holds("redis_memory_used_bytes / redis_memory_max_bytes < 0.5")
    watch.becomes_silent("HighRedisMemory")


def test_a_cache_with_a_low_hit_rate(watch: Watch, redis_server: Redis) -> None:
    """Rule 17. The rate covers the lookups of 5 minutes, so recovery needs more hits than there
    were misses."""
    redis_server.look_up(hits=0, misses=1000)
    alert = watch.fires("CacheHitRateLow", "cache")
    assert alert["labels"]["severity"] == "warning"
    redis_server.look_up(hits=5000, misses=0)
    watch.holds("redis_cache_hit_rate >= 0.8")
    watch.becomes_silent("CacheHitRateLow")


# ---- the broker ---------------------------------------------------------------------------------


def test_a_queue_without_enough_consumers(watch: Watch, rabbitmq: Rabbitmq) -> None:
    """Rule 19, and QueueWithoutConsumers of the additional rules. Of two queues, the alert names
    the long one."""
    rabbitmq.declare("reports")
    rabbitmq.publish("reports", 1)
    rabbitmq.publish("emissions", 1000)
    watch.holds('rabbitmq_queue_messages_ready{queue="emissions"} == 1000')
    watch.is_silent("HighQueueDepth")
    rabbitmq.publish("emissions", 1)
    alert = watch.fires("HighQueueDepth", "broker")
    assert alert["labels"]["severity"] == "info"
    assert alert["annotations"]["summary"] == (
        "Queue emissions in vhost / (broker) has 1001 messages"
    )
    for queue in ("emissions", "reports"):
        watch.prometheus.wait_firing("QueueWithoutConsumers", probe="broker", queue=queue)
    consumers = [Consumer(rabbitmq, queue) for queue in ("emissions", "reports")]
    watch.becomes_silent("QueueWithoutConsumers")
    rabbitmq.purge("emissions")
    watch.holds('rabbitmq_queue_messages_ready{queue="emissions"} == 0')
    watch.becomes_silent("HighQueueDepth")
    for consumer in consumers:
        consumer.close()


def test_a_broker_that_blocks_its_publishers(watch: Watch, rabbitmq: Rabbitmq) -> None:
    """RabbitmqAlarm of the additional rules."""
    watch.is_silent("RabbitmqAlarm")
    rabbitmq.set_memory_limit(20 * MIB)
    alert = watch.fires("RabbitmqAlarm", "broker")
    assert alert["labels"]["node"] == rabbitmq.node
    assert alert["labels"]["severity"] == "critical"
    assert " is short of memory, " in alert["annotations"]["summary"]
    rabbitmq.set_memory_limit(1024 * MIB)
    watch.becomes_silent("RabbitmqAlarm")
    watch.becomes_silent("CheckCritical")


def test_a_query_that_fails(watch: Watch, postgres: Postgres) -> None:
    """DatabaseQueryFailing of the additional rules."""
    watch.holds('tenants_n{probe="main-db"} == 0')
    postgres.execute("ALTER TABLE tenants RENAME TO customers", postgres.database)
    try:
        alert = watch.fires("DatabaseQueryFailing", "main-db")
        assert alert["labels"]["query"] == "tenants"
        watch.is_silent("DatabaseDown")
        assert 'relation "tenants" does not exist' in watch.daemon.page("/").replace("&quot;", '"')
    finally:
        postgres.execute("ALTER TABLE customers RENAME TO tenants", postgres.database)
    watch.becomes_silent("DatabaseQueryFailing")


# ---- the API and its certificates ---------------------------------------------------------------


def test_an_api_that_is_unhealthy_or_gone(watch: Watch, nginx: Nginx) -> None:
    """Rule 21, and ProbeFailing of the additional rules. Both contain the reason."""

    def reasons() -> list[str]:
        alerts = [*watch.prometheus.firing("APIDown"), *watch.prometheus.firing("ProbeFailing")]
        texts = [alert["annotations"]["description"] for alert in alerts]
        return [found[1] for text in texts if (found := re.search(r"the reason is (\w+)", text))]

    nginx.answer("/health/ready", 503)
    watch.fires("APIDown", "api")
    watch.fires("ProbeFailing", "api")
    wait_until(lambda: reasons() == ["mismatch"] * 2, what="the alerts' reason")
    nginx.answer_well()
    watch.holds('probe_success{probe="api"} == 1')
    watch.becomes_silent("APIDown")

    nginx.stop()
    for probe in ("api", "api-live"):
        watch.prometheus.wait_firing("APIDown", probe=probe)
    assert watch.culprits("APIDown") == ["api", "api-live"]
    # The date of a certificate stays known while the endpoint is down.
    watch.holds('probe_success{probe="front-tls"} == 0')
    watch.is_silent("CertificateExpiringSoon")
    nginx.start()
    watch.holds('min(probe_success{probe=~"api|api-live"}) == 1')
    watch.becomes_silent("APIDown")
    watch.becomes_silent("ProbeFailing")


@pytest.fixture
def show(nginx: Nginx, certificates: Authority) -> Iterator[Callable[[Certificate], int]]:
    """show(certificate) sets the certificate of the endpoint of back-tls and returns its port."""
    yield lambda certificate: nginx.serve_tls("back", certificate)
    nginx.serve_tls("back", certificates.issue("api.test"))


def test_a_certificate_about_to_expire(
    watch: Watch, show: Callable[[Certificate], int], certificates: Authority
) -> None:
    """Rule 20. The label `source` distinguishes two certificates with one name. An expired
    certificate fails verification, but its date is still published."""
    port = show(certificates.issue("api.test", lifetime=29 * DAY))
    alert = watch.fires("CertificateExpiringSoon", "back-tls", document="manual")
    assert alert["labels"]["cn"] == "api.test"
    assert alert["labels"]["source"] == f"127.0.0.1:{port}"
    assert "expires in 29.0 days" in alert["annotations"]["summary"]

    show(certificates.expired(common_name="api.test"))
    watch.holds('cert_expiry_timestamp{probe="back-tls"} < time()')
    watch.fires("ProbeFailing", "back-tls")
    alert = watch.fires("CertificateExpiringSoon", "back-tls", document="manual")
    assert "has expired" in alert["annotations"]["summary"]

    show(certificates.issue("api.test", lifetime=31 * DAY))
    watch.holds('cert_expiry_timestamp{probe="back-tls"} > time() + 30 * 86400')
    watch.becomes_silent("CertificateExpiringSoon")


# ---- disks --------------------------------------------------------------------------------------


def test_a_disk_that_fills(watch: Watch) -> None:
    """Rules 6 and 24, and 16 between them: the root's free space falls from one limit to the next.
    Rule 6 does not cover /data; the other two name it."""
    disks = watch.disks

    def mountpoints(name: str) -> list[str]:
        alerts = watch.prometheus.alerts(name)
        return sorted(alert["labels"]["mountpoint"] for alert in alerts)

    disks.fill("/", 0.83)
    alert = watch.fires("DiskSpaceLow", "disks")
    assert alert["labels"]["node"] == "web-7"
    assert "The root file system of web-7 has 1" in alert["annotations"]["summary"]
    assert mountpoints("DiskSpaceRunningLow") == mountpoints("DiskSpaceCritical") == []

    disks.fill("/data", 0.95)
    alert = watch.fires("DiskSpaceCritical", "disks", mountpoint="/data")
    assert "/data on web-7" in alert["annotations"]["summary"]
    assert mountpoints("DiskSpaceCritical") == mountpoints("DiskSpaceRunningLow") == ["/data"]
    assert mountpoints("DiskSpaceLow") == ["/"]

    disks.fill("/", 0.95)
    watch.prometheus.wait_firing("DiskSpaceCritical", mountpoint="/")
    disks.free()
    watch.holds('node_filesystem_avail_bytes{mountpoint="/"} / node_filesystem_size_bytes > 0.9')
    for name in ("DiskSpaceLow", "DiskSpaceRunningLow", "DiskSpaceCritical"):
        watch.becomes_silent(name)


# ---- backups ------------------------------------------------------------------------------------


@pytest.mark.parametrize("where", ["backups", "dumps"])
def test_backups_that_fail(watch: Watch, where: str) -> None:
    """Rule 8, in a bucket and in a directory: the newest backup is a day old, one is incomplete,
    all are deleted."""
    store = watch.stores[where]
    keep_only(store, DAY + HOUR)
    alert = watch.fires("BackupFailed", where)
    assert alert["labels"]["severity"] == "critical"
    assert f"backup in {where} is 1d 1h" in alert["annotations"]["summary"]

    store.add(timedelta(0), size=100)
    watch.holds(f'backup_objects{{probe="{where}",state="too_small"}} == 1')
    watch.prometheus.wait_evaluated()
    assert watch.culprits("BackupFailed") == [where]

    store.add(HOUR)
    watch.holds(f'backup_objects{{probe="{where}",state="good"}} == 2')
    watch.becomes_silent("BackupFailed")

    keep_none(store)
    watch.holds(f'vcci_last_successful_backup_timestamp{{probe="{where}"}} == 0')
    alert = watch.fires("BackupFailed", where)
    assert f"There is no good backup in {where}" == alert["annotations"]["summary"]

    store.add(HOUR)
    watch.holds(f'vcci_last_successful_backup_timestamp{{probe="{where}"}} > 0')
    watch.becomes_silent("BackupFailed")


def test_a_restart_while_the_store_is_away(watch: Watch, s3: S3) -> None:
    """Rule 8. The date of the last good backup is kept: no alert for a recent backup, and an alert
    for one that becomes too old in the meantime."""
    documented = "vcci_last_successful_backup_timestamp"
    fresh = keep_only(watch.stores["backups"], 2 * HOUR)
    ageing = keep_only(watch.stores["archives"], DAY - timedelta(seconds=6))
    watch.holds(f'{documented}{{probe="backups"}} == {fresh}')
    watch.holds(f'{documented}{{probe="archives"}} == {ageing}')
    s3.proxy.freeze()
    restarted = time.time()
    watch.daemon.restart()
    for probe in ("backups", "archives"):
        watch.daemon.wait_failed(probe, "timeout")
        assert watch.daemon.value("vitalsd_probe_runs_total", probe=probe, outcome="ok") == 0
    # This daemon has never reached the store.
    assert watch.daemon.value(documented, probe="backups") == fresh
    assert watch.daemon.value(documented, probe="archives") == ageing

    watch.fires("BackupFailed", "archives")
    assert not watch.prometheus.has_alerted("BackupFailed", since=restarted, probe="backups")

    s3.proxy.thaw()
    watch.stores["archives"].add(HOUR)
    watch.holds('min(probe_success{probe=~"backups|archives"}) == 1')
    watch.becomes_silent("BackupFailed")


# ---- vitalsd itself -----------------------------------------------------------------------------


def test_vitalsd_is_killed(watch: Watch) -> None:
    """The documented rules then have no data; two additional rules report that."""
    killed = time.time()
    watch.daemon.kill()
    alert = watch.prometheus.wait_firing("VitalsdDown")
    assert alert["labels"]["instance"] == watch.daemon.address
    watch.prometheus.wait_firing("DatabaseUnwatched")
    for rule in rules(DOCUMENTED):
        assert not watch.prometheus.has_alerted(rule["alert"], since=killed)
    watch.daemon.start()
    watch.holds('up{job="vitalsd"} == 1')
    watch.holds('up{job="postgres"} == 1')
    watch.becomes_silent("VitalsdDown")
    watch.becomes_silent("DatabaseUnwatched")


def test_one_failed_run_does_not_reset_a_pending_alert(
    vitalsd: Callable[..., Vitalsd],
    prometheus: Callable[..., Prometheus],
    fault_proxy: Callable[..., FaultProxy],
    redis_server: Redis,
) -> None:
    """Rule 5 with its `for` of five minutes: one failed run does not reset the pending alert, but a
    second one in a row does, because the reading is then removed."""
    proxy = fault_proxy(redis_server.port)
    url = redis_server.url().replace(str(redis_server.port), str(proxy.port))
    daemon = vitalsd(
        [{"name": "cache", "kind": "redis", "url": url, "password": {"env": "CACHE"}}],
        interval="1s",
        timeout="1s",
        environment={"CACHE": redis_server.password},
    )
    text = shorten_rules.shorten(DOCUMENTED.read_text(), divide=1, at_most="10m")
    patient = prometheus(shipped_configuration([daemon.address], interval="250ms"), [text])

    def pending_since() -> str:
        alerts = patient.alerts("HighRedisMemory")
        assert [alert["state"] for alert in alerts] == ["pending"]
        return alerts[0]["activeAt"]

    def lose_runs(count: int) -> None:
        proxy.set_mode("refuse")
        for _ in range(count):
            daemon.wait_failed("cache", "connect")

    redis_server.set_max_memory(MAX_MEMORY)
    redis_server.fill(MAX_MEMORY * 95 // 100 - redis_server.used_memory)
    first = wait_until(pending_since, what="a pending alert")

    lose_runs(1)
    proxy.set_mode("ok")
    daemon.wait_ok("cache")
    assert daemon.failures("cache") == {"connect": 1}
    patient.wait_for("redis_up == 1 and min_over_time(redis_up[1m]) == 0")  # both have been scraped
    patient.wait_evaluated()
    assert pending_since() == first

    lose_runs(2)
    patient.wait_silent("HighRedisMemory")
    proxy.set_mode("ok")
    assert wait_until(pending_since, what="another pending alert") != first
    assert patient.firing() == []
