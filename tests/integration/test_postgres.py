"""Kind postgres with PostgreSQL 15: permissions, counts, and servers that are full, frozen,
shutting down or unreachable."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path

import psycopg2
import pytest

from support import process, wait_until
from support.certificates import Authority
from support.fault_proxy import FaultProxy
from support.pgbouncer import PgBouncer
from support.postgres import Postgres, Standby
from support.vitalsd import Vitalsd, run
from support.waiting import PATIENCE

Daemon = Callable[..., Vitalsd]

QUICK = {"interval": "300ms", "timeout": "250ms"}
# 3 of the fixture's 30 connections are reserved for superusers and not available to other roles.
SLOTS = 27


def db(server: Postgres, name: str = "db", role: str = "monitor", **options: object) -> dict:
    """Returns a probe with the role's password, by default over verified TLS."""
    probe = {"name": name, "kind": "postgres", "url": server.url(role)}
    probe |= {"password": {"env": f"PASSWORD_{role.upper()}"}}
    if "url" not in options:
        probe |= {"tls": {"ca": str(server.authority.path)}}
    return probe | options


def passwords(server: Postgres) -> dict[str, str]:
    return {f"PASSWORD_{role.upper()}": password for role, password in server.passwords.items()}


def by_database(daemon: Vitalsd, name: str) -> dict[str, float]:
    return {sample.labels["datname"]: sample.value for sample in daemon.samples(name)}


# ---- authentication -----------------------------------------------------------------------------


def test_unix_sockets(vitalsd: Daemon, postgres: Postgres, tmp_path: Path) -> None:
    directory, name = str(postgres.directory), postgres.database
    encoded = directory.replace("/", "%2F")
    urls = {
        "parameter": f"postgresql://monitor@/{name}?host={directory}/&port={postgres.port}",
        "all-parameters": (
            f"postgresql:///?host={encoded}&port={postgres.port}&user=monitor&dbname={name}"
            "&sslmode=disable"
        ),
        "encoded": f"postgresql://monitor@{encoded}:{postgres.port}/{name}",
        "no-socket": f"postgresql://monitor@/{name}?host={tmp_path}",
        "no-database": f"postgresql://monitor@{encoded}:{postgres.port}/absent",
    }
    daemon = vitalsd([{"name": probe, "kind": "postgres", "url": url} for probe, url in urls.items()])
    for probe in ("parameter", "all-parameters", "encoded"):
        daemon.wait_ok(probe)
        assert by_database(daemon, "pg_database_size_bytes")[name] > 0
    rows = {row["name"]: row for row in daemon.status()["probes"]}
    assert rows["encoded"]["target"] == f"{directory}:{postgres.port}/{name}"
    daemon.wait_failed("no-socket", "connect")
    assert "No such file or directory" in rows["no-socket"]["error"]
    daemon.wait_failed("no-database", "mismatch")

    postgres.freeze()
    daemon.wait_failed("encoded", "timeout")
    postgres.thaw()
    daemon.wait_ok("encoded")
    postgres.kill()
    daemon.wait_failed("encoded", "connect")
    postgres.start()
    daemon.wait_ok("encoded")


def test_tls_and_authentication(vitalsd: Daemon, postgres: Postgres, tmp_path: Path) -> None:
    """An untrusted server is down. A server that refuses the credentials is up."""
    untrusted = Authority(tmp_path)
    trusted = str(postgres.authority.path)
    daemon = vitalsd(
        [
            db(postgres, "verified"),
            db(postgres, "renamed", tls={"ca": trusted, "server_name": "localhost"}),
            db(postgres, "encrypted", "encrypted_only", tls={"verify": False}),
            db(postgres, "plain", url=postgres.url(sslmode="disable")),
            db(postgres, "wrong-ca", tls={"ca": str(untrusted.path)}),
            db(postgres, "wrong-name", tls={"ca": trusted, "server_name": "other.test"}),
            db(postgres, "in-the-clear", url=postgres.url("encrypted_only", sslmode="disable")),
            db(postgres, "wrong-password", password={"env": "WRONG"}),
            db(postgres, "no-database", url=postgres.url("monitor", "missing")),
        ],
        environment={**passwords(postgres), "WRONG": "not-this-one"},
    )
    for probe in ("verified", "renamed", "encrypted", "plain"):
        daemon.wait_ok(probe)
        assert daemon.value("pg_up", probe=probe) == 1
    for probe in ("wrong-ca", "wrong-name"):
        daemon.check_reason(probe, "tls")
        assert daemon.value("pg_up", probe=probe) == 0
    for probe in ("in-the-clear", "wrong-password"):
        daemon.check_reason(probe, "auth")
        assert daemon.value("pg_up", probe=probe) == 1
    assert daemon.value("vitalsd_target_up", probe="wrong-password", kind="postgres") == 1
    daemon.check_reason("no-database", "mismatch")
    (line,) = daemon.log_lines("probe failed", probe="no-database")
    assert '"missing" does not exist' in line["error"]


