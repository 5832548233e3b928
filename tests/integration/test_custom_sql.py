"""Custom SQL of kind postgres with PostgreSQL 15: values, refusals, limits, and a pooler."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
import yaml

from support import REPOSITORY
from support.pgbouncer import PgBouncer
from support.postgres import Postgres
from support.vitalsd import Vitalsd, run

Daemon = Callable[..., Vitalsd]

PACE = {"interval": "1s", "timeout": "1s"}
TABLES = """
CREATE TABLE sessions (tenant_id int, last_active timestamptz);
INSERT INTO sessions VALUES (1, now()), (1, now()), (2, now() - interval '23 hours'),
                            (3, now() - interval '25 hours');
CREATE TABLE orders (shop text, open int, paid int, express boolean);
INSERT INTO orders VALUES ('north', 3, 10, true), (E'"south"\\n', NULL, 20, false);
CREATE TABLE secret (x int);
GRANT SELECT ON sessions, orders TO monitor;
CREATE SCHEMA hidden;
CREATE TABLE hidden.other (x int)
"""
COUNT = "SELECT count(*) AS n FROM orders"
DROP = "DROP TABLE IF EXISTS sessions, orders, secret; DROP SCHEMA IF EXISTS hidden CASCADE"


@pytest.fixture
def database(postgres: Postgres) -> Iterator[Postgres]:
    """The server with tables of an application."""
    postgres.execute(DROP, postgres.database)
    postgres.execute(TABLES, postgres.database)
    yield postgres
    postgres.execute(DROP, postgres.database)


def query(name: str, sql: str, *values: object, **options: object) -> dict[str, object]:
    return {"name": name, "sql": sql, "values": list(values or ["n"]), **options}


def probe(server: Postgres, *queries: dict[str, object], **options: object) -> dict[str, object]:
    return {
        "name": "db",
        "kind": "postgres",
        "url": server.url(sslmode="require"),
        "password": {"env": "PASSWORD"},
        "queries": list(queries),
        **options,
    }


@pytest.fixture
def start(vitalsd: Daemon, database: Postgres) -> Callable[..., Vitalsd]:
    def start_with(*queries: dict[str, object], **options: object) -> Vitalsd:
        environment = {"PASSWORD": database.passwords["monitor"]}
        return vitalsd([probe(database, *queries, **options)], environment=environment, **PACE)

    return start_with


def error_of(daemon: Vitalsd) -> str:
    (row,) = daemon.status()["probes"]
    return str(row["error"])


def test_active_tenants(vitalsd: Daemon, database: Postgres) -> None:
    """The query of the runbook, as docs/sql.md shows it."""
    page = (REPOSITORY / "docs/sql.md").read_text()
    example = re.search(r"```yaml\n(.*?)```", page, re.DOTALL)
    assert example
    (documented,) = yaml.safe_load(example.group(1))["probes"]
    example_probe = documented | {
        "url": database.url(sslmode="require"),
        "password": {"env": "PASSWORD"},
    }
    daemon = vitalsd([example_probe], environment={"PASSWORD": database.passwords["monitor"]})
    daemon.wait_for("tenants_active", 2)
    daemon.wait_ok(documented["name"])
    assert "# HELP tenants_active Tenants with a session in the last 24 hours." in daemon.page()


def test_values_and_labels(start: Callable[..., Vitalsd]) -> None:
    columns = ["open", {"column": "paid", "type": "counter", "help": "Paid."}, "express"]
    daemon = start(query("shop", "SELECT * FROM orders;", *columns, labels=["shop"]))
    daemon.wait_ok("db")
    # NULL is unknown.
    assert [(s.labels["shop"], s.value) for s in daemon.samples("shop_open")] == [("north", 3)]
    assert daemon.value("shop_paid_total", shop='"south"\n', probe="db", instance="db") == 20
    assert daemon.value("shop_express", shop="north") == 1
    assert daemon.value("shop_express", shop='"south"\n') == 0
    assert daemon.text_samples("shop_paid_total", shop="north")[0].value == 10
    took = daemon.value("vitalsd_postgres_query_duration_seconds", query="shop")
    assert 0 < took < 10
    assert daemon.value("vitalsd_postgres_query_success", query="shop") == 1


# Statement, reason of the failure, part of its text.
REFUSALS = {
    "syntax": ("SELECT 1 AS n\n FORM orders", "mismatch", 'at or near "FORM" at line 2, column 2'),
    "table": ("SELECT n FROM absent", "mismatch", 'relation "absent" does not exist at line 1'),
    "schema": ("SELECT 1 AS n FROM other", "mismatch", "need a schema name: schema.table"),
    "permission": ("SELECT x AS n FROM secret", "permission", "permission denied for table secret"),
    "write": ("DELETE FROM orders", "mismatch", "cannot execute DELETE in a read-only transaction"),
    "read-write": ("SET TRANSACTION READ WRITE", "mismatch", "cannot set transaction read-write"),
    "two": ("COMMIT; DROP TABLE orders", "mismatch", "cannot insert multiple commands"),
    "commit": ("COMMIT", "mismatch", "ROLLBACK TO SAVEPOINT can only be used in transaction"),
    "copy": ("COPY (SELECT 1) TO STDOUT", "mismatch", "the statement does not return rows"),
    "nothing": ("-- SELECT 1", "mismatch", "the statement does not return rows"),
    "slow": ("SELECT 1 AS n FROM pg_sleep(60)", "overload", "statement timeout (limit: 50ms)"),
    "rows": ("SELECT 1 AS n FROM generate_series(1, 101)", "mismatch", "more than max_rows"),
    "huge": ("SELECT 1 AS n FROM generate_series(1, 30000)", "mismatch", "20000 rows"),
    "column": ("SELECT 1 AS m", "mismatch", "the result has no column 'n'; its columns are 'm'"),
    "text": ("SELECT 'many' AS n", "mismatch", "column 'n': 'many' is not a number"),
    "killed": ("SELECT pg_terminate_backend(pg_backend_pid())", "mismatch", "terminating"),
}


def test_a_query_that_fails_fails_alone(vitalsd: Daemon, database: Postgres) -> None:
    """The server counts as up, and everything else is published."""
    good = query("good", "SELECT 7 AS n")
    probes = []
    for name, (sql, _, _) in REFUSALS.items():
        # The bad query comes first, so the good one is executed after a failure.
        bad = query("bad", sql, **({"timeout": "50ms"} if name == "slow" else {}))
        probes.append(probe(database, bad, good) | {"name": name})
    daemon = vitalsd(
        probes,
        environment={"PASSWORD": database.passwords["monitor"]},
        interval="5s",
        timeout="5s",
    )
    rows = {row["name"]: row["error"] for row in daemon.status()["probes"]}
    for name, (_, reason, text) in REFUSALS.items():
        daemon.check_reason(name, reason)
        assert "query bad: " in rows[name] and text in rows[name], rows[name]
    for name in REFUSALS:
        assert daemon.value("good_n", probe=name) == 7, (name, rows[name])
        assert daemon.value("pg_up", probe=name) == 1, name
        assert daemon.value("vitalsd_postgres_query_success", probe=name, query="bad") == 0
        assert daemon.samples("pg_stat_activity_count", probe=name), name
    assert daemon.absent("bad_n")
    assert database.execute("SELECT count(*) FROM orders", database.database) == [(2,)]


def test_a_lock_is_not_awaited(start: Callable[..., Vitalsd], database: Postgres) -> None:
    """A query that waits for a lock would block the application behind it. Its readings survive one
    failure."""
    daemon = start(query("shop", COUNT), query("good", "SELECT 7 AS n"))
    daemon.wait_for("shop_n", 2)
    with closing(database.connect("app")) as holder:
        database.execute("GRANT ALL ON orders TO app", database.database)
        holder.cursor().execute("LOCK TABLE orders IN ACCESS EXCLUSIVE MODE")
        daemon.wait_failed("db", "overload")
        assert "canceling statement due to lock timeout (limit: " in error_of(daemon)
        assert daemon.value("good_n") == 7
        assert daemon.value("pg_up") == 1
        assert daemon.value("vitalsd_postgres_query_success", query="shop") == 0
    daemon.wait_ok("db")
    assert daemon.value("shop_n") == 2


def test_readings_of_a_query_that_keeps_failing(
    start: Callable[..., Vitalsd], database: Postgres
) -> None:
    daemon = start(query("shop", COUNT), query("good", "SELECT 7 AS n"))
    daemon.wait_for("shop_n", 2)
    database.execute("REVOKE ALL ON orders FROM monitor", database.database)
    daemon.wait_failed("db", "permission")
    daemon.wait_for("shop_n", None)
    assert daemon.value("good_n") == 7
    database.execute("GRANT SELECT ON orders TO monitor", database.database)
    daemon.wait_for("shop_n", 2)


def test_a_server_that_freezes_restarts_and_refuses_the_password(
    start: Callable[..., Vitalsd], database: Postgres
) -> None:
    """The readings of queries disappear with the second failure, whatever it is."""
    daemon = start(query("shop", COUNT))
    daemon.wait_for("shop_n", 2)
    database.freeze()
    daemon.wait_failed("db", "timeout")
    daemon.wait_for("shop_n", None)
    database.thaw()
    daemon.wait_for("shop_n", 2)
    database.kill()
    daemon.wait_failed("db", "connect")
    daemon.wait_for("shop_n", None)
    database.start()
    daemon.wait_for("shop_n", 2)
    password = database.passwords["monitor"]
    database.change_password("monitor", "another-one")
    try:
        daemon.wait_failed("db", "auth")
        daemon.wait_for("shop_n", None)
    finally:
        database.change_password("monitor", password)
    daemon.wait_for("shop_n", 2)


def test_an_interval_of_its_own(start: Callable[..., Vitalsd], database: Postgres) -> None:
    """Between two executions the readings stay. A reload does not execute it again."""
    slow = query("slow", COUNT, interval="1h")
    fast = query("fast", COUNT)
    daemon = start(slow, fast)
    daemon.wait_for("slow_n", 2)
    database.execute("DELETE FROM orders WHERE shop = 'north'", database.database)
    daemon.wait_for("fast_n", 1)
    daemon.configuration["probes"][0]["queries"].append(query("more", "SELECT 7 AS n"))
    daemon.reload()
    daemon.wait_for("more_n", 7)
    daemon.wait_runs("db", 3)
    assert daemon.value("slow_n") == 2
    # The readings of a removed query are removed.
    daemon.configuration["probes"][0]["queries"] = [slow]
    daemon.reload()
    daemon.wait_for("fast_n", None)
    assert daemon.value("slow_n") == 2


def test_a_kept_connection_gets_the_new_timeout(start: Callable[..., Vitalsd]) -> None:
    """The server cancels a statement before the deadline of the run, also after a reload."""
    setting = "SELECT setting::float8 AS n, pg_backend_pid() AS pid FROM pg_settings"
    setting += " WHERE name = 'statement_timeout'"
    daemon = start(query("limit", setting, "n", "pid"), interval="20s", timeout="20s")
    server = daemon.value("limit_pid")
    daemon.wait_for("limit_n", lambda limit: 6_000 < limit <= 15_000)  # three quarters of the rest
    daemon.configuration["probes"][0]["timeout"] = "8s"
    daemon.reload()
    daemon.wait_for("limit_n", lambda limit: 0 < limit <= 6_000)
    assert daemon.value("limit_pid") == server


def test_versions_of_the_server(start: Callable[..., Vitalsd]) -> None:
    daemon = start(
        query("stats", "SELECT 1 AS n FROM absent", max_version=14),
        query("stats", "SELECT 15 AS n", min_version=15),
    )
    daemon.wait_ok("db")
    assert daemon.value("stats_n") == 15


def test_two_probes_with_different_types(vitalsd: Daemon, database: Postgres) -> None:
    gauge = query("shop", "SELECT 1 AS n_total", "n_total")
    counter = query("shop", "SELECT 1 AS n_total", {"column": "n_total", "type": "counter"})
    probes = [probe(database, gauge) | {"name": "one"}, probe(database, counter) | {"name": "two"}]
    daemon = vitalsd(probes, environment={"PASSWORD": database.passwords["monitor"]}, **PACE)
    for name in ("one", "two"):
        daemon.wait_runs(name, 2)
    errors = [row["error"] for row in daemon.status()["probes"] if row.get("error")]
    assert len(errors) == 1 and "shop_n_total cannot be published" in errors[0]


def test_nothing_stays_in_a_shared_session(vitalsd: Daemon, database: Postgres) -> None:
    with closing(PgBouncer(database, "monitor")) as pooler:
        names = ("statement_timeout", "lock_timeout", "search_path", "work_mem")
        before = [pooler.ask(f"SHOW {name}") for name in names]
        rollbacks = "SELECT xact_rollback FROM pg_stat_database WHERE datname = current_database()"
        queries = [
            query("shop", COUNT),
            query("setting", "SELECT set_config('work_mem', '1MB', false), 1 AS n"),
            query("broken", "SELECT 1 AS n FROM absent"),
        ]
        daemon = vitalsd(
            [probe(database, *queries, url=pooler.url())],
            environment={"PASSWORD": database.passwords["monitor"]},
            **PACE,
        )
        daemon.wait_runs("db", 2)
        counted = pooler.ask(rollbacks)
        daemon.wait_runs("db", 3)
        assert "query broken" in error_of(daemon)
        assert daemon.value("shop_n") == 2
        assert daemon.value("setting_n") == 1
        assert [pooler.ask(f"SHOW {name}") for name in names] == before
        assert pooler.ask(rollbacks) == counted


def test_config_check_without_a_server(database: Postgres, tmp_path: Path) -> None:
    probes = [probe(database, query("pg_stat_activity", "SELECT 1", "count"))]
    path = tmp_path / "vitalsd.yaml"
    path.write_text(yaml.safe_dump({"probes": probes}))
    done = run("config", "check", path, PASSWORD="x")
    assert done.returncode != 0
    assert "vitalsd declares the metric pg_stat_activity_count" in done.stdout + done.stderr
