"""The shipped scrape configuration in a real Prometheus, with a fixed metrics page and with
`honor_labels` as shipped and off, as a Prometheus can enforce.

The targets have the labels that a service discovery attaches by default. These labels must not
replace the labels of the samples.
"""

from __future__ import annotations

import http.server
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

import shorten_rules
from support.community_rules import community_rules
from support.http_peer import HttpPeer, Request, answer
from support.process import unused_port
from support.prometheus import SHIPPED, Labels, Prometheus, shipped_configuration
from support.vitalsd import Vitalsd

PAGE = r"""
vitalsd_build_info{version="1"} 1
process_open_fds 7
vitalsd_loop_lag_seconds_count 5
probe_success{probe="main-db",instance="main-db"} 0
vitalsd_target_up{probe="main-db",instance="main-db",kind="postgres"} 0
pg_up{probe="main-db",instance="main-db"} 0
pg_stat_activity_count{probe="main-db",instance="main-db",datname="a"} 50
pg_stat_activity_count{probe="main-db",instance="main-db",datname="b"} 40
pg_settings_max_connections{probe="main-db",instance="main-db"} 100
vitalsd_target_up{probe="other-db",instance="other-db",kind="postgres"} 1
pg_up{probe="other-db",instance="other-db"} 1
pg_stat_activity_count{probe="other-db",instance="other-db",datname="a"} 100
pg_settings_max_connections{probe="other-db",instance="other-db"} 200
vitalsd_target_up{probe="api",instance="api",kind="http"} 1
probe_success{probe="api",instance="api"} 0
vitalsd_probe_runs_total{probe="api",instance="api",outcome="ok"} 3
kube_pod_container_status_restarts_total{probe="pods",instance="pods",namespace="vcci-production",pod="api-1"} 2
node_memory_working_set_bytes{probe="kubelets",instance="n1",node="n1"} 7
node_memory_working_set_bytes{probe="kubelets",instance="n2",node="n2"} 8
"""
RELAYED = r"""
up{probe="relayed",instance="10.1.1.1:80",job="api"} 0
app_jobs{probe="relayed",instance="10.1.1.1:80"} 5
"""
PAGES = {"/metrics/core": PAGE, "/metrics/relay": RELAYED}

ATTACHED = {"namespace": "monitoring", "pod": "vitalsd-0", "container": "vitalsd", "node": "n1"}


class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; version=0.0.4")
        self.end_headers()
        self.wfile.write(PAGES[self.path].encode())

    def log_message(self, *_: object) -> None:
        """Logs nothing."""


