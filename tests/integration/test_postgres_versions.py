"""Every reading of kind postgres on real servers of several major versions: each fault is created,
reported and repaired, and a healthy primary and its standby report none.

Debian's version always runs; of the others, CI runs a sample that changes with each commit.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from support import wait_until
from support.pgbouncer import PgBouncer
from support.postgres_versions import PACKAGES, SYSTEM, VersionedPostgres
from support.vitalsd import Vitalsd, run

Daemon = Callable[..., Vitalsd]

MAJORS = [SYSTEM, *(pytest.param(major, marks=pytest.mark.long) for major in PACKAGES)]
PACE = {"interval": "1s", "timeout": "1s"}


@pytest.fixture(scope="module", params=MAJORS)
def _server(request: pytest.FixtureRequest) -> Iterator[VersionedPostgres]:
    with closing(VersionedPostgres(request.param)) as made:
        yield made


@pytest.fixture
def server(_server: VersionedPostgres) -> VersionedPostgres:
    """A server with an empty database."""
    _server.renew()
    return _server


def db(server: VersionedPostgres, name: str = "db", role: str = "monitor", **options: Any) -> dict:
    return {
        "name": name,
        "kind": "postgres",
        "url": server.url(role),
        "slow_interval": "1s",
        **options,
    }


def statuses(daemon: Vitalsd, probe: str = "db") -> dict[str, float]:
    return {
        sample.labels["check"]: sample.value
        for sample in daemon.samples("vitalsd_check_status", probe=probe)
    }


def permitted(daemon: Vitalsd) -> dict[str, float]:
    samples = daemon.samples("vitalsd_postgres_reading_permitted")
    return {sample.labels["reading"]: sample.value for sample in samples}


def object_of(daemon: Vitalsd, check: str) -> str:
    (row,) = daemon.status()["probes"]
    shown = (each for each in row["checks"] if each["name"] == check)
    return str(next(shown, {}).get("object", ""))


def wait_check(daemon: Vitalsd, check: str, status: float | None) -> None:
    daemon.wait_for("vitalsd_check_status", status, check=check)


def wait_collectors(daemon: Vitalsd) -> None:
    """On a busy machine, the first runs may have no time for all collectors."""
    problem = "no run had time for it"
    wait_until(lambda: problem not in json.dumps(daemon.status()["probes"]), what="all collectors")


def write_wal(server: VersionedPostgres, segments: int) -> None:
    for _ in range(segments):
        server.execute("CREATE TABLE IF NOT EXISTS written (x int); INSERT INTO written VALUES (1)")
        server.execute("SELECT pg_switch_wal()")


def test_a_healthy_primary_and_its_standby_are_silent(
    vitalsd: Daemon, server: VersionedPostgres
) -> None:
    server.execute("CREATE TABLE orders (id serial PRIMARY KEY); CREATE UNLOGGED TABLE x (id serial)")
    server.execute("GRANT SELECT ON ALL SEQUENCES IN SCHEMA public TO monitor")
    with closing(server.standby("standby_1")) as standby:
        daemon = vitalsd([db(server), db(standby, "standby")], **PACE)
        daemon.wait_for("pg_stat_wal_receiver_streaming", 1)
        collectors = {"stat_user_tables", "sequences", "invalid_indexes", "settings", "wal"}
        collectors |= {"stat_statements"} | ({"archive_status"} if server.major >= 12 else set())

        def succeeded(probe: str) -> set[str]:
            samples = daemon.samples("pg_scrape_collector_success", probe=probe)
            return {sample.labels["collector"] for sample in samples if sample.value == 1}

        wait_collectors(daemon)
        for probe in ("db", "standby"):
            daemon.wait_ok(probe)
            wait_until(lambda: succeeded(probe) == collectors, what=lambda: f"{succeeded(probe)}")
            daemon.wait_for("pg_exporter_last_scrape_error", 0, probe=probe)
            wait_until(
                lambda: set(statuses(daemon, probe).values()) == {0},
                what=lambda: f"{statuses(daemon, probe)}",
            )
        primary = {"connections", "idle_in_transaction", "wraparound", "prepared_transaction_age"}
        primary |= {"slot_wal", "invalid_indexes", "sequence_usage", "vacuum_overdue"}
        primary |= {"permissions"}
        primary |= {"slot_status"} if server.major >= 13 else set()
        primary |= {"lock_wait"} if server.major >= 14 else set()
        wait_until(lambda: statuses(daemon).keys() == primary, what=lambda: f"{statuses(daemon)}")
        if server.major >= 12:
            for check in ("wal_receiver", "replication_lag"):
                daemon.wait_for("vitalsd_check_status", 0, check=check, probe="standby")
        assert daemon.value("pg_replication_slots_active", slot_name="standby_1", probe="db") == 1
        assert daemon.value("pg_replication_replay_paused", probe="standby") == 0
        assert daemon.absent("pg_replication_replay_paused", probe="db")
        standby.execute("SELECT pg_wal_replay_pause()")
        daemon.wait_for("pg_replication_replay_paused", 1, probe="standby")
        daemon.wait_for("vitalsd_check_status", 1, check="replay_paused", probe="standby")
        standby.execute("SELECT pg_wal_replay_resume()")
        daemon.wait_for("pg_replication_replay_paused", 0, probe="standby")
        daemon.wait_for("vitalsd_check_status", 0, check="replay_paused", probe="standby")

        server.stop()
        try:
            if server.major >= 12:
                daemon.wait_for("vitalsd_check_status", 1, check="wal_receiver", probe="standby")
        finally:
            server.start()
        daemon.wait_for("pg_stat_wal_receiver_streaming", 1, probe="standby")
        if server.major >= 12:
            daemon.wait_for("vitalsd_check_status", 0, check="wal_receiver", probe="standby")
    server.execute("SELECT pg_drop_replication_slot('standby_1')")


def test_slots_that_hold_wal(vitalsd: Daemon, server: VersionedPostgres) -> None:
    daemon = vitalsd([db(server, checks={"slot_wal": {"warn": "20MiB"}})], **PACE)
    wait_check(daemon, "slot_wal", None)
    server.execute("SELECT pg_create_physical_replication_slot('forgotten', true)")
    wait_check(daemon, "slot_wal", 0)
    assert daemon.value("pg_replication_slots_active", slot_name="forgotten", database="") == 0
    write_wal(server, 3)
    wait_check(daemon, "slot_wal", 1)
    assert object_of(daemon, "slot_wal") == "forgotten, an inactive physical slot"
    daemon.wait_for("pg_wal_segments", lambda files: files >= 3)
    if server.major >= 13:
        server.execute("ALTER SYSTEM SET max_slot_wal_keep_size = '1MB'")
        server.execute("SELECT pg_reload_conf()")
        write_wal(server, 2)
        server.execute("CHECKPOINT")
        wait_check(daemon, "slot_status", 1)
        # The server itself uses the slot for a moment to invalidate it.
        wanted = "forgotten, an inactive physical slot"
        wait_until(lambda: object_of(daemon, "slot_status") == wanted)
        daemon.wait_for("pg_replication_slots_wal_status", 1, wal_status="lost")
    server.execute("SELECT pg_drop_replication_slot('forgotten')")
    wait_check(daemon, "slot_wal", None)

    if server.major >= 13:
        server.execute("ALTER SYSTEM RESET max_slot_wal_keep_size")
        server.execute("SELECT pg_reload_conf()")
    server.execute("SELECT pg_create_logical_replication_slot('feed', 'test_decoding')")
    write_wal(server, 1)
    server.execute("CHECKPOINT")  # from which a new physical slot holds WAL
    server.execute("SELECT pg_create_physical_replication_slot('fresh', true)")
    wanted = f"feed, an inactive logical slot of {server.database}"
    wait_until(lambda: object_of(daemon, "slot_wal") == wanted)
    for slot in ("feed", "fresh"):
        server.execute(f"SELECT pg_drop_replication_slot('{slot}')")


def test_sessions_that_wait_and_transactions_that_stay(
    vitalsd: Daemon, server: VersionedPostgres
) -> None:
    limits = ("lock_wait", "idle_in_transaction", "prepared_transaction_age")
    checks = {check: {"warn": "1s"} for check in limits}
    daemon = vitalsd([db(server, checks=checks)], **PACE)
    server.execute("CREATE TABLE rows (id int); INSERT INTO rows VALUES (1)")
    update = "UPDATE rows SET id = 2"
    with ThreadPoolExecutor() as pool, ExitStack() as stack:
        advisory = stack.enter_context(closing(server.connect()))
        advisory.cursor().execute("SET application_name = 'pg_dump'")
        advisory.commit()
        advisory.cursor().execute("SELECT pg_advisory_xact_lock(1)")
        leader = pool.submit(server.execute, "SELECT pg_advisory_lock(1)")  # not a fault
        daemon.wait_for("pg_locks_waiting", 1, datname=server.database)
        daemon.wait_for("pg_stat_activity_max_tx_duration", lambda age: age > 1, state="idle in transaction")
        assert daemon.value("pg_blocked_sessions") == 0
        assert statuses(daemon)["idle_in_transaction"] == 0
        holder = stack.enter_context(closing(server.connect()))
        holder.cursor().execute(update)
        waiting = [pool.submit(server.execute, update) for _ in range(2)]
        try:
            daemon.wait_for("pg_blocked_sessions", 2)
            assert daemon.value("pg_blocking_sessions") == 1
            wait_check(daemon, "idle_in_transaction", 1)
            assert object_of(daemon, "idle_in_transaction").startswith("PID ")
            if server.major >= 14:
                wait_check(daemon, "lock_wait", 1)
                blocker = object_of(daemon, "lock_wait")
                assert blocker.startswith(f"PID {holder.info.backend_pid} of postgres"), blocker
                assert ", idle in transaction, transaction open for " in blocker
            else:
                assert "lock_wait" not in statuses(daemon)
        finally:
            holder.close()
            advisory.close()
        for task in (leader, *waiting):
            task.result()
    daemon.wait_for("pg_blocked_sessions", 0)
    wait_check(daemon, "idle_in_transaction", 0)

    server.execute("BEGIN; INSERT INTO rows VALUES (3); PREPARE TRANSACTION 'lost'")
    daemon.wait_for("pg_prepared_transactions", 1)
    wait_check(daemon, "prepared_transaction_age", 1)
    server.execute("CREATE TABLE more AS SELECT 1 AS x")
    daemon.wait_for("pg_xmin_horizon_age", lambda age: age >= 1, holder="prepared")
    server.execute("ROLLBACK PREPARED 'lost'")
    wait_check(daemon, "prepared_transaction_age", 0)


def test_tables_sequences_and_indexes(vitalsd: Daemon, server: VersionedPostgres) -> None:
    here = {"datname": server.database, "schemaname": "public"}
    server.execute(
        "CREATE TABLE orders (id serial PRIMARY KEY, shop int);"
        "INSERT INTO orders (shop) SELECT 1 FROM generate_series(1, 20000);"
        "CREATE SEQUENCE small AS smallint; SELECT setval('small', 30000);"
        "CREATE SEQUENCE turns AS smallint CYCLE; SELECT setval('turns', 32767);"
        "GRANT SELECT ON ALL SEQUENCES IN SCHEMA public TO monitor"
    )
    daemon = vitalsd([db(server)], **PACE)
    wait_check(daemon, "sequence_usage", 1)
    assert object_of(daemon, "sequence_usage") == "public.small"
    used = daemon.value("pg_sequence_used_ratio", sequencename="small", **here)
    assert used == pytest.approx(30000 / 32767)
    assert daemon.absent("pg_sequence_used_ratio", sequencename="turns")
    # The sequence may be a bigint, and its column is an integer.
    server.execute("ALTER SEQUENCE orders_id_seq AS bigint; SELECT setval('orders_id_seq', 2000000000)")
    server.execute("DROP SEQUENCE small")
    daemon.wait_for(
        "pg_sequence_used_ratio", lambda used: used > 0.9, sequencename="orders_id_seq", **here
    )
    server.execute("SELECT setval('orders_id_seq', 20000)")
    wait_check(daemon, "sequence_usage", 0)
    # A default or a domain limits a sequence, too; an expression of a sequence does not.
    server.execute(
        "CREATE DOMAIN number AS int CHECK (VALUE > 0);"
        "CREATE SEQUENCE shared; SELECT setval('shared', 2000000000);"
        "CREATE SEQUENCE named; SELECT setval('named', 2000000000);"
        "CREATE SEQUENCE turn; SELECT setval('turn', 2000000000);"
        "CREATE TABLE a (id bigint DEFAULT nextval('shared'), no number DEFAULT nextval('named'),"
        " shard smallint DEFAULT nextval('turn') % 8);"
        "CREATE TABLE b (id int DEFAULT nextval('shared'));"
        "GRANT SELECT ON ALL SEQUENCES IN SCHEMA public TO monitor"
    )
    if server.major >= 12:  # a default that has variables
        server.execute("ALTER TABLE b ADD twice int GENERATED ALWAYS AS (id * 2) STORED")
    ratio = "pg_sequence_used_ratio"
    for name in ("shared", "named"):
        daemon.wait_for(ratio, lambda used: used > 0.9, sequencename=name, **here)
    daemon.wait_for(ratio, lambda used: used < 0.1, sequencename="turn", **here)
    server.execute("DROP TABLE a, b; DROP SEQUENCE shared, named, turn")
    wait_check(daemon, "sequence_usage", 0)

    daemon.wait_for("pg_stat_user_tables_n_tup_ins", 20000, relname="orders", **here)
    wait_check(daemon, "vacuum_overdue", 0)
    server.execute("DELETE FROM orders WHERE id <= 19000")
    daemon.wait_for("pg_stat_user_tables_n_dead_tup", 19000, relname="orders", **here)
    wait_check(daemon, "vacuum_overdue", 1)
    assert object_of(daemon, "vacuum_overdue") == "public.orders"
    server.execute("ALTER TABLE orders SET (autovacuum_enabled = false)")  # vacuumed by its owner
    wait_check(daemon, "vacuum_overdue", 0)
    server.execute("ALTER TABLE orders RESET (autovacuum_enabled)")
    wait_check(daemon, "vacuum_overdue", 1)
    server.execute("VACUUM ANALYZE orders")
    wait_check(daemon, "vacuum_overdue", 0)
    daemon.wait_for("pg_stat_user_tables_last_vacuum", lambda at: at > 1e9, relname="orders", **here)
    assert daemon.absent("pg_stat_user_tables_last_autovacuum", relname="orders")
    assert daemon.value("pg_table_estimated_size_bytes", relname="orders", **here) > 8192
    assert daemon.value("pg_stat_user_tables_rest_tables", datname=server.database) == 0

    wait_check(daemon, "invalid_indexes", 0)
    with pytest.raises(Exception, match="could not create unique index"):
        server.execute("CREATE UNIQUE INDEX CONCURRENTLY orders_shop_ccnew ON orders (shop)")
    wait_check(daemon, "invalid_indexes", 1)
    index = {"relname": "orders", "indexrelname": "orders_shop_ccnew"}
    assert daemon.value("pg_general_index_info_pg_relation_size", **index, **here) >= 0
    server.execute("DROP INDEX orders_shop_ccnew")
    wait_check(daemon, "invalid_indexes", 0)

    # An index that is being created is not valid either.
    with ThreadPoolExecutor() as pool, closing(server.connect()) as open_transaction:
        open_transaction.cursor().execute("INSERT INTO orders (shop) VALUES (2)")
        create = "CREATE INDEX CONCURRENTLY orders_shop ON orders (shop)"
        creating = pool.submit(server.execute, create)
        count = "SELECT count(*) FROM pg_index WHERE NOT indisvalid"
        wait_until(lambda: server.execute(count) == [(1,)], what="the index is being created")
        server.execute("CREATE TABLE marker (x int)")  # seen in the same run as the index
        daemon.wait_for("pg_stat_user_tables_n_live_tup", 0, relname="marker")
        assert daemon.value("pg_invalid_indexes") == 0
        open_transaction.close()
        creating.result()

    # The number of tables exceeds the number of tables that have series of their own.
    server.execute(
        "DO $$ BEGIN FOR i IN 1..60 LOOP EXECUTE format('CREATE TABLE t%s AS SELECT 1 AS x', i);"
        " END LOOP; END $$"
    )
    daemon.wait_for("pg_stat_user_tables_rest_tables", 12, datname=server.database)
    assert len(daemon.samples("pg_stat_user_tables_n_live_tup")) == 50
    daemon.wait_for("pg_stat_user_tables_rest_n_live_tup", lambda rows: 10 <= rows <= 12, datname=server.database)


def test_checkpoints_settings_and_statements(vitalsd: Daemon, server: VersionedPostgres) -> None:
    daemon = vitalsd([db(server)], **PACE)
    requested = (
        "pg_stat_checkpointer_num_requested_total"
        if server.major >= 17
        else "pg_stat_bgwriter_checkpoints_req_total"
    )
    before = daemon.value(requested)
    server.execute("CREATE TABLE dirty AS SELECT 1 AS x")
    server.execute("CHECKPOINT")
    daemon.wait_for(requested, lambda now: now > before)
    assert daemon.value("pg_settings_autovacuum") == 0
    assert daemon.value("pg_settings_shared_buffers_bytes") == 16 << 20
    assert daemon.value("pg_settings_checkpoint_timeout_seconds") == 300
    assert daemon.value("pg_settings_statement_timeout_seconds") == 0  # not that of the probe
    assert daemon.value("pg_settings_pending_restart") == 0
    server.execute("ALTER SYSTEM SET max_connections = 90")
    server.execute("SELECT pg_reload_conf()")
    daemon.wait_for("pg_settings_pending_restart", 1)
    server.execute("ALTER SYSTEM RESET max_connections")  # a standby needs as many
    server.execute("SELECT pg_reload_conf()")
    (xid,) = server.execute("SELECT txid_current()")[0]
    daemon.wait_for("pg_txid_current", lambda seen: seen >= xid)

    server.execute("SELECT count(*) FROM generate_series(1, 2000000)")
    ((queryid,),) = server.execute(
        "SELECT queryid FROM pg_stat_statements WHERE query LIKE 'SELECT count(*) FROM generate_ser%'"
    )
    labels = {"queryid": str(queryid), "user": "postgres", "datname": server.database}
    daemon.wait_for("pg_stat_statements_calls_total", 1, **labels)
    seconds = daemon.value("pg_stat_statements_seconds_total", **labels)
    assert 0.01 < seconds < 60
    assert daemon.value("pg_stat_statements_all_seconds") >= seconds
    assert len(daemon.samples("pg_stat_statements_calls_total")) <= 20
    server.execute("DROP EXTENSION pg_stat_statements")
    daemon.wait_for("pg_stat_statements_all_seconds", None)
    assert daemon.value("pg_exporter_last_scrape_error") == 0
    assert daemon.absent("pg_scrape_collector_success", collector="stat_statements")


def test_permissions_that_a_role_lacks(vitalsd: Daemon, server: VersionedPostgres) -> None:
    server.execute("REVOKE pg_monitor FROM viewer")
    server.execute(
        "CREATE SCHEMA app; CREATE SEQUENCE app.numbers;"
        "CREATE TABLE app.t (x int DEFAULT nextval('app.numbers'));"
        'CREATE SCHEMA "Web"; CREATE TABLE "Web".t2 (id int GENERATED ALWAYS AS IDENTITY)'
    )
    daemon = vitalsd([db(server, role="viewer")], **PACE)
    daemon.wait_ok("db")
    wait_collectors(daemon)
    refused = {"wal"} | ({"archive_status"} if server.major >= 12 else set())
    success = {
        sample.labels["collector"]: sample.value
        for sample in daemon.samples("pg_scrape_collector_success")
    }
    assert {name for name, value in success.items() if value == 0} == refused
    assert daemon.value("pg_exporter_last_scrape_error") == 1
    assert daemon.value("pg_up") == 1
    assert daemon.absent("pg_wal_segments")
    assert daemon.value("pg_stat_user_tables_n_live_tup", relname="t") == 0
    assert daemon.value("pg_sequences_unreadable") == 2
    (row,) = daemon.status()["probes"]
    message = str(row["message"])
    assert "collector wal: ERROR: permission denied for function pg_ls_waldir" in message
    assert 'GRANT EXECUTE ON FUNCTION pg_ls_waldir() TO "viewer"' in message
    assert 'the WAL receiver: GRANT pg_monitor TO "viewer"' in message
    assert 'GRANT SELECT ON ALL SEQUENCES IN SCHEMA "Web", app TO "viewer"' in message
    assert {reading for reading, may in permitted(daemon).items() if not may} == {
        "sessions", "sequences", *refused,
    }  # fmt: skip

    def checked() -> set[str]:
        output = run("check", "--config", daemon.config_file).stdout
        return {line.strip() for line in output.splitlines()}

    wait_until(lambda: set(message.splitlines()) <= checked(), what="the message of vitalsd check")

    # Each statement of the message helps; a function is permitted where pg_monitor is too much.
    server.execute('GRANT EXECUTE ON FUNCTION pg_ls_waldir() TO "viewer"')
    daemon.wait_for("pg_wal_segments", lambda files: files > 0)
    assert not permitted(daemon)["sessions"]
    server.execute('GRANT pg_monitor TO "viewer"')
    server.execute('GRANT SELECT ON ALL SEQUENCES IN SCHEMA "Web", app TO "viewer"')
    daemon.wait_for("pg_sequences_unreadable", 0)
    wait_until(lambda: statuses(daemon).get("idle_in_transaction") == 0)
    wait_until(lambda: set(permitted(daemon).values()) == {1})
    wait_until(lambda: "message" not in daemon.status()["probes"][0])

    # pg_monitor does not give the schema of an extension.
    server.execute("CREATE SCHEMA ext; ALTER EXTENSION pg_stat_statements SET SCHEMA ext")
    wait_until(lambda: permitted(daemon)["stat_statements"] == 0)
    (row,) = daemon.status()["probes"]
    assert 'GRANT USAGE ON SCHEMA ext TO "viewer"' in str(row["message"])
    server.execute('GRANT USAGE ON SCHEMA ext TO "viewer"')
    wait_until(lambda: permitted(daemon)["stat_statements"] == 1)


def test_a_locked_table_delays_nothing(vitalsd: Daemon, server: VersionedPostgres) -> None:
    """Tables are read without locks, and a sequence that is locked fails its collector only."""
    server.execute("CREATE TABLE orders (id serial); GRANT SELECT ON orders_id_seq TO monitor")
    daemon = vitalsd([db(server)], **PACE)
    daemon.wait_ok("db")
    with closing(server.connect()) as holder:
        holder.cursor().execute("LOCK orders; ALTER SEQUENCE orders_id_seq MAXVALUE 1000000")
        daemon.wait_for("pg_scrape_collector_success", 0, collector="sequences")
        server.execute("CREATE TABLE new (x int)")
        daemon.wait_for("pg_stat_user_tables_n_live_tup", 0, relname="new")
        daemon.wait_ok("db")
        (row,) = daemon.status()["probes"]
        assert "collector sequences: ERROR: canceling statement due to lock timeout" in row["message"]


@pytest.mark.parametrize("pooled", [False, True], ids=["direct", "pooled"])
def test_a_statement_that_sleeps_is_cancelled(
    vitalsd: Daemon, server: VersionedPostgres, pooled: bool
) -> None:
    """Old servers start the timer at the beginning of a message, before they execute a SET LOCAL
    in it."""
    sleep = {"name": "slow", "sql": "SELECT 1 AS n FROM pg_sleep(600)", "values": ["n"]}
    with ExitStack() as stack:
        url = server.url()
        if pooled:
            url = stack.enter_context(closing(PgBouncer(server, "monitor"))).url()
        probe = db(server, url=url, queries=[sleep | {"timeout": "100ms"}])
        probe["password"] = {"env": "PASSWORD"}
        daemon = vitalsd([probe], plain={"PASSWORD": server.passwords["monitor"]}, **PACE)
        daemon.wait_failed("db", "overload")
        (line,) = daemon.log_lines("probe failed", probe="db")
        assert "statement timeout (limit: 100ms)" in line["error"]
        sleeping = "SELECT count(*) FROM pg_stat_activity WHERE state = 'active'"
        sleeping += " AND usename = 'monitor' AND query LIKE '%pg_sleep%'"
        daemon.end()
        wait_until(lambda: server.execute(sleeping) == [(0,)], what="no statement sleeps")
        daemon.start()


def test_another_server_behind_the_address(vitalsd: Daemon, server: VersionedPostgres) -> None:
    """What was read from the previous server is not shown as a reading of the new one."""
    server.execute("CREATE SEQUENCE numbers; GRANT SELECT ON SEQUENCE numbers TO monitor")
    with closing(server.standby("standby_2")) as standby:
        slow = {"slow_interval": "1h"}
        daemon = vitalsd([db(server, **slow), db(standby, "standby", **slow)], **PACE)
        for probe in ("db", "standby"):
            daemon.wait_for("pg_settings_checkpoint_timeout_seconds", 300, probe=probe)
        assert daemon.absent("pg_sequence_used_ratio", probe="standby")
        server.execute("ALTER SYSTEM SET checkpoint_timeout = '7min'")
        try:
            server.stop()
            server.start()
            daemon.wait_for("pg_settings_checkpoint_timeout_seconds", 420, probe="db")
        finally:
            server.execute("ALTER SYSTEM RESET checkpoint_timeout")
            server.execute("SELECT pg_reload_conf()")
        if server.major >= 12:
            standby.execute("SELECT pg_promote()")
            daemon.wait_for("pg_sequence_used_ratio", 0, probe="standby", sequencename="numbers")
    server.execute("SELECT pg_drop_replication_slot('standby_2')")


def test_ids_that_run_out_and_pages_that_are_damaged(
    vitalsd: Daemon, server: VersionedPostgres
) -> None:
    server.execute("CREATE TABLE pages AS SELECT 1 AS x")
    ((path,),) = server.execute("SELECT pg_relation_filepath('pages')")
    server.execute("CHECKPOINT")
    server.stop()
    with (server.data / path).open("r+b") as file:
        file.seek(8000)
        file.write(b"damaged")
    # With the largest autovacuum_freeze_max_age, no vacuum starts.
    server.configure(autovacuum_freeze_max_age=2_000_000_000)
    server.start()
    if server.major >= 12:
        with pytest.raises(Exception, match="invalid page"):
            server.execute("SELECT * FROM pages")
    daemon = vitalsd([db(server)], **PACE)
    wait_check(daemon, "wraparound", 0)
    if server.major >= 12:
        failures = "pg_stat_database_checksum_failures"
        daemon.wait_for(failures, lambda count: count >= 1, datname=server.database)
    else:
        assert daemon.absent("pg_stat_database_checksum_failures")
    age = "pg_database_wraparound_age_datfrozenxid_seconds"
    (seen,) = server.execute(f"SELECT age(datfrozenxid) FROM pg_database WHERE datname = '{server.database}'")[0]
    assert daemon.value(age, datname=server.database) == pytest.approx(seen, abs=5)
    if server.major != SYSTEM:
        return  # there is no pg_resetwal
    server.stop()
    age_by_transactions(server, 1_200_000_000)
    server.start()
    wait_check(daemon, "wraparound", 1)
    assert object_of(daemon, "wraparound").startswith("transaction ids of ")
    assert daemon.value(age, datname=server.database) > 1.1e9


def age_by_transactions(server: VersionedPostgres, count: int) -> None:
    """Moves the next transaction id of the stopped server forward, as if so many had run."""
    segment = 8192 * 4 * 32  # transactions of a file of pg_xact
    xid = (count // segment) * segment
    subprocess.run(
        [server.binaries / "pg_resetwal", "-f", "-x", str(xid), "-D", server.data],
        check=True,
        capture_output=True,
        cwd=server.directory,
        user=server.account.pw_uid if server.account else None,
    )
    log = server.data / "pg_xact" / f"{xid // segment:04X}"
    log.write_bytes(bytes(256 * 1024))
    server.give(log)


def test_many_sequences_on_a_server_with_few_locks(
    vitalsd: Daemon, server: VersionedPostgres
) -> None:
    """Their locks do not fill the server's lock table, and the narrowest are judged."""
    settings = {"max_locks_per_transaction": 10, "max_connections": 10, "max_worker_processes": 1}
    with closing(VersionedPostgres(server.major, **settings)) as small:
        small.renew()
        with closing(small.connect()) as connection, connection.cursor() as cursor:
            connection.autocommit = True
            for i in range(5001):
                cursor.execute(f"CREATE SEQUENCE s{i} INCREMENT 10")
            cursor.execute("CREATE SEQUENCE narrow AS smallint; SELECT setval('narrow', 32000)")
            cursor.execute("CREATE SEQUENCE wide; CREATE SEQUENCE down INCREMENT -1 MINVALUE -100")
            cursor.execute("SELECT setval('down', -60)")
            for i in range(0, 5001, 50):
                names = ", ".join(f"s{i}" for i in range(i, min(i + 50, 5001)))
                cursor.execute(f"GRANT SELECT ON {names} TO monitor")
            cursor.execute("GRANT SELECT ON narrow, wide, down TO monitor")
        daemon = vitalsd([db(small)], interval="5s", timeout="5s")
        daemon.wait_for("pg_scrape_collector_success", 1, collector="sequences")
        # On a busy machine, the time for a run ends before all sequences are read.
        daemon.wait_for("pg_sequences_unjudged", 4)
        wait_check(daemon, "sequence_usage", 2)
        assert object_of(daemon, "sequence_usage") == "public.narrow"
        used = {s.labels["sequencename"]: s.value for s in daemon.samples("pg_sequence_used_ratio")}
        assert len(used) == 20
        assert used["down"] == pytest.approx(0.6)
        assert daemon.value("pg_sequences_unreadable") == 0
