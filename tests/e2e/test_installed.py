"""The installation of docs/install.md on a real node: the image, the chart with its service account
and permissions, a Prometheus that discovers the pod, and an Alertmanager with stand-ins for
PagerDuty and Slack. The tests break the platform, and then vitalsd itself."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import time
from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest

from bench.bench import (
    blackbox,
    get,
    memory_mb,
    node_exporter,
    postgres_exporter,
    pushgateway,
    redis_exporter,
)
from support import wait_until
from support.install import APPLICATION, BUILDAH, DAY, HOUR, NAMESPACE, Installation
from support.kubernetes_client import ApiError, Object, reference
from support.kubernetes_node import Node
from support.waiting import PATIENCE

MIB = 1 << 20
RUNBOOKS = "https://github.com/vitalsd/vitalsd/blob/main/docs/runbooks/"


@pytest.fixture(scope="module")
def _installed(_kubernetes_node: Node) -> Iterator[Installation]:
    made = Installation(_kubernetes_node)
    try:
        yield made
    finally:
        made.close()


@pytest.fixture
def installed(_installed: Installation) -> Iterator[Installation]:
    """The installation; when a test starts, all probes succeed."""
    _installed.restore()
    yield _installed


def test_a_newcomers_way(installed: Installation) -> None:
    # The last command of the guide is `vitalsd check` in the pod.
    assert re.search(r"^(\d+) probes: \1 ok$", installed.printed, re.MULTILINE), installed.printed
    names = {probe["name"] for probe in installed.values["config"]["probes"]}
    assert set(installed.states()) == names
    pod = installed.pod()
    assert {"type": "Ready", "status": "True"}.items() <= next(
        condition for condition in pod["status"]["conditions"] if condition["type"] == "Ready"
    ).items()
    assert pod["spec"]["serviceAccountName"] == "vitalsd"
    installed.prometheus.wait_evaluated()
    assert installed.alerts() == []


def test_the_image(installed: Installation) -> None:
    name = "{image[repository]}:{image[tag]}".format(**installed.values)
    inspected = installed.run(f"{BUILDAH} buildah inspect --type=image {name}")
    config = json.loads(inspected)["Docker"]["config"]
    assert config["User"] == "65532:65532"
    [how, *command] = config["Healthcheck"]["Test"]
    assert how == "CMD"
    run = f"kubectl --namespace={NAMESPACE} exec deployment/vitalsd -- "
    installed.run(run + " ".join(command))
    with pytest.raises(AssertionError, match="executable file not found"):
        installed.run(run + "sh -c true")


Rule = tuple[str, str]  # resource.group, verbs


def rules(installed: Installation, account: str) -> set[Rule]:
    """Returns the permissions in the application's namespace."""
    command = f"kubectl auth can-i --list --namespace={APPLICATION} --as=system:serviceaccount:"
    lines = installed.run(command + account).splitlines()
    matches = (re.fullmatch(r"(\S+) .* \[([^]]*)\]", line) for line in lines)
    return {(match[1], match[2]) for match in matches if match}


@pytest.mark.timeout(600)
def test_permissions(installed: Installation) -> None:
    """Each permission is needed, and the probe names it if it is missing. There are no others."""
    select = f"--all-namespaces --selector=app.kubernetes.io/instance={NAMESPACE}"
    command = f"kubectl get clusterroles,roles {select} --output=json"
    roles = json.loads(installed.run(command))["items"]
    granted = {
        (".".join(filter(None, (resource, group))), " ".join(rule["verbs"]))
        for role in roles
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
    }
    assert rules(installed, f"{NAMESPACE}:vitalsd") - rules(installed, "default:default") == granted

    # A probe names the first missing permission, so one probe per resource names all of them.
    probes = installed.values["config"]["probes"]
    watched = {rule["resources"][0] for role in roles for rule in role["rules"]}
    of_workloads = watched - {"nodes", "nodes/stats", "nodes/metrics", "pods"}
    each = [{"name": r, "kind": "workload", "resources": [r]} for r in sorted(of_workloads)]
    others = [probe for probe in probes if probe["kind"] != "workload"]
    config = {**installed.values["config"], "probes": [*others, *each]}
    installed.install({**installed.values, "config": config})

    def lacks(resource: str) -> bool:
        named = f'resource "{resource}" in API group'
        probes = installed.status()["probes"]
        return any(
            each.get("reason") == "permission" and named in each["error"] for each in probes
        )

    # Without nodes no kubelet is queried, and the two pages of a kubelet are requested one after
    # the other, so a run reports only the first missing permission.
    for resources in (of_workloads | {"nodes/metrics"}, {"nodes/stats"}, {"nodes", "pods"}):
        for role in roles:
            rest = [rule for rule in role["rules"] if rule["resources"][0] not in resources]
            installed.api.patch(named(role), {"rules": rest})
        installed.replace_pod()  # an established watch continues
        wait_until(
            lambda resources=resources: all(map(lacks, resources)),
            what=lambda resources=resources: f"the lack of {resources}: {installed.status()}",
            deadline=60,
        )
        for role in roles:
            installed.api.patch(named(role), {"rules": role["rules"]})


