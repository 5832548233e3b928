#!/usr/bin/python3
"""Checks that memory usage does not grow: one daemon with probes of every kind at the shortest
interval, over 100,000 runs of each kind (PostgreSQL: 1,000, because its server is slow). Fails if
the average resident memory of the last fifth is more than 1 MB above that of the second fifth.
Averages are needed because single values vary by more.
"""

from __future__ import annotations

import collections
import contextlib
import statistics
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench import Peer, memory_mb, postgres_probe, redis_probe, running  # noqa: E402
from support import process  # noqa: E402
from support.certificates import Authority  # noqa: E402
from support.dns_server import DnsServer  # noqa: E402
from support.postgres import Postgres  # noqa: E402
from support.redis import Redis  # noqa: E402
from support.vitalsd import Vitalsd  # noqa: E402

GOALS = collections.defaultdict(lambda: 100_000, postgres=1_000)
MOST_GROWTH_MB = 1.0
EACH = 50  # probes per kind


def main() -> None:
    process.begin()
    with contextlib.ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        (scratch / "today.dump").write_bytes(b"a backup")
        authority = Authority(scratch)
        peer = stack.enter_context(running(Peer))
        database = stack.enter_context(running(lambda: Postgres(authority)))
        cache = stack.enter_context(running(lambda: Redis(authority)))
        names = stack.enter_context(running(DnsServer))
        names.set("api.test")
        probes = [{**postgres_probe(database), "interval": "200ms"}]
        for i in range(EACH):
            host = f"127.1.0.{i + 1}"
            probes += [
                redis_probe(cache.url(), f"redis-{i}"),
                {"name": f"http-{i}", "kind": "http", "url": f"http://{host}:{peer.http}/"},
                {"name": f"tcp-{i}", "kind": "tcp", "endpoint": f"{host}:{peer.tcp}"},
                {"name": f"dns-{i}", "kind": "dns", "query": "api.test", "server": names.address},
                {"name": f"tls-{i}", "kind": "certificate", "files": [str(authority.path)]},
                {"name": f"dumps-{i}", "kind": "backup", "directory": str(scratch)},
                {"name": f"disks-{i}", "kind": "filesystem", "mounts": ["/"]},
                # A probe that always fails at its deadline. The resources of abandoned runs must be
                # released.
                {"name": f"hung-{i}", "kind": "http", "url": f"http://{host}:{peer.hung}/"},
            ]
        make = lambda: Vitalsd(  # noqa: E731
            probes,
            interval="100ms",
            timeout="90ms",
            ready=False,
            log={"level": "error"},
            environment={
                "DB_PASSWORD": database.passwords["monitor"],
                "CACHE_PASSWORD": cache.password,
            },
        )
        with running(make) as daemon:
            kinds = {probe["name"]: probe["kind"] for probe in probes}
            fifths: list[list[float]] = [[] for _ in range(5)]
            share = 0.0
            while share < 1:
                time.sleep(2)
                runs: collections.Counter[str] = collections.Counter()
                for sample in daemon.text_samples("vitalsd_probe_runs_total"):
                    if sample.labels["outcome"] in ("ok", "failed"):
                        runs[kinds[sample.labels["probe"]]] += int(sample.value)
                share = min(runs[kind] / GOALS[kind] for kind in set(kinds.values()))
                fifths[min(4, int(share * 5))].append(memory_mb(daemon.pid))
        means = [statistics.mean(each) for each in fifths]
        print("each fifth, on average:", *(f"{mean:.1f} MB" for mean in means))
        print("runs:", dict(sorted(runs.items())))
    process.end_all()
    if means[4] > means[1] + MOST_GROWTH_MB:
        sys.exit(f"memory has grown by {means[4] - means[1]:.1f} MB")


if __name__ == "__main__":
    main()