# ---- counts -------------------------------------------------------------------------------------


def test_connections_of_every_database(vitalsd: Daemon, postgres: Postgres) -> None:
    """Both sides of HighDatabaseConnections have a series for each database, also without
    connections. The probe's own connection does not count."""
    postgres.drop_database("fresh")
    daemon = vitalsd([db(postgres)], environment=passwords(postgres), **QUICK)
    with postgres.held(3), postgres.held(2, "postgres"):
        daemon.wait_for("pg_stat_activity_count", 3, datname=postgres.database)
        daemon.wait_for("pg_stat_activity_count", 2, datname="postgres")
        counts = by_database(daemon, "pg_stat_activity_count")
        limits = by_database(daemon, "pg_settings_max_connections")
        assert limits == dict.fromkeys(counts, 30)
        idle = {"datname": postgres.database, "state": "idle"}
        assert daemon.value("pg_stat_activity_connections", **idle) == 3
        postgres.create_database("fresh")
        daemon.wait_for("pg_stat_activity_count", 0, datname="fresh")
        assert daemon.value("pg_settings_max_connections", datname="fresh") == 30
        postgres.drop_database("fresh")
        daemon.wait_for("pg_stat_activity_count", None, datname="fresh")
    daemon.wait_for("pg_stat_activity_count", 0, datname=postgres.database)
    assert "template0" not in by_database(daemon, "pg_database_size_bytes")


def test_without_pg_monitor(vitalsd: Daemon, postgres: Postgres) -> None:
    """Missing permissions are reported, and the visible sessions are still counted correctly."""
    daemon = vitalsd(
        [db(postgres, "sees"), db(postgres, "blind", "viewer")], environment=passwords(postgres)
    )
    missing = {"reason": "permission"}
    daemon.wait_for("pg_monitoring_incomplete", 0, probe="sees", **missing)
    daemon.wait_for("pg_monitoring_incomplete", 1, probe="blind", **missing)
    with postgres.held(4, "postgres"):
        for probe in ("sees", "blind"):
            daemon.wait_for("pg_stat_activity_count", 4, probe=probe, datname="postgres")
    assert daemon.absent("pg_stat_activity_connections", probe="blind")
    daemon.wait_for("vitalsd_check_status", 0, probe="sees", check="permissions")
    daemon.wait_for("vitalsd_check_status", 1, probe="blind", check="permissions")
    daemon.wait_for("vitalsd_probe_status", 1, probe="blind")
    daemon.wait_for("vitalsd_probe_status", 0, probe="sees")
    wait_until(lambda: [row["state"] for row in daemon.status()["probes"]] == ["warning", "ok"])
    line = daemon.log_lines("check changed", probe="blind", check="permissions")[0]
    assert 'GRANT pg_monitor TO "viewer"' in line["reading"]


def test_sizes_locks_and_archiving(vitalsd: Daemon, postgres: Postgres) -> None:
    here = {"datname": postgres.database}
    daemon = vitalsd([db(postgres, size_interval="1s")], environment=passwords(postgres), **QUICK)
    size = daemon.value("pg_database_size_bytes", **here)
    assert size > 5e6
    create = "CREATE TABLE big AS SELECT repeat('x', 1000) FROM generate_series(1, 4000)"
    postgres.execute(create, postgres.database)
    daemon.wait_for("pg_database_size_bytes", lambda now: now > size + 3e6, **here)
    postgres.execute("DROP TABLE big", postgres.database)

    lock = "SELECT pg_advisory_lock(1)"
    with ThreadPoolExecutor() as pool, closing(postgres.connect()) as holder:
        holder.cursor().execute(lock)
        daemon.wait_for("pg_locks_count", 1, mode="ExclusiveLock", **here)
        assert daemon.value("pg_locks_waiting", **here) == 0
        waiting = pool.submit(postgres.execute, lock, postgres.database)
        daemon.wait_for("pg_locks_waiting", 1, **here)
        holder.close()
        waiting.result()
    daemon.wait_for("pg_locks_waiting", 0, **here)

    archived = daemon.value("pg_stat_archiver_archived_count")
    postgres.execute("SELECT pg_switch_wal()")
    daemon.wait_for("pg_stat_archiver_archived_count", lambda now: now > archived)
    last = daemon.value("pg_stat_archiver_last_archived_timestamp_seconds")
    assert abs(last - time.time()) < 30
    failed = daemon.value("pg_stat_archiver_failed_count")
    postgres.refuse_archiving()
    # Another test may have created the table. PostgreSQL does not switch a segment without changes.
    postgres.execute("CREATE TABLE IF NOT EXISTS written (x int)", postgres.database)
    postgres.execute("INSERT INTO written VALUES (1)", postgres.database)
    postgres.execute("SELECT pg_switch_wal()")
    daemon.wait_for("pg_stat_archiver_failed_count", lambda now: now > failed)


