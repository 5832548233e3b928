"""Kind http with nginx and with peers that send invalid responses."""

from __future__ import annotations

import gzip
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from support.certificates import DAY, Authority
from support.dns_server import DnsServer
from support.fault_proxy import FaultProxy
from support.forward_proxy import ForwardProxy
from support.http_peer import HttpPeer, Request, answer
from support.nginx import Nginx
from support.redis import Redis
from support.vitalsd import Vitalsd
from support.waiting import PATIENCE, wait_until

Daemon = Callable[..., Vitalsd]

QUICK = {"interval": "300ms", "timeout": "250ms"}


def api(name: str, url: str, **options: object) -> dict:
    return {"name": name, "kind": "http", "url": url, **options}


def error(daemon: Vitalsd, probe: str) -> str:
    """Returns the error of a probe's last run from the status page; empty if it succeeded."""
    (row,) = (row for row in daemon.status()["probes"] if row["name"] == probe)
    return row.get("error", "")


# ---- expectations -------------------------------------------------------------------------------

HEALTHY = {
    "status": 200,
    "json": {"/status": "ok"},
    "headers": ["Strict-Transport-Security", "x-frame-options", "X-Content-Type-Options"],
    "security_headers": True,
    "body": '"ok"',
    "not_body": "error|fail",
}
UNEXPECTED = {
    "status": ({"status": "5xx"}, "status 200, expected 5xx"),
    "statuses": ({"status": [201, 204]}, "status 200, expected 201 or 204"),
    "json-value": (
        {"json": {"/status": "ready"}},
        "the JSON value /status is 'ok', expected 'ready'",
    ),
    "json-pointer": ({"json": {"/state": "ok"}}, "the JSON value /state is missing"),
    "header": ({"headers": ["X-Absent"]}, "the header X-Absent is missing"),
    "body": ({"body": "degraded"}, "the body does not match 'degraded'"),
    "not-body": ({"not_body": "st.tus"}, "the body matches 'st.tus'"),
}
NO_JSON = ("broken.json", "deep.json")


def test_what_is_expected(vitalsd: Daemon, nginx: Nginx) -> None:
    """An unexpected response is still an observation: its samples are published, and the status
    page shows the difference."""
    daemon = vitalsd(
        [api("healthy", nginx.url(), expect=HEALTHY), api("live", nginx.url("/health/live"))]
        + [api(name, nginx.url(), expect=expect) for name, (expect, _) in UNEXPECTED.items()]
        + [api(name, nginx.url(f"/{name}"), expect={"json": {"/a": "1"}}) for name in NO_JSON]
    )
    for probe in ("healthy", "live"):
        daemon.wait_ok(probe)
    for probe, (_, text) in UNEXPECTED.items():
        assert error(daemon, probe) == text
        daemon.check_reason(probe, "mismatch")
        assert daemon.value("probe_http_status_code", probe=probe) == 200
        assert daemon.value("vitalsd_target_up", probe=probe, kind="http") == 1
    for probe in NO_JSON:
        assert error(daemon, probe).startswith("the body is not JSON")
    assert daemon.value("probe_http_version", probe="healthy") == 1.1
    assert daemon.value("probe_http_ssl", probe="healthy") == 0
    length = daemon.value("probe_http_uncompressed_body_length", probe="healthy")
    assert length == len(nginx.get("/health/ready")[1])


def test_a_service_that_turns_bad_and_recovers(vitalsd: Daemon, nginx: Nginx) -> None:
    daemon = vitalsd([api("api", nginx.url(), expect=HEALTHY)], **QUICK)
    daemon.wait_ok("api")
    nginx.answer("/health/ready", 503)
    daemon.wait_for("probe_http_status_code", 503, probe="api")
    assert daemon.value("probe_success", probe="api") == 0
    # All differences are reported at once.
    assert error(daemon, "api").split("; ") == [
        "status 503, expected 200",
        "the body does not match '\"ok\"'",
        "the JSON value /status is 'unavailable', expected 'ok'",
    ]
    nginx.answer_well()
    daemon.wait_ok("api")
    assert daemon.value("probe_http_status_code", probe="api") == 200
    nginx.stop()
    daemon.wait_failed("api", "connect")
    daemon.wait_for("probe_http_status_code", None, probe="api")
    nginx.start()
    daemon.wait_ok("api")


