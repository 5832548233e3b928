"""Kind dns with a server with scripted responses, and the effect of a slow server on other
probes."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from support.dns_server import DnsServer
from support.nginx import Nginx
from support.process import free_port
from support.vitalsd import Vitalsd
from support.waiting import PATIENCE

Daemon = Callable[..., Vitalsd]

QUICK = {"interval": "300ms", "timeout": "250ms"}

RECORDS = {
    "A": ["192.0.2.1", "192.0.2.2", "192.0.2.3"],
    "AAAA": ["2001:db8::1"],
    "CAA": ['0 issue "ca.test"', '0 iodef "mailto:a@test"'],
    "MX": ["10 mail.test.", "20 backup.test."],
    "NS": ["ns1.test.", "ns2.test."],
    "PTR": ["web.test."],
    "SOA": ["ns1.test. admin.test. 1 2 3 4 5"],
    "SRV": ["1 2 443 web.test."],
    "TXT": ['"v=spf1 " "-all"'],  # two strings of one record
}
# One record of each type, in the format of the label `answers`.
WRITTEN = {
    "A": "192.0.2.2",
    "AAAA": "2001:db8::1",
    "CAA": '0 issue "ca.test"',
    "MX": "20 backup.test",
    "NS": "ns2.test",
    "PTR": "web.test",
    "SOA": "ns1.test",
    "SRV": "1 2 443 web.test",
    "TXT": "v=spf1 -all",
}


def zone(name: str, server: DnsServer, query: str, **options: object) -> dict:
    return {"name": name, "kind": "dns", "query": query, "server": server.address, **options}


def errors(daemon: Vitalsd) -> dict[str, str]:
    """Returns the errors of the last runs by probe, from the status page."""
    return {row["name"]: row.get("error", "") for row in daemon.status()["probes"]}


def test_each_type_of_record(vitalsd: Daemon, dns_server: DnsServer) -> None:
    dns_server.set_records("all.test", RECORDS)
    daemon = vitalsd(
        [
            zone(kind.lower(), dns_server, "all.test", type=kind, answers=[WRITTEN[kind]])
            for kind in RECORDS
        ]
    )
    for kind, records in RECORDS.items():
        probe = kind.lower()
        daemon.wait_ok(probe)
        assert daemon.value("probe_dns_answer_rrs", probe=probe) == len(records)
        assert 0 < daemon.value("probe_dns_duration_seconds", probe=probe) < 10


def test_aliases_and_names_of_addresses(vitalsd: Daemon, dns_server: DnsServer) -> None:
    dns_server.set_records("alias.test", {"CNAME": ["real.test."]})
    dns_server.set_records("1.2.0.192.in-addr.arpa", {"PTR": ["web.test."]})
    daemon = vitalsd(
        [
            zone("alias", dns_server, "alias.test", type="CNAME", answers=["real.test"]),
            zone("address", dns_server, "192.0.2.1", type="PTR", answers=["web.test"]),
        ]
    )
    for probe in ("alias", "address"):
        daemon.wait_ok(probe)
        assert daemon.value("probe_dns_answer_rrs", probe=probe) == 1


def test_other_answers(vitalsd: Daemon, dns_server: DnsServer) -> None:
    """A server with a negative response is up, but the probe fails."""
    dns_server.set("here.test", "192.0.2.1")
    dns_server.set("broken.test", rcode="SERVFAIL")
    dns_server.set("refused.test", rcode="REFUSED")
    daemon = vitalsd(
        [
            zone("wrong", dns_server, "here.test", answers=["192.0.2.1", "192.0.2.9"]),
            zone("no-such-name", dns_server, "absent.test"),
            zone("no-such-record", dns_server, "here.test", type="MX"),
            zone("broken", dns_server, "broken.test"),
            zone("refused", dns_server, "refused.test"),
            zone("hijacked", dns_server, "here.test", expect="nxdomain"),
        ]
    )
    texts = {
        "wrong": "'192.0.2.9' is missing from the records '192.0.2.1'",
        "no-such-name": "absent.test: domain name not found",
        "no-such-record": "here.test: DNS server returned answer with no data",
        "broken": "broken.test: DNS server returned general failure",
        "refused": "refused.test: DNS server refused query",
        "hijacked": "here.test has '192.0.2.1', expected no such name",
    }
    assert errors(daemon) == texts
    for probe in texts:
        daemon.check_reason(probe, "mismatch")
        assert daemon.value("vitalsd_target_up", probe=probe, kind="dns") == 1
    assert daemon.value("probe_dns_answer_rrs", probe="wrong") == 1
    assert daemon.absent("probe_dns_answer_rrs", probe="no-such-name")


def test_names_that_must_not_exist(vitalsd: Daemon, dns_server: DnsServer) -> None:
    dns_server.set("gone.test", "192.0.2.1")
    gone = zone("gone", dns_server, "gone.test", expect="nxdomain")
    daemon = vitalsd([gone], **QUICK)
    daemon.wait_failed("gone", "mismatch")
    del dns_server.names["gone.test"]
    daemon.wait_ok("gone")
    assert daemon.value("probe_dns_answer_rrs", probe="gone") == 0


def test_servers_that_do_not_answer(vitalsd: Daemon, dns_server: DnsServer) -> None:
    dns_server.set("silent.test", silent=True)
    nobody = f"127.0.0.1:{free_port()}"
    daemon = vitalsd(
        [
            zone("silent", dns_server, "silent.test"),
            zone("silent-tcp", dns_server, "silent.test", protocol="tcp"),
            zone("nobody", dns_server, "here.test") | {"server": nobody},
            zone("nobody-tcp", dns_server, "here.test", protocol="tcp") | {"server": nobody},
        ]
    )
    for probe in ("silent", "silent-tcp"):
        daemon.wait_failed(probe, "timeout")
        daemon.check_reason(probe, "timeout")
        assert "waiting for the records of silent.test" in errors(daemon)[probe]
    for probe in ("nobody", "nobody-tcp"):
        daemon.check_reason(probe, "connect")
    for probe in ("silent", "silent-tcp", "nobody", "nobody-tcp"):
        assert daemon.value("vitalsd_target_up", probe=probe) == 0


def test_long_and_senseless_answers(vitalsd: Daemon, dns_server: DnsServer) -> None:
    many = [f"192.0.2.{number}" for number in range(200)]
    dns_server.set_records("long.test", {"A": many}, truncated=True)
    dns_server.set("senseless.test", raw=b"\x81\x80\x00\x01\xff\xff\x00\x00\x00\x00")
    daemon = vitalsd(
        [
            zone("long", dns_server, "long.test", answers=["192.0.2.199"]),
            zone("by-tcp", dns_server, "long.test", protocol="tcp"),
            zone("senseless", dns_server, "senseless.test"),
        ]
    )
    for probe in ("long", "by-tcp"):
        daemon.wait_ok(probe)
        assert daemon.value("probe_dns_answer_rrs", probe=probe) == 200
    # The response is ignored like a forged one, and the query is repeated.
    daemon.wait_for("probe_success", 0, probe="senseless")
    daemon.check_reason("senseless", "timeout")
    assert dns_server.questions("senseless.test") > 0


def test_a_record_that_changes(vitalsd: Daemon, dns_server: DnsServer) -> None:
    """Each run queries the server, regardless of the TTL."""
    dns_server.set("moves.test", "192.0.2.1", ttl=3600)
    daemon = vitalsd([zone("moves", dns_server, "moves.test", answers=["192.0.2.1"])], **QUICK)
    daemon.wait_ok("moves")
    dns_server.set("moves.test", "192.0.2.2", ttl=3600)
    daemon.wait_failed("moves", "mismatch")
    dns_server.set("moves.test", "192.0.2.1", ttl=3600)
    daemon.wait_ok("moves")


@pytest.mark.serial
def test_a_late_server_delays_only_its_own(
    vitalsd: Daemon, dns_server: DnsServer, nginx: Nginx
) -> None:
    """The response is three seconds late. A probe with a longer timeout gets it, a probe with a
    shorter timeout fails at its deadline, and all others run on time with the same resolver and
    loop."""
    dns_server.set("late.test", delay=3)
    dns_server.set("web.test")

    def url(name: str) -> dict:
        return {"kind": "http", "url": f"http://{name}.test:{nginx.port}/health/ready"}

    patient = {"interval": "5s", "timeout": "5s"}
    daemon = vitalsd(
        [
            zone("patient-dns", dns_server, "late.test", **patient),
            {"name": "patient-http", **url("late"), **patient},
            zone("hasty-dns", dns_server, "late.test"),
            {"name": "hasty-http", **url("late")},
            zone("other-dns", dns_server, "web.test"),
            {"name": "other-http", **url("web")},
        ],
        dns={"servers": [dns_server.address]},
        ready=False,
        **QUICK,
    )
    daemon.wait_ok("patient-http")
    daemon.wait_ok("patient-dns")
    duration = daemon.value("probe_dns_duration_seconds", probe="patient-dns")
    assert 2.9 < duration < 3 + 0.5 * PATIENCE
    for probe in ("hasty-dns", "hasty-http"):
        daemon.check_reason(probe, "timeout")
        duration = daemon.value("probe_duration_seconds", probe=probe)
        assert duration < 0.25 + 0.2 * PATIENCE
    for probe in ("other-dns", "other-http"):
        assert daemon.failures(probe) == {}
        assert daemon.runs(probe) >= 8  # three seconds are ten intervals