def test_wal_that_is_not_archived(vitalsd: Daemon, postgres: Postgres) -> None:
    """On an idle server, no file waits. A failing archive_command is reported at once; the age is
    reported after the threshold."""

    def write_wal() -> None:
        postgres.execute("CREATE TABLE IF NOT EXISTS written (x int)", postgres.database)
        postgres.execute("INSERT INTO written VALUES (1)", postgres.database)
        postgres.execute("SELECT pg_switch_wal()")

    write_wal()
    checks = {"wal_archive_age": {"warn": "1s"}}
    daemon = vitalsd([db(postgres, checks=checks)], environment=passwords(postgres), **QUICK)
    daemon.wait_for("pg_stat_archiver_failing", 0)
    daemon.wait_for("vitalsd_check_status", 0, check="wal_archive_age")
    postgres.refuse_archiving()
    write_wal()
    daemon.wait_for("pg_stat_archiver_failing", 1)
    daemon.wait_for("vitalsd_check_status", 1, check="wal_archive_age")
    (row,) = daemon.status()["probes"]
    (shown,) = (each for each in row["checks"] if each["name"] == "wal_archive_age")
    assert shown["object"] == "the last attempt failed"
    assert daemon.value("pg_stat_archiver_last_failed_timestamp_seconds") >= 0
    postgres.refuse_archiving(False)
    write_wal()  # the archiver would wait for a minute
    daemon.wait_for("pg_stat_archiver_failing", 0)
    daemon.wait_for("vitalsd_check_status", 0, check="wal_archive_age")


def test_a_pooler_that_refuses_us(vitalsd: Daemon, postgres: Postgres) -> None:
    """PgBouncer uses one SQLSTATE, protocol violation, for all refusals."""
    with closing(PgBouncer(postgres, "monitor")) as pooler:
        wrong = {"env": "PASSWORD_APP"}
        unknown = pooler.url().replace("monitor@", "unknown@")
        daemon = vitalsd(
            [
                db(postgres, "wrong", url=pooler.url(), password=wrong),
                db(postgres, "unknown", url=unknown),
            ],
            environment=passwords(postgres),
        )
        for probe in ("wrong", "unknown"):
            daemon.check_reason(probe, "auth")
            assert daemon.value("pg_up", probe=probe) == 1


def test_names_of_databases_in_urls(vitalsd: Daemon, postgres: Postgres) -> None:
    names = {"my db": "my%20db", "100%": "100%25", "café": "caf%C3%A9", "a/b": "a%2Fb"}
    for name in names:
        postgres.create_database(name)
    try:
        probes = [
            db(postgres, f"db-{i}", url=postgres.url(database=encoded, sslmode="require"))
            for i, encoded in enumerate(names.values())
        ]
        daemon = vitalsd(probes, environment=passwords(postgres))
        for probe in probes:
            daemon.wait_ok(probe["name"])
        assert by_database(daemon, "pg_stat_activity_count").keys() >= names.keys()
    finally:
        for name in names:
            postgres.drop_database(name)


