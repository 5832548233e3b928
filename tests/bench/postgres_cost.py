#!/usr/bin/env python3
"""Prints what a probe of kind postgres costs the server: the CPU time of its session, for a run of the
fast lane and for a round of the slow lane, with many tables, databases and statements.

    tests/bench/postgres_cost.py [MAJOR...]      default: Debian's version
"""

from __future__ import annotations

import os
import sys
import time
from contextlib import closing
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from support import process, wait_until
from support.postgres_versions import SYSTEM, VersionedPostgres
from support.vitalsd import Vitalsd

TABLES, DATABASES, STATEMENTS = 1000, 50, 5000
RUNS = 30
TICKS = os.sysconf("SC_CLK_TCK")


def fill(server: VersionedPostgres) -> None:
    server.renew()
    for i in range(DATABASES):
        server.execute(f"CREATE DATABASE d{i}", "postgres")
    for start in range(0, TABLES, 100):  # each has a sequence and an index
        statements = [f"CREATE TABLE t{i} (id serial PRIMARY KEY, x int)" for i in range(start, start + 100)]
        server.execute(";".join(statements))
    with closing(server.connect()) as connection, connection.cursor() as cursor:
        for i in range(STATEMENTS):
            cursor.execute(f"SELECT 1 AS c{i}")
    server.execute("GRANT SELECT ON ALL SEQUENCES IN SCHEMA public TO monitor; ANALYZE")


def cpu_time(server: VersionedPostgres) -> float:
    """Returns the CPU seconds of the probe's session, which include those of the parser and the
    planner."""
    ((pid,),) = server.execute("SELECT pid FROM pg_stat_activity WHERE usename = 'monitor'")
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def cost_of_a_run(server: VersionedPostgres, slow_interval: str) -> tuple[float, dict[str, float]]:
    probe = {"name": "db", "kind": "postgres", "url": server.url(), "slow_interval": slow_interval}
    with closing(Vitalsd([probe | {"size_interval": "24h"}], interval="1s", timeout="900ms")) as daemon:
        daemon.wait_ok("db")
        wait_until(lambda: daemon.runs("db") >= 3)
        before, first = cpu_time(server), daemon.runs("db")
        wait_until(lambda: daemon.runs("db") >= first + RUNS, deadline=3 * RUNS, every=0.2)
        used, runs = cpu_time(server) - before, daemon.runs("db") - first
        durations = daemon.samples("pg_scrape_collector_duration_seconds")
        return used / runs, {s.labels["collector"]: s.value for s in durations}


def main() -> None:
    process.begin()
    for major in map(int, sys.argv[1:] or [SYSTEM]):
        settings = {"pg_stat_statements.max": 10000, "max_locks_per_transaction": 1000}
        with closing(VersionedPostgres(major, **settings)) as server:
            fill(server)
            fast, _ = cost_of_a_run(server, "24h")
            both, collectors = cost_of_a_run(server, "1s")
            ((spilled,),) = server.execute("SELECT sum(temp_bytes) FROM pg_stat_database")
        slow = max(both - fast, 0)
        print(f"PostgreSQL {major}: {TABLES} tables, {DATABASES} databases, {STATEMENTS} statements")
        print(f"  fast lane: {fast * 1e3:.1f} ms a run, {fast / 15:.3%} of a core at 15 s")
        print(f"  slow lane: {slow * 1e3:.1f} ms a round, {slow / 300:.3%} of a core at 300 s")
        print(f"  temporary files: {spilled} bytes")
        for name, seconds in sorted(collectors.items(), key=lambda each: -each[1]):
            print(f"    {name:20} {seconds * 1e3:6.1f} ms with its response")


if __name__ == "__main__":
    main()
