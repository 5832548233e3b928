"""Several daemons on one API server: replicas by a Lease, of which one observes, and shards, of
which each has its part of the objects."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from kubernetes.test_watch import RESTARTS, pod
from support import wait_until
from support.http_peer import HttpPeer, answer
from support.kubernetes import ApiServer, ServiceAccount
from support.prometheus import Prometheus
from support.vitalsd import Vitalsd

LEASES = {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"]}

StartVitalsd = Callable[..., Vitalsd]


@pytest.fixture
def account(api_server: ApiServer) -> Iterator[ServiceAccount]:
    namespace = api_server.namespace()
    account = api_server.service_account(namespace)
    api_server.grant(account, {**LEASES, "verbs": ["create"]}, namespace=namespace)
    only = {**LEASES, "resourceNames": ["vitalsd"], "verbs": ["get", "update"]}
    api_server.grant(account, only, namespace=namespace)
    pods = {"apiGroups": [""], "resources": ["pods"], "verbs": ["list", "watch"]}
    api_server.grant(account, pods)
    yield account


@pytest.fixture
def replica(
    vitalsd: StartVitalsd, api_server: ApiServer, account: ServiceAccount
) -> Callable[..., Vitalsd]:
    def start(*probes: dict[str, Any], **options: Any) -> Vitalsd:
        place = {"VITALSD_SERVICE_ACCOUNT": str(account.directory)}
        return vitalsd(
            probes,
            plain=api_server.environment | place,
            secrets=[account.token],
            leader_election={"lease": "vitalsd"},
            **options,
        )

    return start


@pytest.fixture
def api(http_peer: HttpPeer) -> dict[str, Any]:
    """What is to be observed."""
    http_peer.answers["/"] = answer("fine")
    return {"name": "api", "kind": "http", "url": http_peer.url("/")}


def leads(daemon: Vitalsd) -> bool:
    return daemon.value("vitalsd_leader") == 1


def wait_leader(daemon: Vitalsd, deadline: float = 15) -> None:
    daemon.wait_for("vitalsd_leader", 1, deadline=deadline)


def published(daemon: Vitalsd) -> set[str]:
    """The probes that it has series of."""
    return {
        line.split('probe="')[1].split('"')[0]
        for line in daemon.page().splitlines()
        if 'probe="' in line
    }


def test_one_observes_and_the_other_takes_over(
    replica: Callable[..., Vitalsd], api: dict[str, Any]
) -> None:
    first = replica(api)
    wait_leader(first)
    first.wait_ok("api")
    second = replica(api)
    assert not leads(second)
    assert published(second) == set()
    assert second.get("/-/ready")[0] == 200
    assert "standing by" in second.page("/")
    assert second.get("/probes/api/metrics")[0] == 503

    # It stops in order: the other one need not wait for the end of the lease.
    first.end()
    wait_leader(second, deadline=6)
    second.wait_ok("api")

    # The one that comes back stands by.
    first.start()
    assert not leads(first)

    # It is killed: within 15 s.
    second.kill()
    wait_leader(first)
    first.wait_ok("api")
    second.start()


def test_a_frozen_leader_is_silent_when_it_thaws(
    replica: Callable[..., Vitalsd], api: dict[str, Any]
) -> None:
    first, second = replica(api), replica(api)
    wait_leader(first)
    first.wait_ok("api")
    first.freeze()
    wait_leader(second)
    second.wait_ok("api")
    first.thaw()
    assert published(first) == set()  # its first answer
    first.wait_for("vitalsd_leader", 0)
    assert published(first) == set()
    assert published(second) == {"api"}
    # And it is of use again.
    second.end()
    wait_leader(first, deadline=20)
    first.wait_ok("api")
    second.start()


def test_without_the_api_server_nobody_leads(
    replica: Callable[..., Vitalsd], api_server: ApiServer, api: dict[str, Any]
) -> None:
    daemon = replica(api)
    wait_leader(daemon)
    api_server.freeze()
    daemon.wait_for("vitalsd_leader", 0)
    assert published(daemon) == set()
    api_server.thaw()
    wait_leader(daemon)
    daemon.wait_ok("api")


def test_rights_that_lack_are_named(
    vitalsd: StartVitalsd, api_server: ApiServer
) -> None:
    namespace = api_server.namespace()
    account = api_server.service_account(namespace)
    place = {"VITALSD_SERVICE_ACCOUNT": str(account.directory)}
    daemon = vitalsd(
        [],
        plain=api_server.environment | place,
        secrets=[account.token],
        leader_election={"lease": "vitalsd"},
    )
    said = wait_until(lambda: daemon.log_lines("the lease cannot be looked after"))
    assert 'cannot get resource "leases"' in said[0]["error"]


def test_shards_have_all_objects_between_them(
    vitalsd: StartVitalsd, api_server: ApiServer, api: dict[str, Any]
) -> None:
    namespace = api_server.namespace()
    names = {f"web-{i}" for i in range(60)}
    api_server.apply([pod(namespace, name) for name in names])
    probes = [
        {"name": "pods", "kind": "pod", "namespaces": [namespace]},
        *({**api, "name": f"api-{i}"} for i in range(12)),
    ]
    access = {"kubeconfig": str(api_server.kubeconfig())}
    shards = [vitalsd(probes, kubernetes=access, arguments=["--shard", f"{i}/3"]) for i in range(3)]
    for shard in shards:
        shard.wait_ok("pods")
    pods = [{sample.labels["pod"] for sample in shard.samples(RESTARTS)} for shard in shards]
    assert all(pods) and sum(map(len, pods)) == len(names)
    assert set().union(*pods) == names
    probed = [published(shard) - {"pods"} for shard in shards]
    assert sum(map(len, probed)) == 12 and len(set().union(*probed)) == 12
    for i, shard in enumerate(shards):
        assert shard.value("probe_success", probe="pods", shard=str(i)) == 1
        assert shard.samples(RESTARTS, shard=str(i))
