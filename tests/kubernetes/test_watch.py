"""The watches of the Kubernetes client, with the kinds pod and node and a real API server: no
change is missed and no deleted object stays, with any fault of the API server."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from support import wait_until
from support.fault_proxy import FaultProxy
from support.kubernetes import ApiServer
from support.kubernetes_client import Object, reference
from support.vitalsd import Vitalsd

RESTARTS = "kube_pod_container_status_restarts_total"
READ_PODS = {"apiGroups": [""], "resources": ["pods"], "verbs": ["list", "watch"]}

StartVitalsd = Callable[..., Vitalsd]


def pod(namespace: str, name: str, *, restarts: int = 0, phase: str = "Running", **more: Any) -> Object:
    thing = reference("v1", "Pod", name, namespace)
    thing["metadata"]["labels"] = {"app": name.split("-")[0]}
    thing["spec"] = {"nodeName": "far", "containers": [{"name": "web", "image": "web:1"}]}
    status = {"name": "web", "image": "web:1", "imageID": "", "ready": False} | more
    thing["status"] = {"phase": phase, "containerStatuses": [{**status, "restartCount": restarts}]}
    return thing


def follow(
    vitalsd: StartVitalsd, api: ApiServer, namespace: str = "", kubeconfig: Path | None = None, **options: Any
) -> Vitalsd:
    probe: dict[str, Any] = {"name": "pods", "kind": "pod"}
    if namespace:
        probe["namespaces"] = [namespace]
    access = {"kubeconfig": str(kubeconfig or api.kubeconfig())}
    return vitalsd([{**probe, **options}], kubernetes=access)


def pods(daemon: Vitalsd) -> set[str]:
    return {sample.labels["pod"] for sample in daemon.samples(RESTARTS)}


def wait_pods(daemon: Vitalsd, *names: str, deadline: float = 60) -> None:
    wait_until(
        lambda: pods(daemon) == set(names),
        deadline=deadline,
        what=lambda: f"{names}, not {pods(daemon)}\n{daemon.tail(8)}",
    )


@pytest.fixture
def namespace(api_server: ApiServer) -> Iterator[str]:
    yield api_server.namespace()


# ---- events -------------------------------------------------------------------------------------


def test_every_change_is_on_the_page(
    vitalsd: StartVitalsd, api_server: ApiServer, namespace: str
) -> None:
    api_server.apply([pod(namespace, "web-1"), pod(namespace, "web-2", restarts=2)])
    daemon = follow(vitalsd, api_server, namespace)
    assert pods(daemon) == {"web-1", "web-2"}
    assert daemon.value(RESTARTS, pod="web-2", namespace=namespace, container="web") == 2

    api_server.apply(pod(namespace, "web-3"))
    wait_pods(daemon, "web-1", "web-2", "web-3")
    looping = pod(namespace, "web-2", restarts=3, state={"waiting": {"reason": "CrashLoopBackOff"}})
    api_server.patch_status(looping, looping["status"])
    daemon.wait_for(RESTARTS, 3, pod="web-2")
    daemon.wait_for("vitalsd_check_status", 2, check="crash_looping")
    assert daemon.samples("kube_pod_container_status_waiting_reason", reason="CrashLoopBackOff")
    assert f"{namespace}/web-2 (web)" in daemon.page("/")

    api_server.delete(pod(namespace, "web-2"))
    wait_pods(daemon, "web-1", "web-3")
    daemon.wait_for("vitalsd_check_status", 0, check="crash_looping")
    # All of this used one list and one watch.
    assert not daemon.failures("pods")


def test_an_api_server_at_an_ipv6_address(
    vitalsd: StartVitalsd,
    api_server: ApiServer,
    namespace: str,
    fault_proxy: Callable[..., FaultProxy],
) -> None:
    relay = fault_proxy(api_server.port, address="::1")
    api_server.apply(pod(namespace, "web-1"))
    access = api_server.kubeconfig(url=f"https://[::1]:{relay.port}")
    daemon = follow(vitalsd, api_server, namespace, access)
    wait_pods(daemon, "web-1")
    assert relay.connections


def test_a_list_of_many_pages(vitalsd: StartVitalsd, api_server: ApiServer, namespace: str) -> None:
    many = {f"web-{i}" for i in range(600)}
    api_server.apply([pod(namespace, name) for name in many])
    daemon = follow(vitalsd, api_server, namespace)
    assert pods(daemon) == many


def test_an_older_server_lists_in_pages(vitalsd: StartVitalsd, old_api_server: ApiServer) -> None:
    api = old_api_server
    namespace = api.namespace()
    many = {f"web-{i}" for i in range(600)}
    api.apply([pod(namespace, name) for name in many])
    daemon = follow(vitalsd, api, namespace)
    assert pods(daemon) == many
    api.delete(pod(namespace, "web-7"))
    wait_pods(daemon, *(many - {"web-7"}))


@pytest.fixture(scope="module")
def old_api_server() -> Iterator[ApiServer]:
    server = ApiServer("--feature-gates=WatchList=false")
    try:
        yield server
    finally:
        server.close()


def test_probes_of_one_resource_share_a_watch(
    vitalsd: StartVitalsd, api_server: ApiServer, namespace: str
) -> None:
    api_server.apply([pod(namespace, "web-1"), pod(namespace, "web-2", phase="Failed")])
    account = api_server.service_account(namespace)
    api_server.grant(account, READ_PODS, namespace=namespace)
    scope = {"kind": "pod", "namespaces": [namespace]}
    probes = [
        {"name": "running", **scope, "phases": ["Running"]},
        {"name": "ended", **scope, "phases": ["Failed", "Succeeded"]},
    ]
    access = api_server.kubeconfig("watcher", token=account.token)
    daemon = vitalsd(probes, kubernetes={"kubeconfig": str(access)})
    found = {(each.labels["probe"], each.labels["pod"]) for each in daemon.samples(RESTARTS)}
    assert found == {("running", "web-1"), ("ended", "web-2")}
    daemon.end()
    wait_until(lambda: api_server.requests(account), what="the audit log")
    watches = {request["auditID"] for request in api_server.requests(account)}
    # The second probe restarts the watch, with one list for both.
    assert len(watches) <= 2
    assert {request["userAgent"] for request in api_server.requests(account)} == {"vitalsd"}


def test_filters(vitalsd: StartVitalsd, api_server: ApiServer, namespace: str) -> None:
    done = pod(namespace, "job-1", phase="Succeeded")
    api_server.apply([pod(namespace, "web-1"), pod(namespace, "api-1"), done])
    daemon = follow(vitalsd, api_server, namespace, selector="app!=api", phases=["Running"])
    assert pods(daemon) == {"web-1"}


# ---- faults of the API server --------------------------------------------------------------------


def test_the_api_server_is_away(vitalsd: StartVitalsd, api_server: ApiServer, namespace: str) -> None:
    api_server.apply([pod(namespace, "web-1"), pod(namespace, "web-2")])
    daemon = follow(vitalsd, api_server, namespace)
    api_server.stop()
    daemon.wait_failed("pods", "connect")
    daemon.wait_runs("pods", 5)
    assert pods(daemon) == {"web-1", "web-2"}  # the pods stay published
    api_server.start()
    api_server.delete(pod(namespace, "web-1"))
    wait_pods(daemon, "web-2")
    daemon.wait_ok("pods")


def test_a_deletion_that_nobody_told(
    vitalsd: StartVitalsd, api_server: ApiServer, namespace: str
) -> None:
    api_server.apply([pod(namespace, "web-1"), pod(namespace, "web-2")])
    daemon = follow(vitalsd, api_server, namespace)
    daemon.freeze()
    api_server.delete(pod(namespace, "web-1"))
    api_server.compact()  # so that the earlier revision gets 410
    daemon.thaw()
    wait_pods(daemon, "web-2")
    daemon.wait_ok("pods")


def test_the_store_is_restored_empty(
    vitalsd: StartVitalsd, api_server: ApiServer, namespace: str
) -> None:
    api_server.apply([pod(namespace, "web-1"), pod(namespace, "web-2")])
    daemon = follow(vitalsd, api_server, namespace)
    api_server.restore_empty()
    wait_pods(daemon)
    again = api_server.namespace(namespace)
    api_server.apply(pod(again, "web-3"))
    wait_pods(daemon, "web-3")


def test_a_relist_leaves_no_gap(
    vitalsd: StartVitalsd, api_server: ApiServer, namespace: str
) -> None:
    many = {f"web-{i}" for i in range(200)}
    api_server.apply([pod(namespace, name) for name in many])
    daemon = follow(vitalsd, api_server, namespace)
    api_server.compact()
    api_server.apply(pod(namespace, "web-200"))
    seen = pods(daemon)
    while "web-200" not in seen:
        assert seen == many
        seen = pods(daemon)


def test_the_api_server_is_frozen_at_the_start(
    vitalsd: StartVitalsd, api_server: ApiServer, namespace: str
) -> None:
    api_server.apply(pod(namespace, "web-1"))
    api_server.freeze()
    daemon = follow(vitalsd, api_server, namespace)
    daemon.wait_failed("pods", "timeout")
    api_server.thaw()
    wait_pods(daemon, "web-1")


# ---- credentials ----------------------------------------------------------------------------------


def in_cluster(vitalsd: StartVitalsd, api: ApiServer, account: Any, namespace: str) -> Vitalsd:
    place = {"VITALSD_SERVICE_ACCOUNT": str(account.directory)}
    return vitalsd(
        [{"name": "pods", "kind": "pod", "namespaces": [namespace]}],
        plain=api.environment | place,
        secrets=[account.token],
    )


def test_as_the_service_account_of_a_pod(
    vitalsd: StartVitalsd, api_server: ApiServer, namespace: str
) -> None:
    api_server.apply(pod(namespace, "web-1"))
    account = api_server.service_account(namespace)
    daemon = in_cluster(vitalsd, api_server, account, namespace)
    daemon.wait_failed("pods", "permission")
    error = daemon.log_lines("probe failed", probe="pods")[-1]["error"]
    for word in ("watch", "pods", namespace, account.user):
        assert word in error
    granted = api_server.grant(account, READ_PODS, namespace=namespace)
    wait_pods(daemon, "web-1")

    # The permissions are revoked and granted again.
    api_server.revoke(granted, account)
    api_server.restart()
    daemon.wait_failed("pods", "permission")
    api_server.grant(account, READ_PODS, namespace=namespace)
    daemon.wait_ok("pods")


def test_a_rotated_token_is_taken_up(
    vitalsd: StartVitalsd, api_server: ApiServer, namespace: str
) -> None:
    api_server.apply(pod(namespace, "web-1"))
    account = api_server.service_account(namespace)
    api_server.grant(account, READ_PODS, namespace=namespace)
    daemon = in_cluster(vitalsd, api_server, account, namespace)
    assert pods(daemon) == {"web-1"}
    # The old token is invalid because it belonged to the deleted account.
    api_server.delete(reference("v1", "ServiceAccount", account.name, namespace))
    api_server.restart()
    daemon.wait_failed("pods", "auth")
    api_server.apply(reference("v1", "ServiceAccount", account.name, namespace))
    api_server.renew(account)
    daemon.secrets.add(account.token)
    daemon.wait_ok("pods")


def test_rotated_certificates_are_taken_up(
    vitalsd: StartVitalsd, api_server: ApiServer, namespace: str
) -> None:
    """The certificates of the server and of the client rotate. The client's files are replaced."""
    api_server.apply(pod(namespace, "web-1"))
    kubeconfig = api_server.kubeconfig("before")
    (old,) = (user["user"] for user in yaml.safe_load(kubeconfig.read_text())["users"])
    granted = api_server.grant("before", READ_PODS, namespace=namespace)
    daemon = follow(vitalsd, api_server, namespace, kubeconfig)
    wait_pods(daemon, "web-1")
    api_server.grant("after", READ_PODS, namespace=namespace)
    new = api_server.user("after")
    shutil.copy(new.path, old["client-certificate"])
    shutil.copy(new.key, old["client-key"])
    api_server.revoke(granted, "before")
    api_server.renew_certificate()
    api_server.restart()
    api_server.apply(pod(namespace, "web-2"))
    wait_pods(daemon, "web-1", "web-2")
    daemon.wait_ok("pods")


