"""The metric names of the Kubernetes kinds: they are documented, and promtool reports no
problem."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable

from kubernetes.test_watch import pod
from support import REPOSITORY, wait_until
from support.kubernetes import ApiServer
from support.kubernetes_client import reference
from support.vitalsd import TEXT, Vitalsd


def test_names_of_a_cluster(vitalsd: Callable[..., Vitalsd], api_server: ApiServer) -> None:
    namespace = api_server.namespace()
    node = reference("v1", "Node", "n1")
    ready = {"type": "Ready", "status": "True", "reason": "KubeletReady"}
    node["status"] = {"capacity": {"cpu": "2", "memory": "1Gi"}, "conditions": [ready]}
    ended = {"exitCode": 137, "reason": "OOMKilled", "finishedAt": "2026-01-01T00:00:00Z"}
    crashed = pod(
        namespace,
        "web-1",
        state={"waiting": {"reason": "CrashLoopBackOff"}},
        lastState={"terminated": ended},
    )
    template = {
        "metadata": {"labels": {"app": "web"}},
        "spec": {"containers": [{"name": "web", "image": "web:1"}]},
    }
    deployment = reference("apps/v1", "Deployment", "web", namespace)
    deployment["spec"] = {"selector": {"matchLabels": {"app": "web"}}, "template": template}
    nightly = reference("batch/v1", "CronJob", "nightly", namespace)
    job = {**template, "spec": {**template["spec"], "restartPolicy": "Never"}}
    nightly["spec"] = {"schedule": "0 2 * * *", "jobTemplate": {"spec": {"template": job}}}
    quota = reference("v1", "ResourceQuota", "most", namespace)
    quota["spec"] = {"hard": {"pods": "10"}}
    quota["status"] = {"hard": {"pods": "10"}, "used": {"pods": "1"}}
    api_server.apply([node, crashed, deployment, nightly, quota])
    daemon = vitalsd(
        [
            {"name": "nodes", "kind": "node"},
            {"name": "pods", "kind": "pod", "families": "all"},
            {"name": "workloads", "kind": "workload"},
            {"name": "logs", "kind": "logs", "patterns": [{"name": "error", "match": "ERROR"}]},
        ],
        interval="1s",
        timeout="900ms",
        kubernetes={"kubeconfig": str(api_server.kubeconfig())},
    )
    for name in ("nodes", "pods", "workloads"):
        daemon.wait_ok(name)
    wait_until(lambda: {"kube_resourcequota", "vitalsd_log_lines"} <= daemon.names())
    text = (REPOSITORY / "docs" / "metrics.md").read_text()
    documented = set(re.findall(r"`([a-z_0-9]+)[`{]", text))
    counters = {name.removesuffix("_total") for name in documented}
    assert daemon.names() - documented - counters == set()
    found = subprocess.run(
        ["promtool", "check", "metrics"],
        input=daemon.page(accept=TEXT),
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.stdout + found.stderr == ""
