"""Kind workload with a real API server. The tests create each object and write its status as its
controller does."""

from __future__ import annotations

import datetime
import time
from collections.abc import Callable
from typing import Any

import pytest

from support import wait_until
from support.kubernetes import ApiServer
from support.kubernetes_client import Object, reference
from support.vitalsd import Vitalsd

StartVitalsd = Callable[..., Vitalsd]

TEMPLATE: Object = {
    "metadata": {"labels": {"app": "web"}},
    "spec": {"containers": [{"name": "web", "image": "web:1"}]},
}
JOB_TEMPLATE: Object = {"spec": {**TEMPLATE["spec"], "restartPolicy": "Never"}}
RESOURCES = {
    "apps": ["deployments", "statefulsets", "daemonsets"],
    "batch": ["jobs", "cronjobs"],
    "autoscaling": ["horizontalpodautoscalers"],
    "": ["resourcequotas", "persistentvolumeclaims", "persistentvolumes"],
}


@pytest.fixture
def namespace(api_server: ApiServer) -> str:
    return api_server.namespace()


def follow(
    vitalsd: StartVitalsd, api: ApiServer, namespace: str, *resources: str, **options: Any
) -> Vitalsd:
    probe: dict[str, Any] = {"name": "work", "kind": "workload", **options}
    if namespace:
        probe["namespaces"] = [namespace]
    if resources:
        probe["resources"] = list(resources)
    return vitalsd([probe], kubernetes={"kubeconfig": str(api.kubeconfig())})


def made(api_version: str, kind: str, name: str, namespace: str, **content: Any) -> Object:
    return {**reference(api_version, kind, name, namespace), **content}


