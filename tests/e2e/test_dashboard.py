"""The shipped dashboard: it matches its source, is valid, and works with live data. A real
Prometheus evaluates every query of every panel with real servers and a complete Kubernetes node.
Every query must return data. A fault must be visible, and missing data must not look healthy.
"""

from __future__ import annotations

import itertools
import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from math import isnan
from pathlib import Path
from typing import Any

import pytest
import yaml

import shorten_rules
from kubernetes.test_cert_manager import certificate
from support import REPOSITORY, wait_until
from support.certificates import Authority
from support.http_peer import HttpPeer, Request, answer
from support.kubernetes_node import Node
from support.nginx import Nginx
from support.postgres import Postgres
from support.prometheus import SHIPPED, Labels, Prometheus, shipped_configuration
from support.redis import Redis
from support.vitalsd import Vitalsd
from support.watching import cache, database, endpoint_certificate, in_cluster

GRAFANA = REPOSITORY / "deploy" / "grafana"
RULE_FILES = (SHIPPED / "documented.yaml", SHIPPED / "vitalsd.yaml")
DASHBOARD = json.loads((GRAFANA / "platform-overview.json").read_text())
PANELS = {panel["title"]: panel for panel in DASHBOARD["panels"] if panel["type"] != "row"}
DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}
NAMESPACE = "vcci-production"
MIB = 1 << 20

# The eight panels of the guide's Platform Overview. Its response time panel has only the p95.
GUIDE = {
    "Request Rate",
    "Error Rate",
    "Response Time",
    "Active Database Connections",
    "Redis Memory Usage",
    "Pod CPU Usage",
    "Pod Memory Usage",
    "Tenant Activity",
}

# The tables of faults are empty while there is no fault.
OF_FAULTS = {"Alerts", "Failing probes"}

# Metrics that are not in docs/metrics.md but may be read: those of Prometheus and of the API.
PROMETHEUS = {"up", "ALERTS", "scrape_duration_seconds"}
API = {"http_requests_total", "http_request_duration_seconds_bucket"}


# ---- the file -----------------------------------------------------------------------------------


def variables() -> dict[str, str]:
    chosen = DASHBOARD["templating"]["list"]
    return {each["name"]: each["current"]["value"] for each in chosen if each["type"] == "query"}


def expressions(panel: dict[str, Any]) -> list[str]:
    """The panel's queries with the variables replaced, as Grafana sends them."""
    values = {"__rate_interval": "1m", "__interval": "15s", "__range": "3h", **variables()}
    filled = []
    for target in panel["targets"]:
        text = target["expr"]
        for name, value in values.items():
            text = re.sub(rf"\${name}\b|\${{{name}}}", value, text)
        assert "$" not in text, f"an unknown variable: {text}"
        filled.append(text)
    return filled


def names(expression: str) -> set[str]:
    """The metrics that an expression reads."""
    bare = re.sub(r'"[^"]*"', "", expression)
    bare = re.sub(r"\b(by|on|ignoring|without|group_left|group_right)\s*\([^)]*\)", "", bare)
    bare = re.sub(r"\{[^}]*\}|\[[^]]*\]", "", bare)
    words = re.findall(r"\b[a-zA-Z_:][\w:]*\b(?!\s*\()", bare)
    return set(words) - {"and", "or", "unless", "bool", "offset"}


def test_it_is_what_its_source_makes() -> None:
    made = subprocess.run(
        [sys.executable, GRAFANA / "generate.py"], capture_output=True, text=True, check=True
    )
    assert made.stdout == (GRAFANA / "platform-overview.json").read_text(), (
        "stale: deploy/grafana/generate.py >deploy/grafana/platform-overview.json"
    )


