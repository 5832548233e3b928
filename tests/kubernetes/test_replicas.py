"""Several daemons with one API server: replicas with a Lease, one of which observes, and shards,
which divide the objects."""

from __future__ import annotations

import fcntl
import http.client
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from kubernetes.test_watch import RESTARTS, pod
from support import wait_until
from support.fault_proxy import FaultProxy
from support.http_peer import HttpPeer, answer
from support.kubernetes import ApiServer, ServiceAccount
from support.prometheus import Prometheus, shipped_configuration
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
    """A probe for the replicas."""
    http_peer.answers["/"] = answer("fine")
    return {"name": "api", "kind": "http", "url": http_peer.url("/")}


def leads(daemon: Vitalsd) -> bool:
    return daemon.value("vitalsd_leader") == 1


def wait_leader(daemon: Vitalsd, deadline: float = 60) -> None:
    daemon.wait_for("vitalsd_leader", 1, deadline=deadline)


def published(daemon: Vitalsd) -> set[str]:
    """Returns the probes with series on its page."""
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
    assert "standby" in second.page("/")
    assert second.get("/probes/api/metrics")[0] == 503

    # After a graceful stop, the other replica does not wait until the lease expires.
    first.end()
    wait_leader(second, deadline=10)  # less than the duration of a lease
    second.wait_ok("api")

    # The restarted replica is on standby.
    first.start()
    assert not leads(first)

    # After SIGKILL, the other one takes over within 15 s.
    second.kill()
    wait_leader(first)
    first.wait_ok("api")
    second.start()


def test_a_request_to_a_probe_survives_a_failover(
    replica: Callable[..., Vitalsd], fault_proxy: Callable[..., FaultProxy], tmp_path: Path
) -> None:
    """curl --retry 5 with a Service of two replicas, which share the volume of the state. Metrics
    that were pushed to the first one are on the page of the second."""
    job = {"name": "nightly", "kind": "job", "schedule": "@every 1h", "token": "none"}
    job |= {"push": {"ttl": "1h"}}
    first = replica(job, state={"directory": str(tmp_path)})
    wait_leader(first)
    second = replica(job, state={"directory": str(tmp_path)})
    service = fault_proxy(first.port)
    api, metrics = "/api/v1/jobs/nightly", "/metrics/job/nightly"

    def curl(path: str, body: str = "") -> subprocess.Popen[bytes]:
        url = f"http://127.0.0.1:{service.port}{path}"
        command = ["curl", "--silent", "--fail", "--retry", "5", "--data-binary", body, url]
        return subprocess.Popen(command, stdout=subprocess.DEVNULL)

    assert curl(f"{api}/start?rid=1").wait(timeout=20) == 0
    assert curl(f"{metrics}/part/1?rid=0", "rows 1\n").wait(timeout=20) == 0
    # A standby asks for a retry.
    connection = http.client.HTTPConnection("127.0.0.1", second.port, timeout=60)
    connection.request("POST", "/api/v1/jobs/nightly?rid=1")
    response = connection.getresponse()
    assert (response.status, response.headers["Retry-After"]) == (503, "5")
    connection.close()

    service.target = second.port
    first.kill()
    clients = [curl(f"{api}?rid=1"), curl(f"{metrics}/part/2?rid=1", "rows 2\n")]
    assert [client.wait(timeout=60) for client in clients] == [0, 0]
    second.wait_for("job_runs_total", 2, outcome="ok")  # a counter does not decrease
    assert second.value("job_last_duration_seconds") >= 0  # it knows the start
    for part in ("1", "2"):
        second.wait_for("rows", float(part), part=part)
    first.start()


