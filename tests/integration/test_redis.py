"""Kind redis with Redis 7.0: permissions, the values that rules divide, and servers that are
loading, frozen, full or unreachable."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from support import wait_until
from support.certificates import Authority
from support.fault_proxy import FaultProxy
from support.redis import Redis
from support.vitalsd import Vitalsd

Daemon = Callable[..., Vitalsd]

QUICK = {"interval": "300ms", "timeout": "250ms"}
MIB = 1 << 20


def cache(server: Redis, name: str = "cache", *, tls: bool = False, **options: object) -> dict:
    """Returns a probe that authenticates as `monitor` by default."""
    probe = {"name": name, "kind": "redis", "url": server.url(tls=tls, user="monitor")}
    probe |= {"password": {"env": "MONITOR"}}
    if tls:
        probe |= {"tls": {"ca": str(server.authority.path)}}
    return probe | options


def passwords(server: Redis) -> dict[str, str]:
    return {
        "MONITOR": server.monitor_password,
        "DEFAULT": server.password,
        "BLIND": server.blind_password,
        "WRONG": "not-this-one",
    }


@pytest.fixture
def watch(vitalsd: Daemon, redis_server: Redis) -> Callable[..., Vitalsd]:
    """watch(probe, ...) starts a daemon with the passwords. Without arguments it uses the default
    probe."""

    def start(*probes: dict, **options: object) -> Vitalsd:
        chosen = probes or (cache(redis_server),)
        return vitalsd(chosen, environment=passwords(redis_server), **{**QUICK, **options})

    return start


# ---- authentication -----------------------------------------------------------------------------


def test_unix_sockets(watch: Daemon, redis_server: Redis, tmp_path: Path) -> None:
    path = redis_server.directory / "redis.sock"
    redis_server.ask("-n", "3", "RPUSH", "queue", "a")
    unused = tmp_path / "unused.sock"
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(unused))  # without a listener
    daemon = watch(
        cache(redis_server, url=f"unix://monitor@{path}?db=3", lists=["queue"]),
        {"name": "default", "kind": "redis", "url": f"unix://{path}", "password": {"env": "DEFAULT"}},
        {"name": "none", "kind": "redis", "url": f"unix://{path}.other"},
        {"name": "unused", "kind": "redis", "url": f"unix://{unused}"},
        {"name": "wrong", "kind": "redis", "url": f"unix://monitor@{path}", "password": {"env": "WRONG"}},
    )
    for probe in ("cache", "default"):
        daemon.wait_ok(probe)
    assert daemon.value("redis_key_size", probe="cache", key="queue") == 1
    rows = {row["name"]: row for row in daemon.status()["probes"]}
    assert rows["cache"]["target"] == f"{path}?db=3"
    assert rows["default"]["target"] == str(path)
    assert rows["none"]["error"] == f"{path}.other: No such file or directory"
    assert rows["unused"]["error"] == f"{unused}: Connection refused"
    for probe in ("none", "unused"):
        daemon.wait_failed(probe, "connect")
        assert daemon.value("redis_up", probe=probe) == 0
    daemon.wait_failed("wrong", "auth")

    redis_server.freeze()
    daemon.wait_failed("cache", "timeout")
    redis_server.thaw()
    daemon.wait_ok("cache")
    redis_server.restart()
    daemon.wait_ok("cache")


def test_tls_and_authentication(watch: Daemon, redis_server: Redis, tmp_path: Path) -> None:
    """An untrusted server is down. A server that refuses the credentials is up."""
    untrusted, trusted = Authority(tmp_path), str(redis_server.authority.path)
    nobody = redis_server.url()
    daemon = watch(
        cache(redis_server, "plain"),
        cache(redis_server, "tls", tls=True),
        cache(redis_server, "default-user", url=nobody, password={"env": "DEFAULT"}),
        cache(redis_server, "wrong-ca", tls=True) | {"tls": {"ca": str(untrusted.path)}},
        cache(redis_server, "wrong-name", tls=True)
        | {"tls": {"ca": trusted, "server_name": "other.test"}},
        cache(redis_server, "wrong-password", password={"env": "WRONG"}),
        {"name": "no-password", "kind": "redis", "url": nobody},
        cache(
            redis_server, "blind", url=redis_server.url(user="blind"), password={"env": "BLIND"}
        ),
    )
    for probe in ("plain", "tls", "default-user"):
        daemon.wait_ok(probe)
        assert daemon.value("redis_up", probe=probe) == 1
    for probe in ("wrong-ca", "wrong-name"):
        daemon.check_reason(probe, "tls")
        assert daemon.value("redis_up", probe=probe) == 0
    for probe in ("wrong-password", "no-password"):
        daemon.check_reason(probe, "auth")
        assert daemon.value("redis_up", probe=probe) == 1
    daemon.check_reason("blind", "permission")
    assert daemon.value("redis_up", probe="blind") == 1
    assert daemon.value("vitalsd_target_up", probe="blind", kind="redis") == 1
    assert daemon.absent("redis_memory_used_bytes", probe="blind")


def test_a_server_that_does_not_know_auth(vitalsd: Daemon, certificates: Authority) -> None:
    """Its error quotes user and password. The daemon's end checks all pages and the log."""
    options = ("--rename-command", "AUTH", "")
    with closing(Redis(certificates, password=False, options=options)) as server:
        quoted = server.ask("AUTH", "monitor", server.monitor_password)
        assert server.monitor_password in quoted
        daemon = vitalsd([cache(server)], environment=passwords(server), **QUICK)
        daemon.wait_failed("cache", "mismatch")
        (line,) = daemon.log_lines("probe failed", probe="cache")
        assert line["error"] == "the server rejects AUTH: ERR"
        daemon.end()