def test_grafana_can_read_it() -> None:
    assert DASHBOARD["id"] is None  # the importing instance assigns it
    assert re.fullmatch(r"[a-zA-Z0-9_-]{1,40}", DASHBOARD["uid"])
    assert DASHBOARD["schemaVersion"] >= 36  # data sources by reference
    first, *others = DASHBOARD["templating"]["list"]
    assert (first["name"], first["type"], first["query"]) == (
        "datasource",
        "datasource",
        "prometheus",
    )
    assert all(each["datasource"] == DATASOURCE for each in others)
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(ids) == len(set(ids)) and all(number > 0 for number in ids)
    assert len(PANELS) == len([p for p in DASHBOARD["panels"] if p["type"] != "row"])
    for panel in PANELS.values():
        assert panel["type"] in ("stat", "timeseries", "bargauge", "table", "state-timeline")
        assert panel["datasource"] == DATASOURCE
        assert panel["fieldConfig"]["defaults"]["unit"]
        assert panel["fieldConfig"]["overrides"] is not None and panel["options"]
        references = [target["refId"] for target in panel["targets"]]
        assert references and len(references) == len(set(references))
        for target in panel["targets"]:
            assert target["expr"] and target["refId"] and target["datasource"] == DATASOURCE
            assert target["instant"] != target["range"]
            assert (target["format"] == "table") == (panel["type"] == "table")
        steps = panel["fieldConfig"]["defaults"]["thresholds"]["steps"]
        values = [step["value"] for step in steps]
        assert values[0] is None and values[1:] == sorted(set(values[1:]))


def test_panels_do_not_overlap() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        x, y, w, h = (panel["gridPos"][key] for key in "xywh")
        assert x >= 0 and w > 0 and x + w <= 24 and h > 0
        cells = set(itertools.product(range(x, x + w), range(y, y + h)))
        assert not cells & taken, panel["title"]
        taken |= cells
    # There must be no gap, because Grafana would move the panels below into it.
    assert len(taken) == 24 * (1 + max(y for _, y in taken))


