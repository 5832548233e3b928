"""That deploy/kubernetes/rbac.yaml grants what the kinds need and nothing more: all of them work
with it, and each rule that is taken away is missed, by name, by those that it is for alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import yaml

from support import REPOSITORY, wait_until
from support.kubernetes import ApiServer, Object, ServiceAccount
from support.vitalsd import Vitalsd

RBAC = REPOSITORY / "deploy" / "kubernetes" / "rbac.yaml"

PROBES = [
    {"name": "nodes", "kind": "node"},
    {"name": "pods", "kind": "pod"},
    {"name": "workloads", "kind": "workload"},
    {"name": "managed", "kind": "cert-manager"},
    {"name": "secrets", "kind": "certificate", "secrets": {"namespaces": ["web"]}},
]
# Who needs which rule, by the rule's first resource. Those of kubelets and logs are tried where
# there are some.
NEEDED_BY = {
    "nodes": {"nodes"},
    "pods": {"pods"},
    "deployments": {"workloads"},
    "jobs": {"workloads"},
    "horizontalpodautoscalers": {"workloads"},
    "resourcequotas": {"workloads"},
    "certificates": {"managed"},
}
ELSEWHERE = {"nodes/stats", "nodes/metrics", "pods/log"}

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
def daemon(vitalsd: StartVitalsd, api_server: ApiServer) -> Iterator[Vitalsd]:
    """With all the rights, in a cluster that has cert-manager's resources."""
    api = api_server
    api.install_cert_manager_crds()
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
    yield start(vitalsd, api, account)


def start(vitalsd: StartVitalsd, api: ApiServer, account: ServiceAccount) -> Vitalsd:
    return vitalsd(
        PROBES,
        interval="1s",
        timeout="900ms",
        plain={**api.environment, "VITALSD_SERVICE_ACCOUNT": str(account.directory)},
        secrets=[account.token],
        leader_election={"lease": "vitalsd"},
    )


def failing(daemon: Vitalsd) -> dict[str, str]:
    """The failing probes' errors."""
    return {
        probe["name"]: probe["error"] for probe in daemon.status()["probes"] if "error" in probe
    }


def all_well(daemon: Vitalsd) -> bool:
    probes = daemon.status()["probes"]
    return len(probes) == len(PROBES) and all(probe["state"] == "ok" for probe in probes)


def test_every_kind_works_with_it(daemon: Vitalsd) -> None:
    wait_until(lambda: all_well(daemon), deadline=30, what=lambda: str(failing(daemon)))
    assert daemon.value("vitalsd_leader") == 1


def test_every_rule_is_known_here() -> None:
    first = {rule["resources"][0] for rule in cluster_role()["rules"]}
    assert first == NEEDED_BY.keys() | ELSEWHERE


@pytest.mark.parametrize("resource", NEEDED_BY)
def test_a_rule_that_lacks_is_named(
    daemon: Vitalsd, api_server: ApiServer, resource: str
) -> None:
    wait_until(lambda: all_well(daemon), deadline=30, what=lambda: str(failing(daemon)))
    role = cluster_role()
    (taken,) = (rule for rule in role["rules"] if rule["resources"][0] == resource)
    rest: dict[str, Any] = {**role, "rules": [r for r in role["rules"] if r is not taken]}
    api_server.apply(rest)
    daemon.end()
    daemon.start()
    wait_until(
        lambda: failing(daemon).keys() == NEEDED_BY[resource],
        deadline=30,
        what=lambda: str(failing(daemon)),
    )
    (error,) = failing(daemon).values()
    assert any(f'resource "{name}" in API group "{taken["apiGroups"][0]}"' in error for name in taken["resources"])
    assert 'cannot list' in error or 'cannot watch' in error
    (probe,) = NEEDED_BY[resource]
    assert daemon.failures(probe).keys() == {"permission"}
