"""Kind certificate with TLS Secrets of a real API server: dates come from the public part, and no
page or log contains the private part (Vitalsd.end() checks that)."""

from __future__ import annotations

import base64
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from support.certificates import DAY, Authority, Certificate
from support.kubernetes import ApiServer
from support.kubernetes_client import Object, reference
from support.vitalsd import Vitalsd

StartVitalsd = Callable[..., Vitalsd]

EXPIRY = "cert_expiry_timestamp"


@pytest.fixture
def namespace(api_server: ApiServer) -> str:
    return api_server.namespace()


def key_lines(certificate: Certificate) -> set[str]:
    """Returns the lines of a private key. None of them may appear anywhere."""
    lines = certificate.key.read_text().splitlines()
    return {line for line in lines if len(line) > 20 and "PRIVATE KEY" not in line}


def secret(namespace: str, name: str, certificate: Certificate, **labels: str) -> Object:
    public, private = certificate.path.read_bytes(), certificate.key.read_bytes()
    return raw(namespace, name, public, private, **labels)


def raw(namespace: str, name: str, public: bytes, private: bytes = b"", **labels: str) -> Object:
    thing = reference("v1", "Secret", name, namespace)
    thing["metadata"]["labels"] = labels
    thing["type"] = "kubernetes.io/tls"
    thing["data"] = {
        "tls.crt": base64.b64encode(public).decode(),
        "tls.key": base64.b64encode(private).decode(),
    }
    return thing


def follow(
    vitalsd: StartVitalsd, api: ApiServer, which: dict[str, Any], /, **more: Any
) -> Vitalsd:
    probe = {"name": "certs", "kind": "certificate", "secrets": which}
    return vitalsd([probe], kubernetes={"kubeconfig": str(api.kubeconfig())}, **more)


def test_dates_of_secrets(
    vitalsd: StartVitalsd, api_server: ApiServer, namespace: str, certificates: Authority
) -> None:
    web = certificates.issue("web.test")
    nameless = certificates.issue(None, ["san.test"], lifetime=20 * DAY)
    other = certificates.issue("other.test")
    opaque = secret(namespace, "opaque", certificates.issue("opaque.test"))
    opaque["type"] = "Opaque"
    api_server.apply(
        [
            secret(namespace, "web", web, use="ingress"),
            secret(namespace, "nameless", nameless, use="ingress"),
            secret(namespace, "other", other, use="mail"),
            opaque,
        ]
    )
    daemon = follow(
        vitalsd,
        api_server,
        {"namespaces": [namespace], "selector": "use=ingress"},
        secrets=key_lines(web) | key_lines(nameless) | key_lines(other),
    )
    daemon.wait_ok("certs")
    assert {
        (sample.labels["cn"], sample.labels["source"], sample.value)
        for sample in daemon.samples(EXPIRY)
    } == {
        ("web.test", f"{namespace}/web", web.expiry),
        ("san.test", f"{namespace}/nameless", nameless.expiry),
    }
    begins = daemon.value("cert_not_before_timestamp", cn="web.test")
    assert begins == web.not_before.timestamp()
    daemon.wait_for("vitalsd_check_status", 1, check="expires_in")

    renewed = certificates.issue("san.test")
    daemon.secrets |= key_lines(renewed)
    api_server.apply(secret(namespace, "nameless", renewed, use="ingress"))
    daemon.wait_for(EXPIRY, renewed.expiry, cn="san.test")
    daemon.wait_for("vitalsd_check_status", 0, check="expires_in")
    api_server.delete(secret(namespace, "web", web))
    daemon.wait_for(EXPIRY, None, cn="web.test")


def test_a_secret_that_cannot_be_read_is_told_and_fails_nothing(
    vitalsd: StartVitalsd, api_server: ApiServer, namespace: str, certificates: Authority
) -> None:
    good = certificates.issue("good.test")
    broken = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
    api_server.apply(
        [
            secret(namespace, "good", good),
            raw(namespace, "broken", broken, good.key.read_bytes()),
            raw(namespace, "empty", b"", good.key.read_bytes()),
            # A common mistake: the two files are swapped.
            raw(namespace, "swapped", good.key.read_bytes(), good.path.read_bytes()),
        ]
    )
    daemon = follow(
        vitalsd, api_server, {"namespaces": [namespace]}, secrets=key_lines(good)
    )
    daemon.wait_for("vitalsd_check_status", 1, check="unreadable")
    assert {s.labels["source"] for s in daemon.samples("cert_secret_unreadable")} == {
        f"{namespace}/{name}" for name in ("broken", "empty", "swapped")
    }
    # Otherwise the dates of all others would be stale, which is critical.
    assert daemon.value("probe_success") == 1
    assert daemon.value(EXPIRY, cn="good.test", source=f"{namespace}/good") == good.expiry
    assert len(daemon.samples(EXPIRY)) == 1
    for name in ("broken", "empty", "swapped"):
        api_server.delete(reference("v1", "Secret", name, namespace))
    daemon.wait_for("vitalsd_check_status", 0, check="unreadable")
    assert daemon.absent("cert_secret_unreadable")