def written(moment: float) -> str:
    """Returns the time in the API's format."""
    return datetime.datetime.fromtimestamp(moment, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def check(daemon: Vitalsd, name: str, expected: int) -> None:
    daemon.wait_for("vitalsd_check_status", expected, check=name)


# ---- controllers of pods ------------------------------------------------------------------------


def deployment(namespace: str, name: str = "web", *, available: bool = True) -> Object:
    selector = {"matchLabels": {"app": "web"}}
    return made(
        "apps/v1",
        "Deployment",
        name,
        namespace,
        spec={"replicas": 3, "selector": selector, "template": TEMPLATE},
        status={
            "observedGeneration": 1,
            "replicas": 3,
            "updatedReplicas": 3,
            "readyReplicas": 3 if available else 1,
            "availableReplicas": 3 if available else 1,
            "unavailableReplicas": 0 if available else 2,
            "conditions": [
                {
                    "type": "Available",
                    "status": str(available),
                    "reason": "MinimumReplicasAvailable",
                }
            ],
        },
    )


def test_a_deployment_and_its_stuck_rollout(
    vitalsd: StartVitalsd, api_server: ApiServer, namespace: str
) -> None:
    web = deployment(namespace)
    api_server.apply(web)
    daemon = follow(vitalsd, api_server, namespace)
    daemon.wait_ok("work")
    labels = {"namespace": namespace, "deployment": "web"}
    assert daemon.value("kube_deployment_spec_replicas", **labels) == 3
    assert daemon.value("kube_deployment_status_replicas_ready", **labels) == 3
    assert daemon.value("kube_deployment_status_replicas_updated", **labels) == 3
    assert daemon.value("kube_deployment_metadata_generation", **labels) == 1
    check(daemon, "deployment_unavailable", 0)

    api_server.patch(web, {"spec": {"replicas": 4}})
    daemon.wait_for("kube_deployment_metadata_generation", 2, **labels)
    assert daemon.value("kube_deployment_status_observed_generation", **labels) == 1
    stuck = {
        "type": "Progressing",
        "status": "False",
        "reason": "ProgressDeadlineExceeded",
    }
    unavailable = deployment(namespace, available=False)["status"]
    unavailable["conditions"].append(stuck)
    api_server.patch_status(web, unavailable)
    daemon.wait_for("kube_deployment_status_replicas_unavailable", 2, **labels)
    assert daemon.value(
        "kube_deployment_status_condition",
        condition="Progressing",
        status="false",
        reason="ProgressDeadlineExceeded",
        **labels,
    )
    check(daemon, "deployment_unavailable", 2)
    check(daemon, "rollout_stuck", 2)
    assert f"{namespace}/web (1 of 3)" not in daemon.page("/")
    assert f"{namespace}/web (1 of 4)" in daemon.page("/")

    api_server.delete(web)
    daemon.wait_for("kube_deployment_spec_replicas", None, **labels)
    check(daemon, "rollout_stuck", 0)
    assert not daemon.failures("work")


def test_sets(vitalsd: StartVitalsd, api_server: ApiServer, namespace: str) -> None:
    selector = {"matchLabels": {"app": "web"}}
    stateful = made(
        "apps/v1",
        "StatefulSet",
        "db",
        namespace,
        spec={"replicas": 3, "selector": selector, "template": TEMPLATE, "serviceName": "db"},
        status={
            "replicas": 3,
            "readyReplicas": 2,
            "updatedReplicas": 1,
            "currentRevision": "db-1",
            "updateRevision": "db-2",
        },
    )
    daemons = made(
        "apps/v1",
        "DaemonSet",
        "agent",
        namespace,
        spec={"selector": selector, "template": TEMPLATE},
        status={
            "currentNumberScheduled": 4,
            "desiredNumberScheduled": 5,
            "numberMisscheduled": 0,
            "numberReady": 3,
            "numberAvailable": 3,
            "numberUnavailable": 2,
            "updatedNumberScheduled": 4,
        },
    )
    api_server.apply([stateful, daemons])
    daemon = follow(vitalsd, api_server, namespace)
    db = {"namespace": namespace, "statefulset": "db"}
    assert daemon.value("kube_statefulset_replicas", **db) == 3
    assert daemon.value("kube_statefulset_status_replicas_ready", **db) == 2
    assert daemon.value("kube_statefulset_status_replicas_updated", **db) == 1
    assert daemon.value("kube_statefulset_status_update_revision", revision="db-2", **db) == 1
    agent = {"namespace": namespace, "daemonset": "agent"}
    assert daemon.value("kube_daemonset_status_desired_number_scheduled", **agent) == 5
    assert daemon.value("kube_daemonset_status_number_ready", **agent) == 3
    assert daemon.value("kube_daemonset_status_number_unavailable", **agent) == 2
    check(daemon, "statefulset_not_ready", 1)
    check(daemon, "daemonset_not_ready", 1)
    api_server.patch_status(stateful, {"readyReplicas": 3})
    check(daemon, "statefulset_not_ready", 0)


# ---- jobs ---------------------------------------------------------------------------------------


def cron_job(namespace: str, name: str, *, last: float | None = None, **spec: Any) -> Object:
    content: Object = {
        "spec": {
            "schedule": "0 * * * *",
            "jobTemplate": {"spec": {"template": JOB_TEMPLATE}},
            **spec,
        }
    }
    if last is not None:
        content["status"] = {"lastScheduleTime": written(last)}
    return made("batch/v1", "CronJob", name, namespace, **content)


def job(namespace: str, name: str, ended: str = "", owner: Object | None = None) -> Object:
    """Creates a Job. `ended` is Complete or Failed."""
    thing = made("batch/v1", "Job", name, namespace, spec={"template": JOB_TEMPLATE})
    if owner:
        thing["metadata"]["ownerReferences"] = [
            {
                "apiVersion": "batch/v1",
                "kind": "CronJob",
                "name": owner["metadata"]["name"],
                "uid": owner["metadata"]["uid"],
                "controller": True,
            }
        ]
    start = time.time() - 60
    before = {"Complete": "SuccessCriteriaMet", "Failed": "FailureTarget"}
    if ended:
        reason = "BackoffLimitExceeded" if ended == "Failed" else "CompletionsReached"
        thing["status"] = {
            "startTime": written(start),
            "conditions": [
                {"type": each, "status": "True", "reason": reason}
                for each in (before[ended], ended)
            ],
            "succeeded": int(ended == "Complete"),
            "failed": 3 * int(ended == "Failed"),
        }
    if ended == "Complete":
        thing["status"]["completionTime"] = written(start + 30)
    return thing


def test_jobs_and_their_results(
    vitalsd: StartVitalsd, api_server: ApiServer, namespace: str
) -> None:
    (nightly,) = api_server.apply(cron_job(namespace, "nightly"))
    api_server.apply(
        [
            job(namespace, "once", "Failed"),
            job(namespace, "running"),
            job(namespace, "nightly-1", "Complete", nightly),
            job(namespace, "nightly-2", "Failed", nightly),
        ]
    )
    daemon = follow(vitalsd, api_server, namespace)
    once = {"namespace": namespace, "job_name": "once"}
    assert daemon.value("kube_job_status_failed", reason="BackoffLimitExceeded", **once) == 1
    assert daemon.value("kube_job_failed", condition="true", **once) == 1
    assert daemon.absent("kube_job_complete", condition="true", **once)
    assert daemon.value("kube_job_status_failed", namespace=namespace, job_name="running") == 0
    complete = {"namespace": namespace, "job_name": "nightly-1"}
    assert daemon.value("kube_job_complete", condition="true", **complete) == 1
    assert daemon.value("kube_job_status_succeeded", **complete) == 1
    assert daemon.value("kube_job_status_completion_time", **complete)
    assert daemon.value("kube_job_owner", owner_kind="CronJob", owner_name="nightly", **complete)
    check(daemon, "job_failed", 1)
    assert f"{namespace}/once" in daemon.page("/")
    check(daemon, "last_run_failed", 0)  # the CronJob itself has not run yet


def test_the_last_run_of_a_cron_job_is_that_of_its_status(
    vitalsd: StartVitalsd, api_server: ApiServer, namespace: str
) -> None:
    """No Job exists at any time, as with history limits of 0."""
    hour = time.time() - time.time() % 3600
    api_server.apply(cron_job(namespace, "nightly"))
    daemon = follow(vitalsd, api_server, namespace, "cronjobs")

    def run(**status: Any) -> None:
        api_server.patch_status(
            reference("batch/v1", "CronJob", "nightly", namespace),
            {
                name: written(value) if isinstance(value, float) else value
                for name, value in status.items()
            },
        )

    def active(name: str) -> list[Object]:
        return [{"kind": "Job", "namespace": namespace, "name": name}]

    check(daemon, "last_run_failed", 0)
    run(active=active("nightly-1"), lastScheduleTime=hour - 10800)
    daemon.wait_for("kube_cronjob_status_active", 1, cronjob="nightly", namespace=namespace)
    check(daemon, "last_run_failed", 0)
    run(active=None)
    check(daemon, "last_run_failed", 2)
    assert f"{namespace}/nightly (has never succeeded)" in daemon.page("/")

    run(active=active("nightly-2"), lastScheduleTime=hour - 7200)
    daemon.wait_for("kube_cronjob_status_active", 1, cronjob="nightly", namespace=namespace)
    assert daemon.value("vitalsd_check_status", check="last_run_failed") == 2
    run(active=None, lastSuccessfulTime=hour - 7100)
    check(daemon, "last_run_failed", 0)
    run(lastScheduleTime=hour - 3600)
    check(daemon, "last_run_failed", 2)
    api_server.apply(cron_job(namespace, "nightly", last=hour - 3600, suspend=True))
    check(daemon, "last_run_failed", 0)


def test_cron_jobs_without_a_recorded_success(
    vitalsd: StartVitalsd, api_server: ApiServer, namespace: str
) -> None:
    """The controllers before Kubernetes 1.22 do not write lastSuccessfulTime."""
    due = time.time() - 60
    made_jobs = {"well": "Complete", "failing": "Failed"}
    cron_jobs = api_server.apply([cron_job(namespace, name, last=due) for name in made_jobs])
    jobs = [
        job(namespace, f"{owner['metadata']['name']}-1", ended, owner)
        for owner, ended in zip(cron_jobs, made_jobs.values(), strict=True)
    ]
    api_server.apply(jobs)
    daemon = follow(vitalsd, api_server, namespace, "cronjobs")
    check(daemon, "last_run_failed", 2)
    check(daemon, "last_run_unknown", 0)
    page = daemon.page("/")
    assert f"{namespace}/failing" in page and f"{namespace}/well" not in page


def test_cron_jobs_that_did_not_run(
    vitalsd: StartVitalsd, api_server: ApiServer, namespace: str
) -> None:
    now = time.time()
    late = now - 3 * 3600
    api_server.apply(
        [
            cron_job(namespace, "well", last=now - now % 3600),
            cron_job(namespace, "late", last=late),
            cron_job(namespace, "held-up", last=late, suspend=True),
            cron_job(namespace, "new", timeZone="Asia/Tokyo", startingDeadlineSeconds=60),
        ]
    )
    daemon = follow(vitalsd, api_server, namespace, "cronjobs")

    def value(name: str, cronjob: str) -> float:
        return daemon.value(name, namespace=namespace, cronjob=cronjob)

    daemon.wait_ok("work")
    following = "kube_cronjob_next_schedule_time"
    assert value(following, "late") == late - late % 3600 + 3600
    assert daemon.absent(following, cronjob="held-up")
    created = value("kube_cronjob_created", "new")
    assert value(following, "new") == created - created % 3600 + 3600
    assert daemon.absent("kube_cronjob_status_last_schedule_time", cronjob="new")
    assert value("kube_cronjob_status_last_schedule_time", "late") == int(late)
    assert value("kube_cronjob_spec_suspend", "held-up") == 1
    assert value("kube_cronjob_spec_starting_deadline_seconds", "new") == 60
    assert daemon.samples("kube_cronjob_info", cronjob="new", timezone="Asia/Tokyo")
    # The newest due time may be within the time that the controller needs to start the Job.
    assert value("vitalsd_cronjob_missed_runs", "late") in (2, 3)
    assert value("vitalsd_cronjob_missed_runs", "held-up") == 0
    assert value("vitalsd_cronjob_missed_runs", "new") == 0
    check(daemon, "missed_runs", 1)
    api_server.patch_status(
        reference("batch/v1", "CronJob", "late", namespace),
        {"lastScheduleTime": written(now), "lastSuccessfulTime": written(now)},
    )
    check(daemon, "missed_runs", 0)
    assert value("kube_cronjob_status_last_successful_time", "late") == int(now)


def test_a_cron_job_that_was_suspended(
    vitalsd: StartVitalsd, api_server: ApiServer, namespace: str
) -> None:
    """The end of the suspension is known after a restart, too."""
    late = time.time() - 3 * 3600
    api_server.apply(cron_job(namespace, "held-up", last=late, suspend=True))
    daemon = follow(vitalsd, api_server, namespace, "cronjobs")
    daemon.wait_for("kube_cronjob_spec_suspend", 1)
    api_server.apply(cron_job(namespace, "held-up", last=late, suspend=False))
    for _ in range(2):
        daemon.wait_for("kube_cronjob_spec_suspend", 0)
        assert daemon.value("vitalsd_cronjob_missed_runs") == 0
        daemon.restart()


# ---- limits and volumes -------------------------------------------------------------------------


def autoscaler(namespace: str, name: str = "web", *, desired: int = 3) -> Object:
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}
    return made(
        "autoscaling/v1",
        "HorizontalPodAutoscaler",
        name,
        namespace,
        spec={"scaleTargetRef": target, "maxReplicas": 5, "targetCPUUtilizationPercentage": 80},
        status={
            "currentReplicas": 3,
            "desiredReplicas": desired,
            "currentCPUUtilizationPercentage": 60,
        },
    )


