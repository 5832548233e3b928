"""The chart with its default values on a healthy node, beside a Prometheus with all rules of the
chart and the shipped scrape configuration: no alert except Watchdog. All durations are as shipped.
The alerts about the load of the node count unless this machine, which other tests use, is loaded."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from support import REPOSITORY, wait_until
from support.chart import CHART, one, rendered
from support.install import NAMESPACE, Installation, blocks
from support.kubernetes import built
from support.kubernetes_client import Object, reference
from support.kubernetes_node import BUSYBOX, Node
from support.process import server_directory
from support.prometheus import Labels, Prometheus, cluster_configuration

SILENT_MINUTES = float(os.environ.get("VITALSD_SILENT_MINUTES", "30"))
SHOP = "shop"


def template(script: str, **spec: Any) -> Object:
    """Returns a pod template with one container that has requests and limits."""
    amounts = {"cpu": "100m", "memory": "64Mi"}
    container = {
        "name": "main",
        "image": BUSYBOX,
        "imagePullPolicy": "Never",
        "command": ["sh", "-c", script],
        "resources": {"requests": amounts, "limits": amounts},
    }
    pod = {"terminationGracePeriodSeconds": 1, "containers": [container], **spec}
    return {"metadata": {"labels": {"app": SHOP}}, "spec": pod}


def workloads() -> list[Object]:
    """Returns a healthy workload of each kind."""
    made = []
    for kind, more in (
        ("Deployment", {"replicas": 2}),
        ("StatefulSet", {"serviceName": SHOP}),
        ("DaemonSet", {}),
    ):
        thing = reference("apps/v1", kind, kind.lower(), SHOP)
        selector = {"matchLabels": {"app": SHOP}}
        thing["spec"] = {"selector": selector, "template": template("sleep 1000000"), **more}
        made.append(thing)
    cron_job = reference("batch/v1", "CronJob", "minutely", SHOP)
    job = {"spec": {"template": template("true", restartPolicy="Never")}}
    cron_job["spec"] = {"schedule": "* * * * *", "jobTemplate": job}
    return [*made, cron_job]


class DefaultInstallation(Installation):
    """The chart with its default values. Only the image differs, because there is no registry."""

    def _start(self) -> None:
        self.directory = server_directory("default-install")
        (self.directory / "deploy").symlink_to(REPOSITORY / "deploy")
        self.directory.chmod(0o755)
        self.commands = {title: code.splitlines() for title, code in blocks("sh").items()}
        for namespace in (SHOP, NAMESPACE):
            self.api.namespace(namespace)
        self.api.apply(workloads())
        self._closing.callback(self._remove)
        for command in self.commands["1. The image"]:
            self.run(command)
        image = yaml.safe_load(blocks("yaml")["2. What to watch"])["image"]
        self.install({"image": image})
        self.in_force = yaml.safe_load((CHART / "values.yaml").read_text())
        self.wait_well()
        self._account = self._prometheus_account()
        values = {"prometheusRule": {"enabled": True, "recommended": True}}
        rule = one(rendered(values), "PrometheusRule")
        self.rules = [each for group in rule["spec"]["groups"] for each in group["rules"]]
        with self.node.inside():
            configuration = cluster_configuration(
                self.api.inner_url, self._account.directory, interval="15s", alertmanagers=[]
            )
            program = built("prometheus", "prometheus")
            self.prometheus = self._closed(
                Prometheus(configuration, [yaml.safe_dump(rule["spec"])], program=program)
            )
        self.prometheus.wait_scraped(deadline=60)


@pytest.fixture
def default_install(kubernetes_node: Node) -> Iterator[DefaultInstallation]:
    made = DefaultInstallation(kubernetes_node)
    try:
        yield made
    finally:
        made.close()


class Machine:
    """How loaded this machine was in its busiest minute, measured without vitalsd."""

    def __init__(self) -> None:
        self.cpu = self.memory = 0.0  # shares of all
        self.waits = 0.0  # share of the time in which a process waited for a CPU or a disk
        self._began = self._counters()

    def sample(self) -> None:
        memory = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
        total, available = (int(memory[of].split()[0]) for of in ("MemTotal", "MemAvailable"))
        self.memory = max(self.memory, 1 - available / total)
        counters = self._counters()
        passed = {name: counters[name] - self._began[name] for name in counters}
        if passed["seconds"] < 60:
            return
        self._began = counters
        self.cpu = max(self.cpu, passed["busy"] / passed["all"])
        waits = max(passed["cpu"], passed["io"]) / passed["seconds"]
        self.waits = max(self.waits, waits)

    @staticmethod
    def _counters() -> dict[str, float]:
        times = [int(each) for each in Path("/proc/stat").read_text().split("\n")[0].split()[1:9]]
        idle = times[3] + times[4]  # with the time that waits for disks
        counters = {"seconds": time.monotonic(), "busy": sum(times) - idle, "all": sum(times)}
        for name in ("cpu", "io"):
            some = Path("/proc/pressure", name).read_text().split("\n")[0]
            counters[name] = int(some.rpartition("total=")[2]) / 1e6
        return counters


# Of the alerts that also depend on the load of this machine. Their lowest limits are 70% and 80%.
MAX_CPU, MAX_MEMORY, MAX_WAITS = 0.6, 0.7, 0.2
LATE = "histogram_quantile(0.99, sum by (le) (rate(vitalsd_loop_lag_seconds_bucket[5m])))"


def is_expected(labels: Labels, machine: Machine) -> bool:
    if labels["alertname"] == "ProbeLoopLag":
        return machine.waits > MAX_WAITS
    if labels.get("resource") == "node_cpu":
        return machine.cpu > MAX_CPU
    if labels.get("resource") == "node_memory":
        return machine.memory > MAX_MEMORY
    return labels["alertname"] == "Watchdog"


@pytest.mark.long
@pytest.mark.timeout(SILENT_MINUTES * 60 + 900)
def test_a_default_install_is_silent(default_install: DefaultInstallation) -> None:
    prometheus, began = default_install.prometheus, time.time()
    machine = Machine()

    def window() -> str:
        return f"{round((time.time() - began) * 1000) + 1}ms"

    def fired() -> list[Labels]:
        machine.sample()
        found = prometheus.query(f'present_over_time(ALERTS{{alertstate="firing"}}[{window()}])')
        return [labels for labels, _ in found if not is_expected(labels, machine)]

    wait_until(
        lambda: fired() or time.time() - began > SILENT_MINUTES * 60,
        what=f"{SILENT_MINUTES:g} minutes",
        deadline=SILENT_MINUTES * 60 + 60,
        every=5,
    )
    alerts = [alert["labels"] for alert in prometheus.alerts()]
    pending = [labels for labels in alerts if not is_expected(labels, machine)]
    assert (fired(), pending) == ([], []), default_install.describe()
    check_evaluated(prometheus, default_install.rules)
    # The silence is that of probes that succeed.
    assert prometheus.value(f'min(min_over_time(up{{job="vitalsd"}}[{window()}]))') == 1
    names = {probe["name"] for probe in default_install.in_force["config"]["probes"]}
    found = prometheus.query("probe_success == 1")
    assert {labels["probe"] for labels, _ in found} == names
    unwell = prometheus.query(f"avg_over_time(probe_success[{window()}]) < 0.9")
    assert unwell == [], default_install.describe()


def check_evaluated(prometheus: Prometheus, loaded: list[dict[str, Any]]) -> None:
    """Checks that each rule is evaluated, and that those about the load have their series."""
    rules = [rule for group in prometheus.api("rules")["groups"] for rule in group["rules"]]
    assert len(rules) == len(loaded)
    assert [rule for rule in rules if rule["health"] not in ("ok", "unknown")] == []
    for rule in rules:
        # The first evaluation of a group comes up to one interval after the start: evaluate it now.
        if rule["health"] == "unknown":
            found = prometheus.query(rule["query"])
            assert rule["type"] == "recording" or found == [], rule
    assert [alert["labels"]["alertname"] for alert in prometheus.firing("Watchdog")] == ["Watchdog"]
    [(_, late)] = prometheus.query(LATE)
    assert 0 <= late < 60
    for resource in ("node_cpu", "node_memory"):
        ratio = f'capacity:usage:ratio{{resource="{resource}"}}'
        # The first ratio of a rate may be 0, because the kubelet has measured only once.
        prometheus.wait_for(f"count(0 < {ratio} < 1.1) == count({ratio})", deadline=150)