def test_promtool_finds_no_fault_with_the_queries(tmp_path: Path) -> None:
    queries = [expression for panel in PANELS.values() for expression in expressions(panel)]
    recorded = [{"record": f"query:{n}", "expr": text} for n, text in enumerate(queries)]
    file = tmp_path / "queries.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "queries", "rules": recorded}]}))
    check = ["promtool", "check", "rules", file]
    run = subprocess.run(check, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr


def test_it_has_what_the_guide_has() -> None:
    assert set(PANELS) >= GUIDE


@pytest.mark.parametrize(
    ("title", "steps"),
    [
        ("Error Rate", [("transparent", None), ("red", 0.01)]),
        ("Databases", [("red", None), ("green", 1)]),
        (
            "Free disk space",
            [("red", None), ("yellow", 0.1), ("yellow", 0.15), ("green", 0.2)],
        ),
        ("Next certificate expiry", [("red", None), ("yellow", 7), ("green", 30)]),
    ],
)
def test_thresholds_are_those_of_the_rules(
    title: str, steps: list[tuple[str, float | None]]
) -> None:
    found = PANELS[title]["fieldConfig"]["defaults"]["thresholds"]["steps"]
    assert [(step["color"], step["value"]) for step in found] == steps


def test_links_lead_to_runbooks() -> None:
    links = [link for panel in PANELS.values() for link in panel["links"]]
    assert links
    for link in links:
        page = link["url"].rpartition("/blob/main/")[2]
        assert page.startswith("docs/runbooks/") and (REPOSITORY / page).exists(), link
        assert link["title"] == f"Runbook: {Path(page).stem}"


def test_all_that_it_reads_is_documented() -> None:
    documented = set()
    for name, kind in re.findall(
        r"^\| `(\w+)[^|]*\| (\w+) \|", (REPOSITORY / "docs" / "metrics.md").read_text(), re.M
    ):
        documented |= {f"{name}_bucket"} if kind == "histogram" else {name}
    rules = "".join(file.read_text() for file in RULE_FILES)
    assert all(name in rules for name in API)
    read = {
        name
        for panel in PANELS.values()
        for expression in expressions(panel)
        for name in names(expression)
    }
    assert len(read) > 20
    assert read - documented - PROMETHEUS - API == set()


# ---- live ---------------------------------------------------------------------------------------


class CountingApi:
    """A metrics page of an API: 100 requests per second from two tenants, each about 20 ms."""

    def __init__(self) -> None:
        self.began = time.monotonic()
        self.peer = HttpPeer({"/metrics": self._page})

    def _page(self, _: Request) -> bytes:
        count = round(100 * (time.monotonic() - self.began))
        lines = [
            f'http_requests_total{{status="200",tenant_id="{tenant}"}} {count // 2}'
            for tenant in ("acme", "initech")
        ]
        buckets = {"0.01": 0, "0.025": count, "0.5": count, "+Inf": count}
        lines += [
            f'http_request_duration_seconds_bucket{{le="{limit}"}} {value}'
            for limit, value in buckets.items()
        ]
        return answer("\n".join([*lines, ""]), Content_Type="text/plain; version=0.0.4")


@dataclass
class Platform:
    daemons: list[Vitalsd]
    prometheus: Prometheus

    def results(self, title: str) -> list[list[tuple[Labels, float]]]:
        return [self.prometheus.query(each) for each in expressions(PANELS[title])]

    def has_data(self, title: str) -> bool:
        """Returns whether every query of a panel returns data without NaN."""
        return all(
            found and not any(isnan(value) for _, value in found) for found in self.results(title)
        )

    def wait_for_data(self) -> None:
        """Waits until Prometheus has the data of all panels except the tables of faults."""

        def missing() -> list[str]:
            return [t for t in PANELS if t not in OF_FAULTS and not self.has_data(t)]

        wait_until(
            lambda: not missing(), deadline=60, what=lambda: f"data for {missing()}", every=0.2
        )

    def color(self, title: str) -> str:
        """Returns the colour that Grafana shows for a stat panel, including the colour of
        unknown."""
        defaults = PANELS[title]["fieldConfig"]["defaults"]
        [found] = self.results(title)
        assert len(found) <= 1, f"{title}: {found}"
        values = [value for _, value in found if not isnan(value)]
        if not values:
            [unknown] = [each for each in defaults["mappings"] if each["type"] == "special"]
            assert unknown["options"]["match"] == "null+nan"
            return unknown["options"]["result"]["color"]
        color, *_ = (
            step["color"]
            for step in reversed(defaults["thresholds"]["steps"])
            if step["value"] is None or values[0] >= step["value"]
        )
        return color

    def colors(self) -> dict[str, str]:
        return {title: self.color(title) for title, p in PANELS.items() if p["type"] == "stat"}


@pytest.fixture(scope="module")
def platform(
    _postgres: Postgres,
    _redis_server: Redis,
    _nginx: Nginx,
    _kubernetes_node: Node,
    certificates: Authority,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Platform]:
    """One daemon probes the servers, one the cluster. Prometheus scrapes both and the API."""
    node, redis = _kubernetes_node, _redis_server
    backups = tmp_path_factory.mktemp("backups")
    (backups / "today.dump.gz").write_bytes(b"x" * 4096)
    with ExitStack() as closing:
        closing.callback(node.restore)
        closing.callback(redis.restore)
        node.api.namespace(NAMESPACE)
        node.api.install_definitions("cert-manager")
        node.api.apply(certificate(NAMESPACE, "web", 60))
        limits = {"limits": {"memory": "64Mi"}}
        pod = node.pod(NAMESPACE, "api-0", "sleep 1000000", resources=limits)
        node.api.create(pod)
        redis.set_max_memory(40 * MIB)
        redis.command("LPUSH", "celery:intake", "one")
        api = CountingApi()
        closing.callback(api.peer.close)
        probes = [
            database("main-db", _postgres, "MAIN"),
            cache("cache", redis, "CACHE") | {"lists": ["celery:intake"]},
            {"name": "api", "kind": "http", "url": _nginx.url("/health/ready")},
            endpoint_certificate("api-tls", _nginx.tls_port, certificates),
            {"name": "dumps", "kind": "backup", "directory": str(backups), "settle": "0s"}
            | {"pattern": "*.dump.gz", "max_age": "24h"},
            {"name": "disks", "kind": "filesystem", "mounts": ["/"], "node": "web-7"},
        ]
        servers = Vitalsd(
            probes,
            environment={"MAIN": _postgres.passwords["monitor"], "CACHE": redis.password},
        )
        closing.callback(servers.close)
        cluster = in_cluster(node, {"name": "certs", "kind": "cert-manager"})
        closing.callback(cluster.close)
        configuration = shipped_configuration([servers.address, cluster.address])
        labels = {"namespace": NAMESPACE, "pod": "api-0"}
        where = [{"targets": [f"127.0.0.1:{api.peer.port}"], "labels": labels}]
        configuration["scrape_configs"].append({"job_name": "api", "static_configs": where})
        rules = [shorten_rules.shorten(file.read_text(), at_most="1s") for file in RULE_FILES]
        prometheus = Prometheus(configuration, rules)
        closing.callback(prometheus.close)
        redis.look_up(hits=100, misses=0)
        node.wait_container(pod, "running", deadline=60)
        platform = Platform([servers, cluster], prometheus)
        platform.wait_for_data()
        yield platform


@pytest.fixture
def healthy(platform: Platform, nginx: Nginx) -> Iterator[Platform]:
    """Waits until Prometheus has data that shows all servers as healthy."""
    platform.wait_for_data()
    yield platform
    for daemon in platform.daemons:
        if not daemon.running:
            daemon.start()


def test_every_panel_has_data(healthy: Platform) -> None:
    """The fixture `healthy` waits for the data. This test checks the values."""
    # The loop lag and its alerts depend on the load of this machine.
    wait_until(
        lambda: {c for title, c in healthy.colors().items() if title != "Alerts firing"}
        == {"green"},
        what=lambda: f"all panels green: {healthy.colors()}",
    )
    [[(labels, rate)]] = healthy.results("Request Rate")
    assert labels == {} and rate > 0
    assert healthy.results("Error Rate") == [[({}, 0)]]
    p50, p95, p99 = (found[0][1] for found in healthy.results("Response Time"))
    assert 0.01 < p50 < p95 < p99 <= 0.025
    [tenants] = healthy.results("Tenant Activity")
    assert {labels["tenant_id"] for labels, _ in tenants} == {"acme", "initech"}
    [lists] = healthy.results("Queue lengths")
    assert [(labels["key"], value) for labels, value in lists] == [("celery:intake", 1)]
    for title in ("Pod CPU Usage", "Pod Memory Usage"):
        assert [labels for labels, _ in healthy.results(title)[0]] == [{"pod": "api-0"}]
    [success] = healthy.results("Probe success")
    assert len(success) == 10
    [[(_, first)]] = healthy.results("Next certificate expiry")
    [certificates] = healthy.results("Certificates by expiry")
    assert {labels.get("name") for labels, _ in certificates} == {None, "web"}
    assert 59 < first <= 60


def test_legends_name_labels_that_are_there(healthy: Platform) -> None:
    for title, panel in PANELS.items():
        if panel["type"] in ("stat", "table"):
            continue
        for target, found in zip(panel["targets"], healthy.results(title), strict=True):
            wanted = set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]))
            seen = {name for labels, _ in found for name in labels}
            assert wanted <= seen, (title, seen)