def test_an_autoscaler_at_its_most(
    vitalsd: StartVitalsd, api_server: ApiServer, namespace: str
) -> None:
    web = autoscaler(namespace)
    api_server.apply(web)
    daemon = follow(vitalsd, api_server, namespace, "horizontalpodautoscalers")
    labels = {"namespace": namespace, "horizontalpodautoscaler": "web"}
    assert daemon.value("kube_horizontalpodautoscaler_spec_min_replicas", **labels) == 1
    assert daemon.value("kube_horizontalpodautoscaler_spec_max_replicas", **labels) == 5
    assert daemon.value("kube_horizontalpodautoscaler_status_current_replicas", **labels) == 3
    cpu = {"metric_name": "cpu", "metric_target_type": "utilization", **labels}
    assert daemon.value("kube_horizontalpodautoscaler_spec_target_metric", **cpu) == 80
    assert daemon.value("kube_horizontalpodautoscaler_status_target_metric", **cpu) == 60
    check(daemon, "autoscaler_at_max", 0)
    blind = {"type": "ScalingActive", "status": "False", "reason": "FailedGetResourceMetric"}
    status = {"currentReplicas": 5, "desiredReplicas": 5, "conditions": [blind]}
    newest = reference("autoscaling/v2", "HorizontalPodAutoscaler", "web", namespace)
    api_server.patch_status(newest, status)
    check(daemon, "autoscaler_at_max", 1)
    check(daemon, "autoscaler_inactive", 1)
    name = "kube_horizontalpodautoscaler_status_condition"
    assert daemon.value(name, condition="ScalingActive", status="false", **labels) == 1