# ---- requests -----------------------------------------------------------------------------------


def test_redirects(vitalsd: Daemon, nginx: Nginx) -> None:
    daemon = vitalsd(
        [
            api("followed", nginx.url("/redirect")),
            api("shown", nginx.url("/redirect"), redirects=0, expect={"status": 302}),
            api("loop", nginx.url("/redirect/loop"), redirects=3),
        ]
    )
    daemon.wait_ok("followed")
    assert daemon.value("probe_http_redirects", probe="followed") == 1
    assert daemon.value("probe_http_status_code", probe="followed") == 200
    daemon.wait_ok("shown")
    assert daemon.value("probe_http_redirects", probe="shown") == 0
    assert error(daemon, "loop") == "more than 3 redirects: status 302, expected 2xx"
    assert daemon.value("probe_http_redirects", probe="loop") == 3


def test_credentials(vitalsd: Daemon, nginx: Nginx) -> None:
    """Credentials are sent only to the configured host, not to the target of a redirect."""
    password, token, wrong = {"env": "PASSWORD"}, {"env": "TOKEN"}, {"env": "WRONG"}
    private = nginx.url("/private")
    with_user = private.replace("//", f"//{nginx.user}@")
    daemon = vitalsd(
        [
            api("basic", private, user=nginx.user, password=password),
            api("in-the-url", with_user, password=password),
            api("bearer", nginx.url("/token"), bearer_token=token),
            api("wrong-password", private, user=nginx.user, password=wrong),
            api("wrong-token", nginx.url("/token"), bearer_token=wrong),
            api("none", private, expect={"status": 401}),
            api("elsewhere", nginx.url("/redirect/elsewhere"), user=nginx.user, password=password),
        ],
        environment={"PASSWORD": nginx.password, "TOKEN": nginx.token, "WRONG": "not-this-one"},
    )
    for probe in ("basic", "in-the-url", "bearer", "none"):
        daemon.wait_ok(probe)
    for probe in ("wrong-password", "wrong-token", "elsewhere"):
        assert daemon.value("probe_http_status_code", probe=probe) == 401
        daemon.check_reason(probe, "mismatch")
    assert daemon.value("probe_http_redirects", probe="elsewhere") == 1


def test_what_is_sent(vitalsd: Daemon, http_peer: HttpPeer) -> None:
    http_peer.answers["/form"] = answer("taken", 201)
    sent = {"method": "POST", "body": "a=1", "headers": {"X-Tenant": "blue", "Accept": "text/html"}}
    daemon = vitalsd([api("form", http_peer.url("/form?x=%20y"), **sent)])
    daemon.wait_ok("form")
    request = http_peer.requests[0]
    assert (request.method, request.target, request.body) == ("POST", "/form?x=%20y", b"a=1")
    assert request.headers["x-tenant"] == "blue"
    assert request.headers["accept"] == "text/html"
    assert request.headers["host"] == f"127.0.0.1:{http_peer.port}"
    assert "authorization" not in request.headers


# ---- TLS ----------------------------------------------------------------------------------------


