"""A RabbitMQ node for tests, with the management and the Prometheus plug-in. Each node has its own
directories and ports; the nodes of a cluster share an epmd and a cookie. Several clusters can run
side by side."""

from __future__ import annotations

import base64
import http.client
import json
import os
import secrets
import signal
import socket
import subprocess
from typing import Any
from urllib.parse import quote

import pika

from support.certificates import Authority
from support.process import Server, accepts_connections, account, free_port
from support.waiting import wait_until

BIN = "/usr/lib/rabbitmq/bin"  # the wrappers in /usr/sbin lose the environment

CONFIGURATION = """
listeners.tcp.1 = 127.0.0.1:{port}
management.tcp.ip = 127.0.0.1
management.tcp.port = {management_port}
prometheus.tcp.ip = {metrics_address}
prometheus.tcp.port = {metrics_port}
default_user = admin
default_pass = {password}
collect_statistics_interval = {statistics_interval}
vm_memory_high_watermark.absolute = 1GB
disk_free_limit.absolute = 1MB
log.file.level = info
"""

# Both plug-ins with TLS and over IPv6.
TLS_CONFIGURATION = """
{plugin}.ssl.ip = ::1
{plugin}.ssl.port = {port}
{plugin}.ssl.certfile = {directory}/server.pem
{plugin}.ssl.keyfile = {directory}/server.key
{plugin}.ssl.cacertfile = {authority}
"""

# The management API shows the statistics of a second ago, and not of five seconds ago. Quorum queues
# and streams report as often as the others.
ADVANCED_CONFIGURATION = """
[{rabbitmq_management_agent, [{sample_retention_policies,
    [{global, [{60, 1}]}, {basic, [{60, 1}]}, {detailed, [{10, 1}]}]}]},
 {rabbit, [{quorum_tick_interval, 200}, {stream_tick_interval, 200}]}].
"""

# Its users, with the tag of each.
USERS = {"monitor": "monitoring", "tenant": "management", "nobody": ""}


class Epmd(Server):
    """The name server of the Erlang nodes of one cluster. RabbitMQ would start one that stays."""

    name = "epmd"

    def __init__(self) -> None:
        super().__init__()
        self.port = free_port()
        self.launch(
            ["epmd", "-port", str(self.port), "-address", "127.0.0.1"],
            lambda: accepts_connections(self.port),
            user=account("rabbitmq"),
        )


