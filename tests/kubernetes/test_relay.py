"""Kind relay with the pages of pods: of a real API server with scripted statuses, and of a real
node."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from support.http_peer import HttpPeer, answer
from support.kubernetes import ApiServer
from support.kubernetes_client import Object, reference
from support.kubernetes_node import Node
from support.vitalsd import Vitalsd
from support.waiting import wait_until

READ_PODS = {"apiGroups": [""], "resources": ["pods"], "verbs": ["list", "watch"]}


def pod(namespace: str, name: str, port: int, address: str, phase: str = "Running") -> Object:
    thing = reference("v1", "Pod", name, namespace)
    thing["metadata"]["labels"] = {"app": "web"}
    ports = [{"name": "metrics", "containerPort": port}]
    thing["spec"] = {"containers": [{"name": "main", "image": "web:1", "ports": ports}]}
    thing["status"] = {"phase": phase, "podIP": address, "podIPs": [{"ip": address}]}
    return thing


def error(daemon: Vitalsd) -> str:
    (probe,) = daemon.status()["probes"]
    return probe.get("error", "")


def test_pods_of_a_selector(
    vitalsd: Callable[..., Vitalsd], api_server: ApiServer, http_peer: HttpPeer
) -> None:
    """Running pods are read. A deleted pod loses its series in the next run."""
    namespace = api_server.namespace()
    account = api_server.service_account(namespace)
    http_peer.answers["/metrics"] = answer('app_jobs{pod="own"} 4\n', Content_Type="text/plain")
    web = pod(namespace, "web-1", http_peer.port, "127.0.0.1")
    for thing in (web, pod(namespace, "web-2", http_peer.port, "127.0.0.1", "Pending")):
        api_server.create(thing)
    pods: dict[str, Any] = {"namespaces": [namespace], "selector": "app=web", "port": "metrics"}
    daemon = vitalsd(
        [{"name": "web", "kind": "relay", "pods": pods}],
        interval="1s",
        timeout="900ms",
        plain={**api_server.environment, "VITALSD_SERVICE_ACCOUNT": str(account.directory)},
        secrets=[account.token],
    )
    wait_until(lambda: "permission" in daemon.failures("web"), what="a missing permission")
    assert "pods" in error(daemon)
    api_server.grant(account, READ_PODS, namespace=namespace)
    labels = {"namespace": namespace, "pod": "web-1", "instance": f"127.0.0.1:{http_peer.port}"}
    daemon.wait_for("app_jobs", 4, exported_pod="own", **labels)
    assert daemon.value("relay_up", **labels) == 1
    assert len(daemon.samples("relay_up")) == 1
    api_server.delete(web)
    daemon.wait_for("app_jobs", None)
    assert daemon.absent("relay_up")
    api_server.create(pod(namespace, "web-3", http_peer.port, "127.0.0.1"))
    daemon.wait_for("app_jobs", 4, pod="web-3")

    api_server.create(pod(namespace, "web-4", http_peer.port, "127.0.0.1"))
    daemon.wait_for("app_jobs", 4, pod="web-4")
    daemon.configuration["probes"][0]["labels"] = {"namespace": "all", "pod": "any"}
    daemon.reload()
    daemon.wait_failed("web", "config")
    assert f"distinguish the series of {namespace}/web-3 and {namespace}/web-4:" in error(daemon)
    assert len(daemon.samples("relay_up")) == len(daemon.samples("app_jobs")) == 1
    del daemon.configuration["probes"][0]["labels"]

    daemon.configuration["probes"][0]["pods"]["port"] = "absent"
    daemon.reload()
    daemon.wait_failed("web", "mismatch")
    assert "'absent'" in error(daemon)


def test_pods_of_a_node(kubernetes_node: Node, vitalsd: Callable[..., Vitalsd]) -> None:
    node, namespace = kubernetes_node, kubernetes_node.api.namespace()
    account = node.api.service_account(namespace)
    node.api.grant(account, READ_PODS, namespace=namespace)
    labels = {"app": "web"}
    script = "mkdir www; echo answer 42 >www/metrics; httpd -f -p 8080 -h www"
    deployment = reference("apps/v1", "Deployment", "web", namespace)
    deployment["spec"] = {
        "replicas": 2,
        "selector": {"matchLabels": labels},
        "template": {
            "metadata": {"labels": labels},
            "spec": node.pod(namespace, "web", script)["spec"],
        },
    }
    node.api.create(deployment)
    pods = {"namespaces": [namespace], "selector": "app=web", "port": 8080}
    with node.inside():
        daemon = vitalsd(
            [{"name": "web", "kind": "relay", "pods": pods}],
            interval="1s",
            timeout="900ms",
            plain={**node.api.environment, "VITALSD_SERVICE_ACCOUNT": str(account.directory)},
            secrets=[account.token],
        )
        wait_until(lambda: len(daemon.samples("answer")) == 2, deadline=60, what="two pods")
        names = set(node.api.names("v1", "Pod", namespace))
        assert {sample.labels["pod"] for sample in daemon.samples("answer")} == names
        node.api.patch(deployment, {"spec": {"replicas": 1}})
        wait_until(lambda: len(daemon.samples("answer")) == 1, deadline=60, what="one pod")
