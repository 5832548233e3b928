"""Kind rabbitmq with RabbitMQ 3.10: counts from the management API and from the Prometheus plug-in
of each node, rights, alarms, and nodes that are frozen, stopped or hidden by a load balancer."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

import pytest

from support import wait_until
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


@pytest.fixture(params=["management", "plugin"])
def probe(request: pytest.FixtureRequest, rabbitmq: Rabbitmq) -> dict:
    """The two sources of the counts."""
    if request.param == "management":
        return managed(rabbitmq)
    return broker("broker", rabbitmq, "MONITOR", management_interval="500ms")


# ---- queues -------------------------------------------------------------------------------------


def test_queues(watch: Daemon, rabbitmq: Rabbitmq, probe: dict) -> None:
    """Messages that are ready and unacknowledged, a consumer that goes, types, and a queue that is
    deleted."""
    rabbitmq.declare("emissions", "reports")
    rabbitmq.declare("events", arguments={"x-queue-type": "stream"})
    rabbitmq.declare("dead-letters")
    for queue in ("events", "dead-letters"):
        rabbitmq.publish(queue, 3)
    rabbitmq.publish("emissions", 1200)
    consumer = Consumer(rabbitmq, "emissions", prefetch=5)
    own = rabbitmq.connect()
    own.channel().queue_declare("", exclusive=True)
    daemon = watch(probe)
    emissions = {"queue": "emissions", "vhost": "/"}
    daemon.wait_for("rabbitmq_queue_messages_ready", 1195, **emissions)
    daemon.wait_for("rabbitmq_queue_messages_unacked", 5, **emissions)
    daemon.wait_for("rabbitmq_queue_messages", 1200, **emissions)
    daemon.wait_for("rabbitmq_queue_consumers", 1, **emissions)
    daemon.wait_for("rabbitmq_queue_messages_ready", 3, queue="events")
    daemon.wait_for("rabbitmq_other_queues", 1, group="temporary")
    daemon.wait_for("rabbitmq_queues", 5)
    assert daemon.value("rabbitmq_queue_info", queue="events", queue_type="stream") == 1
    assert daemon.value("rabbitmq_queue_state", queue="reports", state="running") == 1
    assert not [s for s in daemon.samples("rabbitmq_queue_messages") if "amq.gen" in str(s.labels)]
    daemon.wait_for("vitalsd_check_status", 1, check="queue_depth")
    # The stream and the dead letters need no consumer.
    assert daemon.value("vitalsd_check_status", check="unconsumed") == 0
    assert daemon.value("rabbitmq_up") == 1

    consumer.close()
    daemon.wait_for("rabbitmq_queue_consumers", 0, **emissions)
    daemon.wait_for("vitalsd_check_status", 1, check="unconsumed")
    own.close()
    daemon.wait_for("rabbitmq_other_queues", 0, group="temporary")
    rabbitmq.delete("emissions")
    daemon.wait_for("rabbitmq_queue_messages_ready", None, **emissions)
    daemon.wait_for("vitalsd_check_status", 0, check="queue_depth")
    daemon.wait_ok("broker")


def test_many_queues_and_names_of_every_kind(watch: Daemon, rabbitmq: Rabbitmq) -> None:
    """More queues than one page of the management API has, of which the deepest are published."""
    strange = 'a/b "c" \\ {d="e"} ü'
    rabbitmq.declare(strange)
    rabbitmq.publish(strange, 7)
    with rabbitmq.connect() as connection:
        channel = connection.channel()
        for number in range(520):
            channel.queue_declare(f"q{number:03}", durable=False)
    broad = {"max_queues": 2, "names": "kbudde"}
    daemon = watch(
        managed(rabbitmq, **broad),
        broker("plugin", rabbitmq, "MONITOR", management_interval="500ms", **broad),
        interval="2s",
        timeout="2s",
    )
    for name in ("broker", "plugin"):
        daemon.wait_for("rabbitmq_queue_messages_ready", 7, probe=name, queue=strange)
        daemon.wait_for("rabbitmq_queues", 521, probe=name)
        daemon.wait_for("rabbitmq_other_queues", 519, probe=name, group="over_max_queues")
        assert len(daemon.samples("rabbitmq_queue_messages_ready", probe=name)) == 2
        assert daemon.value("rabbitmq_queue_messages_unacknowledged", probe=name, queue=strange) == 0
        assert daemon.value("rabbitmq_running", probe=name) == 1


# ---- rights -------------------------------------------------------------------------------------


def test_who_is_let_in(watch: Daemon, rabbitmq: Rabbitmq) -> None:
    """A user with the tag `management` sees a short list that looks healthy."""
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
        assert set(daemon.failures(name)) == {reason}, (name, daemon.failures(name))
        assert daemon.value("rabbitmq_up", probe=name) == 1
    command = "rabbitmqctl set_user_tags tenant monitoring"
    (row,) = [row for row in daemon.status()["probes"] if row["name"] == "tenant"]
    assert command in str(row)
    assert daemon.samples("rabbitmq_queue_messages_ready", probe="tenant") == []
    # The plug-in needs no right.
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


def test_a_virtual_host_without_a_permission(
    watch: Daemon, rabbitmq: Rabbitmq, probe: dict
) -> None:
    """Even with the tag `monitoring`, the list omits the queues of such a virtual host."""
    rabbitmq.call("PUT", "/api/vhosts/shop")
    rabbitmq.call("PUT", "/api/permissions/shop/admin", configure=".*", write=".*", read=".*")
    rabbitmq.declare("work")
    rabbitmq.declare("hidden", vhost="shop")
    daemon = watch(probe)
    daemon.wait_failed("broker", "permission")
    command = "rabbitmqctl set_permissions -p shop monitor"
    wait_until(lambda: command in daemon.page("/api/v1/status"), what="the command")
    assert daemon.value("rabbitmq_up") == 1
    rabbitmq.control(*command.split()[1:], "", "", "")
    daemon.wait_ok("broker")
    daemon.wait_for("rabbitmq_queue_messages_ready", 0, queue="hidden", vhost="shop")


# ---- alarms, and a server that is frozen or restarts --------------------------------------------


def test_an_alarm(watch: Daemon, rabbitmq: Rabbitmq, probe: dict) -> None:
    daemon = watch(probe)
    daemon.wait_for("rabbitmq_alarms_memory_used_watermark", 0, node=rabbitmq.node)
    assert daemon.value("rabbitmq_partitions", node=rabbitmq.node) == 0
    used = daemon.value("rabbitmq_process_resident_memory_bytes")
    assert used is not None and used > 20 * MIB
    rabbitmq.set_memory_limit(20 * MIB)
    daemon.wait_for("rabbitmq_alarms_memory_used_watermark", 1)
    daemon.wait_for("rabbitmq_resident_memory_limit_bytes", 20 * MIB)
    daemon.wait_for("vitalsd_check_status", 2, check="alarms")
    rabbitmq.set_memory_limit(1024 * MIB)
    daemon.wait_for("rabbitmq_alarms_memory_used_watermark", 0)
    daemon.wait_for("vitalsd_check_status", 0, check="alarms")


def test_a_server_that_hangs_and_restarts(watch: Daemon, rabbitmq: Rabbitmq) -> None:
    """Readings survive one failed run, and then they are unknown, not 0."""
    rabbitmq.declare("work")
    daemon = watch(managed(rabbitmq), broker("plugin", rabbitmq, "MONITOR"))
    names = ("broker", "plugin")
    for name in names:
        daemon.wait_for("rabbitmq_queue_messages_ready", 0, probe=name, queue="work")
    rabbitmq.freeze()
    for name in names:
        daemon.wait_failed(name, "timeout")
        daemon.wait_for("rabbitmq_queue_messages_ready", None, probe=name, queue="work")
        assert daemon.value("rabbitmq_up", probe=name) == 0
    rabbitmq.thaw()
    for name in names:
        daemon.wait_ok(name)
        daemon.wait_for("rabbitmq_queue_messages_ready", 0, probe=name, queue="work")
    rabbitmq.kill()
    for name in names:
        daemon.wait_failed(name, "connect")
    rabbitmq.start()
    for name in names:
        daemon.wait_ok(name)
        daemon.wait_for("rabbitmq_queue_messages_ready", 0, probe=name, queue="work")


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
    assert set(daemon.failures("half")) == {"mismatch"}
    assert daemon.value("rabbitmq_node_up", probe="half", node=peer.node) == 0
    assert daemon.value("rabbitmq_queues", probe="half") is None

    peer.freeze()
    for probe in ("listed", "named"):
        daemon.wait_failed(probe, "mismatch")
        daemon.wait_for("rabbitmq_queue_messages_ready", None, probe=probe, queue="there")
        daemon.wait_for("rabbitmq_node_up", 0, probe=probe, node=peer.node)
        assert daemon.value("rabbitmq_queue_messages_ready", probe=probe, queue="here") == 0
        assert daemon.value("rabbitmq_up", probe=probe) == 1
    assert f"the queues of {peer.node} are unknown" in daemon.page("/api/v1/status")
    peer.thaw()
    for probe in ("listed", "named"):
        daemon.wait_ok(probe)
        daemon.wait_for("rabbitmq_queue_messages_ready", 0, probe=probe, queue="there")


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