def test_a_server_without_an_encoding(vitalsd: Daemon, postgres: Postgres) -> None:
    """A name that is not UTF-8 must not remove the other series."""
    postgres.execute("CREATE DATABASE bytes ENCODING 'SQL_ASCII' TEMPLATE template0")
    postgres.execute_bytes(b'CREATE DATABASE "caf\xe9" TEMPLATE bytes', "bytes")
    try:
        url = postgres.url(database="bytes", sslmode="require")
        daemon = vitalsd([db(postgres, url=url)], environment=passwords(postgres))
        daemon.wait_ok("db")
        assert "caf\ufffd" in by_database(daemon, "pg_stat_activity_count")
    finally:
        postgres.execute_bytes(b'DROP DATABASE "caf\xe9"', "bytes")
        postgres.drop_database("bytes")


# ---- a standby ----------------------------------------------------------------------------------


def test_a_standby_that_is_cut_off(vitalsd: Daemon, postgres: Postgres) -> None:
    """A standby that has replayed everything and receives nothing must not have the lag 0."""
    with closing(Standby(postgres)) as standby:
        probe = db(postgres, url=standby.url() + "?sslmode=require")
        daemon = vitalsd([probe], environment=passwords(postgres), **QUICK)
        daemon.wait_for("pg_stat_wal_receiver_streaming", 1)
        assert daemon.value("pg_replication_is_replica") == 1
        daemon.wait_for("pg_replication_lag_seconds", 0)
        postgres.execute("SELECT pg_current_xact_id()")  # an age needs a replayed transaction
        wait_until(standby.has_replayed, what="a transaction is replayed")
        heard = daemon.value("pg_stat_wal_receiver_last_msg_receipt_timestamp_seconds")
        assert abs(time.time() - heard) < 60
        postgres.stop()
        try:
            daemon.wait_for("pg_stat_wal_receiver_streaming", 0)
            lag = daemon.value("pg_replication_lag_seconds")
            assert lag > 0
            wait_until(lambda: daemon.value("pg_replication_lag_seconds") > lag)
            # The server starts a receiver again and again, which exists for a moment.
            message = "pg_stat_wal_receiver_last_msg_receipt_timestamp_seconds"
            wait_until(lambda: not daemon.samples(message), what="no receiver")
        finally:
            postgres.start()


def test_a_standby_whose_link_drops_packets(
    vitalsd: Daemon, postgres: Postgres, fault_proxy: Callable[..., FaultProxy]
) -> None:
    """Until wal_receiver_timeout, the WAL receiver is "streaming" although it hears nothing."""
    link = fault_proxy(postgres.port)
    with closing(Standby(postgres, link.port, wal_receiver_timeout="4s")) as standby:
        probe = db(postgres, url=standby.url() + "?sslmode=require")
        daemon = vitalsd([probe], environment=passwords(postgres), **QUICK)
        postgres.execute("SELECT pg_current_xact_id()")  # an age needs a replayed transaction
        wait_until(standby.has_replayed, what="a transaction is replayed")
        daemon.wait_for("pg_stat_wal_receiver_streaming", 1)
        daemon.wait_for("pg_replication_lag_seconds", 0)
        link.set_mode("hang")
        receiver = int(str(standby.ask("pid FROM pg_stat_wal_receiver")))
        os.kill(receiver, signal.SIGSTOP)  # it must not end while the test looks at it
        try:
            daemon.wait_for("pg_stat_wal_receiver_streaming", 0)
            assert standby.ask("status FROM pg_stat_wal_receiver") == "streaming"
            daemon.wait_for("pg_replication_lag_seconds", lambda lag: lag > 0)
            daemon.wait_for("vitalsd_check_status", 1, check="wal_receiver")
        finally:
            os.kill(receiver, signal.SIGCONT)
        link.set_mode("ok")
        daemon.wait_for("pg_stat_wal_receiver_streaming", 1)
        daemon.wait_for("pg_replication_lag_seconds", 0)


# ---- full ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("limited", "unlimited"),
    [
        ("ALTER ROLE monitor CONNECTION LIMIT 0", "ALTER ROLE monitor CONNECTION LIMIT -1"),
        ("ALTER DATABASE {} CONNECTION LIMIT 0", "ALTER DATABASE {} CONNECTION LIMIT -1"),
    ],
    ids=["role", "database"],
)
def test_a_limit_of_ours_is_no_full_server(
    vitalsd: Daemon, postgres: Postgres, limited: str, unlimited: str
) -> None:
    """The SQLSTATE is the same as that of a full server, whose check `connections` is critical."""
    postgres.execute(limited.format(postgres.database))
    try:
        daemon = vitalsd([db(postgres)], environment=passwords(postgres))
        daemon.check_reason("db", "permission")
        assert daemon.value("pg_up") == 1
        assert daemon.absent("vitalsd_check_status", check="connections")
    finally:
        postgres.execute(unlimited.format(postgres.database))
    daemon.wait_ok("db")