def test_a_quota(vitalsd: StartVitalsd, api_server: ApiServer, namespace: str) -> None:
    hard = {"limits.cpu": "2500m", "requests.memory": "1Gi", "pods": "10"}
    quota = made(
        "v1",
        "ResourceQuota",
        "team",
        namespace,
        spec={"hard": hard},
        status={"hard": hard, "used": {"limits.cpu": "1", "requests.memory": "512Mi", "pods": "3"}},
    )
    api_server.apply(quota)
    daemon = follow(vitalsd, api_server, namespace, "resourcequotas")
    labels = {"namespace": namespace, "resourcequota": "team"}

    def value(resource: str, kind: str) -> float:
        return daemon.value("kube_resourcequota", resource=resource, type=kind, **labels)

    assert value("limits.cpu", "hard") == 2.5
    assert value("requests.memory", "used") == 512 * 2**20
    check(daemon, "quota", 0)
    api_server.patch_status(quota, {"used": {"limits.cpu": "2100m"}})
    check(daemon, "quota", 1)
    api_server.patch_status(quota, {"used": {"limits.cpu": "2400m"}})
    check(daemon, "quota", 2)
    assert f"{namespace}/team: limits.cpu" in daemon.page("/")


def test_volumes_and_claims(
    vitalsd: StartVitalsd, api_server: ApiServer, namespace: str
) -> None:
    size = {"storage": "10Gi"}
    name = f"{namespace}-data"
    volume = made(
        "v1",
        "PersistentVolume",
        name,
        "",
        spec={
            "capacity": size,
            "accessModes": ["ReadWriteOnce"],
            "hostPath": {"path": "/data"},
            "claimRef": {"namespace": namespace, "name": "data"},
        },
        status={"phase": "Bound"},
    )
    claim = made(
        "v1",
        "PersistentVolumeClaim",
        "data",
        namespace,
        spec={
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": size},
            "storageClassName": "fast",
            "volumeName": name,
        },
        status={"phase": "Bound"},
    )
    api_server.apply([volume, claim])
    daemon = follow(
        vitalsd, api_server, namespace, "persistentvolumes", "persistentvolumeclaims"
    )
    labels = {"persistentvolume": name}
    assert daemon.value("kube_persistentvolume_capacity_bytes", **labels) == 10 * 2**30
    assert daemon.value("kube_persistentvolume_status_phase", phase="Bound", **labels) == 1
    assert daemon.value("kube_persistentvolume_status_phase", phase="Failed", **labels) == 0
    assert daemon.samples(
        "kube_persistentvolume_claim_ref", claim_namespace=namespace, name="data", **labels
    )
    mine = {"namespace": namespace, "persistentvolumeclaim": "data"}
    assert daemon.value("kube_persistentvolumeclaim_status_phase", phase="Bound", **mine) == 1
    requested = "kube_persistentvolumeclaim_resource_requests_storage_bytes"
    assert daemon.value(requested, **mine) == 10 * 2**30
    assert daemon.samples(
        "kube_persistentvolumeclaim_info", storageclass="fast", volumename=name, **mine
    )
    api_server.patch_status(volume, {"phase": "Failed", "reason": "RecyclerFailed"})
    api_server.patch_status(claim, {"phase": "Lost"})
    check(daemon, "volume_failed", 2)
    check(daemon, "claim_lost", 2)
    assert f"{name} (RecyclerFailed)" in daemon.page("/")