def named(role: Object) -> Object:
    """Returns the reference to a role."""
    meta = role["metadata"]
    return reference(role["apiVersion"], role["kind"], meta["name"], meta.get("namespace", ""))


# ---- the platform's faults ----------------------------------------------------------------------


def wait_notified(installed: Installation, alert: str, about: str) -> Callable[..., None]:
    """Waits for the notification with the link to the runbook. The returned function waits for the
    notification that the alert is resolved."""
    receivers, runbook = installed.receivers, f"{RUNBOOKS}{alert}.md"

    def page() -> str:
        """Returns PagerDuty's key of the incident."""
        return next(
            (
                page["dedup_key"]
                for page in receivers.paged("trigger", runbook)
                if about in page["payload"]["summary"]
            ),
            "",
        )

    def message(mark: str) -> bool:
        lines = (
            line
            for message in receivers.messages
            for attachment in message["attachments"]
            for line in re.split(r"(?=:red_circle:|:white_check_mark:)", attachment["text"])
        )
        return any(mark in line and about in line and runbook in line for line in lines)

    def over() -> bool:
        key = page()
        return bool(receivers.paged("resolve", key)) if key else message(":white_check_mark:")

    def what(waited_for: str) -> str:
        said = [*receivers.pages, *receivers.messages]
        return f"{waited_for} {alert} to be reported; last reported {json.dumps(said[-3:], indent=1)}"

    wait_until(
        lambda: page() or message(":red_circle:"), what=lambda: what("the fault"), deadline=60
    )

    def wait_over(*, deadline: float = 60) -> None:
        wait_until(over, what=lambda: what("the end of"), deadline=deadline)

    return wait_over


def test_a_database_that_is_stopped(installed: Installation) -> None:
    installed.postgres.stop()
    over = wait_notified(installed, "DatabaseDown", "main-db")
    installed.postgres.start()
    over()


def test_a_database_out_of_connections(installed: Installation) -> None:
    with installed.postgres.held(26):  # of 30
        over = wait_notified(installed, "HighDatabaseConnections", "main-db")
    over()


def test_a_cache_out_of_memory(installed: Installation) -> None:
    installed.redis.set_max_memory(40 * MIB)
    installed.redis.fill(38 * MIB - installed.redis.used_memory)
    over = wait_notified(installed, "HighRedisMemory", "cache")
    installed.redis.empty()
    over()


def test_an_api_that_fails(installed: Installation) -> None:
    installed.nginx.answer("/health/ready", 503)
    over = wait_notified(installed, "APIDown", "api")
    installed.nginx.answer_well()
    over()


def test_a_certificate_near_its_end(installed: Installation) -> None:
    installed.show_certificate(lifetime=timedelta(days=20))
    over = wait_notified(installed, "CertificateExpiringSoon", "api.shop.example")
    installed.show_certificate()
    over()


def test_backups_that_stop_coming(installed: Installation) -> None:
    installed.back_up(DAY + HOUR)
    over = wait_notified(installed, "BackupFailed", "backups")
    installed.back_up(HOUR)
    over()


def test_a_node_that_is_lost(installed: Installation) -> None:
    """Only the kubelet stops reporting. The pods, including vitalsd, run and are monitored."""
    installed.node.freeze_kubelet()
    over = wait_notified(installed, "NodeNotReady", "node-1")
    installed.node.thaw_kubelet()
    over()


# ---- vitalsd ------------------------------------------------------------------------------------

RESTARTS = f'kube_pod_container_status_restarts_total{{namespace="{APPLICATION}"}}'