def test_a_server_that_fills_up(vitalsd: Daemon, postgres: Postgres) -> None:
    """The alert on connections must not resolve when the server has no connection left for the
    probe. A full server is up, the last counts and the limit stay, and the check is critical."""
    here = {"datname": postgres.database}
    # Readings are kept for three intervals without a run, which is longer than the daemon is frozen
    # here.
    slow = {"interval": "800ms", "timeout": "600ms"}
    daemon = vitalsd([db(postgres)], environment=passwords(postgres), **slow)
    postgres.hold(SLOTS - 1)
    daemon.wait_for("pg_stat_activity_count", SLOTS - 1, **here)
    assert daemon.value("vitalsd_check_status", check="connections") == 1  # 26 of 30
    daemon.freeze()
    assert postgres.execute(
        "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity"
        " WHERE application_name = 'vitalsd'"
    ) == [(True,)]
    postgres.hold(1)
    daemon.thaw()
    for _ in range(2):  # also after further failures
        daemon.wait_failed("db", "overload")
    daemon.check_reason("db", "overload")
    assert daemon.value("pg_stat_activity_count", **here) == SLOTS - 1
    assert daemon.value("pg_settings_max_connections", **here) == 30
    assert daemon.value("pg_up") == 1
    assert daemon.value("vitalsd_target_up", probe="db") == 1
    assert daemon.value("vitalsd_check_status", check="connections") == 2
    postgres.release()
    daemon.wait_ok("db")
    daemon.wait_for("pg_stat_activity_count", 0, **here)
    daemon.wait_for("vitalsd_check_status", 0, check="connections")


def test_a_server_without_any_slot(vitalsd: Daemon, postgres: Postgres) -> None:
    """All 30 of 30 connections are used, also those that are reserved for superusers."""
    with postgres.held(SLOTS), ExitStack() as reserved:
        for _ in range(3):
            superuser = psycopg2.connect(
                host=str(postgres.directory), port=postgres.port, user="postgres", dbname="postgres"
            )
            reserved.enter_context(closing(superuser))
        with pytest.raises(psycopg2.OperationalError, match="too many clients"):
            postgres.execute("SELECT 1")
        daemon = vitalsd([db(postgres)], environment=passwords(postgres))
        daemon.check_reason("db", "overload")
        assert daemon.value("pg_up") == 1
        assert daemon.value("vitalsd_check_status", check="connections") == 2
    daemon.wait_ok("db")
    daemon.wait_for("vitalsd_check_status", 0, check="connections")


def test_a_server_that_is_full_from_the_start(
    vitalsd: Daemon, postgres: Postgres, tmp_path: Path
) -> None:
    """The counts are unknown and not published, but the server is reported as full."""
    postgres.hold(SLOTS)
    daemon = vitalsd([db(postgres)], environment=passwords(postgres))
    daemon.check_reason("db", "overload")
    assert daemon.value("pg_up") == 1
    assert daemon.value("vitalsd_check_status", check="connections") == 2
    assert daemon.absent("pg_stat_activity_count")
    done = run("check", "--config", daemon.config_file, **passwords(postgres))
    assert done.returncode == 2, done.stdout
    assert "overload" in done.stdout
    postgres.release()
    daemon.wait_ok("db")
    daemon.wait_for("vitalsd_check_status", 0, check="connections")


# ---- hang, shutdown, recovery -------------------------------------------------------------------


@pytest.mark.serial
def test_a_server_that_freezes(vitalsd: Daemon, postgres: Postgres) -> None:
    """The run ends at its deadline, /metrics always responds, and no restart is needed."""
    daemon = vitalsd([db(postgres)], environment=passwords(postgres), **QUICK)
    daemon.wait_ok("db")
    postgres.freeze()
    daemon.wait_failed("db", "timeout")
    assert daemon.value("pg_up") == 0
    # The first run hangs in its query, later runs while connecting.
    (line,) = daemon.log_lines("probe failed", probe="db")
    assert line["error"] == "no response within 250ms while waiting for the statistics"
    seen = daemon.failures("db")["timeout"]
    while daemon.failures("db")["timeout"] < seen + 2:
        began = time.monotonic()
        daemon.page()
        assert time.monotonic() - began < 0.2 * PATIENCE
    (shown,) = daemon.status()["probes"]
    assert shown["error"].endswith(f"while connecting to 127.0.0.1:{postgres.port}")
    duration = daemon.value("probe_duration_seconds", probe="db")
    assert 0.25 <= duration < 0.25 + 0.2 * PATIENCE
    daemon.check_reason("db", "timeout")
    postgres.thaw()
    daemon.wait_ok("db")
    daemon.wait_for("pg_stat_activity_count", 0, datname=postgres.database)