def test_tls(vitalsd: Daemon, nginx: Nginx, certificates: Authority) -> None:
    trusted = {"ca": str(certificates.path)}
    expired = certificates.expired()
    good = nginx.url(tls=True)
    ports = {
        "expired": nginx.serve_tls("expired", expired),
        "self-signed": nginx.serve_tls("self-signed", certificates.issue(self_signed=True)),
        "wrong-host": nginx.serve_tls("wrong-host", certificates.issue("o", ["other.test"])),
    }
    local = {name: f"https://127.0.0.1:{port}/health/ready" for name, port in ports.items()}
    daemon = vitalsd(
        [api(name, url, tls=trusted) for name, url in {"good": good, **local}.items()]
        + [
            api("unknown-ca", good),
            api("http2", good, tls=trusted, http2=True),
            api("renamed", local["wrong-host"], tls={**trusted, "server_name": "other.test"}),
            api("unverified", local["expired"], tls={"verify": False}),
            api("plain-port", nginx.url().replace("http:", "https:"), tls=trusted),
        ],
        interval="2s",
        timeout="2s",
    )
    for probe in ("good", "http2", "renamed", "unverified"):
        daemon.wait_ok(probe)
        assert daemon.value("probe_http_ssl", probe=probe) == 1
    reasons = {
        "expired": "certificate has expired",
        "self-signed": "self-signed certificate",
        "wrong-host": "no alternative certificate subject name matches",
        "unknown-ca": "unable to get local issuer certificate",
        "plain-port": "the server does not use TLS on this port: use http://",
    }
    for probe, reason in reasons.items():
        daemon.wait_runs(probe, 1)
        daemon.check_reason(probe, "tls")
        assert reason in error(daemon, probe)
        assert daemon.value("vitalsd_target_up", probe=probe) == 0
    assert daemon.value("probe_http_version", probe="good") == 1.1
    assert daemon.value("probe_http_version", probe="http2") == 2
    assert daemon.value("probe_http_duration_seconds", probe="good", phase="tls") > 0
    # The date of a certificate is published even if it is not verified.
    until = daemon.value("probe_ssl_earliest_cert_expiry", probe="unverified")
    assert until == expired.expiry

    renewed = certificates.issue()
    nginx.serve_tls("expired", renewed)
    daemon.wait_ok("expired")
    daemon.wait_for("probe_ssl_earliest_cert_expiry", renewed.expiry, probe="expired")


def test_a_chain_that_is_about_to_expire(
    vitalsd: Daemon, nginx: Nginx, certificates: Authority, tmp_path: Path
) -> None:
    """Each certificate of the verified chain is judged by its own lifetime."""
    middle = Authority(
        tmp_path, "intermediate", certificates.certificate, lifetime=5 * DAY, age=360 * DAY
    )
    issued = {
        "fresh": certificates.issue(),
        "short": certificates.issue(lifetime=1.5 * DAY, age=0.5 * DAY),
        "expiring": middle.issue(lifetime=90 * DAY),
    }
    trusted = {"ca": str(certificates.path)}
    probes = [
        api(name, f"https://127.0.0.1:{nginx.serve_tls(name, each)}/health/ready", tls=trusted)
        for name, each in issued.items()
    ]
    daemon = vitalsd(probes)
    for name, verdict in (("fresh", 0), ("short", 0), ("expiring", 2)):
        daemon.wait_ok(name)
        assert daemon.value("vitalsd_check_status", probe=name, check="expires_in") == verdict
    last = daemon.value("probe_ssl_last_chain_expiry_timestamp_seconds", probe="expiring")
    assert last == middle.certificate.expiry
    begin = daemon.value("probe_ssl_last_chain_not_before_timestamp_seconds", probe="expiring")
    assert begin == middle.certificate.not_before.timestamp()
    assert "intermediate" in daemon.page("/")


# ---- bodies -------------------------------------------------------------------------------------


def test_compressed_answers(vitalsd: Daemon, http_peer: HttpPeer) -> None:
    """Expectations and the limit apply to the decompressed body, so a bomb is not unpacked."""
    text = b'{"status": "ok", "filling": "' + b"x" * 5000 + b'"}'
    bomb = gzip.compress(b"\0" * (64 << 20))
    http_peer.answers |= {
        "/gzip": answer(gzip.compress(text), Content_Encoding="gzip"),
        "/bomb": answer(bomb, Content_Encoding="gzip"),
        "/broken": answer(gzip.compress(text)[:-200], Content_Encoding="gzip"),
    }
    assert len(bomb) < 100_000
    expect = {"json": {"/status": "ok"}}
    daemon = vitalsd(
        [
            api(name, http_peer.url(f"/{name}"), expect=expect)
            for name in ("gzip", "bomb", "broken")
        ]
    )
    daemon.wait_ok("gzip")
    assert daemon.value("probe_http_uncompressed_body_length", probe="gzip") == len(text)
    daemon.check_reason("bomb", "protocol")
    assert "larger than 1048576 bytes" in error(daemon, "bomb")
    assert daemon.value("probe_success", probe="broken") == 0


