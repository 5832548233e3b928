"""The chart with its default values on a healthy node, beside a Prometheus with all rules of the chart
and the shipped scrape configuration: no alert except Watchdog. All durations are as shipped."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
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


def unexpected(alerts: list[Labels]) -> list[Labels]:
    """Leaves out the alert that always fires, and those that depend on the load of this machine."""
    return [
        labels
        for labels in alerts
        if labels["alertname"] not in {"Watchdog", "ProbeLoopLag"}
        and not labels.get("resource", "").startswith("node_")
    ]


@pytest.mark.long
@pytest.mark.timeout(SILENT_MINUTES * 60 + 900)
def test_a_default_install_is_silent(default_install: DefaultInstallation) -> None:
    prometheus, began = default_install.prometheus, time.time()

    def fired() -> list[Labels]:
        window = round((time.time() - began) * 1000) + 1
        found = prometheus.query(f'present_over_time(ALERTS{{alertstate="firing"}}[{window}ms])')
        return unexpected([labels for labels, _ in found])

    wait_until(
        lambda: fired() or time.time() - began > SILENT_MINUTES * 60,
        what=f"{SILENT_MINUTES:g} minutes",
        deadline=SILENT_MINUTES * 60 + 60,
        every=5,
    )
    pending = unexpected([alert["labels"] for alert in prometheus.alerts()])
    assert (fired(), pending) == ([], []), default_install.describe()
    # The silence is that of rules that are evaluated, and of probes that succeed.
    rules = [rule for group in prometheus.api("rules")["groups"] for rule in group["rules"]]
    health = {rule["name"]: rule["health"] for rule in rules}
    assert list(health.values()).count("ok") > 30
    # Groups that are evaluated once an hour may not have been evaluated yet.
    assert [name for name, each in health.items() if each not in ("ok", "unknown")] == []
    assert prometheus.value('min(min_over_time(up{job="vitalsd"}[1m]))') == 1
    names = {probe["name"] for probe in default_install.in_force["config"]["probes"]}
    found = prometheus.query("probe_success == 1")
    assert {labels["probe"] for labels, _ in found} == names
