"""Every kind over IPv6: addresses, names with AAAA records only, and names with both."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from support.dns_server import DnsServer
from support.fault_proxy import FaultProxy
from support.http_peer import HttpPeer, answer
from support.nginx import Nginx
from support.postgres import Postgres
from support.prometheus import Prometheus
from support.redis import Redis
from support.s3 import S3
from support.vitalsd import Vitalsd

Daemon = Callable[..., Vitalsd]
Proxy = Callable[..., FaultProxy]

IPV6 = "::1"
# The last name has an IPv4 and an IPv6 address, but nothing listens on the port at the IPv4
# address.
WAYS = {"literal": f"[{IPV6}]", "six": "six.test", "both": "both.test"}


@pytest.fixture
def names(dns_server: DnsServer) -> DnsServer:
    dns_server.set_records("six.test", {"AAAA": [IPV6]})
    dns_server.set_records("both.test", {"AAAA": [IPV6], "A": ["127.0.0.1"]})
    dns_server.set("answer.test")
    return dns_server


def dns(server: DnsServer) -> dict[str, object]:
    return {"servers": [server.address]}


def test_every_kind_over_ipv6(
    vitalsd: Daemon,
    names: DnsServer,
    fault_proxy: Proxy,
    nginx: Nginx,
    postgres: Postgres,
    redis_server: Redis,
    s3: S3,
    http_peer: HttpPeer,
    prometheus: Callable[..., Prometheus],
) -> None:
    def at(port: int) -> int:
        """Returns a port of ::1 that leads to a port of 127.0.0.1."""
        return fault_proxy(port, address=IPV6).port

    http, tls, database, cache, objects, answers = map(
        at, (nginx.port, nginx.tls_port, postgres.port, redis_server.port, s3.port, names.port)
    )
    http_peer.answers["/metrics"] = answer("app_jobs 1\n", Content_Type="text/plain")
    page, rules = at(http_peer.port), at(prometheus({}).port)
    bucket = s3.new_bucket()
    s3.put(bucket, "dump", b"x")
    place = {"bucket": bucket, "region": s3.region}
    place |= {"access_key": {"env": "ACCESS"}, "secret_key": {"env": "S3_SECRET"}}
    kinds: dict[str, Callable[[str], dict[str, object]]] = {
        "tcp": lambda host: {"endpoint": f"{host}:{http}"},
        "http": lambda host: {"url": f"http://{host}:{http}/health/live"},
        "certificate": lambda host: {"endpoint": f"{host}:{tls}", "tls": {"verify": False}},
        "postgres": lambda host: {
            "url": f"postgresql://monitor@{host}:{database}/{postgres.database}?sslmode=require",
            "password": {"env": "MONITOR"},
        },
        "redis": lambda host: {"url": f"redis://{host}:{cache}", "password": {"env": "REDIS"}},
        "dns": lambda host: {
            "query": "answer.test", "server": f"{host}:{answers}", "protocol": "tcp"
        },
        "backup": lambda host: {"s3": place | {"endpoint": f"http://{host}:{objects}"}},
        "bucket": lambda host: {"s3": place | {"endpoint": f"http://{host}:{objects}"}},
        "relay": lambda host: {"url": f"http://{host}:{page}/metrics"},
        "prometheus": lambda host: {"url": f"http://{host}:{rules}"},
    }  # fmt: skip
    probes = [
        {"name": f"{kind}-{way}", "kind": kind, **options(host)}
        for kind, options in kinds.items()
        for way, host in WAYS.items()
    ]
    secrets = {"MONITOR": postgres.passwords["monitor"], "REDIS": redis_server.password}
    secrets |= {"ACCESS": s3.access_key, "S3_SECRET": s3.secret_key}
    daemon = vitalsd(probes, dns=dns(names), environment=secrets)
    for probe in probes:
        if probe["kind"] == "prometheus":  # it responds that it has no targets
            daemon.wait_failed(str(probe["name"]), "mismatch")
        else:
            daemon.wait_ok(str(probe["name"]))


def test_one_ip_version_only(vitalsd: Daemon, names: DnsServer, fault_proxy: Proxy, nginx: Nginx) -> None:
    """The port is open at ::1 only."""
    relay = fault_proxy(nginx.port, address=IPV6)
    url = f"http://both.test:{relay.port}/health/live"
    daemon = vitalsd(
        [
            {"name": "any", "kind": "http", "url": url},
            {"name": "six", "kind": "http", "url": url, "ip": 6},
            {"name": "four", "kind": "http", "url": url, "ip": 4},
            {"name": "none", "kind": "tcp", "endpoint": f"six.test:{relay.port}", "ip": 4},
        ],
        dns=dns(names),
    )
    daemon.wait_ok("any")
    daemon.wait_ok("six")
    daemon.wait_failed("four", "connect")
    daemon.wait_failed("none", "dns")


@pytest.mark.parametrize("host", [IPV6, "::"])
def test_the_listener_at_an_ipv6_address(vitalsd: Daemon, nginx: Nginx, host: str) -> None:
    daemon = vitalsd([{"name": "api", "kind": "http", "url": nginx.url()}], host=host)
    daemon.wait_ok("api")
    assert daemon.value("probe_success", probe="api") == 1