def test_a_server_that_requires_a_client_certificate(
    watch: Daemon, redis_server: Redis, tmp_path: Path
) -> None:
    """In TLS 1.3 the server's refusal arrives after the client's handshake."""

    def client(name: str, authority: Authority) -> dict:
        certificate = authority.issue("monitor", client=True)
        tls = {"ca": str(redis_server.authority.path)}
        tls |= {"certificate": str(certificate.path), "key": str(certificate.key)}
        return cache(redis_server, name, tls=True) | {"tls": tls}

    redis_server.command("CONFIG", "SET", "tls-auth-clients", "yes")
    try:
        daemon = watch(
            cache(redis_server, "without", tls=True),
            client("untrusted", Authority(tmp_path)),
            client("known", redis_server.authority),
        )
        for probe in ("without", "untrusted"):
            daemon.wait_runs(probe, 10)
            daemon.check_reason(probe, "tls")
            assert daemon.value("redis_up", probe=probe) == 0
        daemon.wait_ok("known")
    finally:
        redis_server.command("CONFIG", "SET", "tls-auth-clients", "no")


# ---- memory, lookups, lists, persistence --------------------------------------------------------


def test_memory_and_its_limit(watch: Daemon, redis_server: Redis) -> None:
    """Without a limit there is no limit series, because ratios would divide by 0."""
    daemon = watch()
    assert daemon.absent("redis_memory_max_bytes")
    assert daemon.value("redis_memory_limited") == 0
    assert daemon.absent("vitalsd_check_status", check="memory")
    used = daemon.value("redis_memory_used_bytes")
    assert abs(used - redis_server.used_memory) < MIB

    redis_server.set_max_memory(40 * MIB)
    daemon.wait_for("redis_memory_max_bytes", 40 * MIB)
    assert daemon.value("redis_memory_limited") == 1
    daemon.wait_for("vitalsd_check_status", 0, check="memory")
    redis_server.fill(37 * MIB - redis_server.used_memory)
    daemon.wait_for("redis_memory_used_bytes", lambda now: now > 36.5 * MIB)
    daemon.wait_for("vitalsd_check_status", 2, check="memory")
    redis_server.set_max_memory(0)
    daemon.wait_for("redis_memory_max_bytes", None)
    assert daemon.absent("vitalsd_check_status", check="memory")