# ---- permissions and versions -------------------------------------------------------------------


def test_a_right_that_is_lacking_costs_its_own_resource_only(
    vitalsd: StartVitalsd, api_server: ApiServer, namespace: str
) -> None:
    account = api_server.service_account(namespace)
    for group, resources in RESOURCES.items():
        granted = [each for each in resources if each != "jobs"]
        api_server.grant(
            account, {"apiGroups": [group], "resources": granted, "verbs": ["list", "watch"]}
        )
    api_server.apply([deployment(namespace), job(namespace, "once")])
    access = api_server.kubeconfig("watcher", token=account.token)
    daemon = vitalsd(
        [{"name": "work", "kind": "workload"}], kubernetes={"kubeconfig": str(access)}
    )
    daemon.wait_failed("work", "permission")
    assert daemon.samples("kube_deployment_spec_replicas", namespace=namespace)
    assert daemon.absent("kube_job_created")
    daemon.wait_for("vitalsd_probe_parts", 8, state="ok")
    assert daemon.value("vitalsd_probe_parts", state="failed") == 1
    (probe,) = daemon.status()["probes"]
    assert 'cannot watch resource "jobs" in API group "batch"' in str(probe)

    # Deployments have one version, so the client does not discover it.
    discovered = {
        request["requestURI"]
        for request in api_server.requests(account)
        if request["requestURI"].startswith("/apis/") and "?" not in request["requestURI"]
    }
    assert discovered == {"/apis/batch/v1", "/apis/autoscaling/v2"}

    lacking = {"apiGroups": ["batch"], "resources": ["jobs"], "verbs": ["list", "watch"]}
    api_server.grant(account, lacking)
    daemon.wait_ok("work")
    assert daemon.samples("kube_job_created", job_name="once")