def test_answers_that_make_no_sense(vitalsd: Daemon, http_peer: HttpPeer, nginx: Nginx) -> None:
    head = b"HTTP/1.1 200 OK\r\n"
    http_peer.answers |= {
        "/truncated": answer(b"x" * 1000)[:-500],
        "/chunk": head + b"Transfer-Encoding: chunked\r\n\r\nzz\r\nhello\r\n0\r\n\r\n",
        "/nothing": b"",
        "/garbage": b"\x00\xff\x13 this is no protocol \r\n\r\n" * 4,
        "/other": b"220 mail.example ESMTP\r\n",
        "/headers": head + b"X-Long: " + b"x" * 200_000 + b"\r\n\r\n",
        "/length": head + b"Content-Length: -5\r\n\r\nhello",
    }
    senseless = [path.strip("/") for path in http_peer.answers]
    daemon = vitalsd(
        [api(name, http_peer.url(f"/{name}")) for name in senseless]
        + [
            api("big", nginx.url("/big")),
            api("as-big-as-it-may", nginx.url("/big"), max_body="32MiB"),
            api("good", nginx.url()),
        ],
        interval="2s",
        timeout="2s",
    )
    for probe in [*senseless, "big"]:
        daemon.check_reason(probe, "protocol")
        assert daemon.value("vitalsd_target_up", probe=probe) == 0
    for probe in ("as-big-as-it-may", "good"):
        daemon.wait_ok(probe)


# ---- time ---------------------------------------------------------------------------------------


@pytest.mark.serial
def test_where_the_time_goes(vitalsd: Daemon, http_peer: HttpPeer, dns_server: DnsServer) -> None:
    """Each phase contains its delay, and all phases together are the duration of the run."""
    dns_server.set("late.test", delay=0.15)
    waiting = threading.Event()

    def late(_: Request) -> bytes:
        waiting.wait(0.3)  # never set: the server's processing time
        return answer("done")

    http_peer.answers["/"] = late
    tolerant = {"duration": {"warn": "400ms", "critical": "20s"}}
    daemon = vitalsd(
        [
            api("late", f"http://late.test:{http_peer.port}/", checks=tolerant),
            api("early", http_peer.url("/"), checks={"duration": {"critical": "200ms"}}),
        ],
        interval="2s",
        timeout="2s",
        dns={"servers": [dns_server.address]},
    )
    spent = {
        sample.labels["phase"]: sample.value
        for sample in daemon.samples("probe_http_duration_seconds", probe="late")
    }
    assert set(spent) == {"resolve", "connect", "processing", "transfer"}
    assert 0.14 < spent["resolve"] < 0.3 * PATIENCE
    assert 0.29 < spent["processing"] < 0.45 * PATIENCE
    assert spent["connect"] + spent["transfer"] < 0.1 * PATIENCE
    duration = daemon.value("probe_duration_seconds", probe="late")
    assert duration == pytest.approx(sum(spent.values()), abs=0.05 * PATIENCE)
    assert daemon.value("vitalsd_check_status", probe="late", check="duration") == 1
    assert daemon.value("vitalsd_check_status", probe="early", check="duration") == 2


def test_servers_that_hang(
    vitalsd: Daemon, nginx: Nginx, fault_proxy: Callable[..., FaultProxy]
) -> None:
    """If the target hangs in any phase, the run ends at its deadline and the next run is
    independent."""
    proxy = fault_proxy(nginx.port)
    through = f"http://127.0.0.1:{proxy.port}/health/ready"
    daemon = vitalsd(
        [
            api("silent", nginx.url("/silent")),
            api("slow", nginx.url("/slow")),
            api("through", through),
            api("good", nginx.url()),
        ],
        **QUICK,
    )
    daemon.wait_ok("through")
    for probe in ("silent", "slow"):
        daemon.wait_failed(probe, "timeout")
        assert error(daemon, probe).startswith("no response within 250ms while waiting for a response")
    for mode in ("hang", "silent"):
        proxy.set_mode(mode)
        daemon.wait_failed("through", "timeout")
        proxy.set_mode("ok")
        daemon.wait_ok("through")
    for mode, reason in {"reset": "protocol", "refuse": "connect", "garbage": "protocol"}.items():
        proxy.set_mode(mode)
        daemon.wait_failed("through", reason)
        proxy.set_mode("ok")
        daemon.wait_ok("through")
    assert daemon.failures("good") == {}


