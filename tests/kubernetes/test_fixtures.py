"""The Kubernetes fixtures produce the faults that they describe. These tests need no daemon."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from support import process, wait_until
from support.control_groups import control_group_hierarchies
from support.kubernetes import ApiServer, built
from support.kubernetes_client import ApiError, Object, reference
from support.kubernetes_node import Node
from support.prometheus import Prometheus

READ_PODS = {"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list", "watch"]}


def config_map(namespace: str, name: str, **data: str) -> Object:
    return {**reference("v1", "ConfigMap", name, namespace), "data": data}


def revision(answer: Object) -> str:
    return answer["metadata"]["resourceVersion"]


# ---- API server ---------------------------------------------------------------------------------


def test_objects_are_what_tests_make_them(api_server: ApiServer) -> None:
    namespace = api_server.namespace()
    pod = reference("v1", "Pod", "web-1", namespace)
    pod["spec"] = {"nodeName": "far", "containers": [{"name": "web", "image": "web:1"}]}
    waiting = {"name": "web", "image": "web:1", "imageID": "", "ready": False, "restartCount": 7}
    waiting |= {"state": {"waiting": {"reason": "CrashLoopBackOff"}}, "lastState": {}}
    pod["status"] = {"phase": "Running", "containerStatuses": [waiting]}
    api_server.apply(pod)
    assert api_server.names("v1", "Pod", namespace) == ["web-1"]
    assert api_server.get(pod)["status"]["containerStatuses"] == [waiting]

    since = revision(api_server.listed("v1", "Pod", namespace))
    api_server.patch_status(pod, {"message": "not well"})
    api_server.patch(pod, {"metadata": {"labels": {"a": "b"}}})
    api_server.delete(pod, grace=30)
    assert api_server.get(pod)["metadata"]["deletionTimestamp"]
    api_server.delete(pod)
    assert not api_server.exists(pod)
    events = api_server.watch("v1", "Pod", namespace, resourceVersion=since)
    kinds = [next(events)["type"] for _ in range(5)]
    # Both its termination and its end are changes.
    assert kinds == ["MODIFIED"] * 4 + ["DELETED"]
    events.close()

    shown = api_server.kubectl("get", "namespace", namespace, "--output=json").stdout
    assert json.loads(shown)["status"]["phase"] == "Active"


def test_a_watch_can_begin_with_all_that_there_is(api_server: ApiServer) -> None:
    namespace = api_server.namespace()
    api_server.apply([config_map(namespace, "first"), config_map(namespace, "second")])
    events = api_server.watch(
        "v1",
        "ConfigMap",
        namespace,
        sendInitialEvents="true",
        allowWatchBookmarks="true",
        resourceVersionMatch="NotOlderThan",
    )
    assert [next(events)["type"] for _ in range(2)] == ["ADDED", "ADDED"]
    bookmark = next(events)
    assert bookmark["type"] == "BOOKMARK"
    assert bookmark["object"]["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}
    events.close()


def test_what_a_test_has_made_is_gone_after_it(api_server: ApiServer) -> None:
    namespace = api_server.namespace()
    held = config_map(namespace, "held")
    held["metadata"]["finalizers"] = ["example.com/never"]
    api_server.create(held)
    api_server.restore()
    assert not api_server.exists(held)
    assert namespace not in api_server.names("v1", "Namespace")


def test_permissions_of_service_accounts(api_server: ApiServer) -> None:
    namespace = api_server.namespace()
    account = api_server.service_account(namespace, "reader", seconds=600)
    assert (account.directory / "namespace").read_text() == namespace
    client = api_server.client(account)
    with pytest.raises(ApiError, match=f'403 Forbidden: .*User "{account.user}" cannot list'):
        client.listed("v1", "Pod", namespace)
    granted = api_server.grant(account, READ_PODS, namespace=namespace)
    assert client.names("v1", "Pod", namespace) == []
    with pytest.raises(ApiError, match="403"):
        client.listed("v1", "Pod")
    api_server.revoke(granted, account)
    with pytest.raises(ApiError, match="403"):
        client.listed("v1", "Pod", namespace)
    with pytest.raises(ApiError, match=r"403 .*system:anonymous"):
        api_server.client().listed("v1", "Pod")

    asked = api_server.requests(account, "list")
    assert [each["responseStatus"]["code"] for each in asked] == [403, 200, 403, 403]

    before = account.token
    api_server.renew(account)
    assert (account.directory / "token").read_text() == account.token != before
    assert {path.name for path in account.directory.glob("[!.]*")} == {
        "ca.crt",
        "namespace",
        "token",
    }
    api_server.delete(reference("v1", "ServiceAccount", "reader", namespace))

    def refused() -> bool:
        with pytest.raises(ApiError, match="401"):
            # Use the unused token, because the server caches the result for the other one for ten
            # seconds.
            api_server.client(account).listed("v1", "Pod", namespace)
        return True

    wait_until(refused)


def test_a_server_that_is_gone_and_comes_back(api_server: ApiServer) -> None:
    namespace = api_server.namespace()
    kept = config_map(namespace, "kept", answer="42")
    api_server.apply(kept)
    api_server.stop()
    assert not process.accepts_connections(api_server.port)
    api_server.start()
    assert api_server.get(kept)["data"] == {"answer": "42"}


def test_a_silent_server(api_server: ApiServer) -> None:
    namespace = api_server.namespace()
    since = revision(api_server.listed("v1", "ConfigMap", namespace))
    events = api_server.watch("v1", "ConfigMap", namespace, resourceVersion=since)
    api_server.apply(config_map(namespace, "first"))
    assert next(events)["object"]["metadata"]["name"] == "first"
    api_server.freeze()
    assert process.accepts_connections(api_server.port)
    with pytest.raises(TimeoutError):
        api_server.request("GET", "/readyz", timeout=0.3)
    api_server.thaw()
    api_server.apply(config_map(namespace, "second"))
    assert next(events)["object"]["metadata"]["name"] == "second"
    events.close()


def test_the_past_is_forgotten(api_server: ApiServer) -> None:
    namespace = api_server.namespace()
    for number in range(4):
        api_server.apply(config_map(namespace, f"of-{number}"))
    page = api_server.listed("v1", "ConfigMap", namespace, limit=2)
    api_server.apply(config_map(namespace, "later"))
    api_server.compact()
    events = api_server.watch("v1", "ConfigMap", namespace, resourceVersion=revision(page))
    event = next(events)
    assert event["type"] == "ERROR" and event["object"]["code"] == 410
    events.close()
    rest: dict[str, str | int] = {"limit": 2, "continue": page["metadata"]["continue"]}
    with pytest.raises(ApiError, match="410 Expired"):
        api_server.listed("v1", "ConfigMap", namespace, **rest)


def test_the_past_is_forgotten_without_a_restart(
    api_server_with: Callable[..., ApiServer],
) -> None:
    api_server = api_server_with("--watch-cache=false", "--feature-gates=WatchList=false")
    page = api_server.listed("v1", "Namespace")
    api_server.namespace()
    pid = api_server.pid
    api_server.compact()
    assert api_server.pid == pid
    (event,) = api_server.watch("v1", "Namespace", resourceVersion=revision(page))
    assert event["type"] == "ERROR" and event["object"]["code"] == 410
    with pytest.raises(ApiError, match=r"422 Invalid: .*sendInitialEvents"):
        next(api_server.watch("v1", "Namespace", sendInitialEvents="true"))


def test_everything_is_forgotten(api_server: ApiServer) -> None:
    namespace = api_server.namespace()
    account = api_server.service_account(namespace)
    before = int(revision(api_server.listed("v1", "Namespace")))
    api_server.restore_empty()
    assert namespace not in api_server.names("v1", "Namespace")
    assert int(revision(api_server.listed("v1", "Namespace"))) < before
    with pytest.raises(ApiError, match="401"):
        api_server.client(account).listed("v1", "Pod")


def test_cert_manager_is_known(api_server: ApiServer) -> None:
    api_server.install_definitions("cert-manager")
    certificate = reference("cert-manager.io/v1", "Certificate", "web", api_server.namespace())
    certificate["spec"] = {"secretName": "web", "issuerRef": {"name": "x"}, "dnsNames": ["a.test"]}
    certificate["status"] = {"notAfter": "2030-01-01T00:00:00Z"}
    api_server.apply(certificate)
    (listed,) = api_server.listed("cert-manager.io/v1", "Certificate")["items"]
    assert listed["status"] == certificate["status"]
    wrong = {**certificate, "spec": {"secretName": "web"}}
    with pytest.raises(ApiError, match="issuerRef"):
        api_server.apply({**wrong, "metadata": {**wrong["metadata"], "name": "wrong"}})


def test_load_and_informers(api_server: ApiServer) -> None:
    load = built("load", "load")
    file = f"-kubeconfig={api_server.kubeconfig()}"
    size = ["-nodes=3", "-pods=40", "-namespaces=2", "-workers=8"]
    for _ in range(2):  # the second time all objects exist
        subprocess.run([load, "load", file, *size], check=True, stdout=subprocess.DEVNULL)
    nodes = api_server.listed("v1", "Node")["items"]
    assert [len(node["status"]["images"]) for node in nodes] == [50] * 3
    pods = api_server.listed("v1", "Pod")["items"]
    assert {len(pod["status"]["containerStatuses"]) for pod in pods} == {2}
    with subprocess.Popen(
        [load, "informers", file], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as informers:
        assert informers.stdin and informers.stdout
        first = json.loads(informers.stdout.readline())
        assert (first["nodes"], first["pods"]) == (3, 40)
        assert first["cpu_seconds"] > 0 and first["rss_bytes"] > 1 << 20
        api_server.delete(pods[0])

        def one_less() -> bool:
            print(file=informers.stdin, flush=True)
            return json.loads(informers.stdout.readline())["pods"] == 39

        wait_until(one_less)
        informers.stdin.close()
        assert informers.wait(10) == 0
    for each in (*pods[1:], *nodes):
        api_server.delete(each)


# ---- node ---------------------------------------------------------------------------------------


def test_a_pod_really_runs(kubernetes_node: Node) -> None:
    node, namespace = kubernetes_node, kubernetes_node.api.namespace()
    # The address in its environment is the API server's, as in any cluster.
    script = "echo hello; nc -w 5 $KUBERNETES_SERVICE_HOST 443 </dev/null && echo here; sleep 1000"
    pod = node.pod(namespace, "speaks", script)
    node.api.create(pod)
    assert node.wait_container(pod, "running")["ready"]
    wait_until(lambda: node.api.logs(namespace, "speaks") == "hello\nhere\n")
    done = node.api.kubectl("exec", f"--namespace={namespace}", "speaks", "--", "uname", "-n")
    assert done.stdout == "speaks\n"


def test_a_pod_that_crashes(kubernetes_node: Node) -> None:
    node, namespace = kubernetes_node, kubernetes_node.api.namespace()
    pod = node.pod(namespace, "crashes", "exit 3")
    node.api.create(pod)
    status = node.wait_container(pod, "waiting", "CrashLoopBackOff", deadline=60)
    assert status["lastState"]["terminated"]["exitCode"] == 3


def test_a_pod_that_takes_too_much_memory(kubernetes_node: Node) -> None:
    node, namespace = kubernetes_node, kubernetes_node.api.namespace()
    # containerd listens for OOM events only from a moment after the start. A container that is
    # killed before that has the reason "Error".
    greedy = "sleep 1; dd if=/dev/zero of=/dev/null bs=64M"
    limited = {"limits": {"memory": "16Mi"}}
    pod = node.pod(namespace, "greedy", greedy, restart="Never", resources=limited)
    node.api.create(pod)
    status = node.wait_container(pod, "terminated", "OOMKilled", deadline=60)
    assert status["state"]["terminated"]["exitCode"] == 137


def test_prometheus_reaches_pods(
    kubernetes_node: Node, prometheus: Callable[..., Prometheus]
) -> None:
    node, namespace = kubernetes_node, kubernetes_node.api.namespace()
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
    wait_until(
        lambda: node.api.get(deployment)["status"].get("readyReplicas") == 2,
        deadline=60,
        what="a rollout",
    )
    pods = node.api.listed("v1", "Pod", namespace)["items"]
    targets = [f"{pod['status']['podIP']}:8080" for pod in pods]
    with node.inside():
        scrape = {"job_name": "web", "static_configs": [{"targets": targets}]}
        running = prometheus({"global": {"scrape_interval": "100ms"}, "scrape_configs": [scrape]})
    running.wait_for("sum(answer) == 84")


def test_readings_of_the_kubelet(kubernetes_node: Node) -> None:
    node, namespace = kubernetes_node, kubernetes_node.api.namespace()
    limited = {"limits": {"cpu": "100m"}}
    pod = node.pod(namespace, "busy", "while :; do :; done", resources=limited)
    node.api.create(pod)
    node.wait_container(pod, "running")

    def throttled() -> bool:
        page = node.api.raw("GET", f"/api/v1/nodes/{node.name}/proxy/metrics/cadvisor").decode()
        series = [
            line
            for line in page.splitlines()
            if line.startswith("container_cpu_cfs_throttled_periods_total{")
            and 'container="main"' in line
            and f'namespace="{namespace}"' in line
        ]
        return bool(series) and float(series[0].split()[1]) > 1

    wait_until(throttled, deadline=60)


def test_a_node_that_is_lost_and_found(kubernetes_node: Node) -> None:
    kubernetes_node.freeze_kubelet()
    kubernetes_node.wait_ready("Unknown")
    kubernetes_node.thaw_kubelet()
    kubernetes_node.wait_ready()


def test_a_node_takes_the_control_groups_that_its_kubelet_sees() -> None:
    first_version = """\
