"""deploy/kubernetes/rbac.yaml grants only the permissions that the kinds need. All kinds work with
it. If a rule is removed, only the kinds that need it fail, and they name the missing permission."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import yaml

from support import REPOSITORY, wait_until
from support.kubernetes import ApiServer, ServiceAccount
from support.kubernetes_client import Object
from support.kubernetes_node import Node
from support.vitalsd import Vitalsd

RBAC = REPOSITORY / "deploy" / "kubernetes" / "rbac.yaml"

Probe = dict[str, Any]

PROBES: list[Probe] = [
    {"name": "nodes", "kind": "node"},
    {"name": "pods", "kind": "pod"},
    {"name": "workloads", "kind": "workload"},
    {"name": "managed", "kind": "cert-manager"},
    {"name": "secrets", "kind": "certificate", "secrets": {"namespaces": ["web"]}},
]
# The probes that need each rule, by the rule's first resource. The rules of kubelets are tested
# below on a complete node, and the rules of logs in the tests of logs.
NEEDED_BY = {
    "nodes": {"nodes"},
    "pods": {"pods"},
    "deployments": {"workloads"},
    "jobs": {"workloads"},
    "horizontalpodautoscalers": {"workloads"},
    "resourcequotas": {"workloads"},
    "certificates": {"managed"},
}
# The permissions that a kubelet checks with the API server: the page, and the kubelet's
# subresource.
OF_KUBELETS = {
    "nodes/stats": ("/stats/summary", "stats"),
    "nodes/metrics": ("/metrics/cadvisor", "metrics"),
}
ELSEWHERE = {*OF_KUBELETS, "pods/log"}

StartVitalsd = Callable[..., Vitalsd]


def shipped() -> list[Object]:
    return list(yaml.safe_load_all(RBAC.read_text()))


def cluster_role() -> Object:
    (role,) = (
        thing
        for thing in shipped()
        if thing["kind"] == "ClusterRole" and thing["metadata"]["name"] == "vitalsd"
    )
    return role


@pytest.fixture
def account(api_server: ApiServer) -> ServiceAccount:
    """Starts a daemon with all permissions in a cluster with cert-manager's resources."""
    api = api_server
    api.install_definitions("cert-manager")
    api.namespace("web")
    api.apply(shipped())
    account = api.service_account("vitalsd", "vitalsd")
    secrets = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding",
        "metadata": {"name": "vitalsd-secrets", "namespace": "web"},
        "roleRef": {
            "apiGroup": "rbac.authorization.k8s.io",
            "kind": "ClusterRole",
            "name": "vitalsd-secrets",
        },
        "subjects": [{"kind": "ServiceAccount", "name": "vitalsd", "namespace": "vitalsd"}],
    }
    api.apply(secrets)
    return account


@pytest.fixture
def daemon(vitalsd: StartVitalsd, api_server: ApiServer, account: ServiceAccount) -> Vitalsd:
    return start(vitalsd, api_server, account, PROBES)


def start(
    vitalsd: StartVitalsd, api: ApiServer, account: ServiceAccount, probes: list[Probe]
) -> Vitalsd:
    return vitalsd(
        probes,
        interval="1s",
        timeout="900ms",
        plain={**api.environment, "VITALSD_SERVICE_ACCOUNT": str(account.directory)},
        secrets=[account.token],
        leader_election={"lease": "vitalsd"},
    )


def failing(daemon: Vitalsd) -> dict[str, str]:
    """Returns the errors of the probes that fail or have not run."""
    return {
        probe["name"]: probe["error"] for probe in daemon.status()["probes"] if "error" in probe
    }


def all_well(daemon: Vitalsd) -> bool:
    """Whether all probes succeed. A check may be a warning."""
    return len(daemon.status()["probes"]) == len(PROBES) and not failing(daemon)


def test_every_kind_works_with_it(daemon: Vitalsd) -> None:
    wait_until(lambda: all_well(daemon), deadline=60, what=lambda: str(failing(daemon)))
    assert daemon.value("vitalsd_leader") == 1


def test_every_rule_is_known_here() -> None:
    first = {rule["resources"][0] for rule in cluster_role()["rules"]}
    assert first == NEEDED_BY.keys() | ELSEWHERE


