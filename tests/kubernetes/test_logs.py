"""Kind logs on a complete node: each line that a container has written is counted once, with any
fault of streams, containers, kubelet, API server and vitalsd."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from support import REPOSITORY, wait_until
from support.kubernetes import ServiceAccount
from support.kubernetes_client import Object, reference
from support.kubernetes_node import Node
from support.prometheus import Prometheus, shipped_configuration
from support.vitalsd import Vitalsd

RBAC = REPOSITORY / "deploy" / "kubernetes" / "rbac.yaml"
LINES = "vitalsd_log_lines_total"
PATTERNS = [
    {"name": "error", "match": r"\bERROR\b", "exclude": "ERROR (ignored|reporter)"},
    {"name": "authentication", "match": "(?i)authentication failed"},
    {"name": "rate-limit", "match": "(?i)rate limit exceeded"},
]
# Waits while speak() writes lines to its output, and exits on SIGTERM.
OBEDIENT = "trap 'exit 1' TERM; while :; do sleep 1000 & wait; done"
# Writes this many lines, a few milliseconds apart.
STEADY = "i=0; while [ $i -lt {lines} ]; do i=$((i+1)); echo ERROR $i; usleep 4000; done; " + OBEDIENT

StartVitalsd = Callable[..., Vitalsd]


class Cluster:
    """The node, a namespace for the test, and the service account of vitalsd."""

    def __init__(self, node: Node, vitalsd: StartVitalsd, account: ServiceAccount) -> None:
        self.node = node
        self.api = node.api
        self.namespace = node.api.namespace()
        self.account = account
        self._vitalsd = vitalsd

    def follow(self, state: Path | None = None, *, ok: bool = True, **options: Any) -> Vitalsd:
        """Starts a daemon that follows the namespace's logs. If `ok`, waits until its probe
        succeeds."""
        probe = {
            "name": "logs",
            "kind": "logs",
            "namespaces": [self.namespace],
            "patterns": PATTERNS,
            **options,
        }
        sections = {"state": {"directory": str(state)}} if state else {}
        daemon = self._vitalsd(
            [probe],
            interval="500ms",
            timeout="500ms",
            plain={**self.api.environment, "VITALSD_SERVICE_ACCOUNT": str(self.account.directory)},
            secrets=[self.account.token],
            **sections,
        )
        if ok:
            daemon.wait_ok("logs", deadline=60)
        return daemon

    def run(self, name: str, script: str, *, wait: bool = True, **options: Any) -> Object:
        pod = self.node.pod(self.namespace, name, script, **options)
        self.api.create(pod)
        if wait:
            self.node.wait_container(pod, "running", deadline=60)
        return pod

    def speak(self, name: str, *lines: str) -> None:
        """Makes the first process of a pod write lines."""
        script = "".join(f"echo '{line}'; " for line in lines)
        place = (f"--namespace={self.namespace}", name)
        self.api.kubectl("exec", *place, "--", "sh", "-c", f"({script}) >/proc/1/fd/1")

    def end_container(self, pod: Object, restarts: int) -> None:
        """Ends the first process of a pod, and waits for the next instance."""
        place = (f"--namespace={self.namespace}", pod["metadata"]["name"])
        with contextlib.suppress(AssertionError):  # the signal may end the command
            self.api.kubectl("exec", *place, "--", "kill", "1")

        def restarted() -> bool:
            status = self.node.container(pod)
            return status["restartCount"] == restarts and "running" in status["state"]

        wait_until(restarted, deadline=60, what=f"restart {restarts}")

    def wait_counted(
        self, daemon: Vitalsd, expected: int, pattern: str = "error", *, deadline: float = 60
    ) -> None:
        """Waits for a count, and checks that it does not increase further."""
        labels = {"namespace": self.namespace, "container": "main", "pattern": pattern}
        daemon.wait_for(LINES, expected, deadline=deadline, **labels)
        daemon.wait_runs("logs", 3)
        assert daemon.value(LINES, **labels) == expected

    def counted(self, daemon: Vitalsd, pattern: str = "error") -> float:
        return daemon.value(LINES, namespace=self.namespace, pattern=pattern)

    def wait_following(self, daemon: Vitalsd, streams: int) -> None:
        daemon.wait_for("vitalsd_log_streams", streams, state="open", deadline=60)


@pytest.fixture(scope="module")
def account(_kubernetes_node: Node) -> Iterator[ServiceAccount]:
    """The service account of vitalsd with the shipped permissions."""
    node = _kubernetes_node
    grant(node)
    yield node.api.service_account("vitalsd", "vitalsd")
    node.restore()
    shipped = reference("v1", "Namespace", "vitalsd")
    wait_until(lambda: not node.api.exists(shipped), deadline=60, what="the end of a namespace")


def grant(node: Node) -> None:
    node.api.apply(list(yaml.safe_load_all(RBAC.read_text())))


@pytest.fixture
def cluster(
    _kubernetes_node: Node, vitalsd: StartVitalsd, account: ServiceAccount
) -> Iterator[Cluster]:
    node = _kubernetes_node
    with node.inside():
        cluster = Cluster(node, vitalsd, account)
        yield cluster
        for name in node.api.names("v1", "Pod", cluster.namespace):
            node.api.delete(reference("v1", "Pod", name, cluster.namespace))


# ---- counting -----------------------------------------------------------------------------------


def test_lines_are_counted_by_pattern(cluster: Cluster) -> None:
    cluster.run("old", f"echo ERROR before anybody listened; {OBEDIENT}")
    daemon = cluster.follow()
    # The counter starts at 0 before the first line.
    for pattern in PATTERNS:
        assert cluster.counted(daemon, pattern["name"]) == 0
    cluster.wait_following(daemon, 1)
    cluster.speak("old", "ERROR now", "all is well", "TERRORS", "ERROR ignored")
    cluster.wait_counted(daemon, 1)

    # A later pod is counted from its first line, in the same series.
    long = "head -c 100000 /dev/zero | tr '\\0' x"
    script = (
        "for i in 1 2 3; do echo ERROR $i; done; echo user: Authentication FAILED;"
        " echo ERROR: rate limit exceeded; echo ERROR ignored; printf 'caf\\351 ERROR\\n';"
        f" echo ERROR $({long}); echo $({long}) ERROR; echo; echo ERROR last; sleep 1000000"
    )
    late = cluster.run("late", script)
    cluster.wait_counted(daemon, 1 + 7)
    cluster.wait_counted(daemon, 1, "authentication")
    cluster.wait_counted(daemon, 1, "rate-limit")
    assert len(daemon.samples(LINES, namespace=cluster.namespace)) == len(PATTERNS)
    read = daemon.value("vitalsd_log_read_bytes_total")
    assert read > 200_000

    # The count stays when a pod is deleted.
    cluster.api.delete(late)
    cluster.wait_following(daemon, 1)
    cluster.wait_counted(daemon, 8)
    assert not daemon.failures("logs")


def test_the_last_words_of_a_pod(cluster: Cluster) -> None:
    daemon = cluster.follow()
    script = "trap 'echo ERROR on the way out; exit' TERM; echo ERROR first; while :; do sleep 0.1; done"
    pod = cluster.run("goes", script)
    cluster.wait_counted(daemon, 1)
    cluster.api.delete(pod, grace=5)
    cluster.wait_counted(daemon, 2)
    # A pod that has ended before vitalsd opens its log.
    cluster.run("brief", "echo ERROR once", restart="Never", wait=False)
    cluster.wait_counted(daemon, 3)
    cluster.wait_following(daemon, 0)
    assert not daemon.failures("logs")


def test_pods_that_take_each_other_s_name(cluster: Cluster, tmp_path: Path) -> None:
    """A pod replaces another one with the same name, like in a StatefulSet; at last while vitalsd
    is down."""
    daemon = cluster.follow(state=tmp_path)
    script = f"echo ERROR; echo ERROR; {OBEDIENT}"
    for turn in range(1, 5):
        pod = cluster.run("db-0", script)
        if turn == 4:
            daemon.start()
        cluster.wait_counted(daemon, 2 * turn)
        if turn == 3:
            daemon.end()
        cluster.api.delete(pod)
        wait_until(lambda pod=pod: not cluster.api.exists(pod))
    assert not daemon.failures("logs")


def test_a_pod_that_leaves_the_selector_and_returns(cluster: Cluster) -> None:
    """Its lines are counted once, if it returns at once and if it returns after the 10 s for which
    the rest of its log is read."""
    daemon = cluster.follow(selector="app=web")
    pod = cluster.node.pod(cluster.namespace, "web", f"echo ERROR; echo ERROR; {OBEDIENT}")
    pod["metadata"]["labels"] = {"app": "web"}
    cluster.api.create(pod)
    cluster.wait_counted(daemon, 2)
    cluster.wait_following(daemon, 1)

    def label(app: str) -> None:
        cluster.api.patch(pod, {"metadata": {"labels": {"app": app}}})

    label("quarantined")
    label("web")
    cluster.speak("web", "ERROR")
    cluster.wait_counted(daemon, 3)
    daemon.wait_runs("logs", 22, deadline=60)  # longer than 10 s
    cluster.speak("web", "ERROR")
    cluster.wait_counted(daemon, 4)

    label("quarantined")
    cluster.wait_following(daemon, 0)
    cluster.speak("web", "ERROR")
    label("web")
    cluster.wait_counted(daemon, 5)
    assert not daemon.failures("logs")


def test_only_the_containers_that_are_named(cluster: Cluster) -> None:
    pod = cluster.node.pod(cluster.namespace, "two", f"echo ERROR in main; {OBEDIENT}")
    (main,) = pod["spec"]["containers"]
    pod["metadata"]["labels"] = {"app": "web"}
    pod["spec"]["containers"].append(
        {**main, "name": "side", "command": ["sh", "-c", f"echo ERROR in side; {OBEDIENT}"]}
    )
    daemon = cluster.follow(containers=["side"], selector="app=web")
    cluster.api.create(pod)
    cluster.run("other", f"echo ERROR; {OBEDIENT}")
    labels = {"container": "side", "pattern": "error"}
    daemon.wait_for(LINES, 1, deadline=60, **labels)
    assert {sample.labels["container"] for sample in daemon.samples(LINES)} == {"side"}


def test_more_logs_than_streams(cluster: Cluster) -> None:
    names = ("a", "b", "c")
    for name in names:
        cluster.run(name, OBEDIENT)
    daemon = cluster.follow(ok=False, max_streams=2)
    cluster.wait_following(daemon, 2)
    daemon.wait_failed("logs", "overload")
    assert daemon.value("vitalsd_log_streams", state="waiting") == 1
    assert "1 of 3 logs are not read: max_streams is 2" in daemon.page("/")
    # Followed logs are counted.
    for name in names:
        cluster.speak(name, "ERROR")
    cluster.wait_counted(daemon, 2)
    # When the limit is raised or a pod ends, the third log is followed and all its lines are
    # counted.
    (probe,) = daemon.configuration["probes"]
    probe["max_streams"] = 3
    daemon.reload()
    cluster.wait_counted(daemon, 3)
    daemon.wait_ok("logs")


# ---- restarts -----------------------------------------------------------------------------------


def test_a_container_that_restarts(cluster: Cluster) -> None:
    daemon = cluster.follow()
    pod = cluster.run("phoenix", f"echo ERROR awake; {OBEDIENT}")
    cluster.speak("phoenix", *["ERROR"] * 20)
    cluster.wait_counted(daemon, 21)
    cluster.end_container(pod, 1)
    cluster.speak("phoenix", *["ERROR"] * 30)
    cluster.wait_counted(daemon, 52)
    # Several restarts in a row. Each instance is too short to be followed.
    cluster.run("crasher", "echo ERROR 1; echo ERROR 2; exit 1", wait=False)
    crasher = reference("v1", "Pod", "crasher", cluster.namespace)
    wait_until(lambda: cluster.node.container(crasher)["restartCount"] >= 2, deadline=90)
    restarts = cluster.node.container(crasher)["restartCount"]
    cluster.wait_counted(daemon, 52 + 2 * (restarts + 1))
    assert not daemon.failures("logs")


@pytest.mark.parametrize("end", ["SIGTERM", "SIGKILL"])
def test_vitalsd_restarts_while_lines_are_written(
    cluster: Cluster, tmp_path: Path, end: str
) -> None:
    lines = 4_000
    daemon = cluster.follow(state=tmp_path)
    pod = cluster.run("writer", STEADY.format(lines=lines))
    highest = 0.0

    def grown() -> bool:
        nonlocal highest
        value = cluster.counted(daemon)
        assert value >= highest, "a counter has gone back"
        grew, highest = value > highest, value
        return grew

    for _ in range(3):
        wait_until(grown, deadline=60)
        if end == "SIGTERM":
            daemon.restart()
        else:
            os.kill(daemon.pid, signal.SIGKILL)
            daemon.kill()
            daemon.start()
    wait_until(lambda: grown() and highest == lines, deadline=90, what=lambda: f"{highest}")
    cluster.wait_counted(daemon, lines)
    # The container has restarted while vitalsd was not running.
    daemon.end()
    cluster.end_container(pod, 1)
    daemon.start()
    cluster.wait_counted(daemon, 2 * lines, deadline=120)


def test_a_state_of_before(cluster: Cluster, tmp_path: Path) -> None:
    """Pods that were created and deleted while vitalsd was down, and a pod that was created and
    still exists."""
    daemon = cluster.follow(state=tmp_path)
    gone = cluster.run("gone", f"echo ERROR; {OBEDIENT}")
    cluster.wait_counted(daemon, 1)
    daemon.end()
    cluster.api.delete(gone)
    cluster.run("came", f"echo ERROR; echo ERROR; {OBEDIENT}")
    daemon.start()
    cluster.wait_counted(daemon, 3)


def test_reload(cluster: Cluster) -> None:
    daemon = cluster.follow()
    cluster.run("writer", f"echo ERROR; {OBEDIENT}")
    cluster.wait_counted(daemon, 1)
    (probe,) = daemon.configuration["probes"]
    probe["patterns"] = [PATTERNS[0], {"name": "warning", "match": "WARN"}]
    daemon.reload()
    cluster.speak("writer", "ERROR", "WARN")
    cluster.wait_counted(daemon, 2)
    cluster.wait_counted(daemon, 1, "warning")
    assert daemon.absent(LINES, pattern="rate-limit")


def test_the_lines_of_a_day_by_promql(
    cluster: Cluster, prometheus: Callable[..., Prometheus], tmp_path: Path
) -> None:
    """The queries of docs/kubernetes.md. A restart of vitalsd does not change the counts."""
    daemon = cluster.follow(state=tmp_path)
    cluster.run("writer", OBEDIENT)
    cluster.wait_counted(daemon, 0)
    watcher = prometheus(shipped_configuration([daemon.address]))
    of_a_day = 'sum by (pattern) (increase(vitalsd_log_lines_total{probe="logs"}[24h]))'
    watcher.wait_for(f"{of_a_day} == 0")
    cluster.speak("writer", *["ERROR"] * 40)
    cluster.wait_counted(daemon, 40)
    daemon.restart()
    cluster.speak("writer", *["ERROR"] * 20)
    cluster.wait_counted(daemon, 60)
    # increase() extrapolates by half a scrape interval on each side.
    watcher.wait_for(f"{of_a_day} > 59")
    (error,) = (value for labels, value in watcher.query(of_a_day) if labels["pattern"] == "error")
    assert 59 < error < 66


# ---- faults -------------------------------------------------------------------------------------


def test_streams_that_break(cluster: Cluster) -> None:
    """SIGKILL of the API server and of the kubelet while lines are written."""
    lines = 6_000
    daemon = cluster.follow()
    pod = cluster.run("writer", STEADY.format(lines=lines))
    cluster.wait_following(daemon, 1)
    for server in (cluster.api, cluster.node.kubelet):
        before = cluster.counted(daemon)
        daemon.wait_for(LINES, lambda value: value > before, namespace=cluster.namespace, pattern="error")
        server.kill()
        server.start()
        cluster.node.wait_ready()
    cluster.wait_counted(daemon, lines, deadline=120)
    assert cluster.node.container(pod)["restartCount"] == 0


def test_a_container_that_restarts_while_nobody_listens(cluster: Cluster) -> None:
    """While the API server is down, one instance ends and the next starts. No line is lost."""
    daemon = cluster.follow()
    # The second instance writes one line and keeps running.
    script = f"if [ -e /dev/shm/again ]; then echo ERROR 3; {OBEDIENT}; fi; : >/dev/shm/again;"
    pod = cluster.run("pair", f"{script} echo ERROR 1; sleep 4; echo ERROR 2; exit 1")
    cluster.wait_counted(daemon, 1)
    cluster.api.kill()
    containers = ("ctr", "--namespace=k8s.io", "tasks", "list", "--quiet")
    running = set(cluster.node.run(*containers).stdout.split())
    # The sandbox stays, the container is new.
    wait_until(
        lambda: len(set(cluster.node.run(*containers).stdout.split()) - running) == 1, deadline=60
    )
    cluster.api.start()
    cluster.wait_counted(daemon, 3)
    wait_until(lambda: cluster.node.container(pod)["restartCount"] == 1)


def test_a_right_that_lacks_is_named(cluster: Cluster) -> None:
    cluster.run("writer", f"echo ERROR; {OBEDIENT}")
    role = reference("rbac.authorization.k8s.io/v1", "ClusterRole", "vitalsd")
    rules = cluster.api.get(role)["rules"]
    without = [rule for rule in rules if rule["resources"] != ["pods/log"]]
    assert len(without) == len(rules) - 1
    cluster.api.patch(role, {"rules": without})
    try:
        attributes = {"verb": "get", "resource": "pods", "subresource": "log"}
        asked = {"resourceAttributes": {**attributes, "namespace": cluster.namespace}}
        wait_until(lambda: not cluster.api.may(cluster.account, asked))
        daemon = cluster.follow(ok=False)
        daemon.wait_failed("logs", "permission")
        (probe,) = daemon.status()["probes"]
        assert f"cannot read the log of {cluster.namespace}/writer (main)" in probe["error"]
        assert 'cannot get resource "pods/log" in API group ""' in probe["error"]
        assert daemon.failures("logs").keys() == {"permission"}
    finally:
        grant(cluster.node)
    cluster.wait_following(daemon, 1)
    daemon.wait_ok("logs")
