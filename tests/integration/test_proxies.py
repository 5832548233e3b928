"""The option `proxy`: a proxy that fails is not a fault of the target."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from support.certificates import Authority
from support.dns_server import DnsServer
from support.forward_proxy import ForwardProxy
from support.nginx import Nginx
from support.process import unused_port
from support.vitalsd import Vitalsd
from support.waiting import wait_until

Daemon = Callable[..., Vitalsd]

QUICK = {"interval": "300ms", "timeout": "250ms"}
UNKNOWN = 3


def wait_error(daemon: Vitalsd, probe: str, text: str) -> None:
    """Waits until the error of the last run of a probe contains this text."""

    def seen() -> bool:
        (error,) = (r.get("error", "") for r in daemon.status()["probes"] if r["name"] == probe)
        assert text in error, error
        return True

    wait_until(seen, what=f"{probe}: {text}")


def check_unknown(daemon: Vitalsd, probe: str, reason: str, error: str) -> None:
    """Waits until the probe fails, the state of the target is unknown, and the error names the
    proxy."""
    daemon.wait_failed(probe, reason)
    daemon.wait_for("vitalsd_target_up", None, probe=probe)  # after the second run in a row
    # ProbeFailing reads probe_success.
    daemon.wait_for("probe_success", 0, probe=probe)
    daemon.wait_for("vitalsd_probe_status", UNKNOWN, probe=probe)
    wait_error(daemon, probe, error)


def probes(nginx: Nginx, certificates: Authority, name: str, **way: object) -> list[dict]:
    """A target without TLS, and one with TLS for each kind that opens a tunnel."""
    tls = {"ca": str(certificates.path)}
    return [
        {"name": f"plain{name}", "kind": "http", "url": nginx.url(), **way},
        {"name": f"tls{name}", "kind": "http", "url": nginx.url(tls=True), "tls": tls, **way},
        {
            "name": f"certificate{name}",
            "kind": "certificate",
            "endpoint": f"127.0.0.1:{nginx.tls_port}",
            "tls": tls,
            **way,
        },
    ]


TUNNELS = ("tls", "certificate")


@pytest.mark.threads
def test_a_proxy_that_fails(
    vitalsd: Daemon, nginx: Nginx, certificates: Authority, forward_proxy: ForwardProxy
) -> None:
    """Until the tunnel is established, the state of the target is unknown. Without TLS, a failed
    response in HTTP and a timeout may be those of the target."""
    way = {"proxy": forward_proxy.address, "proxy_password": {"env": "PROXY"}}
    daemon = vitalsd(
        probes(nginx, certificates, "", **way),
        environment={"PROXY": forward_proxy.password},
        **QUICK,
    )

    def check_well() -> None:
        forward_proxy.mode = "ok"
        for probe in ("plain", *TUNNELS):
            daemon.wait_ok(probe)
            daemon.wait_for("vitalsd_target_up", 1, probe=probe)

    proxy = f"the proxy 127.0.0.1:{forward_proxy.port}"
    check_well()
    forward_proxy.mode = "refuse"
    for probe in TUNNELS:
        check_unknown(daemon, probe, "internal", f"{proxy} refuses the request: status 503")
    daemon.wait_failed("plain", "mismatch")
    daemon.wait_for("vitalsd_target_up", 1, probe="plain")
    check_well()
    for mode in ("hang", "close", "garbage"):
        forward_proxy.mode = mode
        for probe in TUNNELS:
            check_unknown(daemon, probe, "internal", proxy)
        if mode == "hang":
            daemon.wait_failed("plain", "timeout")
            daemon.wait_for("vitalsd_target_up", 0, probe="plain")
        else:
            check_unknown(daemon, "plain", "internal", proxy)
    check_well()
    # The bytes in the tunnel are those of the target.
    forward_proxy.mode = "cut"
    for probe in TUNNELS:
        daemon.wait_failed(probe, "tls")
        daemon.wait_for("vitalsd_target_up", 0, probe=probe)
        wait_error(daemon, probe, f"through {proxy}: ")
    forward_proxy.close()
    for probe in ("plain", *TUNNELS):
        check_unknown(daemon, probe, "internal", f"{proxy}: Connection refused")


def test_a_proxy_that_requires_other_credentials(
    vitalsd: Daemon, nginx: Nginx, certificates: Authority, forward_proxy: ForwardProxy
) -> None:
    """Status 407 is a fault of the configuration, with and without TLS."""
    anonymous = f"http://127.0.0.1:{forward_proxy.port}"
    daemon = vitalsd(
        probes(
            nginx,
            certificates,
            "-wrong",
            proxy=forward_proxy.address,
            proxy_password={"env": "WRONG"},
        )
        + probes(nginx, certificates, "-none", proxy=anonymous),
        environment={"WRONG": "not-the-password"},
    )
    start = f"the proxy 127.0.0.1:{forward_proxy.port} refuses the request: status 407, it "
    for kind in ("plain", *TUNNELS):
        check_unknown(daemon, f"{kind}-wrong", "config", start + "does not accept the user")
        check_unknown(daemon, f"{kind}-none", "config", start + "requires credentials")


def test_a_proxy_at_an_ipv6_address(
    vitalsd: Daemon,
    nginx: Nginx,
    certificates: Authority,
    forward_proxies: Callable[..., ForwardProxy],
) -> None:
    proxy = forward_proxies(host="::1")
    way = {"proxy": proxy.address, "proxy_password": {"env": "PROXY"}}
    daemon = vitalsd(
        probes(nginx, certificates, "", **way), environment={"PROXY": proxy.password}
    )
    for probe in ("plain", *TUNNELS):
        daemon.wait_ok(probe)
    proxy.close()
    for probe in ("plain", *TUNNELS):
        check_unknown(
            daemon, probe, "internal", f"the proxy [::1]:{proxy.port}: Connection refused"
        )


def test_every_kind_with_a_proxy_that_is_down(vitalsd: Daemon, dns_server: DnsServer) -> None:
    """Also if its name does not exist."""
    dead, unknown = f"http://scout@127.0.0.1:{unused_port()}", "http://scout@proxy.test:3128"
    targets = {
        "http": {"url": "http://127.0.0.1:1/"},
        "certificate": {"endpoint": "127.0.0.1:1"},
        "prometheus": {"url": "http://127.0.0.1:1"},
        "rabbitmq": {"url": "http://127.0.0.1:1"},
        "relay": {"url": "http://127.0.0.1:1/metrics"},
        "bucket": {"s3": {"bucket": "data", "endpoint": "http://127.0.0.1:1"}},
        "backup": {"s3": {"bucket": "data", "endpoint": "http://127.0.0.1:1"}},
    }
    keys = {"access_key": {"env": "KEY"}, "secret_key": {"env": "SECRET"}}

    def probe(kind: str, name: str, proxy: str) -> dict:
        way = {"proxy": proxy, "proxy_password": {"env": "PROXY"}}
        options = dict(targets[kind])
        if "s3" in options:
            options["s3"] = options["s3"] | keys | way
        else:
            options |= way
        return {"name": f"{kind}-{name}", "kind": kind, **options}

    daemon = vitalsd(
        [
            probe(kind, name, proxy)
            for kind in targets
            for name, proxy in (("dead", dead), ("unknown", unknown))
        ],
        environment={"KEY": "s3-access-key", "SECRET": "s3-secret-key", "PROXY": "proxy-secret"},
        dns={"servers": [dns_server.address]},
    )
    for kind in targets:
        check_unknown(daemon, f"{kind}-dead", "internal", f"the proxy {dead.split('@')[1]}: ")
        check_unknown(daemon, f"{kind}-unknown", "internal", "the proxy proxy.test: ")