def test_hit_rate(watch: Daemon, redis_server: Redis) -> None:
    """The hit rate covers lookups since the first run, needs ten lookups, and survives a restart of
    the server, which resets its counters."""
    redis_server.look_up(hits=0, misses=50)  # before the first run; does not count
    daemon = watch()

    def look_up(hits: int, misses: int) -> None:
        awaited = {"redis_keyspace_hits_total": hits, "redis_keyspace_misses_total": misses}
        for name in awaited:
            awaited[name] += daemon.value(name)
        redis_server.look_up(hits, misses)
        for name, value in awaited.items():
            daemon.wait_for(name, value)

    assert daemon.absent("redis_cache_hit_rate")
    look_up(hits=8, misses=1)
    assert daemon.absent("redis_cache_hit_rate")
    look_up(hits=0, misses=1)
    assert daemon.value("redis_cache_hit_rate") == pytest.approx(0.8)
    assert daemon.value("vitalsd_check_status", check="hit_rate") == 0
    redis_server.restart()
    daemon.wait_for("redis_keyspace_hits_total", 0)
    assert daemon.value("redis_cache_hit_rate") == pytest.approx(0.8)
    look_up(hits=2, misses=8)
    assert daemon.value("redis_cache_hit_rate") == pytest.approx(10 / 20)
    assert daemon.value("vitalsd_check_status", check="hit_rate") == 1


def test_lists(watch: Daemon, redis_server: Redis) -> None:
    """Celery's queues. A key of another type affects no other key. The probe's own lookups do not
    count."""
    redis_server.command("RPUSH", "celery:intake", *range(5))
    redis_server.command("SET", "celery:text", "no list")
    names = ["celery:intake", "celery:empty", "celery:text"]
    checks = {"list_length": {"warn": 4}}
    daemon = watch(cache(redis_server, lists=names, checks=checks))
    assert daemon.value("redis_key_size", key="celery:intake", db="db0") == 5
    assert daemon.value("redis_key_size", key="celery:empty", db="db0") == 0
    assert daemon.absent("redis_key_size", key="celery:text")
    assert daemon.value("vitalsd_probe_parts", state="ok") == 2
    assert daemon.value("vitalsd_probe_parts", state="failed") == 1
    assert daemon.value("probe_success") == 0
    daemon.check_reason("cache", "mismatch")
    assert daemon.value("vitalsd_check_status", check="list_length") == 1
    redis_server.command("DEL", "celery:text")
    daemon.wait_ok("cache")
    daemon.wait_for("redis_keyspace_misses_total", lambda now: now > 10)  # all from the probe
    assert daemon.absent("redis_cache_hit_rate")


def test_the_hit_rate_of_a_server_that_others_watch(watch: Daemon, redis_server: Redis) -> None:
    """Each probe of one server, of this vitalsd or of another one, sees the lookups of all others."""
    lists = cache(redis_server, "lists", lists=["a", "b", "c"])
    watch(lists)
    daemon = watch(lists, cache(redis_server, "idle"))

    before = daemon.value("redis_keyspace_misses_total", probe="idle")
    daemon.wait_for("redis_keyspace_misses_total", lambda now: now > before + 30, probe="idle")
    for probe in ("idle", "lists"):
        assert daemon.absent("redis_cache_hit_rate", probe=probe)
        assert daemon.absent("vitalsd_check_status", probe=probe, check="hit_rate")
    redis_server.look_up(hits=30_000, misses=10_000)
    for probe in ("idle", "lists"):
        daemon.wait_for("redis_cache_hit_rate", lambda now: now and 0.74 < now < 0.76, probe=probe)


def test_keys_of_a_database(watch: Daemon, redis_server: Redis) -> None:
    redis_server.ask(lines="SELECT 3\nSET a 1\nSET b 1 EX 1000\nRPUSH work 1 2 3\n")
    daemon = watch(cache(redis_server, url=redis_server.url(user="monitor") + "/3", lists=["work"]))
    assert daemon.value("redis_db_keys", db="db3") == 3
    assert daemon.value("redis_db_keys_expiring", db="db3") == 1
    assert daemon.value("redis_key_size", db="db3", key="work") == 3
    redis_server.empty()
    daemon.wait_for("redis_db_keys", None, db="db3")