def test_each_right_that_lacks_is_named(
    vitalsd: StartVitalsd, api_server: ApiServer, account: ServiceAccount
) -> None:
    """A daemon with a probe for each resource and without permissions."""
    groups = {
        resource: rule["apiGroups"][0]
        for rule in cluster_role()["rules"]
        for resource in rule["resources"]
        if resource not in ELSEWHERE
    }
    api_server.apply({**cluster_role(), "rules": []})
    probes = [{"name": name, **only(name)} for name in groups]
    daemon = start(vitalsd, api_server, account, probes)

    def all_name_it() -> bool:
        said = failing(daemon)
        for resource, group in groups.items():
            assert f'resource "{resource}" in API group "{group}"' in said[resource], resource
            assert "cannot list" in said[resource] or "cannot watch" in said[resource]
            assert daemon.failures(resource).keys() == {"permission"}
        return True

    wait_until(all_name_it, deadline=60, what=lambda: str(failing(daemon)))


def only(resource: str) -> Probe:
    """Returns a probe that needs only the permissions on one resource."""
    kinds = {"nodes": "node", "pods": "pod", "certificates": "cert-manager"}
    if resource in kinds:
        return {"kind": kinds[resource]}
    return {"kind": "workload", "resources": [resource]}


# Two of them run on every commit.
SPOT_CHECKS = {"nodes", "jobs"}


@pytest.mark.parametrize(
    "resource",
    [
        pytest.param(each, marks=() if each in SPOT_CHECKS else pytest.mark.long)
        for each in NEEDED_BY
    ],
)
def test_a_rule_that_lacks_is_named(
    daemon: Vitalsd, api_server: ApiServer, resource: str
) -> None:
    wait_until(lambda: all_well(daemon), deadline=60, what=lambda: str(failing(daemon)))
    role = cluster_role()
    (taken,) = (rule for rule in role["rules"] if rule["resources"][0] == resource)
    rest: dict[str, Any] = {**role, "rules": [r for r in role["rules"] if r is not taken]}
    api_server.apply(rest)
    daemon.end()
    daemon.start()
    wait_until(
        lambda: failing(daemon).keys() == NEEDED_BY[resource],
        deadline=60,
        what=lambda: str(failing(daemon)),
    )
    (error,) = failing(daemon).values()
    assert any(f'resource "{name}" in API group "{taken["apiGroups"][0]}"' in error for name in taken["resources"])
    assert 'cannot list' in error or 'cannot watch' in error
    (probe,) = NEEDED_BY[resource]
    assert daemon.failures(probe).keys() == {"permission"}


# ---- on a complete node -------------------------------------------------------------------------


@pytest.fixture
def kubelets(vitalsd: StartVitalsd, kubernetes_node: Node) -> Iterator[Callable[[], Vitalsd]]:
    """Starts a daemon that reads the node's kubelet with the current permissions."""
    node = kubernetes_node
    node.api.apply(shipped())
    account = node.api.service_account("vitalsd", "vitalsd")

    def begin() -> Vitalsd:
        with node.inside():
            return vitalsd(
                [{"name": "nodes", "kind": "node"}, {"name": "kubelets", "kind": "kubelet"}],
                interval="3s",
                timeout="3s",
                plain={**node.api.environment, "VITALSD_SERVICE_ACCOUNT": str(account.directory)},
                secrets=[account.token],
            )

    yield begin


def test_a_kubelet_answers_with_it(kubelets: Callable[[], Vitalsd]) -> None:
    daemon = kubelets()
    daemon.wait_ok("kubelets", deadline=60)
    assert daemon.samples("node_memory_working_set_bytes", node="node-1")
    assert daemon.samples("node_filesystem_size_bytes", node="node-1", mountpoint="/")


@pytest.mark.parametrize("right", OF_KUBELETS)
def test_a_right_at_the_kubelet_that_lacks_is_named(
    kubelets: Callable[[], Vitalsd], kubernetes_node: Node, right: str
) -> None:
    role = cluster_role()
    rest = [rule for rule in role["rules"] if rule["resources"] != [right]]
    assert len(rest) == len(role["rules"]) - 1
    kubernetes_node.api.apply({**role, "rules": rest})
    daemon = kubelets()
    page, subresource = OF_KUBELETS[right]
    # The kubelet asks the API server and caches the result for some time.
    wait_until(
        lambda: daemon.failures("kubelets").get("permission"),
        deadline=60,
        what=lambda: str(failing(daemon)),
    )
    text = failing(daemon)["kubelets"]
    assert text.startswith("node-1: https://") and f"{page}: status 403: " in text
    # The kubelet's error, followed by vitalsd's explanation.
    said = "user=system:serviceaccount:vitalsd:vitalsd, verb=get, resource=nodes, subresource"
    assert said in text and subresource in text
    needed = f'missing permission: get resource "{right}" in API group ""'
    assert text.endswith(needed)
    assert daemon.value("probe_success", probe="nodes") == 1