@pytest.mark.parametrize("end", [Postgres.stop, Postgres.kill])
def test_a_server_that_ends_and_starts(
    vitalsd: Daemon, postgres: Postgres, end: Callable[[Postgres], object]
) -> None:
    daemon = vitalsd([db(postgres)], environment=passwords(postgres), **QUICK)
    daemon.wait_ok("db")
    end(postgres)
    daemon.wait_failed("db", "connect")
    assert daemon.value("pg_up") == 0
    daemon.wait_for("pg_stat_activity_count", None, datname=postgres.database)
    started = time.time()
    postgres.start()
    daemon.wait_ok("db")
    since = daemon.value("pg_postmaster_start_time_seconds")
    assert since > started - 1
    assert len(daemon.log_lines("probe recovered", probe="db")) == 1


def test_a_connection_that_the_server_ends(vitalsd: Daemon, postgres: Postgres) -> None:
    """A closed idle connection causes no failed run."""
    daemon = vitalsd([db(postgres)], environment=passwords(postgres), **QUICK)
    for _ in range(3):
        postgres.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE application_name = 'vitalsd' AND state = 'idle'"
        )
        daemon.wait_runs("db", 2)
    assert daemon.failures("db") == {}


def test_a_server_that_shuts_down(vitalsd: Daemon, postgres: Postgres) -> None:
    """The server waits for its last session and accepts no new one: unready."""
    postgres.hold(1)
    process.send(postgres.pid, signal.SIGTERM)
    wait_until(lambda: "smart shutdown" in postgres.log(), what="the server ends")
    daemon = vitalsd([db(postgres)], environment=passwords(postgres))
    daemon.check_reason("db", "unready")
    assert daemon.value("pg_up") == 0
    assert "shutting down" in daemon.log_lines("probe failed", probe="db")[0]["error"]
    postgres.release()
    daemon.wait_failed("db", "connect")
    postgres.kill()  # the part that remains
    postgres.start()
    daemon.wait_ok("db")


def test_a_network_between(
    vitalsd: Daemon, fault_proxy: Callable[..., FaultProxy], postgres: Postgres
) -> None:
    proxy = fault_proxy(postgres.port)
    url = f"postgresql://monitor@127.0.0.1:{proxy.port}/{postgres.database}?sslmode=disable"
    daemon = vitalsd([db(postgres, url=url)], environment=passwords(postgres), **QUICK)
    daemon.wait_ok("db")
    faults = {
        "garbage": {"protocol"},
        # libpq distinguishes an end from a reset, but not always from an invalid response.
        "truncate": {"connect", "protocol"},
        "reset": {"connect", "protocol"},
        "hang": {"timeout"},
    }
    for mode, reasons in faults.items():
        before = daemon.failures("db")
        proxy.set_mode(mode)
        daemon.wait_runs("db", 2)
        after = daemon.failures("db")
        seen = {reason for reason in after if after[reason] > before.get(reason, 0)}
        assert seen and seen <= reasons, mode
        assert daemon.value("probe_success", probe="db") == 0, mode
        assert daemon.value("pg_up") == 0, mode
        proxy.set_mode("ok")
        daemon.wait_ok("db")


def test_nothing_stays_with_a_connection_that_a_pooler_shares(
    vitalsd: Daemon, postgres: Postgres
) -> None:
    """SET on a pooled session must not affect the application: it cancelled its statements."""
    with closing(PgBouncer(postgres, "monitor")) as pooler:
        settings = ("statement_timeout", "search_path", "default_transaction_read_only")
        before = [pooler.ask(f"SHOW {name}") for name in settings]
        daemon = vitalsd(
            [db(postgres, "pooled", url=pooler.url())], environment=passwords(postgres)
        )
        daemon.wait_runs("pooled", 3)
        daemon.wait_ok("pooled")
        assert [pooler.ask(f"SHOW {name}") for name in settings] == before
        assert pooler.ask("SELECT pg_backend_pid()") == pooler.ask("SELECT pg_backend_pid()")