def test_variables_have_their_defaults_among_what_they_find(healthy: Platform) -> None:
    for variable in DASHBOARD["templating"]["list"]:
        if variable["type"] == "query":
            query = re.fullmatch(r"label_values\((.+), (\w+)\)", variable["definition"])
            assert query
            selector, label = query.groups()
            found = healthy.prometheus.api(f"label/{label}/values", **{"match[]": selector})
            assert variable["current"]["value"] in found


def test_what_is_wrong_is_told(healthy: Platform, nginx: Nginx) -> None:
    nginx.answer("/health/ready", 503)
    healthy.prometheus.wait_firing("APIDown", probe="api")
    wait_until(lambda: all(map(healthy.has_data, OF_FAULTS)), what="the tables of faults")
    [failing] = healthy.results("Failing probes")
    assert [labels for labels, _ in failing] == [{"probe": "api", "reason": "mismatch"}]
    [alerts] = healthy.results("Alerts")
    told = {(labels["alertname"], labels.get("probe"), labels["severity"]) for labels, _ in alerts}
    assert ("APIDown", "api", "critical") in told
    colors = healthy.colors()
    assert (colors["API"], colors["Alerts firing"]) == ("red", "red")
    assert healthy.results("Probes failing") == [[({}, 1)]]
    assert colors["Databases"] == "green"


def test_what_nobody_knows_does_not_look_healthy(healthy: Platform) -> None:
    for daemon in healthy.daemons:
        daemon.kill()
    healthy.prometheus.wait_for('max(up{job="vitalsd"}) == 0')
    wait_until(
        lambda: "green" not in healthy.colors().values(),
        what=lambda: f"no panel is green: {healthy.colors()}",
    )
    assert healthy.color("vitalsd") == "red"
    assert healthy.color("Databases") == "purple"
