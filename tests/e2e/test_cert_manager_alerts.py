"""The documented alert rule about cert-manager's Certificates with live data: a real API server
with cert-manager's definitions, vitalsd with the permissions of deploy/kubernetes/rbac.yaml, and a
Prometheus with the shipped files. Expressions are as shipped; `for` is shortened to a second."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
import yaml

import shorten_rules
from kubernetes.test_cert_manager import EXPIRES, READY, certificate
from support import REPOSITORY
from support.kubernetes import ApiServer
from support.prometheus import SHIPPED, Prometheus, shipped_configuration
from support.vitalsd import Vitalsd

RULE_FILES = (SHIPPED / "documented.yaml", SHIPPED / "vitalsd.yaml")
RBAC = REPOSITORY / "deploy" / "kubernetes" / "rbac.yaml"
NAMESPACE = "vcci-production"
SOON, THIS_WEEK = "CertificateExpiringSoon", "CertificateExpiresThisWeek"


@dataclass
class Watch:
    api: ApiServer
    daemon: Vitalsd
    prometheus: Prometheus

    def issue(self, name: str, days: float) -> None:
        """Sets the status of a Certificate as cert-manager does, with this expiry in days."""
        thing = certificate(NAMESPACE, name, days)
        self.api.patch_status(thing, thing["status"])

    def is_silent(self, *alerts: str) -> None:
        self.prometheus.wait_evaluated()
        for alert in alerts:
            assert self.prometheus.alerts(alert) == []

    def scraped(self, name: str, days: str) -> None:
        """Waits until the date in Prometheus, in days from now, satisfies the comparison, as in `>
        30`."""
        self.prometheus.wait_for(f'({EXPIRES}{{name="{name}"}} - time()) / 86400 {days}')


@pytest.fixture
def watch(
    vitalsd: Callable[..., Vitalsd],
    prometheus: Callable[..., Prometheus],
    api_server: ApiServer,
) -> Iterator[Watch]:
    """Two certificates that expire in 60 days, and one that was never issued."""
    api = api_server
    api.install_definitions("cert-manager")
    api.apply(list(yaml.safe_load_all(RBAC.read_text())))
    account = api.service_account("vitalsd", "vitalsd")
    api.namespace(NAMESPACE)
    issued = [certificate(NAMESPACE, name, 60) for name in ("api", "web")]
    api.apply([*issued, certificate(NAMESPACE, "pending", ready="False")])
    daemon = vitalsd(
        [{"name": "certs", "kind": "cert-manager"}],
        plain={**api.environment, "VITALSD_SERVICE_ACCOUNT": str(account.directory)},
        secrets=[account.token],
    )
    daemon.wait_ok("certs")
    own = {"namespace": "vitalsd", "pod": "vitalsd-0"}  # attached to the target only
    yield Watch(
        api,
        daemon,
        prometheus(
            shipped_configuration([daemon.address], labels=own),
            [shorten_rules.shorten(file.read_text(), at_most="1s") for file in RULE_FILES],
        ),
    )


def test_a_certificate_that_is_not_renewed(watch: Watch) -> None:
    for name in ("api", "web"):
        watch.scraped(name, "> 30")
    watch.prometheus.wait_for(f'{READY}{{name="pending", condition="False"}} == 1')
    watch.is_silent(SOON, THIS_WEEK)

    watch.issue("web", 20)
    alert = watch.prometheus.wait_firing(SOON)
    labels = {"namespace": NAMESPACE, "name": "web", "document": "guide", "severity": "warning"}
    assert labels.items() <= alert["labels"].items()
    said = alert["annotations"]["summary"]
    assert said in (f"Certificate {NAMESPACE}/web expires in {days} days" for days in (19.9, "20.0"))
    watch.is_silent(THIS_WEEK)

    watch.issue("web", 3)
    alert = watch.prometheus.wait_firing(THIS_WEEK)
    assert alert["labels"]["name"] == "web"
    assert alert["labels"]["severity"] == "critical"

    watch.issue("web", -1)
    watch.scraped("web", "< 0")
    watch.prometheus.wait_evaluated()
    assert watch.prometheus.wait_firing(SOON)["annotations"]["summary"] == (
        f"Certificate {NAMESPACE}/web has expired"
    )

    watch.issue("web", 90)
    for name in (SOON, THIS_WEEK):
        watch.prometheus.wait_silent(name)
    watch.scraped("web", "> 89")


def test_a_certificate_that_is_deleted(watch: Watch) -> None:
    watch.issue("api", 20)
    watch.prometheus.wait_firing(SOON, name="api")
    watch.api.delete(certificate(NAMESPACE, "api"))
    watch.prometheus.wait_silent(SOON)
    watch.scraped("web", "> 30")


def test_the_alert_outlives_the_api_server(watch: Watch) -> None:
    """An expired certificate can be the reason why the API server is down."""
    watch.issue("web", 20)
    before = watch.prometheus.wait_firing(SOON)
    watch.api.stop()
    watch.daemon.wait_failed("certs", "connect")
    # After another failed run, readings are removed.
    watch.daemon.wait_failed("certs", "connect")
    watch.prometheus.wait_evaluated()
    assert watch.prometheus.wait_firing(SOON)["activeAt"] == before["activeAt"]
    watch.api.start()
    watch.issue("web", 90)
    watch.prometheus.wait_silent(SOON)