def test_a_lock_of_another_process_delays_only_saving(
    replica: Callable[..., Vitalsd], tmp_path: Path
) -> None:
    dumps = {"name": "dumps", "kind": "backup", "directory": str(tmp_path), "settle": "0s"}
    with (tmp_path / "state.json.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        leader = replica(dumps, state={"directory": str(tmp_path)})
        wait_leader(leader)
        leader.wait_for("vitalsd_state_last_save_successful", 0)
        assert leader.value("backup_last_success_timestamp_seconds") >= 0
        assert leads(leader)
        (notice,) = leader.status()["notices"]
        assert "another process has locked" in notice
    leader.wait_for("vitalsd_state_last_save_successful", 1)
    assert leads(leader)


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
    assert published(first) == set()  # its first response
    first.wait_for("vitalsd_leader", 0)
    assert published(first) == set()
    assert published(second) == {"api"}
    # It can take over again.
    second.end()
    wait_leader(first, deadline=60)
    first.wait_ok("api")
    second.start()


def other_leader(replicas: list[Vitalsd], former: Vitalsd) -> Vitalsd:
    """Waits until another replica is the leader and observes."""
    others = [replica for replica in replicas if replica is not former]
    wait_until(lambda: any(map(leads, others)), what="another leader")
    (leader,) = filter(leads, others)
    leader.wait_ok("pods")
    return leader


def test_prometheus_sees_one_daemon(
    replica: Callable[..., Vitalsd],
    prometheus: Callable[..., Prometheus],
    api_server: ApiServer,
) -> None:
    """Three replicas with faults: each object has one series, which shows each real restart and no
    other restarts."""
    namespace = api_server.namespace()
    steady = [pod(namespace, f"web-{i}", restarts=i) for i in range(5)]
    unlucky = pod(namespace, "job-1", restarts=7)
    api_server.apply([*steady, unlucky])
    replicas = [
        replica({"name": "pods", "kind": "pod", "namespaces": [namespace]}) for _ in range(3)
    ]
    wait_until(lambda: any(map(leads, replicas)), what="a leader")
    (leader,) = filter(leads, replicas)
    leader.wait_ok("pods")
    configuration = shipped_configuration([each.address for each in replicas])
    # A second job that labels the daemon, because the shipped job merges the series of the replicas.
    shipped = configuration["scrape_configs"][0]
    label = {"source_labels": ["__address__"], "target_label": "daemon"}
    configuration["scrape_configs"].append(
        {**shipped, "job_name": "apart", "relabel_configs": [label]}
    )
    watcher = prometheus(configuration)
    began = time.time()
    watcher.wait_for(f'count({RESTARTS}{{job="vitalsd"}}) == {len(steady) + 1}')
    watcher.wait_for(f'count({RESTARTS}{{job="apart"}}) == {len(steady) + 1}')

    def since(moment: float) -> str:
        return f"{round((time.time() - moment) * 1000)}ms"

    def most(moment: float) -> float | None:
        """Returns the maximum number of daemons that had a series of one object at the same time
        since that moment."""
        count = f'max(count by (pod) ({RESTARTS}{{job="apart"}}))'
        return watcher.value(f"max_over_time({count}[{since(moment)}:100ms])")

    def published_by(daemon: Vitalsd) -> str:
        return f'count({RESTARTS}{{job="apart", daemon="{daemon.address}"}}) == {len(steady) + 1}'

    # A graceful stop.
    former = leader
    former.end()
    leader = other_leader(replicas, former)
    watcher.wait_for(published_by(leader))
    former.start()

    # SIGKILL.
    killed, former = time.time(), leader
    former.kill()
    leader = other_leader(replicas, former)
    watcher.wait_for(published_by(leader))
    former.start()
    assert most(killed) == 1

    # The leader freezes, misses a restart of the container, and then continues.
    frozen, former = time.time(), leader
    former.freeze()
    restarted = pod(namespace, "job-1", restarts=8)
    api_server.patch_status(restarted, restarted["status"])
    leader = other_leader(replicas, former)
    watcher.wait_for(published_by(leader))
    # The frozen API server cannot tell it that it is no longer the leader. It uses its own clock.
    api_server.freeze()
    thawed = time.time()
    former.thaw()
    scrapes = f'sum_over_time(up{{job="apart", instance="{former.address}"}}[%s]) > 10'
    wait_until(lambda: watcher.query(scrapes % since(thawed)), what="scrapes of the former leader")
    assert leads(leader)
    api_server.thaw()
    assert most(frozen) == 1

    shipped_series = f'{RESTARTS}{{job="vitalsd"}}[{since(began)}]'
    series = watcher.query(f"count_over_time({shipped_series})")
    assert sorted(labels["pod"] for labels, _ in series) == [
        "job-1", *(each["metadata"]["name"] for each in steady)
    ]
    grown = {
        labels["pod"]: value for labels, value in watcher.query(f"increase({shipped_series})")
    }
    assert grown.pop("job-1") > 0
    assert set(grown.values()) == {0.0} and len(grown) == len(steady)
    assert {value for _, value in watcher.query(f"resets({shipped_series})")} == {0.0}
    assert {value for _, value in watcher.query(f"changes({shipped_series})")} == {0.0, 1.0}


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


def test_missing_permissions_are_named(
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
    said = wait_until(lambda: daemon.log_lines("cannot renew or acquire the lease"))
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