tmpfs /sys/fs/cgroup tmpfs rw,mode=755 0 0
cgroup /sys/fs/cgroup/cpu cgroup rw,cpu 0 0
cgroup /sys/fs/cgroup/memory cgroup rw,memory 0 0
cgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0
cgroup /srv/chroot/sys/fs/cgroup/memory cgroup rw,memory 0 0
cgroup /sys/fs/cgroup/memory cgroup rw,memory 0 0
"""
    found = [Path("/sys/fs/cgroup", name) for name in ("cpu", "memory", "unified")]
    assert control_group_hierarchies(first_version) == found
    second_version = """\
cgroup2 /sys/fs/cgroup cgroup2 rw 0 0
cgroup2 /run/containers/1/rootfs/sys/fs/cgroup cgroup2 ro 0 0
"""
    assert control_group_hierarchies(second_version) == [Path("/sys/fs/cgroup")]


def test_nothing_of_a_node_stays(kubernetes_node_with: Callable[..., Node]) -> None:
    node = kubernetes_node_with(cpu_quota_period="100ms")
    cgroup, init = node._cgroup, node.namespaces.init
    namespace = node.api.namespace()
    pod = node.pod(namespace, "stays", "sleep 1000")
    node.api.create(pod)
    node.wait_container(pod, "running")
    pids = process.family(init)
    assert len(pids) > 3  # at least a shim, a sandbox and the container
    node.close()
    assert all(process.is_gone(pid) for pid in pids)
    assert not list(Path("/sys/fs/cgroup").glob(f"**/{cgroup}"))
    assert not node.directory.exists()
    assert str(node.directory) not in Path("/proc/self/mounts").read_text()
