"""Kind redis with several Redis servers: replication, a cluster, a sentinel; and the readings of its
slow lane."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing

import pytest

import shorten_rules
from support import wait_until
from support.certificates import Authority
from support.process import free_port
from support.prometheus import SHIPPED, Prometheus, shipped_configuration
from support.redis import Redis, Sentinel
from support.vitalsd import Vitalsd

Daemon = Callable[..., Vitalsd]
Start = Callable[..., Redis]

QUICK = {"interval": "300ms", "timeout": "250ms"}
SLOW = {"interval": "1s", "timeout": "1s"}  # a visit to another node may take an eighth of it


@pytest.fixture
def start(certificates: Authority) -> Iterator[Start]:
    """start(option, ...) starts a server without a password, with options of redis-server."""
    with ExitStack() as servers:

        def start(*options: str) -> Redis:
            server = Redis(certificates, password=False, options=options)
            servers.callback(server.close)
            return server

        yield start


def probe(server: Redis | Sentinel, name: str = "cache", **options: object) -> dict:
    return {"name": name, "kind": "redis", "url": f"redis://127.0.0.1:{server.port}"} | options


def cluster_options() -> list[str]:
    # By default the port of the cluster bus is the port plus 10000, which is not reserved.
    return ["--cluster-enabled", "yes", "--cluster-port", str(free_port())]


def status(daemon: Vitalsd, check: str, name: str = "cache") -> float:
    return daemon.value("vitalsd_check_status", probe=name, check=check)


def judged(daemon: Vitalsd, check: str, name: str = "cache") -> bool:
    return not daemon.absent("vitalsd_check_status", probe=name, check=check)


def test_a_replica_whose_master_ends(vitalsd: Daemon, start: Start) -> None:
    master = start("--repl-diskless-sync-delay", "0")
    replica = start("--replicaof", "127.0.0.1", str(master.port))
    wait_until(lambda: replica.info("master_link_status") == "up", what="the replica is connected")
    checks = {"master_link": {"warn": "500ms", "critical": "1h"}}
    daemon = vitalsd(
        [probe(master, "master", replicas=1), probe(replica, "replica", checks=checks)], **QUICK
    )
    to_master = {"master_host": "127.0.0.1", "master_port": str(master.port)}
    of_replica = {"slave_ip": "127.0.0.1", "slave_port": str(replica.port), "slave_state": "online"}
    daemon.wait_for("redis_master_link_up", 1, probe="replica", **to_master)
    daemon.wait_for("redis_connected_slave_lag_seconds", lambda now: now <= 2, **of_replica)
    assert daemon.value("redis_connected_slave_offset_bytes", **of_replica) >= 0
    assert daemon.value("redis_slave_info", probe="replica", read_only="1", **to_master) == 1
    assert status(daemon, "replicas", "master") == 0
    assert status(daemon, "master_link", "replica") == 0
    assert not judged(daemon, "master_link", "master")

    replica.stop()
    daemon.wait_for("vitalsd_check_status", 2, probe="master", check="replicas")
    daemon.wait_for("redis_connected_slave_lag_seconds", None, **of_replica)
    replica.start()
    daemon.wait_for("vitalsd_check_status", 0, probe="master", check="replicas")

    master.stop()
    daemon.wait_for("redis_master_link_up", 0, probe="replica", **to_master)
    daemon.wait_for("vitalsd_check_status", 1, probe="replica", check="master_link")
    # Unknown values are absent, not 0.
    assert daemon.absent("redis_master_last_io_seconds_ago", probe="replica", **to_master)
    master.start()
    daemon.wait_for("vitalsd_check_status", 0, probe="replica", check="master_link")


def make_cluster(start: Start, size: int, *options: str) -> tuple[list[Redis], list[str]]:
    """Returns `size` nodes and their addresses. `options` are those of redis-cli --cluster create."""
    nodes = [start(*cluster_options(), "--cluster-node-timeout", "500") for _ in range(size)]
    addresses = [f"127.0.0.1:{node.port}" for node in nodes]
    subprocess.run(
        ["redis-cli", "--cluster", "create", *addresses, "--cluster-yes", *options],
        check=True,
        capture_output=True,
        timeout=60,
    )
    return nodes, addresses


def test_a_cluster_on_one_host(vitalsd: Daemon, start: Start) -> None:
    nodes, addresses = make_cluster(start, 6, "--cluster-replicas", "1")
    daemon = vitalsd([probe(nodes[5]), probe(nodes[0], "strict", replicas=1)], **SLOW)
    for name in ("cache", "strict"):
        daemon.wait_for("redis_cluster_shards_without_replica", 0, probe=name)
        daemon.wait_for("redis_cluster_shards_on_one_host", 3, probe=name)
    daemon.wait_for("vitalsd_check_status", 1, probe="strict", check="shards_on_one_host")
    assert not judged(daemon, "shards_on_one_host")  # no replicas are expected
    row = next(row for row in daemon.status()["probes"] if row["name"] == "strict")
    (check,) = [check for check in row["checks"] if check["name"] == "shards_on_one_host"]
    assert check["object"] == ", ".join(sorted(addresses[:3]))
    # Every node is watched from one.
    roles = {
        sample.labels["address"]: sample.labels["role"]
        for sample in daemon.samples("redis_cluster_node_info", probe="cache")
    }
    assert roles == dict.fromkeys(addresses[:3], "master") | dict.fromkeys(addresses[3:], "slave")
    slots = [sample.value for sample in daemon.samples("redis_cluster_node_slots", probe="cache")]
    assert sum(slots) == 16384
    replicas = daemon.samples("redis_cluster_shard_replicas", probe="cache")
    assert [sample.value for sample in replicas] == [1, 1, 1]


def test_a_cluster_that_loses_a_node(vitalsd: Daemon, start: Start) -> None:
    nodes, addresses = make_cluster(start, 3)
    probes = [probe(node, f"node{i}") for i, node in enumerate(nodes)]
    walks = [probe(nodes[i], f"walk{i}", cluster_nodes=True) for i in (0, 2)]
    daemon = vitalsd([*probes, *walks, probe(nodes[0], "strict", replicas=1)], **SLOW)
    daemon.wait_for("vitalsd_check_status", 1, probe="strict", check="shards_without_replica")
    for address in addresses:
        daemon.wait_for("redis_cluster_node_state", 1, probe="walk0", address=address)
        daemon.wait_for("redis_cluster_node_slots_ok", 16384, probe="walk2", address=address)
    for name in ("node0", "node1", "node2"):
        daemon.wait_for("redis_cluster_state", 1, probe=name)
        daemon.wait_for("redis_cluster_slots_ok", 16384, probe=name)
        daemon.wait_for("vitalsd_check_status", 0, probe=name, check="cluster_slots")
        assert daemon.value("redis_cluster_known_nodes", probe=name) == 3
        assert daemon.value("redis_cluster_shards_without_replica", probe=name) == 3
        assert not judged(daemon, "shards_without_replica", name)  # no replicas are expected

    nodes[2].stop()
    for name in ("node0", "node1"):
        daemon.wait_for("vitalsd_check_status", 2, probe=name, check="cluster_slots")
        daemon.wait_for("redis_cluster_nodes_failed", 1, probe=name)
        daemon.wait_for("redis_cluster_state", 0, probe=name)
        daemon.wait_for("redis_up", 1, probe=name)  # the culprit is the other node
        for address in addresses:
            is_up = float(address != addresses[2])
            daemon.wait_for("redis_cluster_node_up", is_up, probe=name, address=address)
        daemon.wait_for("redis_cluster_node_failed", 1, probe=name, address=addresses[2])
    # Another node tells what the probed one cannot.
    daemon.wait_for("redis_cluster_node_failed", 1, probe="walk2", address=addresses[2])
    daemon.wait_for("redis_cluster_node_failed", 0, probe="walk2", address=addresses[0])
    daemon.wait_for("redis_up", 0, probe="walk2")
    (check,) = [
        check
        for row in daemon.status()["probes"]
        if row["name"] == "node0"
        for check in row["checks"]
        if check["name"] == "cluster_nodes"
    ]
    assert addresses[2] in str(check)


def test_a_user_without_permission_for_the_cluster(vitalsd: Daemon, start: Start) -> None:
    node = start(*cluster_options())
    node.command("ACL", "SETUSER", "limited", "on", "nopass", "-@all", "+info")
    url = f"redis://limited@127.0.0.1:{node.port}"
    daemon = vitalsd([probe(node) | {"url": url}], **QUICK)
    daemon.wait_failed("cache", "permission")
    (line,) = daemon.log_lines("probe failed", probe="cache")
    assert "CLUSTER INFO" in line["error"]
    assert daemon.value("redis_up") == 1
    assert daemon.value("redis_memory_used_bytes") >= 0
    node.command("ACL", "SETUSER", "limited", "+cluster|info", "+cluster|nodes")
    daemon.wait_ok("cache")


def test_a_sentinel(vitalsd: Daemon, start: Start) -> None:
    master = start()
    sentinel = Sentinel(master)
    try:
        daemon = vitalsd(
            [
                probe(sentinel, sentinel=True, sentinels=2),
                probe(sentinel, "wrong"),
                probe(master, "m", sentinel=True),
            ],
            **QUICK,
        )
        of_master = {"master_name": "main", "master_address": f"127.0.0.1:{master.port}"}
        daemon.wait_for("redis_sentinel_master_status", 1, master_status="ok", **of_master)
        assert daemon.value("redis_sentinel_master_sentinels", **of_master) == 1
        assert daemon.value("redis_sentinel_master_ckquorum_status", master_name="main") == 1
        assert status(daemon, "quorum") == status(daemon, "monitored_master") == 0
        for name in ("wrong", "m"):  # the message must name the correct option
            daemon.wait_failed(name, "mismatch")
            assert daemon.value("redis_up", probe=name) == 1
        sentinel.ask("SENTINEL", "SET", "main", "quorum", "2")
        daemon.wait_for("redis_sentinel_master_ckquorum_status", 0, master_name="main")
        daemon.wait_for("vitalsd_check_status", 2, probe="cache", check="quorum")
        sentinel.ask("SENTINEL", "SET", "main", "quorum", "1")
        daemon.wait_for("redis_sentinel_master_setting_ckquorum", 1, **of_master)
        with closing(Sentinel(master)):  # they find each other
            daemon.wait_for("redis_sentinel_master_ok_sentinels", 2, **of_master)
            daemon.wait_for("vitalsd_check_status", 0, probe="cache", check="sentinels")
        daemon.wait_for("redis_sentinel_master_ok_sentinels", 1, **of_master)
        daemon.wait_for("redis_sentinel_master_sentinels", 2, **of_master)
        daemon.wait_for("vitalsd_check_status", 1, probe="cache", check="sentinels")
        master.stop()
        daemon.wait_for("vitalsd_check_status", 2, probe="cache", check="monitored_master")
        sentinel.ask("SENTINEL", "REMOVE", "main")
        daemon.wait_failed("cache", "mismatch")
    finally:
        sentinel.close()


SENTINEL_RULES = ("RedisSentinelsDisagree", "RedisSentinelsMissing")


def prometheus_for(daemon: Vitalsd, waits: Sequence[str] = ()) -> Prometheus:
    """Starts a Prometheus with the shipped rules of vitalsd. `waits` (for, keep_firing_for) are a
    second."""
    rules = (SHIPPED / "vitalsd.yaml").read_text()
    return Prometheus(
        shipped_configuration([daemon.address]),
        [shorten_rules.shorten(rules, at_most="1s", waits=waits)],
    )


@pytest.mark.long
def test_a_failover(vitalsd: Daemon, start: Start) -> None:
    """The sentinels and the servers name the new master. No alert fires, because a failover takes
    seconds and their `for` is at least five minutes; those that are pending end with it."""
    diskless = ("--repl-diskless-sync-delay", "0")
    master = start(*diskless)
    replicas = [start(*diskless, "--replicaof", "127.0.0.1", str(master.port)) for _ in range(2)]
    for replica in replicas:
        wait_until(
            lambda replica=replica: replica.info("master_link_status") == "up",
            what="the replica is connected",
        )
    servers = {str(server.port): server for server in (master, *replicas)}
    with ExitStack() as stack:
        # A busy machine must not look like a master that is down.
        sentinels = [
            stack.enter_context(closing(Sentinel(master, quorum=2, down_after=2000)))
            for _ in range(3)
        ]
        daemon = vitalsd(
            [probe(server, f"redis{port}", replicas=1) for port, server in servers.items()]
            + [
                probe(sentinel, f"sentinel{i}", sentinel=True, sentinels=3)
                for i, sentinel in enumerate(sentinels)
            ],
            **QUICK,
        )
        names = [f"sentinel{i}" for i in range(3)]

        def wait_master(port: str) -> None:
            """Waits until every sentinel has this master with three sentinels and two replicas."""
            labels = {"master_name": "main", "master_address": f"127.0.0.1:{port}"}
            for name in names:
                of_probe = labels | {"probe": name}
                daemon.wait_for("redis_sentinel_master_ok_sentinels", 3, **of_probe)
                daemon.wait_for("redis_sentinel_master_slaves", 2, **of_probe)
                daemon.wait_for("redis_sentinel_master_status", 1, master_status="ok", **of_probe)
                assert len(daemon.samples("redis_sentinel_master_status", probe=name)) == 1
                assert status(daemon, "quorum", name) == status(daemon, "sentinels", name) == 0

        wait_master(str(master.port))
        daemon.wait_for("vitalsd_check_status", 0, probe=f"redis{master.port}", check="replicas")
        prometheus = stack.enter_context(closing(prometheus_for(daemon)))
        prometheus.wait_scraped()
        prometheus.wait_evaluated()
        for rule in SENTINEL_RULES:
            assert prometheus.alerts(rule) == []
        began = time.time()

        master.stop()
        daemon.wait_for("redis_up", 0, probe=f"redis{master.port}")
        prometheus.wait_for(f'ALERTS{{alertname="ProbeFailing",probe="redis{master.port}"}}')
        address = ""

        def is_elected() -> bool:
            nonlocal address
            address = sentinels[0].ask("SENTINEL", "GET-MASTER-ADDR-BY-NAME", "main").split()[1]
            return address != str(master.port)

        wait_until(is_elected, what="a new master")
        new = f"redis{address}"
        (other,) = {f"redis{port}" for port in servers} - {new, f"redis{master.port}"}
        wait_master(address)
        epochs = {
            daemon.value("redis_sentinel_master_config_epoch", probe=name) for name in names
        }
        assert len(epochs) == 1 and epochs.pop() >= 1
        daemon.wait_for("redis_instance_info", 1, probe=new, role="master")
        daemon.wait_for("redis_master_link_up", 1, probe=other, master_port=address)
        daemon.wait_for("vitalsd_check_status", 0, probe=new, check="replicas")
        # The old master is a replica that cannot be reached.
        daemon.wait_for("redis_sentinel_master_ok_slaves", 1, probe="sentinel0")

        master.start()
        daemon.wait_for("redis_sentinel_master_ok_slaves", 2, probe="sentinel0")
        daemon.wait_for("redis_master_link_up", 1, probe=f"redis{master.port}", master_port=address)
        for rule in (*SENTINEL_RULES, "ProbeFailing", "CheckCritical"):
            prometheus.wait_silent(rule)
        assert prometheus.has_fired(since=began) == set()


@pytest.mark.long
def test_sentinels_that_disagree(vitalsd: Daemon, start: Start) -> None:
    masters = [start(), start()]
    with ExitStack() as stack:
        sentinels = [stack.enter_context(closing(Sentinel(master))) for master in masters]
        daemon = vitalsd(
            [probe(sentinel, f"s{i}", sentinel=True) for i, sentinel in enumerate(sentinels)],
            **QUICK,
        )
        prometheus = stack.enter_context(closing(prometheus_for(daemon, shorten_rules.WAITS)))
        alert = prometheus.wait_firing("RedisSentinelsDisagree")
        assert alert["annotations"]["summary"] == "Sentinels name 2 different masters for main"
        for name in ("s0", "s1"):  # each of them is healthy
            assert status(daemon, "monitored_master", name) == 0
        sentinels[1].ask("SENTINEL", "REMOVE", "main")
        sentinels[1].ask("SENTINEL", "MONITOR", "main", "127.0.0.1", str(masters[0].port), "1")
        prometheus.wait_silent("RedisSentinelsDisagree")


def test_a_sentinel_with_tls_and_least_rights(vitalsd: Daemon, start: Start) -> None:
    master = start()
    lines = "user watcher on >secret -@all +info\n"
    with closing(Sentinel(master, tls=True, lines=lines)) as sentinel:
        options = {"password": {"env": "WATCHER"}, "tls": {"ca": str(master.authority.path)}}
        url = f"rediss://watcher@127.0.0.1:{sentinel.tls_port}"
        daemon = vitalsd(
            [probe(sentinel, sentinel=True, sentinels=1, **options) | {"url": url}],
            environment={"WATCHER": "secret"},
            **QUICK,
        )
        daemon.wait_failed("cache", "permission")
        daemon.check_reason("cache", "permission")
        (line,) = daemon.log_lines("probe failed", probe="cache")
        assert "grant +sentinel|ckquorum with ACL SETUSER" in line["error"]
        sentinel.ask("ACL", "SETUSER", "watcher", "+sentinel|ckquorum")
        daemon.wait_ok("cache")
        details = {
            "sentinel|master": "redis_sentinel_master_setting_ckquorum",
            "sentinel|replicas": "redis_sentinel_master_ok_slaves",
            "sentinel|sentinels": "redis_sentinel_master_ok_sentinels",
        }
        for command, name in details.items():
            assert daemon.value("vitalsd_redis_command_permitted", command=command) == 0
            assert daemon.absent(name)
            sentinel.ask("ACL", "SETUSER", "watcher", f"+{command}")
        # A refused command is sent again after an hour, or over a new connection.
        sentinel.ask("CLIENT", "KILL", "USER", "watcher")
        for command, name in details.items():
            daemon.wait_for("vitalsd_redis_command_permitted", 1, command=command)
            assert daemon.value(name) >= 0
        daemon.wait_for("vitalsd_check_status", 0, probe="cache", check="sentinels")


def test_a_cluster_with_tls_and_least_rights(
    vitalsd: Daemon, start: Start, certificates: Authority
) -> None:
    client = certificates.issue("node", client=True)  # nodes are clients of each other
    tls = ["--tls-cluster", "yes", "--tls-client-cert-file", str(client.path)]
    tls += ["--tls-client-key-file", str(client.key)]
    nodes = [start(*cluster_options(), "--cluster-node-timeout", "500", *tls) for _ in range(3)]
    addresses = [f"127.0.0.1:{node.tls_port}" for node in nodes]
    create = ["redis-cli", "--tls", "--cacert", str(certificates.path), "--cluster", "create"]
    subprocess.run(
        [*create, *addresses, "--cluster-yes"], check=True, capture_output=True, timeout=60
    )
    for node in nodes:
        node.command("ACL", "SETUSER", "watcher", "on", ">secret", "-@all", "+info")
    options = {"password": {"env": "WATCHER"}, "tls": {"ca": str(certificates.path)}}
    url = f"rediss://watcher@{addresses[0]}"
    daemon = vitalsd(
        [probe(nodes[0], cluster_nodes=True, **options) | {"url": url}],
        environment={"WATCHER": "secret"},
        **SLOW,
    )

    def error() -> str:
        return daemon.status()["probes"][0]["error"] or ""

    for command in ("CLUSTER INFO", "CLUSTER NODES"):
        wait_until(lambda command=command: command in error(), what=lambda: f"an error: {error()}")
        assert "grant +cluster|info and +cluster|nodes with ACL SETUSER" in error()
        daemon.check_reason("cache", "permission")
        rule = command.lower().replace(" ", "|")
        nodes[0].command("ACL", "SETUSER", "watcher", f"+{rule}")
    daemon.wait_ok("cache")
    # The other nodes refuse it still.
    daemon.wait_for("vitalsd_check_status", 1, probe="cache", check="cluster_views")
    (check,) = [
        check
        for check in daemon.status()["probes"][0]["checks"]
        if check["name"] == "cluster_views"
    ]
    assert "(permission)" in check["object"]
    for node in nodes[1:]:
        node.command("ACL", "SETUSER", "watcher", "+cluster|info")
    daemon.wait_for("vitalsd_check_status", 0, probe="cache", check="cluster_views")
    for address in addresses:
        daemon.wait_for("redis_cluster_node_state", 1, address=address)


def test_the_slow_lane(vitalsd: Daemon, start: Start) -> None:
    """Statistics of commands, the slow log and latency events."""
    server = start("--slowlog-log-slower-than", "1000", "--latency-monitor-threshold", "1")
    for _ in range(3):
        server.ask("GET", "a")
    server.ask("LPUSH", "list", "a")
    assert "WRONGTYPE" in server.ask("GET", "list")
    server.ask("DEBUG", "SLEEP", "0.02")
    daemon = vitalsd([probe(server, checks={"slow_commands": {"warn": 3}})], **QUICK)
    daemon.wait_ok("cache")
    assert daemon.value("redis_commands_total", cmd="get") == 4
    assert daemon.value("redis_commands_failed_calls_total", cmd="get") == 1
    assert daemon.value("redis_errors_total", err="WRONGTYPE") == 1
    latency = daemon.value("redis_latency_percentiles_usec", cmd="debug", quantile="50")
    assert latency and latency >= 20_000
    assert daemon.value("redis_slowlog_length") == 1
    assert daemon.value("redis_slowlog_last_id") == 0
    duration = daemon.value("redis_last_slow_execution_duration_seconds")
    assert duration and 0.02 <= duration < 1
    spike = daemon.value("redis_latency_spike_duration_seconds", event_name="command")
    assert spike and 0.02 <= spike < 1
    assert daemon.value("vitalsd_redis_command_permitted", command="slowlog|get") == 1
    assert not judged(daemon, "slow_commands")  # those before the first reading are older
    for _ in range(4):
        server.ask("DEBUG", "SLEEP", "0.002")
    server.command("CLIENT", "KILL", "TYPE", "normal")  # the next reading is over a new connection
    daemon.wait_for("vitalsd_check_status", 1, check="slow_commands")
    server.command("CLIENT", "KILL", "TYPE", "normal")
    daemon.wait_for("vitalsd_check_status", 0, check="slow_commands")


def test_a_slow_lane_without_permission(vitalsd: Daemon, start: Start) -> None:
    """A refused command is not repeated, because each refusal fills the ACL LOG."""
    server = start()
    server.command("ACL", "SETUSER", "limited", "on", "nopass", "-@all", "+info")
    daemon = vitalsd([probe(server) | {"url": f"redis://limited@127.0.0.1:{server.port}"}], **QUICK)
    daemon.wait_runs("cache", 3)
    assert daemon.failures("cache") == {}
    for command in ("config|get", "slowlog|get", "slowlog|len", "latency|latest"):
        assert daemon.value("vitalsd_redis_command_permitted", command=command) == 0
    assert daemon.absent("redis_slowlog_length")
    assert server.ask("ACL", "LOG").count("reason") == 4


def test_a_server_that_cannot_save(vitalsd: Daemon, start: Start) -> None:
    server = start()
    daemon = vitalsd([probe(server)], **QUICK)
    daemon.wait_for("vitalsd_check_status", 0, check="saving")
    server.dump.mkdir()  # a snapshot cannot replace a directory
    server.command("SET", "a", 1)
    server.command("BGSAVE")
    daemon.wait_for("vitalsd_check_status", 2, check="saving")
    server.dump.rmdir()
    server.command("BGSAVE")
    daemon.wait_for("vitalsd_check_status", 0, check="saving")


def test_a_cache_that_evicts(vitalsd: Daemon, start: Start) -> None:
    """A full cache is healthy. It is too small if most keys are evicted within five minutes."""
    server = start("--maxmemory-policy", "allkeys-lru")
    server.fill(20 << 20)  # some 200 keys
    daemon = vitalsd([probe(server)], **QUICK)
    daemon.wait_ok("cache")
    assert not judged(daemon, "evictions")  # without a limit
    server.set_max_memory(server.used_memory - (2 << 20))
    server.command("SET", "a", 1)  # the server makes room
    daemon.wait_for("redis_evicted_keys_total", lambda now: now >= 10)
    daemon.wait_for("vitalsd_check_status", 0, check="evictions")
    server.fill_over(40 << 20)
    daemon.wait_for("vitalsd_check_status", 1, check="evictions")
    server.command("CONFIG", "SET", "maxmemory-policy", "noeviction")
    daemon.wait_for("vitalsd_check_status", None, check="evictions")
    before = daemon.value("redis_evicted_keys_total")
    server.set_max_memory(10 << 20)
    assert server.ask("SET", "b", 1).startswith("OOM")
    daemon.wait_for("redis_errors_total", lambda now: now >= 1, err="OOM")
    assert daemon.value("redis_evicted_keys_total") == before


def test_clients_and_their_limit(vitalsd: Daemon, start: Start) -> None:
    server = start()
    checks = {"clients": {"warn": "10%", "critical": "50%"}}
    daemon = vitalsd([probe(server, checks=checks)], **QUICK)
    daemon.wait_for("vitalsd_check_status", 0, check="clients")
    server.command("CONFIG", "SET", "maxclients", 5)
    daemon.wait_for("vitalsd_check_status", lambda now: now >= 1, check="clients")
    assert daemon.value("redis_config_maxclients") == 5