def restarts(installed: Installation) -> int:
    """Returns the restarts of vitalsd's container."""
    return installed.pod()["status"]["containerStatuses"][0]["restartCount"]


def say(capsys: pytest.CaptureFixture[str], text: str) -> None:
    with capsys.disabled():
        print(f"\n{text}")


def test_its_memory(installed: Installation, capsys: pytest.CaptureFixture[str]) -> None:
    """Prints the memory usage of vitalsd and of the exporters that it replaces."""
    with installed.node.inside():
        peers = [
            postgres_exporter(installed.postgres),
            redis_exporter(installed.redis.port, installed.redis.password),
            blackbox(),
            node_exporter(),
            pushgateway(),
        ]
    try:
        for peer in peers:
            wait_until(lambda port=peer.port: get(port, "/metrics")[0] == 200, what=peer.name)
        theirs = sum(memory_mb(peer.pid) for peer in peers)
    finally:
        for peer in peers:
            peer.close()
    ours = memory_mb(installed.pid())
    say(capsys, f"memory of the pod: {ours:.1f} MB; of the five exporters: {theirs:.1f} MB")
    assert ours < theirs


def test_killed(installed: Installation, capsys: pytest.CaptureFixture[str]) -> None:
    """The kubelet restarts it, no alert fires, and no counter shows an increase."""
    before, killed = restarts(installed), time.time()
    os.kill(installed.pid(), signal.SIGKILL)
    wait_until(lambda: restarts(installed) > before, what="a restart", deadline=60)
    installed.wait_well()
    prometheus = installed.prometheus
    [(_, started)] = prometheus.wait_for(f'process_start_time_seconds{{job="vitalsd"}} > {killed}')
    scrapes = prometheus.history('up{job="vitalsd"}', since=started)
    first = min(when for when, up in scrapes if up) - started
    say(capsys, f"from the start of the process to the first scrape: {first:.2f} s")
    assert first < 2 * PATIENCE
    prometheus.wait_evaluated()
    assert prometheus.has_fired(since=killed) <= {"ProbeLoopLag"}  # depends on this machine
    assert prometheus.value(f"sum(increase({RESTARTS}[5m]))") == 0


def test_wedged(installed: Installation) -> None:
    before = restarts(installed)
    os.kill(installed.pid(), signal.SIGSTOP)
    wait_until(lambda: restarts(installed) > before, what="a restart", deadline=120)
    installed.wait_well()


def test_a_configuration_broken_by_an_edit(installed: Installation) -> None:
    before = restarts(installed)
    name = reference("v1", "ConfigMap", "vitalsd", NAMESPACE)
    good = installed.api.get(name)["data"]["vitalsd.yaml"]
    line = good.splitlines().index("probes:") + 1
    broken = good.replace("probes:\n", "prbes:\n")
    installed.api.patch(name, {"data": {"vitalsd.yaml": broken}})
    installed.sync()
    over = wait_notified(installed, "ConfigReloadFailed", "")
    assert f"vitalsd.yaml:{line}:1" in installed.log()
    assert set(installed.states().values()) == {"ok"}
    installed.api.patch(name, {"data": {"vitalsd.yaml": good}})
    installed.sync()
    over()
    assert restarts(installed) == before


def test_a_secret_that_rotates(installed: Installation) -> None:
    before = restarts(installed)
    installed.postgres.change_password("monitor", "rotated")
    alert = installed.prometheus.wait_firing("ProbeFailing", probe="main-db", deadline=60)
    assert "auth" in alert["annotations"]["description"]
    secret = reference("v1", "Secret", "vitalsd-passwords", NAMESPACE)
    installed.api.patch(secret, {"stringData": {"main-db": "rotated"}})
    installed.sync()
    installed.wait_well()
    assert restarts(installed) == before


def test_an_upgrade(installed: Installation) -> None:
    """No series is missing for longer than two shipped scrape intervals, firing alerts continue to
    fire, and no restart is counted that did not happen."""
    old, began = installed.pod()["metadata"]["name"], time.time()
    with contextlib.ExitStack() as closing:
        closing.enter_context(installed.postgres.held(26))  # of 30
        prometheus = installed.another_prometheus(waits=("for",))
        closing.callback(prometheus.close)
        prometheus.wait_firing("HighDatabaseConnections")
        fires = 'ALERTS{alertname="HighDatabaseConnections", alertstate="firing"}'
        fired = time.time()
        for command in installed.commands["Later"][:2]:
            installed.run(command)
        installed.wait_well()
        assert installed.pod()["metadata"]["name"] != old
        upgraded = time.time()
        wait_until(
            lambda: prometheus.history('pg_up{probe="main-db"}', since=upgraded), what="a scrape"
        )
        prometheus.wait_evaluated()
        assert prometheus.longest_gap('pg_up{probe="main-db"}', since=began) < 30
        assert prometheus.longest_gap(fires, since=fired) < 2 * PATIENCE
        assert prometheus.value(f"sum(increase({RESTARTS}[5m]))") == 0


