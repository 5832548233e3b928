"""Kind rabbitmq with RabbitMQ 3.10: counts from the management API and from the Prometheus plug-in
of each node, permissions, alarms, and nodes that are frozen, stopped or hidden by a load
balancer."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

import pytest

from support import wait_until
from support.certificates import Authority
from support.dns_server import DnsServer
from support.forward_proxy import ForwardProxy
from support.process import listener, unused_port
from support.rabbitmq import Consumer, Rabbitmq
from support.vitalsd import Vitalsd
from support.watching import broker

Daemon = Callable[..., Vitalsd]

PACE = {"interval": "1s", "timeout": "1s"}
MIB = 1 << 20


@pytest.fixture
def watch(vitalsd: Daemon, rabbitmq: Rabbitmq) -> Callable[..., Vitalsd]:
    """watch(probe, ...) starts a daemon with the passwords of the users."""
    passwords = {user.upper(): text for user, text in rabbitmq.passwords.items()}
    passwords["WRONG"] = "not-this-one"

    def start(*probes: dict, **options: object) -> Vitalsd:
        environment = passwords | options.pop("environment", {})
        return vitalsd(probes, environment=environment, **{**PACE, **options})

    return start


def managed(server: Rabbitmq, user: str = "monitor", **options: object) -> dict:
    """Everything from the management API."""
    return {
        "name": "broker",
        "kind": "rabbitmq",
        "url": server.management,
        "user": user,
        "password": {"env": user.upper()},
        "management_interval": "500ms",
        **options,
    }


# The two sources of the counts. Most tests observe both at the same time.
SOURCES = ("broker", "plugin")


def sources(server: Rabbitmq, **options: object) -> list[dict]:
    return [
        managed(server, **options),
        broker("plugin", server, "MONITOR", management_interval="500ms", **options),
    ]


# ---- queues -------------------------------------------------------------------------------------


def test_queues(watch: Daemon, rabbitmq: Rabbitmq) -> None:
    """Messages that are ready and unacknowledged, a consumer that disconnects, types, and a deleted
    queue."""
    rabbitmq.declare("emissions", "reports")
    rabbitmq.declare("events", arguments={"x-queue-type": "stream"})
    rabbitmq.declare("orders", arguments={"x-queue-type": "quorum"})
    rabbitmq.declare("dead-letters")
    for queue in ("events", "orders", "dead-letters"):
        rabbitmq.publish(queue, 3)
    rabbitmq.publish("emissions", 1200)
    consumers = [Consumer(rabbitmq, "emissions", prefetch=5), Consumer(rabbitmq, "orders")]
    own = rabbitmq.connect()
    own.channel().queue_declare("", exclusive=True)
    daemon = watch(*sources(rabbitmq))
    emissions = {"queue": "emissions", "vhost": "/"}
    for probe in SOURCES:
        at = {"probe": probe}
        daemon.wait_for("rabbitmq_queue_messages_ready", 1195, **at, **emissions)
        daemon.wait_for("rabbitmq_queue_messages_unacked", 5, **at, **emissions)
        daemon.wait_for("rabbitmq_queue_messages", 1200, **at, **emissions)
        daemon.wait_for("rabbitmq_queue_consumers", 1, **at, **emissions)
        daemon.wait_for("rabbitmq_queue_messages_ready", 3, **at, queue="events")
        daemon.wait_for("rabbitmq_queue_messages_ready", 2, **at, queue="orders")
        daemon.wait_for("rabbitmq_queue_consumers", 1, **at, queue="orders")
        daemon.wait_for("rabbitmq_other_queues", 1, **at, group="temporary")
        daemon.wait_for("rabbitmq_queues", 6, **at)
        for queue, kind in (("events", "stream"), ("orders", "quorum")):
            assert daemon.value("rabbitmq_queue_info", **at, queue=queue, queue_type=kind) == 1
        # The server reports the state of a queue some seconds after it was declared.
        daemon.wait_for("rabbitmq_queue_state", 1, **at, queue="reports", state="running")
        daemon.wait_for("vitalsd_check_status", 1, **at, check="queue_depth")
        # The stream and the dead letters need no consumer.
        assert daemon.value("vitalsd_check_status", **at, check="unconsumed") == 0
        assert daemon.value("vitalsd_check_status", **at, check="nodes_down") == 0
        assert daemon.value("rabbitmq_up", **at) == 1
    assert not [s for s in daemon.samples("rabbitmq_queue_messages") if "amq.gen" in str(s.labels)]

    for consumer in consumers:
        consumer.close()
    own.close()
    for probe in SOURCES:
        daemon.wait_for("rabbitmq_queue_consumers", 0, probe=probe, **emissions)
        daemon.wait_for("vitalsd_check_status", 1, probe=probe, check="unconsumed")
        daemon.wait_for("rabbitmq_other_queues", 0, probe=probe, group="temporary")
    rabbitmq.delete("emissions")
    for probe in SOURCES:
        daemon.wait_for("rabbitmq_queue_messages_ready", None, probe=probe, **emissions)
        daemon.wait_for("vitalsd_check_status", 0, probe=probe, check="queue_depth")
        daemon.wait_ok(probe)


def test_many_queues_and_names_of_every_kind(watch: Daemon, rabbitmq: Rabbitmq) -> None:
    """More queues than fit on one page of the management API; the queues with the most messages are
    published."""
    strange = {'a/b "c" \\ {d="e"} ü': 7, 245 * "x" + "-long": 5}
    vhost = "shop/ \"a\"\\b"
    rabbitmq.add_vhost(vhost)
    for name, messages in strange.items():
        rabbitmq.declare(name, vhost=vhost)
        rabbitmq.publish(name, messages, vhost=vhost)
    with rabbitmq.connect(vhost) as connection:  # deleted at once, with the virtual host
        channel = connection.channel()
        for number in range(520):
            channel.queue_declare(f"q{number:03}", durable=False)
    daemon = watch(*sources(rabbitmq, max_queues=4, names="kbudde"), interval="2s", timeout="2s")
    for probe in SOURCES:
        for name, messages in strange.items():
            labels = {"probe": probe, "vhost": vhost, "queue": name, "durable": "true", "self": "1"}
            daemon.wait_for("rabbitmq_queue_messages_ready", messages, **labels)
            assert daemon.value("rabbitmq_queue_messages_unacknowledged", **labels) == 0
        daemon.wait_for("rabbitmq_queues", 522, probe=probe)
        daemon.wait_for("rabbitmq_other_queues", 518, probe=probe, group="over_max_queues")
        assert len(daemon.samples("rabbitmq_queue_messages_ready", probe=probe)) == 4
        assert daemon.value("rabbitmq_running", probe=probe, self="1") == 1


def test_tls_and_ipv6(watch: Daemon, rabbitmq: Rabbitmq, certificates: Authority) -> None:
    rabbitmq.declare("work")
    url = {plugin: f"https://[::1]:{port}" for plugin, port in rabbitmq.tls_ports.items()}
    trusted = {"tls": {"ca": str(certificates.path)}}
    daemon = watch(
        managed(rabbitmq, url=url["management"], **trusted),
        broker(
            "plugin",
            rabbitmq,
            "MONITOR",
            urls=[url["prometheus"]],
            management=url["management"],
            **trusted,
        ),
        {"name": "distrustful", "kind": "rabbitmq", "urls": [url["prometheus"]]},
    )
    for probe in SOURCES:
        daemon.wait_for("rabbitmq_queue_messages_ready", 0, probe=probe, queue="work")
        daemon.wait_ok(probe)
    daemon.check_reason("distrustful", "tls")


# ---- a source that is missing -------------------------------------------------------------------


def test_no_queues(watch: Daemon, rabbitmq: Rabbitmq) -> None:
    daemon = watch(*sources(rabbitmq))
    for probe in SOURCES:
        daemon.wait_ok(probe)
        daemon.wait_for("rabbitmq_queues", 0, probe=probe)
        daemon.wait_for("rabbitmq_other_queue_messages", 0, probe=probe, group="temporary")
    assert daemon.absent("rabbitmq_queue_messages")


def test_a_management_api_without_statistics(watch: Daemon, rabbitmq: Rabbitmq) -> None:
    """Without statistics the API does not report consumers, so a healthy status would hide a queue
    without a consumer."""
    rabbitmq.declare("work")
    rabbitmq.publish("work", 3)
    rabbitmq.set_statistics(False)
    try:
        daemon = watch(*sources(rabbitmq))
        daemon.check_reason("broker", "mismatch")
        assert "has no statistics" in daemon.page("/api/v1/status")
        for probe in SOURCES:
            daemon.wait_for("rabbitmq_queue_messages_ready", 3, probe=probe, queue="work")
            assert daemon.value("rabbitmq_up", probe=probe) == 1
        assert daemon.absent("rabbitmq_queue_consumers", probe="broker")
        assert daemon.value("rabbitmq_queue_consumers", probe="plugin", queue="work") == 0
        daemon.wait_ok("plugin")
    finally:
        rabbitmq.set_statistics(True)
    daemon.wait_ok("broker")


@pytest.mark.long
def test_a_plug_in_that_is_disabled(watch: Daemon, rabbitmq: Rabbitmq) -> None:
    rabbitmq.declare("work")
    daemon = watch(*sources(rabbitmq))
    for probe in SOURCES:
        daemon.wait_for("rabbitmq_queue_messages_ready", 0, probe=probe, queue="work")
    try:
        rabbitmq.plugins("disable", "rabbitmq_prometheus")
        daemon.wait_failed("plugin", "mismatch")
        daemon.wait_for("rabbitmq_queue_messages_ready", None, probe="plugin", queue="work")
        # The management API responds: the cluster is up.
        assert daemon.value("rabbitmq_up", probe="plugin") == 1
        assert daemon.value("rabbitmq_node_up", probe="plugin") == 1
        assert daemon.value("vitalsd_check_status", probe="plugin", check="alarms") == 0
        daemon.wait_ok("broker")
        rabbitmq.plugins("enable", "rabbitmq_prometheus")
        daemon.wait_ok("plugin")
        rabbitmq.plugins("disable", "rabbitmq_management")
        daemon.wait_failed("broker", "connect")
        daemon.wait_failed("plugin", "mismatch")
        assert daemon.value("rabbitmq_queue_messages_ready", probe="plugin", queue="work") == 0
    finally:
        rabbitmq.plugins("enable", "rabbitmq_prometheus", "rabbitmq_management")
    for probe in SOURCES:
        daemon.wait_ok(probe)


# ---- permissions -------------------------------------------------------------------------------


def test_users_and_their_tags(watch: Daemon, rabbitmq: Rabbitmq) -> None:
    """A user with the tag `management` gets a short list of queues that looks healthy."""
    rabbitmq.declare("work")
    daemon = watch(
        managed(rabbitmq, "tenant", name="tenant"),
        managed(rabbitmq, "nobody", name="nobody"),
        managed(rabbitmq, name="wrong") | {"password": {"env": "WRONG"}},
        broker("plugin", rabbitmq, "TENANT", user="tenant"),
    )
    for name, reason in {
        "tenant": "permission",
        "nobody": "permission",
        "wrong": "auth",
        "plugin": "permission",
    }.items():
        daemon.check_reason(name, reason)
        assert daemon.value("rabbitmq_up", probe=name) == 1
    command = "rabbitmqctl set_user_tags tenant monitoring"
    (row,) = [row for row in daemon.status()["probes"] if row["name"] == "tenant"]
    assert command in str(row)
    assert daemon.absent("rabbitmq_queue_messages_ready", probe="tenant")
    # The plug-in requires no permission.
    assert daemon.value("rabbitmq_queue_messages_ready", probe="plugin", queue="work") == 0
    rabbitmq.control(*command.split()[1:])
    for name in ("tenant", "plugin"):
        daemon.wait_ok(name)
        daemon.wait_for("rabbitmq_queue_info", 1, probe=name, queue="work")


def test_through_a_proxy(watch: Daemon, rabbitmq: Rabbitmq, forward_proxy: ForwardProxy) -> None:
    """Both sources of the counts, and a token of the wrong kind."""
    password = {"env": "PROXY"}
    way = {"proxy": forward_proxy.address, "proxy_password": password}
    rabbitmq.declare("emissions")
    daemon = watch(
        managed(rabbitmq, **way),
        broker("plugin", rabbitmq, "MONITOR", management_interval="500ms", **way),
        {
            "name": "token",
            "kind": "rabbitmq",
            "url": rabbitmq.management,
            "bearer_token": {"env": "WRONG"},
        },
        environment={"PROXY": forward_proxy.password},
    )
    for name in ("broker", "plugin"):
        daemon.wait_for("rabbitmq_queue_messages_ready", 0, probe=name, queue="emissions")
    ports = {urlsplit(request.target).port for request in forward_proxy.requests}
    assert ports == {urlsplit(url).port for url in (rabbitmq.management, rabbitmq.metrics)}
    daemon.wait_failed("token", "auth")


def test_a_virtual_host_without_a_permission(watch: Daemon, rabbitmq: Rabbitmq) -> None:
    """Even with the tag `monitoring`, the list omits the queues of such a virtual host."""
    rabbitmq.call("PUT", "/api/vhosts/shop")
    rabbitmq.call("PUT", "/api/permissions/shop/admin", configure=".*", write=".*", read=".*")
    rabbitmq.declare("work")
    rabbitmq.declare("hidden", vhost="shop")
    daemon = watch(*sources(rabbitmq))
    command = "rabbitmqctl set_permissions -p shop monitor"
    for probe in SOURCES:
        daemon.wait_failed(probe, "permission")
        assert daemon.value("rabbitmq_up", probe=probe) == 1
    wait_until(lambda: daemon.page("/api/v1/status").count(command) >= 2, what="the command")
    rabbitmq.control(*command.split()[1:], "", "", "")
    for probe in SOURCES:
        daemon.wait_ok(probe)
        daemon.wait_for(
            "rabbitmq_queue_messages_ready", 0, probe=probe, queue="hidden", vhost="shop"
        )


# ---- alarms, and a server that is frozen or restarts --------------------------------------------


def test_an_alarm(watch: Daemon, rabbitmq: Rabbitmq) -> None:
    daemon = watch(*sources(rabbitmq))
    for probe in SOURCES:
        at = {"probe": probe, "node": rabbitmq.node}
        daemon.wait_for("rabbitmq_alarms_memory_used_watermark", 0, **at)
        assert daemon.value("rabbitmq_partitions", **at) == 0
        used = daemon.value("rabbitmq_process_resident_memory_bytes", **at)
        assert used > 20 * MIB
    rabbitmq.set_memory_limit(20 * MIB)
    for probe in SOURCES:
        daemon.wait_for("rabbitmq_alarms_memory_used_watermark", 1, probe=probe)
        daemon.wait_for("rabbitmq_resident_memory_limit_bytes", 20 * MIB, probe=probe)
        daemon.wait_for("vitalsd_check_status", 2, probe=probe, check="alarms")
    rabbitmq.set_memory_limit(1024 * MIB)
    for probe in SOURCES:
        daemon.wait_for("rabbitmq_alarms_memory_used_watermark", 0, probe=probe)
        daemon.wait_for("vitalsd_check_status", 0, probe=probe, check="alarms")


def test_a_server_that_hangs(watch: Daemon, rabbitmq: Rabbitmq) -> None:
    """Readings survive one failed run, and then they are unknown, not 0."""
    rabbitmq.declare("work")
    daemon = watch(*sources(rabbitmq))
    for name in SOURCES:
        daemon.wait_for("rabbitmq_queue_messages_ready", 0, probe=name, queue="work")
    rabbitmq.freeze()
    for name in SOURCES:
        daemon.wait_failed(name, "timeout")
        daemon.wait_for("rabbitmq_queue_messages_ready", None, probe=name, queue="work")
        assert daemon.value("rabbitmq_up", probe=name) == 0
    rabbitmq.thaw()
    for name in SOURCES:
        daemon.wait_ok(name)
        daemon.wait_for("rabbitmq_queue_messages_ready", 0, probe=name, queue="work")


@pytest.mark.long
def test_a_server_that_restarts(watch: Daemon, rabbitmq: Rabbitmq) -> None:
    rabbitmq.declare("work")
    daemon = watch(*sources(rabbitmq))
    for name in SOURCES:
        daemon.wait_for("rabbitmq_queue_messages_ready", 0, probe=name, queue="work")
    rabbitmq.kill()
    for name in SOURCES:
        daemon.wait_failed(name, "connect")
    rabbitmq.start()
    # A server that is killed may lose a queue that it has just declared.
    rabbitmq.declare("work")
    rabbitmq.publish("work", 1)
    for name in SOURCES:
        daemon.wait_ok(name)
        daemon.wait_for("rabbitmq_queue_messages_ready", lambda n: n >= 1, probe=name, queue="work")


# ---- a cluster ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def peer(_rabbitmq: Rabbitmq) -> Iterator[Rabbitmq]:
    """A second node of the cluster. It stays a member until the server is closed."""
    node = Rabbitmq(join=_rabbitmq)
    yield node
    node.close()
    _rabbitmq.control("forget_cluster_node", node.node)


class LoadBalancer:
    """Forwards each connection to the next of several servers."""

    def __init__(self, *targets: tuple[str, int]) -> None:
        self.port = unused_port()
        self._listener = listener(self.port)
        self._targets = targets
        threading.Thread(target=self._serve, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _serve(self) -> None:
        count = 0
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.create_connection(self._targets[count % len(self._targets)])
            count += 1
            for source, sink in ((client, server), (server, client)):
                threading.Thread(target=self._pump, args=(source, sink), daemon=True).start()

    @staticmethod
    def _pump(source: socket.socket, sink: socket.socket) -> None:
        try:
            while data := source.recv(65536):
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            pass


def test_every_node_of_a_cluster(
    watch: Daemon, rabbitmq: Rabbitmq, peer: Rabbitmq, dns_server: DnsServer
) -> None:
    """Each node reports its own queues. A name stands for the addresses of all nodes. The queues of
    a node that hangs are unknown, those of the other node are not affected."""
    rabbitmq.declare("here")
    peer.declare("there")
    name = "rabbitmq-nodes.test"
    dns_server.set_records(name, {"A": [rabbitmq.metrics_address, peer.metrics_address]})
    by_name = f"http://{name}:{rabbitmq.metrics_port}"
    daemon = watch(
        broker("listed", rabbitmq, "MONITOR", urls=[rabbitmq.metrics, peer.metrics]),
        {"name": "named", "kind": "rabbitmq", "urls": [by_name]},
        broker("half", rabbitmq, "MONITOR", management_interval="500ms"),
        dns={"servers": [dns_server.address]},
        interval="1s",
        timeout="1s",
    )
    for probe in ("listed", "named"):
        for queue in ("here", "there"):
            daemon.wait_for("rabbitmq_queue_messages_ready", 0, probe=probe, queue=queue)
        daemon.wait_for("rabbitmq_node_up", 1, probe=probe, node=peer.node)
        daemon.wait_ok(probe)
    # The management API knows the node that `urls` omits.
    daemon.check_reason("half", "mismatch")
    assert daemon.value("rabbitmq_node_up", probe="half", node=peer.node) == 1
    assert daemon.absent("rabbitmq_queues", probe="half")

    peer.freeze()
    for probe in ("listed", "named"):
        daemon.wait_failed(probe, "mismatch")
        daemon.wait_for("rabbitmq_queue_messages_ready", None, probe=probe, queue="there")
        daemon.wait_for("rabbitmq_node_up", 0, probe=probe, node=peer.node)
        assert daemon.value("vitalsd_check_status", probe=probe, check="nodes_down") == 2
        assert daemon.value("rabbitmq_queue_messages_ready", probe=probe, queue="here") == 0
        assert daemon.value("rabbitmq_up", probe=probe) == 1
    assert f"the queues of {peer.node} are unknown" in daemon.page("/api/v1/status")
    peer.thaw()
    for probe in ("listed", "named"):
        daemon.wait_ok(probe)
        daemon.wait_for("rabbitmq_queue_messages_ready", 0, probe=probe, queue="there")
        assert daemon.value("vitalsd_check_status", probe=probe, check="nodes_down") == 0


def test_a_load_balancer_hides_nodes(watch: Daemon, rabbitmq: Rabbitmq, peer: Rabbitmq) -> None:
    balancer = LoadBalancer(
        *((node.metrics_address, node.metrics_port) for node in (rabbitmq, peer))
    )
    try:
        daemon = watch({"name": "broker", "kind": "rabbitmq", "urls": [balancer.url]})
        daemon.wait_failed("broker", "mismatch")
        wait_until(
            lambda: "headless Service" in daemon.page("/api/v1/status"),
            what="the error names the headless Service",
        )
        daemon.wait_for("rabbitmq_node_up", None, node=rabbitmq.node)
        daemon.wait_for("rabbitmq_node_up", None, node=peer.node)
    finally:
        balancer.close()


def test_a_node_that_is_stopped(watch: Daemon, rabbitmq: Rabbitmq, peer: Rabbitmq) -> None:
    """Of two nodes, one is stopped, so there is no majority. The cluster itself is up. The node is
    not started again, so this is the last test."""
    daemon = watch(
        managed(rabbitmq),
        broker("listed", rabbitmq, "MONITOR", urls=[rabbitmq.metrics, peer.metrics]),
    )
    down = {"check": "nodes_down"}
    for probe in ("broker", "listed"):
        daemon.wait_for("rabbitmq_node_up", 1, probe=probe, node=peer.node)
        daemon.wait_for("vitalsd_check_status", 0, probe=probe, **down)
    peer.kill()
    for probe in ("broker", "listed"):
        daemon.wait_for("rabbitmq_node_up", 0, probe=probe, node=peer.node)
        daemon.wait_for("vitalsd_check_status", 2, probe=probe, **down)
        assert daemon.value("rabbitmq_node_up", probe=probe, node=rabbitmq.node) == 1
        assert daemon.value("rabbitmq_up", probe=probe) == 1
    for row in daemon.status()["probes"]:
        (check,) = [check for check in row["checks"] if check["name"] == "nodes_down"]
        assert check["object"] == peer.node
