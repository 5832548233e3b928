"""Kind cert-manager with a real API server and cert-manager's definitions. The tests write the
status of each Certificate as its controller does."""

from __future__ import annotations

import datetime
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from support.kubernetes import ApiServer
from support.kubernetes_client import Object, reference
from support.vitalsd import Vitalsd

StartVitalsd = Callable[..., Vitalsd]

DAY = 86_400
EXPIRES = "certmanager_certificate_expiration_timestamp_seconds"
RENEWS = "certmanager_certificate_renewal_timestamp_seconds"
READY = "certmanager_certificate_ready_status"


@pytest.fixture
def namespace(api_server: ApiServer) -> str:
    api_server.install_definitions("cert-manager")
    return api_server.namespace()


def written(moment: float) -> str:
    """Returns the time in the API's format."""
    return datetime.datetime.fromtimestamp(moment, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def certificate(
    namespace: str,
    name: str,
    days: float | None = None,
    *,
    lifetime: float = 90,
    ready: str = "True",
    since: float = 0,
) -> Object:
    """Returns a Certificate that expires in this many days, or that was never issued (None). It is
    due for renewal when a third of its `lifetime` in days is left, the default of cert-manager."""
    thing = reference("cert-manager.io/v1", "Certificate", name, namespace)
    issuer = {"name": "letsencrypt", "kind": "ClusterIssuer", "group": "cert-manager.io"}
    thing["spec"] = {"secretName": name, "dnsNames": [f"{name}.test"], "issuerRef": issuer}
    reason = "Ready" if ready == "True" else "DoesNotExist"
    condition = {
        "type": "Ready",
        "status": ready,
        "reason": reason,
        "message": "as it is",
        "lastTransitionTime": written(time.time() - since),
    }
    thing["status"] = {"conditions": [condition]}
    if days is not None:
        expiry = time.time() + days * DAY
        thing["status"] |= {
            "notBefore": written(expiry - lifetime * DAY),
            "notAfter": written(expiry),
            "renewalTime": written(expiry - lifetime / 3 * DAY),
        }
    return thing


def follow(vitalsd: StartVitalsd, api: ApiServer, *namespaces: str, **sections: Any) -> Vitalsd:
    probe: dict[str, Any] = {"name": "certs", "kind": "cert-manager"}
    if namespaces:
        probe["namespaces"] = list(namespaces)
    return vitalsd([probe], kubernetes={"kubeconfig": str(api.kubeconfig())}, **sections)


def check(daemon: Vitalsd, name: str, expected: int) -> None:
    daemon.wait_for("vitalsd_check_status", expected, check=name)


def test_dates_and_readiness(
    vitalsd: StartVitalsd, api_server: ApiServer, namespace: str
) -> None:
    web = certificate(namespace, "web", 60)
    pending = certificate(namespace, "pending", ready="False")
    api_server.apply([web, pending])
    daemon = follow(vitalsd, api_server, namespace)
    daemon.wait_ok("certs")
    labels = {
        "namespace": namespace,
        "name": "web",
        "issuer_name": "letsencrypt",
        "issuer_kind": "ClusterIssuer",
        "issuer_group": "cert-manager.io",
    }
    expiry = daemon.value(EXPIRES, **labels)
    assert expiry and abs(expiry - time.time() - 60 * DAY) < 120
    assert daemon.value(RENEWS, **labels) == expiry - 30 * DAY
    assert daemon.value(READY, condition="True", **labels) == 1
    assert daemon.value(READY, condition="False", **labels) == 0
    # A certificate that was never issued has no series: the value 0 would be a date in 1970.
    assert daemon.absent(EXPIRES, name="pending")
    assert daemon.value(READY, name="pending", condition="False") == 1
    check(daemon, "expires_in", 0)
    check(daemon, "not_ready", 0)

    soon = certificate(namespace, "web", 20)
    api_server.patch_status(web, soon["status"])
    check(daemon, "expires_in", 1)
    assert f"{namespace}/web" in daemon.page("/")
    expired = certificate(namespace, "web", -1, ready="False", since=3600)
    api_server.patch_status(web, expired["status"])
    check(daemon, "expires_in", 2)
    check(daemon, "not_ready", 1)
    assert f"{namespace}/web (DoesNotExist)" in daemon.page("/")
    api_server.delete(web)
    daemon.wait_for(EXPIRES, None, name="web")
    daemon.wait_for(READY, None, name="web", condition="True")
    check(daemon, "not_ready", 0)


def test_certificates_with_a_short_lifetime(
    vitalsd: StartVitalsd, api_server: ApiServer, namespace: str
) -> None:
    """Certificates of 48 hours are due for renewal when 16 of them are left."""
    web = certificate(namespace, "web", 40 / 24, lifetime=2)
    api_server.apply(web)
    daemon = follow(vitalsd, api_server, namespace)
    for hours, status in ((40, 0), (15, 0), (10, 1), (3, 2)):
        renewed = certificate(namespace, "web", hours / 24, lifetime=2)
        api_server.patch_status(web, renewed["status"])
        daemon.wait_for(EXPIRES, lambda date: abs(date - time.time() - hours * 3600) < 1800)
        check(daemon, "expires_in", status)


@pytest.mark.parametrize("namespaces", [0, 2])
def test_dates_outlive_the_api_server_and_the_daemon(
    vitalsd: StartVitalsd, api_server: ApiServer, namespace: str, tmp_path: Path, namespaces: int
) -> None:
    """The alert about an expiring certificate must not depend on the API server."""
    api_server.apply([certificate(namespace, "web", 60), certificate(namespace, "old", 60)])
    state = tmp_path / "state"
    state.mkdir()
    scope = [namespace, "default"][:namespaces]
    daemon = follow(vitalsd, api_server, *scope, state={"directory": str(state)})
    expiry = daemon.value(EXPIRES, name="web")
    assert expiry
    api_server.stop()
    daemon.wait_failed("certs", "connect")
    assert daemon.value(EXPIRES, name="web") == expiry
    daemon.restart()
    daemon.wait_failed("certs", "connect")
    assert daemon.value(EXPIRES, name="web") == expiry
    assert daemon.absent(READY)

    api_server.start()
    daemon.wait_ok("certs", deadline=60)
    assert daemon.value(EXPIRES, name="web") == expiry
    api_server.delete(certificate(namespace, "old"))
    daemon.wait_for(EXPIRES, None, name="old")
    assert daemon.value(EXPIRES, name="web") == expiry


def test_a_cluster_without_cert_manager(vitalsd: StartVitalsd, api_server: ApiServer) -> None:
    daemon = follow(vitalsd, api_server)
    daemon.wait_failed("certs", "mismatch")
    (probe,) = daemon.status()["probes"]
    assert probe["error"] == (
        "the API server does not have certificates.cert-manager.io in version v1: its"
        " CustomResourceDefinition is not installed"
    )
    api_server.install_definitions("cert-manager")
    api_server.apply(certificate(api_server.namespace(), "web", 60))
    daemon.wait_ok("certs", deadline=60)
    daemon.wait_for(EXPIRES, lambda date: date > time.time(), name="web")


def test_an_older_server_lists_custom_resources_in_pages(
    vitalsd: StartVitalsd, api_server_with: Callable[..., ApiServer]
) -> None:
    api = api_server_with("--feature-gates=WatchList=false")
    api.install_definitions("cert-manager")
    namespace = api.namespace()
    many = {f"web-{i}" for i in range(510)}
    for name in many:
        bare = certificate(namespace, name)
        del bare["status"]
        api.create(bare)
    daemon = follow(vitalsd, api, namespace)
    assert {sample.labels["name"] for sample in daemon.samples(READY, condition="True")} == many
    api.delete(certificate(namespace, "web-7"))
    daemon.wait_for(READY, None, name="web-7", condition="True")