def leads(installed: Installation, pod: Object) -> bool:
    try:
        return "\nvitalsd_leader 1\n" in installed.page("/metrics", pod)
    except LookupError:
        return False


def test_an_eviction(installed: Installation) -> None:
    """Only one of two replicas can be evicted at a time, and the other takes over within 15 s."""
    installed.install({**installed.values, "replicas": 2})

    def leader() -> Object:
        leading = [pod for pod in installed.pods() if leads(installed, pod)]
        assert len(leading) == 1
        return leading[0]

    budget = reference("policy/v1", "PodDisruptionBudget", "vitalsd", NAMESPACE)
    wait_until(
        lambda: installed.api.get(budget)["status"]["disruptionsAllowed"] == 1,
        what="the budget",
        deadline=60,
    )
    first = wait_until(leader, what="a leader", deadline=60)
    [second] = [pod for pod in installed.pods() if pod["metadata"] != first["metadata"]]
    prometheus, series = installed.prometheus, 'pg_up{probe="main-db"}'
    began = time.time()
    wait_until(lambda: prometheus.history(series, since=began), what="a scrape", deadline=60)
    installed.evict(first)
    with pytest.raises(ApiError, match="disruption budget"):
        installed.evict(second)
    wait_until(lambda: leader()["metadata"] != first["metadata"], what="another leader")
    over = time.time()
    wait_until(lambda: prometheus.history(series, since=over), what="a scrape", deadline=60)
    assert prometheus.longest_gap(series, since=began) < 15
    wait_until(lambda: len(installed.pods()) == 2, what="another pod", deadline=60)


def test_a_thousand_probes(installed: Installation, capsys: pytest.CaptureFixture[str]) -> None:
    """They fit into the chart's memory limit."""
    probes = {probe["name"]: probe for probe in installed.values["config"]["probes"]}
    more = {"cache": 200, "api": 400, "api-tls": 250}
    copies = [
        {**probes[name], "name": f"{name}-{number}"}
        for name, count in more.items()
        for number in range(count)
    ]
    endpoint = f"db.shop.example:{installed.postgres.port}"
    ports = 1000 - len(probes) - len(copies)
    copies += [{"name": f"p-{n}", "kind": "tcp", "endpoint": endpoint} for n in range(ports)]
    config = {"defaults": {"interval": "10s"}, "probes": [*probes.values(), *copies]}
    before = restarts(installed)
    installed.install({**installed.values, "config": config})
    installed.sync()
    installed.wait_well()
    began = time.time()
    # Each probe has run a few times.
    runs = "min(sum by (probe) (increase(vitalsd_probe_runs_total[1m])))"
    installed.prometheus.wait_for(f"{runs} > 3", deadline=90)
    own = f'{{namespace="{NAMESPACE}", container="vitalsd"}}'
    history = installed.prometheus.history(f"container_memory_working_set_bytes{own}", since=began)
    used = max(memory for _, memory in history)
    limit = installed.prometheus.value(f"container_spec_memory_limit_bytes{own}")
    assert limit
    say(capsys, f"memory of the pod with 1,000 probes: {used / MIB:.1f} of {limit / MIB:.0f} MiB")
    assert used < limit
    assert restarts(installed) == before


# ---- alerts that resolve late ------------------------------------------------------------------


@pytest.mark.timeout(1500)
def test_a_pod_that_crash_loops(installed: Installation) -> None:
    """The documents' rule fires for 15 minutes. Only the long run waits until it resolves, and this
    test is the last one."""
    pod = installed.api.create(installed.node.pod(APPLICATION, "crasher", "exit 3"))
    over = wait_notified(installed, "PodCrashLooping", f"{APPLICATION}/crasher")
    installed.api.delete(pod)
    if os.environ.get("VITALSD_FULL_RUN"):
        over(deadline=1200)