@pytest.fixture(scope="module")
def target() -> Iterator[str]:
    """The address of the server that replaces vitalsd."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module", params=[True, False], ids=["honor_labels", "without"])
def scraped(target: str, request: pytest.FixtureRequest) -> Iterator[Prometheus]:
    """One Prometheus per module, because it takes 5 s from its start to its first scrape."""
    rules = shorten_rules.shorten((SHIPPED / "documented.yaml").read_text(), at_most="500ms")
    # Without honor_labels, attached labels would replace those of the page.
    attached = ATTACHED if request.param else {}
    configuration = shipped_configuration([target], labels=attached)
    for scrape in configuration["scrape_configs"]:
        scrape["honor_labels"] = request.param
    running = Prometheus(configuration, [rules])
    try:
        for scrape in configuration["scrape_configs"]:
            running.wait_scraped(scrape["job_name"])
        yield running
    finally:
        running.close()


def labels_of(running: Prometheus, expression: str) -> Labels:
    found = running.query(expression)
    assert len(found) == 1, (expression, found)
    return found[0][0]


def test_identities(scraped: Prometheus, target: str) -> None:
    # The series of a probe have its name as `instance`, in any pod. Other series have the address
    # of the pod, which is `target`.
    for name, probe in (("probe_success", "api"), ("pg_up", "main-db")):
        labels = labels_of(scraped, f'{name}{{probe="{probe}"}}')
        assert labels["instance"] == probe
    # The series of a probe of several targets have the target's name.
    for node in ("n1", "n2"):
        labels = labels_of(scraped, f'node_memory_working_set_bytes{{node="{node}"}}')
        assert (labels["instance"], labels["probe"]) == (node, "kubelets")
    runs = labels_of(scraped, "vitalsd_probe_runs_total")
    assert runs["instance"] == runs["probe"]
    for series in ("vitalsd_build_info", "process_open_fds", "vitalsd_loop_lag_seconds_count"):
        assert labels_of(scraped, series)["instance"] == target
    # Metric relabelling does not apply to Prometheus's own series.
    own = 'up{job="vitalsd",probe=""}'  # without honor_labels a relayed `up` has this job, too
    assert labels_of(scraped, own)["instance"] == target
    assert scraped.value(own) == 1
    # The relayed series have the same job label as the other series; Prometheus's own series of the
    # relay job have another one.
    relayed = labels_of(scraped, "app_jobs")
    assert (relayed["job"], relayed["instance"]) == ("vitalsd", "10.1.1.1:80")
    assert labels_of(scraped, 'up{job="vitalsd-relay"}')["instance"] == target
    # honor_labels: a sample's namespace and pod override those of the target.
    restarts = labels_of(scraped, "kube_pod_container_status_restarts_total")
    assert (restarts["namespace"], restarts["pod"]) == ("vcci-production", "api-1")
    exported = scraped.query('{__name__=~".+", exported_instance=~".+"}')
    assert exported == [] and not any(name.startswith("exported_") for name in restarts)


def test_renaming(scraped: Prometheus) -> None:
    for probe, value in (("main-db", 0), ("other-db", 1)):
        labels = labels_of(scraped, f'up{{job="postgres",probe="{probe}"}}')
        assert (labels["kind"], labels["instance"]) == ("postgres", probe)
        assert scraped.value(f'up{{job="postgres",probe="{probe}"}}') == value
        assert scraped.value(f'pg_up{{probe="{probe}"}}') == value
    # The series is renamed, so only the other kinds have the old name.
    assert [labels["kind"] for labels, _ in scraped.query("vitalsd_target_up")] == ["http"]
    # There is no collision. Prometheus would log a warning about dropped samples.
    assert scraped.log() == ""


def test_database_and_api_are_told_down(scraped: Prometheus) -> None:
    for document in ("manual", "runbook"):
        alert = scraped.wait_firing("DatabaseDown", document=document)
        assert alert["labels"]["probe"] == "main-db"
    assert scraped.wait_firing("APIDown")["labels"]["probe"] == "api"


@pytest.fixture(params=[True, False], ids=["honor_labels", "without"])
def community(target: str, request: pytest.FixtureRequest) -> Iterator[Prometheus]:
    rules = [shorten_rules.shorten(text, at_most="500ms") for text in community_rules("postgresql")]
    configuration = shipped_configuration([target])
    for scrape in configuration["scrape_configs"]:
        scrape["honor_labels"] = request.param
    running = Prometheus(configuration, rules)
    try:
        running.wait_scraped()
        yield running
    finally:
        running.close()


def test_community_rules_name_the_server(community: Prometheus) -> None:
    """The rules identify the target by `instance`: they compare sums and limits for each
    instance."""
    full = community.wait_firing("PostgresqlTooManyConnections")
    assert full["labels"]["instance"] == "main-db"
    assert "main-db" in full["annotations"]["summary"]
    assert community.wait_firing("PostgresqlDown")["labels"]["instance"] == "main-db"


def test_a_limit_costs_only_the_relayed_series(
    vitalsd: Callable[..., Vitalsd], prometheus: Callable[..., Prometheus], http_peer: HttpPeer
) -> None:
    """One application exceeds the sample_limit of the relay job, and recovers."""
    size = [3]

    def page(_: Request) -> bytes:
        lines = [f'app_jobs{{number="{number}"}} 1\n' for number in range(size[0])]
        return answer("".join(lines), Content_Type="text/plain; version=0.0.4")

    http_peer.answers["/metrics"] = page
    down = {"name": "down", "kind": "tcp", "endpoint": f"127.0.0.1:{unused_port()}"}
    app = {"name": "app", "kind": "relay", "url": http_peer.url("/metrics")}
    daemon = vitalsd([app, down], interval="1s", timeout="900ms")
    plain = vitalsd([down], interval="1s", timeout="900ms")
    daemon.wait_for("app_jobs", 1, number="2")
    rules = shorten_rules.shorten((SHIPPED / "vitalsd.yaml").read_text(), at_most="500ms")
    configuration = shipped_configuration([daemon.address, plain.address])
    (relay,) = (s for s in configuration["scrape_configs"] if s["job_name"] == "vitalsd-relay")
    relay["sample_limit"] = 10
    watch = prometheus(configuration, [rules])
    watch.wait_for('count(app_jobs{job="vitalsd",probe="app"}) == 3')
    watch.wait_firing("ProbeFailing", instance="down")
    assert watch.alerts("RelayedSeriesMissing") == []
    # Without relayed series, the page is empty, and its scrape succeeds.
    where = f'job="vitalsd-relay",instance="{plain.address}"'
    assert watch.value(f"up{{{where}}}") == 1
    assert watch.value(f"scrape_samples_scraped{{{where}}}") == 0

    size[0] = 50
    alert = watch.wait_firing("RelayedSeriesMissing")
    assert alert["labels"]["instance"] == daemon.address
    # No sample is stored. Prometheus shows the last ones for some minutes.
    age = 'time() - max(timestamp(app_jobs{probe="app"}))'
    watch.wait_for(f"{age} > 2")
    assert watch.value(f'up{{job="vitalsd",instance="{daemon.address}"}}') == 1
    assert watch.value('vitalsd_relay_series{probe="app"}') == 50
    assert watch.firing("ProbeFailing", instance="down")
    assert watch.alerts("VitalsdDown") == []

    size[0] = 3
    watch.wait_for(f"{age} < 1")
    watch.wait_silent("RelayedSeriesMissing")


def test_both_files_load_beside_the_configuration(tmp_path: Path) -> None:
    """The rule file paths are relative to the configuration, as shipped."""
    configuration = yaml.safe_load((SHIPPED / "prometheus.yaml").read_text())
    found = [[path.name for path in SHIPPED.glob(name)] for name in configuration["rule_files"]]
    # The third file is the user's own.
    assert found == [["documented.yaml"], ["vitalsd.yaml"], []]