def test_the_age_of_a_snapshot(watch: Daemon, redis_server: Redis) -> None:
    """Neither a server that saves no snapshots nor an idle server has a snapshot that is too
    old."""
    redis_server.command("SET", "a", 1)
    checks = {"snapshot_age": {"warn": "1s"}}
    daemon = watch(cache(redis_server, checks=checks))
    assert daemon.value("redis_snapshots_configured") == 0
    daemon.wait_runs("cache", 2)
    assert daemon.absent("vitalsd_check_status", check="snapshot_age")

    try:
        redis_server.command("CONFIG", "SET", "save", "86400 1")
        daemon.restart()
        daemon.wait_for("vitalsd_check_status", 1, check="snapshot_age")
        assert daemon.value("redis_snapshots_configured") == 1
        redis_server.command("SAVE")
        daemon.wait_for("vitalsd_check_status", 0, check="snapshot_age")
    finally:
        redis_server.command("CONFIG", "SET", "save", "")
        redis_server.dump.unlink(missing_ok=True)


def test_persistence(watch: Daemon, redis_server: Redis) -> None:
    daemon = watch()
    assert daemon.value("redis_rdb_last_bgsave_status") == 1
    assert daemon.value("redis_aof_enabled") == 0
    redis_server.command("SET", "a", 1)
    daemon.wait_for("redis_rdb_changes_since_last_save", lambda now: now >= 1)
    before = daemon.value("redis_rdb_last_save_timestamp_seconds")
    wait_until(lambda: time.time() > before + 1, what="another second")
    redis_server.command("BGSAVE")
    daemon.wait_for("redis_rdb_last_save_timestamp_seconds", lambda now: now > before)
    daemon.wait_for("redis_rdb_changes_since_last_save", 0)
    # A snapshot cannot replace a directory.
    redis_server.dump.unlink()
    redis_server.dump.mkdir()
    redis_server.command("BGSAVE")
    daemon.wait_for("redis_rdb_last_bgsave_status", 0)
    redis_server.dump.rmdir()
    redis_server.command("BGSAVE")
    daemon.wait_for("redis_rdb_last_bgsave_status", 1)
    redis_server.dump.unlink()
    redis_server.command("CONFIG", "SET", "appendonly", "yes")
    daemon.wait_for("redis_aof_enabled", 1)
    assert daemon.value("redis_aof_last_write_status") == 1
    redis_server.command("CONFIG", "SET", "appendonly", "no")
    daemon.wait_for("redis_aof_enabled", 0)


# ---- loading, full, hanging, unreachable --------------------------------------------------------


def test_a_server_that_loads(watch: Daemon, redis_server: Redis) -> None:
    """A loading server responds but serves no data yet: it is not up, with the reason unready."""
    daemon = watch()
    daemon.wait_ok("cache")
    assert daemon.value("redis_loading_dump_file") == 0
    redis_server.start_loading()
    daemon.wait_failed("cache", "unready")
    assert daemon.value("redis_up") == 0
    assert daemon.value("vitalsd_target_up", probe="cache") == 0
    assert daemon.value("redis_loading_dump_file") == 1
    assert daemon.value("redis_memory_used_bytes") >= 0
    redis_server.finish_loading()
    daemon.wait_ok("cache")
    assert daemon.value("redis_loading_dump_file") == 0
    assert daemon.value("redis_up") == 1


def test_a_server_that_is_full(watch: Daemon, redis_server: Redis) -> None:
    """A server that refuses a connection because it is full is up."""
    with socket.create_connection(("127.0.0.1", redis_server.port)) as held:
        held.sendall(f"AUTH {redis_server.password}\r\nPING\r\n".encode())
        answers = held.makefile("rb")
        assert [answers.readline(), answers.readline()] == [b"+OK\r\n", b"+PONG\r\n"]
        held.sendall(b"CONFIG SET maxclients 1\r\n")
        assert answers.readline() == b"+OK\r\n"
        try:
            daemon = watch()
            for _ in range(5):
                daemon.wait_failed("cache", "overload")
            daemon.check_reason("cache", "overload")
            assert daemon.value("redis_up") == 1
            assert daemon.value("vitalsd_target_up", probe="cache") == 1
        finally:
            held.sendall(b"CONFIG SET maxclients 10000\r\n")
            assert answers.readline() == b"+OK\r\n"
    daemon.wait_ok("cache")
    assert daemon.value("redis_max_clients") == 10000