def test_a_certificate_that_is_not_trusted(
    vitalsd: StartVitalsd, api_server: ApiServer, certificates: Any, namespace: str
) -> None:
    account = api_server.service_account(namespace)
    shutil.copy(certificates.path, account.directory / "ca.crt")
    daemon = in_cluster(vitalsd, api_server, account, namespace)
    daemon.wait_failed("pods", "tls")


def test_no_cluster_is_told(vitalsd: StartVitalsd) -> None:
    daemon = vitalsd([{"name": "pods", "kind": "pod"}])
    daemon.wait_failed("pods", "config")
    assert "KUBERNETES_SERVICE_HOST" in daemon.log_lines("probe failed")[-1]["error"]


# ---- nodes ----------------------------------------------------------------------------------------


def test_nodes(vitalsd: StartVitalsd, api_server: ApiServer) -> None:
    node = reference("v1", "Node", "n1")
    node["spec"] = {"unschedulable": True}
    ready = {"type": "Ready", "status": "True", "reason": "KubeletReady"}
    node["status"] = {
        "capacity": {"cpu": "1500m", "memory": "1Gi", "pods": "1e2"},
        "allocatable": {"cpu": "1"},
        "conditions": [ready],
    }
    api_server.apply(node)
    daemon = vitalsd(
        [{"name": "nodes", "kind": "node"}],
        kubernetes={"kubeconfig": str(api_server.kubeconfig())},
    )
    assert daemon.value("kube_node_status_capacity", resource="cpu", unit="core") == 1.5
    assert daemon.value("kube_node_status_capacity", resource="memory", unit="byte") == 1 << 30
    assert daemon.value("kube_node_status_capacity", resource="pods") == 100
    assert daemon.value("kube_node_spec_unschedulable", node="n1", instance="n1") == 1
    assert daemon.value("vitalsd_cluster_nodes_ready") == 1
    condition = {"condition": "Ready", "node": "n1"}
    assert daemon.value("kube_node_status_condition", status="true", **condition) == 1
    assert daemon.value("kube_node_status_condition", status="unknown", **condition) == 0

    silent = {"type": "Ready", "status": "Unknown", "reason": "NodeStatusUnknown"}
    api_server.patch_status(node, {"conditions": [silent]})
    daemon.wait_for("kube_node_status_condition", 1, status="unknown", **condition)
    daemon.wait_for("vitalsd_check_status", 2, check="not_ready")
    assert "n1 (NodeStatusUnknown)" in daemon.page("/")
