"""The documented alert rules about Kubernetes with live data: a complete node whose pods crash,
fill their memory and are throttled, and a Prometheus with the shipped files. vitalsd runs with its
service account and the permissions of deploy/kubernetes/rbac.yaml.

Expressions are as shipped; `for` is shortened. Rules with a range of 5 or 15 minutes fire that long
after the fault has ended. The promtool tests of the rules, which need no clock, show that they
resolve.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import pytest

import shorten_rules
from support import wait_until
from support.kubernetes_client import Object, reference
from support.kubernetes_node import Node
from support.prometheus import SHIPPED, Prometheus, shipped_configuration
from support.vitalsd import Vitalsd
from support.watching import in_cluster

RULE_FILES = (SHIPPED / "documented.yaml", SHIPPED / "vitalsd.yaml")
NAMESPACE = "vcci-production"  # in the guide's rules
GUIDE, MANUAL = {"document": "guide"}, {"document": "manual"}
MIB = 1 << 20

# Allocates this many MiB of memory in a file on tmpfs, and keeps them.
FILL = "dd if=/dev/zero of=/dev/shm/fill bs=1M count={mib} 2>/dev/null; sleep 1000000"



@dataclass
class Cluster:
    node: Node
    daemon: Vitalsd
    prometheus: Prometheus

    def run(self, name: str, script: str, **container: Any) -> Object:
        pod = self.node.pod(NAMESPACE, name, script, **container)
        self.node.api.create(pod)
        return pod

    def is_silent(self, *names: str) -> None:
        self.prometheus.wait_evaluated()
        for name in names:
            assert self.prometheus.alerts(name) == []

    def verdict(self, probe: str, check: str, status: int) -> None:
        labels = {"probe": probe, "check": check}
        self.daemon.wait_for("vitalsd_check_status", status, deadline=90, **labels)


@pytest.fixture(scope="module")
def cluster(_kubernetes_node: Node) -> Iterator[Cluster]:
    node = _kubernetes_node
    with ExitStack() as closing:
        closing.callback(node.restore)
        node.api.namespace(NAMESPACE)
        node.api.wait_prepared(NAMESPACE)
        daemon = in_cluster(node)
        closing.callback(daemon.close)
        closing.enter_context(node.inside())
        prometheus = Prometheus(
            shipped_configuration(
                [daemon.address], labels={"namespace": "vitalsd", "pod": "vitalsd-0", "node": "n"}
            ),
            [shorten_rules.shorten(file.read_text(), at_most="1s") for file in RULE_FILES],
        )
        closing.callback(prometheus.close)
        prometheus.wait_scraped()
        cluster = Cluster(node, daemon, prometheus)
        node.wait_container(cluster.run("healthy", "sleep 1000000"), "running")
        yield cluster


@pytest.fixture
def quiet(cluster: Cluster) -> Iterator[Cluster]:
    """A healthy cluster with one healthy pod that has no limits."""
    for probe in ("nodes", "pods", "kubelets"):
        cluster.daemon.wait_ok(probe, deadline=60)
    cluster.prometheus.wait_for(
        f'container_memory_working_set_bytes{{namespace="{NAMESPACE}", pod="healthy"}}'
    )
    yield cluster
    for name in cluster.node.api.names("v1", "Pod", NAMESPACE):
        if name != "healthy":
            cluster.node.api.delete(reference("v1", "Pod", name, NAMESPACE))


def test_a_healthy_cluster_is_silent(quiet: Cluster) -> None:
    quiet.is_silent(
        "PodCrashLooping", "PodMemoryHigh", "HighMemoryUsage", "PodCPUThrottling", "DiskSpaceLow"
    )
    # A container without a limit has no limit series. The pause container and the pod's sum have no
    # series.
    assert quiet.daemon.absent("container_spec_memory_limit_bytes", namespace=NAMESPACE)
    rows = quiet.daemon.samples("container_memory_working_set_bytes", namespace=NAMESPACE)
    assert [(row.labels["pod"], row.labels["container"]) for row in rows] == [("healthy", "main")]
    assert quiet.daemon.value("vitalsd_cluster_nodes_ready") == 1


def test_a_container_that_crashes(quiet: Cluster) -> None:
    pod = quiet.run("crasher", "exit 3")
    for document in (GUIDE, MANUAL):
        alert = quiet.prometheus.wait_firing("PodCrashLooping", deadline=90, **document)
        assert alert["labels"]["pod"] == "crasher"
        assert alert["labels"]["container"] == "main"
        assert "vcci-production/crasher" in alert["annotations"]["summary"]
    quiet.verdict("pods", "crash_looping", 2)
    assert "vcci-production/crasher (main)" in quiet.daemon.page("/")
    labels = {"pod": "crasher", "container": "main"}
    assert quiet.daemon.value("kube_pod_container_status_last_terminated_exitcode", **labels) == 3
    quiet.node.api.delete(pod)
    quiet.verdict("pods", "crash_looping", 0)
    assert quiet.daemon.absent("kube_pod_container_status_restarts_total", pod="crasher")


def test_a_container_that_fills_its_memory(quiet: Cluster) -> None:
    limits = {"limits": {"memory": "64Mi"}}
    pod = quiet.run("hog", FILL.format(mib=61), resources=limits)
    for name, document in (("PodMemoryHigh", GUIDE), ("HighMemoryUsage", MANUAL)):
        alert = quiet.prometheus.wait_firing(name, deadline=90, **document)
        assert (alert["labels"]["pod"], alert["labels"]["container"]) == ("hog", "main")
    assert quiet.daemon.value("container_spec_memory_limit_bytes", pod="hog") == 64 * MIB
    quiet.verdict("kubelets", "container_memory", 2)
    quiet.node.api.delete(pod)
    quiet.prometheus.wait_silent("PodMemoryHigh", deadline=60)
    quiet.prometheus.wait_silent("HighMemoryUsage", deadline=60)


def test_a_container_that_is_killed_for_its_memory(quiet: Cluster) -> None:
    limits = {"limits": {"memory": "16Mi"}}
    quiet.run("glutton", "exec tail /dev/zero", resources=limits)
    quiet.verdict("pods", "oom_killed", 1)
    # The check reports it at once, the series when the container has been restarted.
    quiet.daemon.wait_for(
        "kube_pod_container_status_last_terminated_reason", 1, pod="glutton", reason="OOMKilled"
    )
    assert "vcci-production/glutton (main)" in quiet.daemon.page("/")


def test_a_container_that_is_throttled(quiet: Cluster) -> None:
    """The period is one second here, so two cores suffice for half a second of throttled time. The
    limit is low, so that a busy machine lets the pod reach it early in each period. If
    all containers of a pod have limits, the kernel may count that time for the pod and not for the
    container. The second container has no limit, so the pod has none. Its request gives the pod
    enough weight to reach the limit while other tests use the processor."""
    loops = "for i in 1 2 3 4; do while :; do :; done & done; wait"
    pod = quiet.node.pod(NAMESPACE, "spinner", loops, resources={"limits": {"cpu": "30m"}})
    main = pod["spec"]["containers"][0]
    idle = ["sh", "-c", "sleep 1000000"]
    weight = {"requests": {"cpu": "1"}}
    pod["spec"]["containers"].append({**main, "name": "idle", "command": idle, "resources": weight})
    quiet.node.api.create(pod)
    throttled = "container_cpu_cfs_throttled_seconds_total"
    wait_until(
        lambda: quiet.daemon.value(throttled, pod="spinner") > 1,
        deadline=90,
        what=lambda: f"throttling; of {quiet.daemon.page('/probes/kubelets/metrics')}",
    )
    for name in ("PodCPUThrottling", "ContainerCPUThrottled"):
        alert = quiet.prometheus.wait_firing(name, deadline=90)
        assert (alert["labels"]["pod"], alert["labels"]["container"]) == ("spinner", "main")


def test_a_node_whose_disk_fills(quiet: Cluster) -> None:
    file = quiet.node.disk / "fill"
    quiet.node.run("dd", "if=/dev/zero", f"of={file}", "bs=1M", "count=236")
    try:
        for name, document in (("DiskSpaceLow", GUIDE), ("DiskSpaceRunningLow", MANUAL)):
            alert = quiet.prometheus.wait_firing(name, deadline=90, **document)
            assert alert["labels"]["node"] == "node-1"
            assert alert["labels"]["mountpoint"] == "/"
        quiet.verdict("kubelets", "disk_used", 2)
    finally:
        quiet.node.run("rm", str(file))
    quiet.prometheus.wait_silent("DiskSpaceLow", deadline=60)
    quiet.prometheus.wait_silent("DiskSpaceRunningLow", deadline=60)


def test_pods_that_cannot_start_are_told_by_name(quiet: Cluster) -> None:
    quiet.run("imageless", "true", image="nowhere.example/none:1")
    big = {"requests": {"cpu": "1000"}}
    quiet.run("homeless", "true", resources=big)
    quiet.verdict("pods", "cannot_start", 2)
    quiet.verdict("pods", "unschedulable", 2)
    page = quiet.daemon.page("/")
    assert "vcci-production/imageless (main: ErrImageNeverPull)" in page
    assert "vcci-production/homeless" in page


def test_a_node_that_is_lost(quiet: Cluster) -> None:
    quiet.node.freeze_kubelet()
    try:
        quiet.verdict("nodes", "not_ready", 2)
        ready = {"node": "node-1", "condition": "Ready", "status": "unknown"}
        quiet.daemon.wait_for("kube_node_status_condition", 1, **ready)
        assert "node-1 (NodeStatusUnknown)" in quiet.daemon.page("/")
        # Its kubelet does not respond either. The other kinds succeed.
        quiet.daemon.wait_failed("kubelets", "timeout")
        assert quiet.daemon.value("probe_success", probe="pods") == 1
    finally:
        quiet.node.thaw_kubelet()
    quiet.node.wait_ready()
    quiet.daemon.wait_ok("kubelets", deadline=60)
    wait_until(lambda: quiet.daemon.value("vitalsd_cluster_nodes_ready") == 1)