def test_an_older_version_of_an_api(
    vitalsd: StartVitalsd, api_server_with: Callable[..., ApiServer]
) -> None:
    api = api_server_with("--runtime-config=autoscaling/v2=false")
    namespace = api.namespace()
    api.apply(autoscaler(namespace, desired=5))
    daemon = follow(vitalsd, api, namespace, "horizontalpodautoscalers")
    daemon.wait_ok("work")
    labels = {"namespace": namespace, "horizontalpodautoscaler": "web"}
    assert daemon.value("kube_horizontalpodautoscaler_spec_max_replicas", **labels) == 5
    assert daemon.value("kube_horizontalpodautoscaler_status_desired_replicas", **labels) == 5
    cpu = {"metric_name": "cpu", "metric_target_type": "utilization", **labels}
    assert daemon.value("kube_horizontalpodautoscaler_spec_target_metric", **cpu) == 80
    assert daemon.value("kube_horizontalpodautoscaler_status_target_metric", **cpu) == 60
    check(daemon, "autoscaler_at_max", 1)


def test_an_api_that_is_not_served(
    vitalsd: StartVitalsd, api_server_with: Callable[..., ApiServer]
) -> None:
    off = "autoscaling/v2=false,autoscaling/v1=false"
    api = api_server_with(f"--runtime-config={off}")
    namespace = api.namespace()
    api.apply(deployment(namespace))
    daemon = follow(vitalsd, api, namespace)
    daemon.wait_failed("work", "mismatch")
    (probe,) = daemon.status()["probes"]
    assert (
        "the API server does not serve horizontalpodautoscalers.autoscaling in any of the supported"
        " versions: v2, v2beta2, v1"
    ) in str(probe)
    assert daemon.samples("kube_deployment_spec_replicas", namespace=namespace)
