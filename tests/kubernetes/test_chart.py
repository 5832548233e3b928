"""The Helm chart: helm lint passes, a real API server accepts the rendered objects, and the chart
grants only the permissions of the configured kinds."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from support import REPOSITORY, wait_until
from support.chart import CHART, helm, one, rendered
from support.kubernetes import ApiServer, built
from support.kubernetes_client import Object
from support.vitalsd import Vitalsd, binary

KUBERNETES = REPOSITORY / "deploy" / "kubernetes"
RBAC = KUBERNETES / "rbac.yaml"
MONITORING = {
    "serviceMonitor": {"enabled": True, "labels": {"release": "prometheus"}},
    "prometheusRule": {"enabled": True, "recommended": True},
    "networkPolicy": {
        "enabled": True,
        "from": [{"namespaceSelector": {"matchLabels": {"name": "monitoring"}}}],
        "egress": [{"ports": [{"port": 5432}]}],
    },
}
ALL_KINDS = [
    {"name": "nodes", "kind": "node"},
    {"name": "pods", "kind": "pod"},
    {"name": "workloads", "kind": "workload"},
    {"name": "kubelets", "kind": "kubelet"},
    {"name": "managed", "kind": "cert-manager"},
    {"name": "errors", "kind": "logs", "patterns": [{"name": "error", "match": "ERROR"}]},
    {"name": "api", "kind": "http", "url": "https://api.example/"},
]
VALUES: dict[str, dict[str, Any]] = {
    "default": {},
    "two-replicas": {"replicas": 2, **MONITORING},
    "shards": {
        "shards": 3,
        "persistence": {"enabled": True, "storageClass": "fast"},
        "podMonitor": {"enabled": True},
    },
    "everything": {
        "config": {"probes": ALL_KINDS},
        "image": {"digest": f"sha256:{'a' * 64}"},
        "imagePullSecrets": [{"name": "registry"}],
        "secrets": [{"name": "main-db", "secretName": "vitalsd-main-db"}],
        "configs": [{"name": "ca", "configMapName": "internal-ca"}],
        "env": [{"name": "ZONE", "value": "eu"}],
        "volumes": [{"volume": {"hostPath": {"path": "/backups"}}, "mountPath": "/backups"}],
        "persistence": {"enabled": True},
        "serviceAccount": {"annotations": {"eks.amazonaws.com/role-arn": "arn:aws:iam::1:role/r"}},
        "service": {"annotations": {"a": "b"}},
        "podLabels": {"team": "platform"},
        "podAnnotations": {"note": "x"},
        "nodeSelector": {"kubernetes.io/os": "linux"},
        "tolerations": [{"operator": "Exists"}],
        "affinity": {"nodeAffinity": {}},
        "hostAliases": [{"ip": "10.0.0.1", "hostnames": ["db"]}],
        "priorityClassName": "system-cluster-critical",
        **MONITORING,
    },
}

every_values = pytest.mark.parametrize("values", VALUES.values(), ids=VALUES)


@pytest.mark.parametrize(
    ("probes", "alerts"),
    [
        ([{"name": "pods", "kind": "pod"}], set()),
        ([{"name": "api", "kind": "http", "url": "http://a/"}], {"http"}),
        (
            [
                {"name": "db", "kind": "postgres", "url": "postgresql://m@db/a"},
                {"name": "cache", "kind": "redis", "url": "redis://cache"},
                {"name": "sessions", "kind": "redis", "url": "redis://sessions"},
            ],
            {"postgres", "redis"},
        ),
    ],
    ids=["pod", "http", "stores"],
)
def test_absence_is_alerted_for_what_is_configured(
    probes: list[Object], alerts: set[str]
) -> None:
    """DatabaseUnwatched must not fire if no database is configured."""
    rule = one(rendered({"config": {"probes": probes}, **MONITORING}), "PrometheusRule")
    groups = {group["name"]: group["rules"] for group in rule["spec"]["groups"]}
    absent = groups.get("vitalsd-absent", [])
    assert {each["labels"]["kind"] for each in absent} == alerts
    assert len(absent) == len(alerts)


@pytest.mark.parametrize(
    ("value", "files"),
    [({}, ["documented", "vitalsd"]), ({"recommended": True}, ["documented", "vitalsd", "recommended"])],
    ids=["default", "recommended"],
)
def test_rules_are_those_of_the_files(value: dict[str, bool], files: list[str]) -> None:
    rule = one(rendered({"prometheusRule": {"enabled": True, **value}}), "PrometheusRule")
    shipped = REPOSITORY / "deploy" / "prometheus"
    assert rule["spec"]["groups"] == [
        group
        for file in files
        for group in yaml.safe_load((shipped / f"{file}.yaml").read_text())["groups"]
    ]


@pytest.mark.parametrize(
    ("monitor", "endpoints"),
    [("serviceMonitor", "endpoints"), ("podMonitor", "podMetricsEndpoints")],
)
def test_monitors_relabel_as_the_scrape_configuration(monitor: str, endpoints: str) -> None:
    kind = f"{monitor[0].upper()}{monitor[1:]}"
    made = one(rendered({monitor: {"enabled": True}}), kind)
    shipped = yaml.safe_load((REPOSITORY / "deploy" / "prometheus" / "prometheus.yaml").read_text())
    names = {"source_labels": "sourceLabels", "target_label": "targetLabel"}
    for endpoint, scrape in zip(made["spec"][endpoints], shipped["scrape_configs"], strict=True):
        assert endpoint["honorLabels"] == scrape["honor_labels"]
        assert endpoint["path"] == scrape["metrics_path"]
        assert endpoint["relabelings"][0] == {
            "targetLabel": "job",
            "replacement": scrape["job_name"],
        }
        assert endpoint["metricRelabelings"] == [
            {names.get(key, key): value for key, value in entry.items()}
            for entry in scrape["metric_relabel_configs"]
        ]


@every_values
def test_helm_finds_no_fault(values: dict[str, Any]) -> None:
    done = helm("lint", "--strict", str(CHART), values=values)
    assert done.returncode == 0 and "0 chart(s) failed" in done.stdout, done.stdout + done.stderr


def test_an_api_server_takes_it(api_server: ApiServer) -> None:
    custom = ("ServiceMonitor", "PodMonitor", "PrometheusRule")
    api_server.install_definitions("prometheus-operator", *custom)
    taken = set()
    for values in VALUES.values():
        things = rendered(values, namespace=api_server.namespace())
        assert len({api_server.path(thing) for thing in things}) == len(things)
        for thing in things:
            # Apply is strict: the API server refuses unknown fields.
            (applied,) = api_server.apply(thing)
            assert applied["metadata"]["labels"]["app.kubernetes.io/name"] == "vitalsd"
        taken |= {thing["kind"] for thing in things}
    assert {*custom, "Deployment", "StatefulSet", "NetworkPolicy", "Lease"} <= taken


@every_values
def test_its_pods_are_restricted(values: dict[str, Any], api_server: ApiServer) -> None:
    if any("hostPath" in volume["volume"] for volume in values.get("volumes", [])):
        values = {**values, "volumes": []}  # the user's own volumes, which that level forbids
    namespace = api_server.namespace()
    level = {"pod-security.kubernetes.io/enforce": "restricted"}
    api_server.patch(
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}},
        {"metadata": {"labels": level}},
    )
    things = rendered(values, namespace=namespace)
    api_server.apply(one(things, "ServiceAccount"))
    workload = one(things, "StatefulSet" if values.get("shards") else "Deployment")
    template = workload["spec"]["template"]
    pod: Object = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "pod", "namespace": namespace},
        "spec": {
            **template["spec"],
            "volumes": [v for v in template["spec"]["volumes"] if v["name"] != "state"]
            + [{"name": "state", "emptyDir": {}}],
        },
    }
    api_server.create(pod)


def test_the_plain_manifests_are_the_chart(api_server: ApiServer) -> None:
    environment = {**os.environ, "HELM": str(built("helm", "helm"))}
    printed = subprocess.run(
        [KUBERNETES / "render.sh"], env=environment, capture_output=True, text=True, check=True
    ).stdout
    manifests = (KUBERNETES / "vitalsd.yaml").read_text()
    assert manifests == printed, "stale: deploy/kubernetes/render.sh >deploy/kubernetes/vitalsd.yaml"
    api_server.apply(list(yaml.safe_load_all(manifests)))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"replicas": 3}, "replicas"),
        ({"shards": 2, "replicas": 2}, "one of them must be 1"),
        ({"serviceMonitor": {"enabled": True}, "podMonitor": {"enabled": True}}, "scraped twice"),
        ({"persistence": {"enabled": True}, "replicas": 2}, "ReadWriteMany"),
        ({"config": {"probes": [{"name": "a", "kind": "pods"}]}}, 'tcp, workload, not "pods"'),
        ({"config": {"probes": [{"name": "a", "kind": "pod"}], "state": {}}}, "state"),
        ({"replica": 2}, "replica"),
    ],
)
def test_values_that_make_no_sense(values: dict[str, Any], message: str) -> None:
    done = helm("template", "vitalsd", str(CHART), values=values)
    assert done.returncode != 0
    assert message in done.stderr


@every_values
def test_vitalsd_takes_its_configuration(values: dict[str, Any], tmp_path: Path) -> None:
    file = tmp_path / "vitalsd.yaml"
    file.write_text(one(rendered(values), "ConfigMap")["data"]["vitalsd.yaml"])
    command = [binary(), "config", "check", file]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


# ---- permissions --------------------------------------------------------------------------------

Right = tuple[str, str, str, str]  # namespace or "" (cluster), group, resource, verb


def granted(things: list[Object]) -> set[Right]:
    return {
        (thing["metadata"].get("namespace", ""), group, resource, verb)
        for thing in things
        if thing["kind"] in ("Role", "ClusterRole")
        for rule in thing["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


def watch(namespace: str, *resources: str) -> set[Right]:
    """Returns permissions to list and watch each GROUP/RESOURCE."""
    split = (resource.rpartition("/") for resource in resources)
    return {(namespace, group, name, verb) for group, _, name in split for verb in ("list", "watch")}


OF_KUBELET = watch("", "nodes") | {("", "", "nodes/stats", "get"), ("", "", "nodes/metrics", "get")}


@pytest.mark.parametrize(
    ("probe", "rights"),
    [
        ({"kind": "http", "url": "https://api.example/"}, set()),
        ({"kind": "certificate", "endpoint": "api.example:443"}, set()),
        ({"kind": "node"}, watch("", "nodes")),
        ({"kind": "pod"}, watch("", "pods")),
        ({"kind": "pod", "namespaces": ["a", "b"]}, watch("a", "pods") | watch("b", "pods")),
        ({"kind": "kubelet"}, OF_KUBELET),
        ({"kind": "kubelet", "namespaces": ["a"]}, OF_KUBELET),
        ({"kind": "kubelet", "cadvisor": False}, OF_KUBELET - {("", "", "nodes/metrics", "get")}),
        ({"kind": "kubelet", "summary": False}, OF_KUBELET - {("", "", "nodes/stats", "get")}),
        (
            {"kind": "logs", "namespaces": ["a"]},
            watch("a", "pods") | {("a", "", "pods/log", "get")},
        ),
        ({"kind": "cert-manager"}, watch("", "cert-manager.io/certificates")),
        (
            {"kind": "certificate", "secrets": {"namespaces": ["a"]}},
            watch("a", "secrets"),
        ),
        ({"kind": "certificate", "secrets": {}}, watch("", "secrets")),
        (
            {"kind": "workload", "namespaces": ["a"], "resources": ["jobs", "deployments"]},
            watch("a", "batch/jobs", "apps/deployments"),
        ),
    ],
    # The order of a set differs between processes, but test names must be the same in all.
    ids=lambda each: str(each) if isinstance(each, dict) else "rights",
)
def test_permissions_follow_from_the_probes(probe: dict[str, Any], rights: set[Right]) -> None:
    values = {"config": {"probes": [{"name": "it", **probe}]}}
    assert granted(rendered(values)) == rights


def test_all_kinds_have_the_rights_of_the_manifest() -> None:
    probes = [*ALL_KINDS, {"name": "tls", "kind": "certificate", "secrets": {}}]
    things = rendered({"config": {"probes": probes}, "replicas": 2})
    assert granted(things) == granted(list(yaml.safe_load_all(RBAC.read_text())))


def test_what_the_cluster_grants_is_not_granted_again() -> None:
    probes = [
        {"name": "all", "kind": "pod", "selector": "app=a"},
        {"name": "some", "kind": "logs", "namespaces": ["a"]},
    ]
    things = rendered({"config": {"probes": probes}})
    assert granted(things) == watch("", "pods") | {("a", "", "pods/log", "get")}


def test_probes_work_with_the_rights(
    vitalsd: Callable[..., Vitalsd], api_server: ApiServer
) -> None:
    api = api_server
    api.install_definitions("cert-manager")
    api.namespace("web")
    api.namespace("vitalsd")
    probes = [
        {"name": "nodes", "kind": "node"},
        {"name": "pods", "kind": "pod", "namespaces": ["web"]},
        {"name": "workloads", "kind": "workload"},
        {"name": "managed", "kind": "cert-manager"},
        {"name": "secrets", "kind": "certificate", "secrets": {"namespaces": ["web"]}},
    ]
    things = rendered({"config": {"probes": probes}, "replicas": 2})
    kinds = ("ServiceAccount", "Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding", "Lease")
    api.apply([thing for thing in things if thing["kind"] in kinds])
    account = api.service_account("vitalsd", "vitalsd")
    configuration = yaml.safe_load(one(things, "ConfigMap")["data"]["vitalsd.yaml"])
    daemon = vitalsd(
        configuration["probes"],
        interval="1s",
        timeout="900ms",
        plain={**api.environment, "VITALSD_SERVICE_ACCOUNT": str(account.directory)},
        secrets=[account.token],
        leader_election=configuration["leader_election"],
    )
    for probe in probes:
        daemon.wait_ok(probe["name"])
    assert daemon.value("vitalsd_leader") == 1

    # The account must have no further permissions, except those of any account.
    nobody = api.service_account("vitalsd", "nobody")

    def rules(who: Any) -> set[Right]:
        review = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectRulesReview",
            "spec": {"namespace": "web"},
        }
        path = "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews"
        status = api.client(who).request("POST", path, review)["status"]
        return {
            ("", group, resource, verb)
            for rule in status["resourceRules"]
            for group in rule["apiGroups"]
            for resource in rule["resources"]
            for verb in rule["verbs"]
        }

    in_web = {("", *right[1:]) for right in granted(things) if right[0] in ("", "web")}
    wait_until(lambda: rules(account) - rules(nobody) == in_web, what="the permissions")