def test_through_a_proxy(
    vitalsd: Daemon, nginx: Nginx, certificates: Authority, forward_proxy: ForwardProxy
) -> None:
    """The proxy of the option is used, and the proxies of the environment are not."""
    way = {"proxy": forward_proxy.address, "proxy_password": {"env": "PROXY"}}
    tls = {"ca": str(certificates.path)}
    trap = "http://127.0.0.1:1"
    daemon = vitalsd(
        [
            api("plain", nginx.url(), headers={"X-Token": "origin"}, **way),
            api("tls", nginx.url(tls=True), tls=tls, headers={"X-Token": "origin"}, **way),
            api("named", nginx.url(tls=True), tls=tls | {"server_name": "localhost"}, **way),
            api("http2", nginx.url(tls=True), tls=tls, http2=True, **way),
            api("missing", nginx.url("/health/none"), **way),
            api("missing-tls", nginx.url("/health/none", tls=True), tls=tls, **way),
            api("refused", nginx.url(), **way | {"proxy_password": {"env": "WRONG"}}),
            api("refused-tls", nginx.url(tls=True), **way | {"proxy_password": {"env": "WRONG"}}),
            api("no-proxy", nginx.url(), proxy=trap),
            api("nowhere", f"http://127.0.0.1:1/", **way),
            api("direct", nginx.url()),
        ],
        environment={"PROXY": forward_proxy.password, "WRONG": "not-the-password"},
        plain={name: trap for name in ("http_proxy", "https_proxy", "HTTPS_PROXY", "ALL_PROXY")},
    )
    for probe in ("plain", "tls", "named", "http2", "direct"):
        daemon.wait_ok(probe)
    assert daemon.value("probe_http_ssl", probe="tls") == 1
    assert daemon.value("probe_ssl_earliest_cert_expiry", probe="tls")
    assert daemon.value("probe_http_version", probe="http2") == 2
    proxy = f"the proxy 127.0.0.1:{forward_proxy.port}"
    status = f"{proxy} refuses the request: status 407, it does not accept the user"
    for probe in ("refused", "refused-tls"):
        daemon.wait_failed(probe, "config")
        assert error(daemon, probe).startswith(status)
    daemon.wait_failed("missing", "mismatch")
    assert error(daemon, "missing") == f"through {proxy}: status 404, expected 2xx"
    daemon.wait_failed("missing-tls", "mismatch")
    assert error(daemon, "missing-tls") == "status 404, expected 2xx"
    daemon.wait_failed("no-proxy", "internal")
    assert error(daemon, "no-proxy") == "the proxy 127.0.0.1:1: Connection refused"
    daemon.wait_failed("nowhere", "internal")  # this proxy closes the connection
    # The proxy gets the address of the URL and no header for the origin.
    connects = [each for each in forward_proxy.requests if each.method == "CONNECT"]
    assert {each.target for each in connects} == {f"127.0.0.1:{nginx.tls_port}"}
    assert not any("x-token" in each.headers for each in connects)


@pytest.mark.threads
def test_a_ca_file_that_is_replaced(
    vitalsd: Daemon, nginx: Nginx, certificates: Authority, tmp_path: Path
) -> None:
    """A rotated secret is used without a reload."""
    trusted = tmp_path / "ca.pem"
    directory = tmp_path / "other"
    directory.mkdir()
    trusted.write_bytes(Authority(directory).path.read_bytes())
    daemon = vitalsd([api("api", nginx.url(tls=True), tls={"ca": str(trusted)})], **QUICK)
    daemon.wait_failed("api", "tls")
    new = tmp_path / "new.pem"
    new.write_bytes(certificates.path.read_bytes())
    new.rename(trusted)
    daemon.wait_ok("api")


def test_http_to_a_port_for_https(vitalsd: Daemon, nginx: Nginx, redis_server: Redis) -> None:
    """nginx answers, other servers close the connection."""
    daemon = vitalsd(
        [
            api("nginx", nginx.url(tls=True).replace("https:", "http:")),
            api("other", f"http://127.0.0.1:{redis_server.tls_port}/"),
        ]
    )
    daemon.check_reason("nginx", "mismatch")
    wait_until(
        lambda: "the server uses TLS on this port, use https://" in error(daemon, "nginx"),
        what="the error says what to do",
    )
    daemon.check_reason("other", "protocol")
    wait_until(
        lambda: error(daemon, "other").endswith("if this port is for HTTPS, use https://"),
        what="the error says what to do",
    )