def test_a_server_that_freezes(watch: Daemon, redis_server: Redis) -> None:
    daemon = watch()
    daemon.wait_ok("cache")
    redis_server.freeze()
    daemon.wait_failed("cache", "timeout")
    assert daemon.value("redis_up") == 0
    (line,) = daemon.log_lines("probe failed", probe="cache")
    assert line["error"] == "no response within 250ms while waiting for INFO"
    # Connections are still accepted, by the kernel; what hangs now is the log-in.
    daemon.wait_failed("cache", "timeout")
    assert daemon.status()["probes"][0]["error"].endswith("while authenticating")
    daemon.check_reason("cache", "timeout")
    redis_server.thaw()
    daemon.wait_ok("cache")
    assert daemon.value("redis_up") == 1


@pytest.mark.parametrize("end", [Redis.stop, Redis.kill])
def test_a_server_that_ends_and_starts(
    watch: Daemon, redis_server: Redis, end: Callable[[Redis], object]
) -> None:
    daemon = watch()
    daemon.wait_ok("cache")
    end(redis_server)
    daemon.wait_failed("cache", "connect")
    assert daemon.value("redis_up") == 0
    daemon.wait_for("redis_memory_used_bytes", None)
    redis_server.start()
    daemon.wait_ok("cache")
    daemon.wait_for("redis_uptime_in_seconds", lambda now: now < 15)


def test_a_connection_is_kept_and_replaced(watch: Daemon, redis_server: Redis) -> None:
    """All runs use one connection. If the server closes it while idle, no run fails."""
    daemon = watch()
    before = int(redis_server.info("total_connections_received"))
    daemon.wait_runs("cache", 5)
    after = int(redis_server.info("total_connections_received"))
    assert after - before == 1  # the connection of redis-cli
    for _ in range(2):
        redis_server.command("CLIENT", "KILL", "USER", "monitor")
        daemon.wait_runs("cache", 2)
    assert daemon.failures("cache") == {}


def test_a_network_between(
    watch: Daemon, fault_proxy: Callable[..., FaultProxy], redis_server: Redis
) -> None:
    proxy = fault_proxy(redis_server.port)
    daemon = watch(cache(redis_server, url=f"redis://monitor@127.0.0.1:{proxy.port}"))
    daemon.wait_ok("cache")
    faults = {
        "garbage": {"protocol"},
        "truncate": {"protocol"},
        "reset": {"connect", "protocol"},  # during the request, or during the response
        "hang": {"timeout"},
    }
    for mode, reasons in faults.items():
        before = daemon.failures("cache")
        proxy.set_mode(mode)
        daemon.wait_runs("cache", 2)
        after = daemon.failures("cache")
        seen = {reason for reason in after if after[reason] > before.get(reason, 0)}
        assert seen and seen <= reasons, mode
        assert daemon.value("redis_up") == 0, mode
        proxy.set_mode("ok")
        daemon.wait_ok("cache")


def test_the_wrong_scheme(watch: Daemon, redis_server: Redis) -> None:
    """A server without TLS waits for the rest of the ClientHello, and one with TLS refuses a
    command."""
    plain, secure = cache(redis_server, "plain"), cache(redis_server, "secure", tls=True)
    plain["url"] = plain["url"].replace(str(redis_server.port), str(redis_server.tls_port))
    secure["url"] = secure["url"].replace(str(redis_server.tls_port), str(redis_server.port))
    daemon = watch(plain, secure)

    def error(probe: str) -> str:
        (found,) = [p for p in daemon.status()["probes"] if p["name"] == probe]
        return found.get("error", "")

    wait_until(lambda: "use rediss://" in error("plain"), what="TLS is required")
    wait_until(
        lambda: "which may not use TLS on this port" in error("secure"), what="TLS is not available"
    )
