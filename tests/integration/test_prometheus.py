"""Kind prometheus with Prometheus 2.42 and with peers that send invalid responses."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from support.alertmanager import Alertmanager, Receivers
from support.http_peer import HttpPeer, Request, answer
from support.process import free_port
from support.prometheus import Prometheus
from support.vitalsd import Vitalsd, run

pytestmark = pytest.mark.threads

Daemon = Callable[..., Vitalsd]

QUICK = {"interval": "400ms", "timeout": "350ms"}

ALERTS = """
groups:
  - name: always
    interval: 200ms
    rules: [{alert: Always, expr: vector(1)}]
"""
FAILING = """
groups:
  - name: joins
    interval: 200ms
    rules:
      - record: sound
        expr: vector(1)
      - record: broken
        expr: up * on () group_left () label_replace(up, "a", "b", "", "")
"""


def configuration(jobs: dict[str, list[str]], alertmanagers: list[str] | None = None) -> dict:
    made: dict = {
        "global": {"scrape_interval": "200ms", "scrape_timeout": "200ms"},
        "scrape_configs": [
            {"job_name": job, "static_configs": [{"targets": targets}]}
            for job, targets in jobs.items()
        ],
    }
    if alertmanagers is not None:
        made["alerting"] = {
            "alertmanagers": [{"static_configs": [{"targets": alertmanagers}]}]
        }
    return made


def metrics(url: str, name: str = "metrics", **options: object) -> dict:
    return {"name": name, "kind": "prometheus", "url": url, **options}


def error(daemon: Vitalsd, probe: str = "metrics") -> str:
    (row,) = (row for row in daemon.status()["probes"] if row["name"] == probe)
    return row.get("error", "")


def check(daemon: Vitalsd, name: str, probe: str = "metrics") -> dict:
    """Returns a check of the status page; empty if it is not there."""
    (row,) = (row for row in daemon.status()["probes"] if row["name"] == probe)
    return next((each for each in row["checks"] if each["name"] == name), {})


# ---- targets, rules, notifications --------------------------------------------------------------


def test_targets(vitalsd: Daemon, prometheus: Callable[..., Prometheus]) -> None:
    """Targets that are down are named. No series is named `up`."""
    other = prometheus(configuration({}))
    dead = f"127.0.0.1:{free_port()}"
    server = prometheus(configuration({"web": [f"127.0.0.1:{other.port}", dead]}))
    server.wait_for("sum(up) == 1 and count(up) == 2")
    daemon = vitalsd([metrics(server.url), metrics(other.url, "empty")], **QUICK)
    daemon.wait_for("vitalsd_prometheus_targets", 1, job="web", health="down")
    assert daemon.value("vitalsd_prometheus_targets", job="web", health="up") == 1
    daemon.wait_for("vitalsd_check_status", 1, probe="metrics", check="targets_down")
    assert check(daemon, "targets_down")["object"] == f"web {dead}"
    assert daemon.absent("up")
    assert daemon.value("vitalsd_target_up", probe="metrics", kind="prometheus") == 1
    daemon.check_reason("empty", "mismatch")
    assert error(daemon, "empty") == "targets: Prometheus has no active targets"
    other.stop()
    daemon.wait_for("vitalsd_prometheus_targets", 2, job="web", health="down")


def test_rules_that_fail(vitalsd: Daemon, prometheus: Callable[..., Prometheus]) -> None:
    own = f"127.0.0.1:{free_port()}"
    server = prometheus(configuration({"a": [own], "b": [own]}), [FAILING])
    server.wait_for("count(up) == 2")
    daemon = vitalsd([metrics(server.url)], **QUICK)
    daemon.wait_for("vitalsd_prometheus_rules", 1, health="err")
    assert daemon.value("vitalsd_prometheus_rules", health="ok") == 1
    daemon.wait_for("vitalsd_check_status", 1, check="rules_failing")
    assert check(daemon, "rules_failing")["object"].startswith("broken: ")
    daemon.wait_for("vitalsd_prometheus_rule_evaluation_failures_total", lambda now: now > 0)
    # There are no alerting rules, so no Alertmanager is missing.
    assert daemon.value("vitalsd_prometheus_alertmanagers", state="active") == 0
    assert check(daemon, "alertmanagers") == {}


def test_alerts_that_reach_nobody(
    vitalsd: Daemon,
    prometheus: Callable[..., Prometheus],
    alertmanager: Callable[..., Alertmanager],
    receivers: Receivers,
) -> None:
    """An Alertmanager that has disappeared, and alerting rules without any Alertmanager."""
    receiver = alertmanager(receivers)
    address = f"127.0.0.1:{receiver.port}"
    own = f"127.0.0.1:{free_port()}"
    resend = "--rules.alert.resend-delay=200ms"
    server = prometheus(configuration({"a": [own]}, [address]), [ALERTS], arguments=[resend])
    alone = prometheus(configuration({"a": [own]}), [ALERTS])
    checks = {"notifications_dropped": {"critical": "500ms"}}
    daemon = vitalsd(
        [metrics(server.url, checks=checks), metrics(alone.url, "alone")], **QUICK
    )
    daemon.wait_for(
        "vitalsd_prometheus_notifications_sent_total", lambda now: now > 0, probe="metrics"
    )
    assert daemon.value("vitalsd_prometheus_alertmanagers", probe="metrics", state="active") == 1
    # Prometheus dropped alerts until it discovered its Alertmanager.
    daemon.wait_for("vitalsd_check_status", 0, probe="metrics", check="notifications_dropped")
    assert daemon.value("vitalsd_check_status", probe="metrics", check="alertmanagers") == 0
    daemon.wait_for("vitalsd_check_status", 2, probe="alone", check="alertmanagers")
    receiver.stop()
    daemon.wait_for("vitalsd_check_status", 2, probe="metrics", check="notifications_dropped")
    daemon.wait_for("vitalsd_check_status", 1, probe="metrics", check="notification_errors")
    assert address in check(daemon, "notification_errors")["object"]


# ---- queries ------------------------------------------------------------------------------------


def query(name: str, expr: str, **options: object) -> dict:
    return {"name": name, "expr": expr, **options}


def test_queries(vitalsd: Daemon, prometheus: Callable[..., Prometheus]) -> None:
    """Each query is a separate check. A result that is not a single number is unknown or an error,
    never 0."""
    own = f"127.0.0.1:{free_port()}"
    server = prometheus(configuration({"a": [own, f"127.0.0.1:{free_port()}"]}))
    server.wait_for("count(up) == 2")
    daemon = vitalsd(
        [
            metrics(
                server.url,
                alerting=False,
                queries=[
                    query("figure", "vector(12)"),
                    query("ratio", "0.02 + 0", unit="ratio", warn="1%", critical="5%"),
                    query("low", "3", worse="below", warn=5, critical=4),
                    query("empty", "absent_series"),
                    query("nan", "vector(0) / 0"),
                ],
            ),
            metrics(
                server.url,
                "faulty",
                alerting=False,
                queries=[
                    query("many", "up"),
                    query("range", "up[1m]"),
                    query("syntax", "sum(("),
                    query("good", "1"),
                ],
            ),
        ],
        **QUICK,
    )
    value = "vitalsd_prometheus_query_value"
    daemon.wait_ok("metrics")
    assert daemon.value(value, query="figure") == 12
    assert daemon.value("vitalsd_check_status", check="figure") == 0
    assert check(daemon, "figure")["reading"] == 12
    assert daemon.value("vitalsd_check_status", check="ratio") == 1
    assert check(daemon, "ratio")["threshold"] == 0.01
    assert daemon.value("vitalsd_check_status", check="low") == 2
    for name in ("empty", "nan"):
        assert daemon.absent(value, query=name)
        assert daemon.value("vitalsd_prometheus_query_has_value", query=name) == 0
        assert daemon.absent("vitalsd_check_status", check=name)
    daemon.check_reason("faulty", "config")
    assert "the result has 2 samples" in error(daemon, "faulty")
    assert daemon.value("vitalsd_probe_parts", probe="faulty", state="failed") == 3
    assert daemon.value(value, query="good") == 1


def test_the_documented_check(prometheus: Callable[..., Prometheus], tmp_path: Path) -> None:
    """Check 22: all targets are up, and values are read with PromQL."""
    server = prometheus(configuration({"a": [f"127.0.0.1:{free_port()}"]}))
    server.wait_for("up == 0")
    file = tmp_path / "vitalsd.yaml"
    queries = [query("requests", "1500"), query("errors", "vector(3)", warn=2)]
    probe = metrics(server.url, queries=queries)
    file.write_text(json.dumps({"probes": [probe]}))
    done = run("check", "--config", file)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "! targets_down 1 (a 127.0.0.1:" in done.stdout
    assert "✓ requests 1500\n" in done.stdout
    assert "! errors 3, warn above 2" in done.stdout


# ---- servers that are down or refuse ------------------------------------------------------------


def test_a_server_that_freezes_ends_and_starts(
    vitalsd: Daemon, prometheus: Callable[..., Prometheus]
) -> None:
    server = prometheus(configuration({"a": [f"127.0.0.1:{free_port()}"]}))
    # Prometheus knows its targets five seconds after it starts.
    probe = metrics(server.url, targets=False, queries=[query("one", "1")])
    daemon = vitalsd([probe], **QUICK)
    daemon.wait_ok("metrics")
    server.freeze()
    daemon.wait_failed("metrics", "timeout")
    assert daemon.value("vitalsd_target_up", kind="prometheus") == 0
    server.thaw()
    daemon.wait_ok("metrics")
    server.stop()
    daemon.wait_failed("metrics", "connect")
    daemon.wait_for("vitalsd_prometheus_query_value", None, query="one")
    server.start()
    daemon.wait_ok("metrics")
    daemon.wait_for("vitalsd_prometheus_query_value", 1, query="one")


def test_credentials(vitalsd: Daemon, http_peer: HttpPeer) -> None:
    """Basic and bearer authentication; a refusal is not a server that is down."""

    def scalar(request: Request) -> bytes:
        if request.headers.get("authorization") != "Bearer token-of-the-test":
            return answer("Unauthorized\n", 401)
        return answer('{"status":"success","data":{"resultType":"scalar","result":[1,"7"]}}')

    http_peer.answers["/prefix/api/v1/query"] = scalar
    only = {"targets": False, "alerting": False, "queries": [query("q", "7")]}
    daemon = vitalsd(
        [
            metrics(http_peer.url("/prefix"), bearer_token={"env": "TOKEN"}, **only),
            metrics(http_peer.url("/prefix/"), "wrong", bearer_token={"env": "WRONG"}, **only),
            metrics(http_peer.url("/prefix"), "basic", user="u", password={"env": "WRONG"}, **only),
        ],
        environment={"TOKEN": "token-of-the-test", "WRONG": "not-this-one"},
    )
    daemon.wait_ok("metrics")
    for probe in ("wrong", "basic"):
        daemon.check_reason(probe, "auth")
        assert error(daemon, probe) == "query q: status 401: 'Unauthorized'"
        assert daemon.value("vitalsd_target_up", probe=probe, kind="prometheus") == 1


def test_invalid_responses(vitalsd: Daemon, http_peer: HttpPeer) -> None:
    """One invalid response affects its own part. A warning of the server withholds the value."""
    good = '"data":{"resultType":"scalar","result":[1,"7"]}'
    replies = {
        "html": answer("<html><body>log in</body></html>"),
        "truncated": answer('{"status":"success","data":{'),
        "deep": answer("[" * 100_000),
        "warning": answer('{"status":"success","warnings":["a store is away"],' + good + "}"),
        "gone": answer("404 page not found\n", 404),
        "slow": answer('{"status":"error","errorType":"timeout","error":"query timed out"}', 503),
        "compressed": answer(b"\x1f\x8b", Content_Encoding="gzip"),
        "good": answer('{"status":"success",' + good + "}"),
    }
    expected = {
        "html": "protocol",
        "truncated": "protocol",
        "deep": "protocol",
        "warning": "mismatch",
        "gone": "mismatch",
        "slow": "overload",
        "compressed": "protocol",
    }
    probes = []
    for name, reply in replies.items():
        http_peer.answers[f"/{name}/api/v1/query"] = reply
        queries = [query("q", "7")]
        probes.append(
            metrics(http_peer.url(f"/{name}"), name, targets=False, alerting=False, queries=queries)
        )
    daemon = vitalsd(probes)
    daemon.wait_ok("good")
    for name, reason in expected.items():
        daemon.check_reason(name, reason)
        assert daemon.absent("vitalsd_prometheus_query_value", probe=name)
    assert "a store is away" in error(daemon, "warning")


def test_a_very_long_list_of_targets(vitalsd: Daemon, http_peer: HttpPeer) -> None:
    """200,000 targets with the labels of a service discovery are read without keeping them."""
    discovered = {f"__meta_kubernetes_pod_label_{n}": "x" * 20 for n in range(4)}
    target = {"discoveredLabels": discovered, "labels": {"job": "a", "instance": "i"}}
    one = json.dumps(target | {"health": "down"})
    body = '{"status":"success","data":{"activeTargets":[' + ",".join([one] * 200_000) + "]}}"
    http_peer.answers["/api/v1/targets"] = answer(body)
    daemon = vitalsd(
        [metrics(http_peer.url(""), alerting=False)], interval="30s", timeout="20s", ready=False
    )
    daemon.wait_for("vitalsd_prometheus_targets", 200_000, job="a", health="down", deadline=60)
    assert check(daemon, "targets_down")["object"].endswith("and 199995 more")
    peak = daemon.value("process_resident_memory_bytes")
    assert peak < 200 * (1 << 20)