def test_authorities_and_opaque_secrets(
    vitalsd: StartVitalsd, api_server: ApiServer, namespace: str, certificates: Authority
) -> None:
    """Each entry with certificates has its dates. Opaque Secrets are read only if configured."""
    web, client = certificates.issue("web.test"), certificates.issue("client.test")
    root = certificates.certificate

    def with_data(thing: Object, **data: Certificate) -> Object:
        for key, certificate in data.items():
            value = certificate.path.read_bytes()
            thing["data"][key.replace("_", ".")] = base64.b64encode(value).decode()
        return thing

    bundle = with_data(secret(namespace, "bundle", client), client_pem=client, ca_crt=root)
    bundle["type"] = "Opaque"
    bundle["data"] |= {"tls.crt": "", "password": base64.b64encode(b"swordfish").decode()}
    api_server.apply(
        [
            with_data(secret(namespace, "web", web), ca_crt=root),
            with_data(raw(namespace, "authority", b""), ca_crt=root),
            bundle,
        ]
    )
    secrets = key_lines(web) | key_lines(client) | {"swordfish"}
    tls = {
        (f"{namespace}/web", "web.test", web.expiry),
        (f"{namespace}/web/ca.crt", "test-ca", root.expiry),
        (f"{namespace}/authority/ca.crt", "test-ca", root.expiry),
    }
    opaque = {
        (f"{namespace}/bundle/ca.crt", "test-ca", root.expiry),
        (f"{namespace}/bundle/client.pem", "client.test", client.expiry),
    }
    for which, expected in (({}, tls), ({"opaque": True}, tls | opaque)):
        options = {"namespaces": [namespace], **which}
        daemon = follow(vitalsd, api_server, options, secrets=secrets)
        daemon.wait_ok("certs")
        assert {
            (sample.labels["source"], sample.labels["cn"], sample.value)
            for sample in daemon.samples(EXPIRY)
        } == expected
        assert daemon.value("vitalsd_check_status", check="unreadable") == 0


def test_dates_outlive_the_api_server_and_the_daemon(
    vitalsd: StartVitalsd,
    api_server: ApiServer,
    namespace: str,
    certificates: Authority,
    tmp_path: Path,
) -> None:
    web = certificates.issue("web.test")
    gone = certificates.issue("gone.test")
    api_server.apply([secret(namespace, "web", web), secret(namespace, "gone", gone)])
    state = tmp_path / "state"
    state.mkdir()
    daemon = follow(
        vitalsd,
        api_server,
        {"namespaces": [namespace, "default"]},
        secrets=key_lines(web) | key_lines(gone),
        state={"directory": str(state)},
    )
    assert daemon.value(EXPIRY, cn="web.test") == web.expiry
    api_server.stop()
    daemon.restart()
    daemon.wait_failed("certs", "connect")
    assert daemon.value(EXPIRY, cn="web.test") == web.expiry
    assert not any(line in file.read_text() for file in state.iterdir() for line in daemon.secrets)

    api_server.start()
    daemon.wait_ok("certs", deadline=60)
    api_server.delete(reference("v1", "Secret", "gone", namespace))
    daemon.wait_for(EXPIRY, None, cn="gone.test")
    assert daemon.value(EXPIRY, cn="web.test") == web.expiry


def test_permissions_in_one_namespace_are_enough(
    vitalsd: StartVitalsd, api_server: ApiServer, namespace: str, certificates: Authority
) -> None:
    web = certificates.issue("web.test")
    api_server.apply(secret(namespace, "web", web))
    account = api_server.service_account(namespace)
    may = {"apiGroups": [""], "resources": ["secrets"], "verbs": ["list", "watch"]}
    api_server.grant(account, may, namespace=namespace)
    probe = {"kind": "certificate"}
    daemon = vitalsd(
        [
            {"name": "mine", "secrets": {"namespaces": [namespace]}, **probe},
            {"name": "all", "secrets": {}, **probe},
        ],
        kubernetes={"kubeconfig": str(api_server.kubeconfig("watcher", token=account.token))},
        secrets=key_lines(web) | {account.token},
    )
    daemon.wait_ok("mine")
    assert daemon.value(EXPIRY, probe="mine", cn="web.test") == web.expiry
    daemon.wait_failed("all", "permission")
    errors = {each["name"]: each.get("error", "") for each in daemon.status()["probes"]}
    assert 'cannot watch resource "secrets" in API group ""' in errors["all"]


def test_a_misspelled_namespace(
    vitalsd: StartVitalsd, api_server: ApiServer, namespace: str, certificates: Authority
) -> None:
    """The API server lists a namespace that does not exist without an error."""
    api_server.apply(secret(namespace, "web", certificates.issue("web.test")))
    typo = namespace + "-typo"
    daemon = follow(vitalsd, api_server, {"namespaces": [namespace, typo]})
    daemon.wait_ok("certs")
    daemon.wait_for("vitalsd_probe_selected_objects", 1, scope=namespace)
    daemon.wait_for("vitalsd_probe_selected_objects", 0, scope=typo)
    daemon.wait_for("vitalsd_check_status", 1, check="unmatched")
    (probe,) = daemon.status()["probes"]
    (check,) = [each for each in probe["checks"] if each["name"] == "unmatched"]
    assert check["object"] == f"{typo} (matches nothing)"
    api_server.namespace(typo)
    api_server.apply(secret(typo, "late", certificates.issue("late.test")))
    daemon.wait_for("vitalsd_check_status", 0, check="unmatched")
