"""Kind redis with other versions of Redis, and with Valkey."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing

import pytest

from support import wait_until
from support.certificates import Authority
from support.process import free_port
from support.redis import Redis, Sentinel
from support.redis_versions import PACKAGES, program
from support.vitalsd import Vitalsd

Daemon = Callable[..., Vitalsd]
Start = Callable[..., Redis]

QUICK = {"interval": "500ms", "timeout": "450ms"}

pytestmark = pytest.mark.long


@pytest.fixture(params=PACKAGES)
def version(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def start(certificates: Authority, version: str) -> Iterator[Start]:
    """start(option, ...) starts a server of this version, without a password."""
    with ExitStack() as servers:

        def start(*options: str) -> Redis:
            server = Redis(
                certificates, password=False, options=options, program=program(version)
            )
            servers.callback(server.close)
            return server

        yield start


def probe(server: Redis | Sentinel, name: str = "cache", **options: object) -> dict:
    return {"name": name, "kind": "redis", "url": f"redis://127.0.0.1:{server.port}"} | options


def test_a_server(vitalsd: Daemon, start: Start, version: str) -> None:
    name, own = version.split("-")
    server = start("--slowlog-log-slower-than", "1000", "--latency-monitor-threshold", "1")
    server.command("RPUSH", "queue", "a", "b")
    assert "WRONGTYPE" in server.ask("GET", "queue")
    server.ask("DEBUG", "SLEEP", "0.02")
    server.set_max_memory(100 << 20)
    server.command("ACL", "SETUSER", "watcher", "on", ">secret", "~queue", "-@all", "+info", "+llen")
    watcher = probe(server, "watcher", lists=["queue"], password={"env": "WATCHER"})
    watcher |= {"url": f"redis://watcher@127.0.0.1:{server.port}"}
    if name == "valkey":
        server.command("CONFIG", "SET", "commandlog-request-larger-than", "10000")
        server.command("SET", "large", "x" * 20_000)
        server.command("DEL", "large")
    daemon = vitalsd(
        [probe(server, lists=["queue"]), watcher], environment={"WATCHER": "secret"}, **QUICK
    )
    daemon.wait_ok("cache")
    daemon.wait_ok("watcher")  # a user with the least rights loses the readings of the others
    assert daemon.value("redis_server_info", probe="cache", server_name=name, version=own) == 1
    reported = own if name == "redis" else "7.2.4"  # what Valkey says that it is compatible with
    labels = {"role": "master", "redis_mode": "standalone", "redis_version": reported}
    assert daemon.value("redis_instance_info", probe="cache", **labels) == 1
    expected = {
        "redis_memory_max_bytes": 100 << 20,
        "redis_snapshots_configured": 0,
        "redis_loading_dump_file": 0,
        "redis_rdb_last_bgsave_status": 1,
        "redis_max_clients": 10000,
        "redis_slowlog_length": 1,
        "redis_slowlog_last_id": 0,
        "redis_evicted_keys_total": 0,
    }
    for metric, value in expected.items():
        assert daemon.value(metric, probe="cache") == value, metric
    assert daemon.value("redis_key_size", probe="cache", key="queue") == 2
    assert daemon.value("redis_db_keys", probe="cache", db="db0") == 1
    assert daemon.value("redis_commands_failed_calls_total", probe="cache", cmd="get") == 1
    assert daemon.value("redis_errors_total", probe="cache", err="WRONGTYPE") == 1
    spike = daemon.value("redis_latency_spike_duration_seconds", probe="cache", event_name="command")
    assert spike and 0.02 <= spike < 1
    if name == "valkey":
        assert daemon.value("redis_commandlog_length", probe="cache", type="large-request") == 1
        assert daemon.value("redis_commandlog_length", probe="cache", type="large-reply") == 0
        size = daemon.value(
            "redis_commandlog_last_size_bytes", probe="cache", type="large-request"
        )
        assert size and 20_000 < size < 21_000
        assert daemon.value("redis_commandlog_last_id", probe="cache", type="large-request") == 0
    else:
        assert daemon.absent("redis_commandlog_length", probe="cache")
    is_new = version != "redis-6.2.14"
    latency = {"probe": "cache", "cmd": "debug", "quantile": "50"}
    assert daemon.absent("redis_latency_percentiles_usec", **latency) != is_new
    assert daemon.absent("redis_acl_access_denied_cmd_total", probe="cache") != is_new
    for command in ("config|get", "slowlog|get", "slowlog|len", "latency|latest"):
        metric = "vitalsd_redis_command_permitted"
        assert daemon.value(metric, probe="cache", command=command) == 1
        assert daemon.value(metric, probe="watcher", command=command) == 0
    server.look_up(hits=600, misses=200)
    daemon.wait_for("redis_cache_hit_rate", lambda now: 0.7 < now < 0.8, probe="cache")
    server.fill(96 << 20)
    daemon.wait_for("vitalsd_check_status", 2, probe="cache", check="memory")

    if not is_new:  # a dump cannot be loaded slowly
        return
    server.start_loading(20_000)
    daemon.wait_failed("cache", "unready")
    server.finish_loading()
    daemon.wait_ok("cache")


def test_a_replica_and_a_sentinel(vitalsd: Daemon, start: Start) -> None:
    master = start("--repl-diskless-sync-delay", "0")
    replica = start("--replicaof", "127.0.0.1", str(master.port))
    wait_until(lambda: replica.info("master_link_status") == "up", what="the replica is connected")
    with closing(Sentinel(master)) as sentinel:
        daemon = vitalsd(
            [
                probe(master, "master", replicas=1),
                probe(replica, "replica"),
                probe(sentinel, "sentinel", sentinel=True, sentinels=1),
                probe(sentinel, "wrong"),
            ],
            **QUICK,
        )
        to_master = {"master_host": "127.0.0.1", "master_port": str(master.port)}
        daemon.wait_for("redis_master_link_up", 1, probe="replica", **to_master)
        daemon.wait_for("vitalsd_check_status", 0, probe="master", check="replicas")
        of_replica = {"slave_ip": "127.0.0.1", "slave_port": str(replica.port)}
        daemon.wait_for("redis_connected_slave_lag_seconds", lambda now: now <= 2, **of_replica)
        of_master = {"master_name": "main", "master_address": f"127.0.0.1:{master.port}"}
        daemon.wait_for("redis_sentinel_master_ok_slaves", 1, **of_master)
        daemon.wait_for("redis_sentinel_master_ok_sentinels", 1, **of_master)
        assert daemon.value("redis_sentinel_master_ckquorum_status", master_name="main") == 1
        daemon.wait_failed("wrong", "mismatch")


def test_a_cluster(vitalsd: Daemon, start: Start, version: str) -> None:
    if version == "redis-6.2.14":
        pytest.skip("the port of its bus cannot be chosen")
    nodes = [
        start("--cluster-enabled", "yes", "--cluster-port", str(free_port())) for _ in range(3)
    ]
    addresses = [f"127.0.0.1:{node.port}" for node in nodes]
    subprocess.run(
        ["redis-cli", "--cluster", "create", *addresses, "--cluster-yes"],
        check=True,
        capture_output=True,
        timeout=60,
    )
    daemon = vitalsd([probe(nodes[0], cluster_nodes=True, replicas=1)], **QUICK)
    daemon.wait_for("redis_cluster_state", 1)
    for address in addresses:
        daemon.wait_for("redis_cluster_node_state", 1, address=address)
        daemon.wait_for("redis_cluster_node_up", 1, address=address)
    daemon.wait_for("redis_cluster_slots_ok", 16384)
    daemon.wait_for("redis_cluster_shards_without_replica", 3)
    slots = [sample.value for sample in daemon.samples("redis_cluster_node_slots")]
    assert sum(slots) == 16384
    daemon.wait_for("vitalsd_check_status", 1, check="shards_without_replica")