class Rabbitmq(Server):
    name = "rabbitmq"
    stop_signal = signal.SIGTERM

    def __init__(
        self,
        *,
        authority: Authority | None = None,
        join: Rabbitmq | None = None,
        quick_statistics: bool = True,
    ) -> None:
        """Starts a node. With `authority`, it also has TLS listeners. With `join`, it becomes a member
        of that node's cluster, and its Prometheus plug-in has the same port at another address, as in
        pods. Without `quick_statistics` it collects statistics as often as by default."""
        super().__init__()
        self.epmd = join.epmd if join else Epmd()
        self.owns_epmd = join is None
        self.cookie = join.cookie if join else secrets.token_hex(10).upper()
        self.passwords = join.passwords if join else {
            user: f"{user}-{secrets.token_hex(8)}" for user in ("admin", *USERS)
        }
        self.node = f"n{secrets.token_hex(3)}@localhost"
        self.port, self.management_port, self.distribution_port = (free_port() for _ in range(3))
        self.metrics_port = join.metrics_port if join else free_port()
        self.metrics_address = "127.0.0.2" if join else "127.0.0.1"
        text = CONFIGURATION.format(
            port=self.port,
            management_port=self.management_port,
            metrics_address=self.metrics_address,
            metrics_port=self.metrics_port,
            password=self.passwords["admin"],
            statistics_interval=200 if quick_statistics else 5000,
        )
        self.tls_ports: dict[str, int] = {}  # by plug-in
        if authority:
            certificate = authority.issue("rabbitmq.test", ["rabbitmq.test", "::1"])
            certificate.install(self.directory / "server.pem", self.directory / "server.key")
            (self.directory / "ca.pem").write_bytes(authority.path.read_bytes())
            for plugin in ("management", "prometheus"):
                self.tls_ports[plugin] = free_port()
                text += TLS_CONFIGURATION.format(
                    plugin=plugin,
                    port=self.tls_ports[plugin],
                    directory=self.directory,
                    authority=self.directory / "ca.pem",
                )
        if join:
            text += "cluster_formation.peer_discovery_backend = classic_config\n"
            text += f"cluster_formation.classic_config.nodes.1 = {join.node}\n"
            text += f"cluster_formation.classic_config.nodes.2 = {self.node}\n"
        (self.directory / "rabbitmq.conf").write_text(text)
        advanced = ADVANCED_CONFIGURATION if quick_statistics else "[]."
        (self.directory / "advanced.config").write_text(advanced)
        (self.directory / "enabled_plugins").write_text(
            "[rabbitmq_management,rabbitmq_prometheus].\n"
        )
        cookie = self.directory / ".erlang.cookie"
        cookie.write_text(self.cookie)
        cookie.chmod(0o400)
        if user := account("rabbitmq"):
            for path in (self.directory, *self.directory.iterdir()):
                os.chown(path, user.pw_uid, user.pw_gid)
        try:
            self.start()
            if not join:
                self._add_users()
        except BaseException:
            self.close()
            raise

    @property
    def environment(self) -> dict[str, str]:
        directory = self.directory
        idle = "+sbwt none +sbwtdcpu none +sbwtdio none"  # idle schedulers do not spin
        return {
            "HOME": str(directory),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "ERL_EPMD_PORT": str(self.epmd.port),
            "RABBITMQ_NODENAME": self.node,
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_DIST_PORT": str(self.distribution_port),
            "RABBITMQ_MNESIA_BASE": str(directory / "mnesia"),
            "RABBITMQ_LOG_BASE": str(directory / "log"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(directory / "enabled_plugins"),
            "RABBITMQ_CONFIG_FILE": str(directory / "rabbitmq.conf"),
            "RABBITMQ_ADVANCED_CONFIG_FILE": str(directory / "advanced.config"),
            "RABBITMQ_CONF_ENV_FILE": "/dev/null",
            "RABBITMQ_PID_FILE": str(directory / "pid"),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": (
                f"{idle} -kernel inet_dist_use_interface {{127,0,0,1}}"
            ),
        }

    def start(self) -> None:
        self.launch(
            [f"{BIN}/rabbitmq-server"],
            self._answers,
            user=account("rabbitmq"),
            environment=self.environment,
            deadline=180,  # 7 s on an idle machine
        )

    def close(self) -> None:
        """Kills it, because an orderly stop takes 6 s."""
        self.kill()
        if self.owns_epmd:
            self.epmd.close()
        super().close()

    def _answers(self) -> bool:
        if self.request("GET", "/api/whoami")[0] != 200:
            return False
        socket.create_connection((self.metrics_address, self.metrics_port), timeout=1).close()
        return True

    def _add_users(self) -> None:
        for user in USERS:
            self.set_tag(user, USERS[user])
        self.call("PUT", "/api/permissions/%2F/tenant", configure="^own", write="", read="^own")
        # Without a permission, the management API lists no queue of the virtual host.
        self.call("PUT", "/api/permissions/%2F/monitor", configure="", write="", read="")

    # ---- administration ------------------------------------------------------------------------

    @property
    def management(self) -> str:
        return f"http://127.0.0.1:{self.management_port}"

    @property
    def metrics(self) -> str:
        return f"http://{self.metrics_address}:{self.metrics_port}"

    def request(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        """Returns the status and the decoded response of the management API."""
        login = base64.b64encode(f"admin:{self.passwords['admin']}".encode()).decode()
        headers = {"Authorization": f"Basic {login}", "Content-Type": "application/json"}
        connection = http.client.HTTPConnection("127.0.0.1", self.management_port, timeout=60)
        try:
            connection.request(method, path, json.dumps(body) if body is not None else None, headers)
            response = connection.getresponse()
            text = response.read()
            try:
                return response.status, json.loads(text)
            except ValueError:
                return response.status, text.decode()
        except http.client.HTTPException as error:
            raise ConnectionError(str(error)) from error
        finally:
            connection.close()

    def call(self, method: str, path: str, **body: object) -> Any:
        """Like request(), but fails the test on an error."""
        status, answer = self.request(method, path, body)
        assert status < 300, f"{method} {path}: {status} {answer}"
        return answer

    def add_vhost(self, name: str) -> None:
        """Adds a virtual host that `admin` and `monitor` may use."""
        path = quote(name, safe="")
        self.call("PUT", f"/api/vhosts/{path}")
        for user, pattern in (("admin", ".*"), ("monitor", "")):
            rights = dict.fromkeys(("configure", "write", "read"), pattern)
            self.call("PUT", f"/api/permissions/{path}/{user}", **rights)

    def set_tag(self, user: str, tag: str) -> None:
        path = f"/api/users/{user}"
        self.call("PUT", path, password=self.passwords[user], tags=tag)

    def control(self, *command: str) -> str:
        """Runs rabbitmqctl."""
        return self._run("rabbitmqctl", *command)

    def _run(self, program: str, *command: str) -> str:
        user = account("rabbitmq")
        done = subprocess.run(
            [f"{BIN}/{program}", "-n", self.node, *command],
            env={"PATH": os.environ["PATH"], "LANG": "C.UTF-8", **self.environment},
            user=user.pw_uid if user else None,
            group=user.pw_gid if user else None,
            cwd=self.directory,
            capture_output=True,
            text=True,
            check=False,
            timeout=180,  # a command takes 2 s on an idle machine
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def plugins(self, *command: str) -> None:
        """Runs rabbitmq-plugins."""
        self._run("rabbitmq-plugins", *command)

    def set_statistics(self, enabled: bool) -> None:
        """Sets management.disable_stats in rabbitmq.conf."""
        disabled = str(not enabled).lower()
        self.control(
            "eval", f"application:set_env(rabbitmq_management, disable_management_stats, {disabled})."
        )

    def set_memory_limit(self, size: int) -> None:
        """Sets the memory from which the alarm is raised, in bytes."""
        self.control("set_vm_memory_high_watermark", "absolute", str(size))

    def queues(self) -> list[dict[str, Any]]:
        return self.call("GET", "/api/queues")

    def restore(self) -> None:
        """Deletes all queues and other virtual hosts, also after a test that froze or stopped it."""
        self.thaw()
        if not self.running or not accepts_connections(self.management_port):
            self.kill()
            self.start()
        for vhost in self.call("GET", "/api/vhosts"):
            if vhost["name"] != "/":
                self.request("DELETE", f"/api/vhosts/{quote(vhost['name'], safe='')}")
        for queue in self.queues():
            vhost, name = quote(queue["vhost"], safe=""), quote(queue["name"], safe="")
            self.request("DELETE", f"/api/queues/{vhost}/{name}")
        for user, tag in USERS.items():
            self.set_tag(user, tag)

    # ---- clients -------------------------------------------------------------------------------

    def connect(self, vhost: str = "/") -> pika.BlockingConnection:
        # The server starts the plug-ins, which answer start(), before it listens for clients.
        wait_until(lambda: accepts_connections(self.port), what="RabbitMQ listens for clients")
        login = pika.PlainCredentials("admin", self.passwords["admin"])
        parameters = pika.ConnectionParameters("127.0.0.1", self.port, vhost, login)
        return pika.BlockingConnection(parameters)

    def declare(self, *names: str, vhost: str = "/", **options: object) -> None:
        """Declares durable queues. `arguments` may have the type."""
        for name in names:
            path = f"/api/queues/{quote(vhost, safe='')}/{quote(name, safe='')}"
            self.call("PUT", path, **{"durable": True, "node": self.node, **options})

    def publish(self, queue: str, count: int, vhost: str = "/") -> None:
        with self.connect(vhost) as connection:
            channel = connection.channel()
            for _ in range(count - 1):
                channel.basic_publish("", queue, b"message")
            # Waits for the last message only: the broker has received the others before it.
            channel.confirm_delivery()
            channel.basic_publish("", queue, b"message", mandatory=True)

    def purge(self, queue: str) -> None:
        self.call("DELETE", f"/api/queues/%2F/{quote(queue, safe='')}/contents")

    def delete(self, queue: str) -> None:
        self.call("DELETE", f"/api/queues/%2F/{quote(queue, safe='')}")


class Consumer:
    """A client that consumes from a queue and acknowledges nothing."""

    def __init__(self, server: Rabbitmq, queue: str, *, prefetch: int = 1) -> None:
        self.connection = server.connect()
        channel = self.connection.channel()
        channel.basic_qos(prefetch_count=prefetch)
        channel.basic_consume(queue, lambda *_: None)
        self.connection.process_data_events(time_limit=0)

    def close(self) -> None:
        self.connection.close()
