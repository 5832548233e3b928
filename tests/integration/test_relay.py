"""Kind relay: a real application (python3-prometheus-client), Prometheus's own test pages, random
pages with a parser as the oracle, and peers that send hostile pages."""

from __future__ import annotations

import gzip
import math
import os
import random
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from socketserver import ThreadingMixIn
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import pytest
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Enum,
    Gauge,
    Histogram,
    Info,
    Summary,
    make_wsgi_app,
)
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from support.dns_server import DnsServer
from support.forward_proxy import ForwardProxy
from support.http_peer import HttpPeer, Request, answer
from support.process import free_port, unused_port
from support.vitalsd import TEXT, Vitalsd
from support.waiting import stays, wait_until

Daemon = Callable[..., Vitalsd]
TEXT_TYPE = "text/plain; version=0.0.4"
OPENMETRICS_TYPE = "application/openmetrics-text; version=1.0.0; charset=utf-8"


def relay(name: str, url: str | list[str], **options: object) -> dict:
    key = "url" if isinstance(url, str) else "urls"
    return {"name": name, "kind": "relay", key: url, **options}


def page(text: str | bytes, **headers: str) -> bytes:
    return answer(text, **{"Content_Type": TEXT_TYPE, **headers})


def openmetrics_page(text: str) -> bytes:
    return answer(text + "# EOF\n", Content_Type=OPENMETRICS_TYPE)


def error(daemon: Vitalsd, probe: str) -> str:
    (row,) = (row for row in daemon.status()["probes"] if row["name"] == probe)
    return row.get("error", "")


def dropped(daemon: Vitalsd, probe: str) -> dict[str, float]:
    return {
        sample.labels["reason"]: sample.value
        for sample in daemon.samples("vitalsd_relay_dropped_total", probe=probe)
        if sample.value > 0
    }


def check_page(daemon: Vitalsd) -> None:
    """Checks that Prometheus's own parser and a strict parser accept the page in both formats."""
    daemon.samples("up")  # the strict parser reads all of it
    text = daemon.page(accept=TEXT)
    list(parse_text(text))
    found = subprocess.run(
        ["promtool", "check", "metrics"], input=text, capture_output=True, text=True, check=False
    )
    assert "error while linting" not in found.stderr and found.returncode in (0, 3), found.stderr


# ---- a real application -------------------------------------------------------------------------


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _Quiet(WSGIRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


class Application:
    """An instrumented application."""

    def __init__(self, port: int = 0) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter("app_requests", "Requests.", ["code"], registry=self.registry)
        self.requests.labels("200").inc(3)
        self.requests.labels("500").inc()
        Gauge("app_queue_size", 'Waiting "jobs"\\.', ["instance"], registry=self.registry).labels(
            "a"
        ).set(-2.5)
        took = Histogram("app_took_seconds", "Time.", ["path"], registry=self.registry)
        for path in ("/", '/"quoted"\n\\'):
            took.labels(path).observe(0.3)
        Summary("app_size_bytes", "Size.", registry=self.registry).observe(100)
        Info("app_build", "Build.", registry=self.registry).info({"version": "1.2"})
        Enum("app_state", "State.", states=["on", "off"], registry=self.registry).state("off")
        Gauge("up", "Reserved.", registry=self.registry).set(7)
        self.port = port or free_port()
        self._server = make_server(
            "0.0.0.0", self.port, make_wsgi_app(self.registry), _Server, _Quiet
        )
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/metrics"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def application() -> Iterator[Application]:
    app = Application()
    yield app
    app.close()


def test_an_application(vitalsd: Daemon, application: Application) -> None:
    """Every series of the application is on the page, with its type, in both formats."""
    daemon = vitalsd([relay("app", application.url, labels={"team": "x"})])
    daemon.wait_ok("app")
    instance = f"127.0.0.1:{application.port}"
    added = {"probe": "app", "team": "x", "instance": instance}
    families = {family.name: family for family in parse_openmetrics(daemon.page())}
    for registered in application.registry.collect():
        name = "exported_up" if registered.name == "up" else registered.name
        family = families[name]
        assert family.type == registered.type
        assert family.documentation == registered.documentation
        got = {(s.name, frozenset(s.labels.items())): s.value for s in family.samples}
        expected = {}
        for sample in registered.samples:
            if sample.name.endswith("_created"):
                continue
            labels = {
                "relayed_instance" if key == "instance" else key: value
                for key, value in sample.labels.items()
            } | added
            sample_name = "exported_up" if sample.name == "up" else sample.name
            expected[sample_name, frozenset(labels.items())] = sample.value
        assert got == expected
    types = {family.name: family.type for family in parse_text(daemon.page(accept=TEXT))}
    assert types["app_requests"] == "counter" and types["app_took_seconds"] == "histogram"
    assert types["app_build_info"] == "gauge" and types["app_state"] == "gauge"
    assert daemon.value("relay_up", probe="app", instance=instance) == 1
    assert daemon.value("vitalsd_target_up", probe="app", kind="relay") == 1
    assert dropped(daemon, "app") == {}
    check_page(daemon)
    application.requests.labels("200").inc()
    daemon.wait_for("app_requests_total", 4, code="200")


def test_a_target_that_fails_keeps_its_series_for_one_run(
    vitalsd: Daemon, application: Application, http_peer: HttpPeer
) -> None:
    http_peer.answers["/metrics"] = page("other 1\n")
    daemon = vitalsd(
        [relay("apps", [application.url, http_peer.url("/metrics")], interval="1s", timeout="1s")]
    )
    daemon.wait_for("app_queue_size", -2.5)
    application.close()
    daemon.wait_failed("apps", "connect")
    assert daemon.value("app_queue_size") == -2.5
    assert "127.0.0.1" in error(daemon, "apps")
    daemon.wait_for("app_queue_size", None)
    instance = f"127.0.0.1:{application.port}"
    assert daemon.value("relay_up", instance=instance) == 0
    assert daemon.value("relay_up", instance=f"127.0.0.1:{http_peer.port}") == 1
    assert daemon.value("other") == 1
    check_page(daemon)
    again = Application(application.port)
    daemon.wait_for("app_queue_size", -2.5)
    daemon.wait_for("relay_up", 1, instance=instance)
    again.close()


def test_each_address(vitalsd: Daemon, application: Application, dns_server: DnsServer) -> None:
    """Each address is a target. When an address disappears, its series are removed."""
    dns_server.set_records("apps.test", {"A": ["127.0.0.1", "127.0.0.2"]})
    url = f"http://apps.test:{application.port}"
    daemon = vitalsd(
        [relay("apps", url, each_address=True)], dns={"servers": [dns_server.address]}
    )
    for address in ("127.0.0.1", "127.0.0.2"):
        daemon.wait_for("app_size_bytes_count", 1, instance=f"{address}:{application.port}")
    dns_server.set_records("apps.test", {"A": ["127.0.0.2"]})
    daemon.wait_for("app_size_bytes_count", None, instance=f"127.0.0.1:{application.port}")
    assert len(daemon.samples("relay_up")) == 1
    assert error(daemon, "apps") == ""


def test_pages_of_vitalsd_and_prometheus(vitalsd: Daemon, prometheus: Callable) -> None:
    """Names that vitalsd declares join its own families."""
    first = vitalsd([{"name": "p", "kind": "tcp", "endpoint": f"127.0.0.1:{free_port()}"}])
    peer = prometheus({"scrape_configs": []})
    daemon = vitalsd(
        [
            relay("vitalsd", f"http://{first.address}"),
            relay("prometheus", f"http://127.0.0.1:{peer.port}"),
        ]
    )
    for probe in ("vitalsd", "prometheus"):
        daemon.wait_for("relay_up", 1, probe=probe)
        assert daemon.value("process_open_fds", probe=probe)
        assert dropped(daemon, probe) == {}
    assert daemon.value("exported_vitalsd_target_up", relayed_instance="p") == 0
    assert daemon.samples("prometheus_http_request_duration_seconds_bucket", probe="prometheus")
    check_page(daemon)


def test_a_target_that_freezes_ends_and_starts(vitalsd: Daemon, prometheus: Callable) -> None:
    """A frozen process accepts connections and does not answer."""
    peer = prometheus({"scrape_configs": []})
    daemon = vitalsd(
        [relay("app", f"http://127.0.0.1:{peer.port}/metrics")], interval="1s", timeout="1s"
    )
    daemon.wait_for("process_start_time_seconds", lambda value: value > 0, probe="app")
    started = daemon.value("process_start_time_seconds", probe="app")
    assert started
    peer.freeze()
    daemon.wait_failed("app", "timeout")
    daemon.wait_for("process_start_time_seconds", None, probe="app")
    assert daemon.value("relay_up", probe="app") == 0
    peer.thaw()
    daemon.wait_for("process_start_time_seconds", started, probe="app")
    peer.stop()
    daemon.wait_failed("app", "connect")
    daemon.wait_for("process_start_time_seconds", None, probe="app")
    peer.start()
    daemon.wait_for("process_start_time_seconds", lambda value: value > started, probe="app")
    assert daemon.value("relay_up", probe="app") == 1


# ---- access -------------------------------------------------------------------------------------


def test_credentials(vitalsd: Daemon, http_peer: HttpPeer) -> None:
    def guarded(request: Request) -> bytes:
        if request.headers.get("authorization") != "Bearer wonderland-7":
            return answer(status=401)
        return page("inside 1\n")

    http_peer.answers |= {
        "/metrics": guarded,
        "/forbidden": answer(status=403),
        "/busy": answer(status=429),
        "/starting": answer(status=503),
        "/html": answer("<html>", Content_Type="text/html"),
        "/json": answer("{}\n[]\n", Content_Type="text/plain"),
    }
    token = {"env": "APP_TOKEN"}
    reasons = {
        "denied": "auth",
        "forbidden": "permission",
        "busy": "overload",
        "starting": "unready",
        "html": "mismatch",
        "json": "protocol",
        "missing": "mismatch",
    }
    daemon = vitalsd(
        [
            relay("allowed", http_peer.url("/metrics"), bearer_token=token),
            relay("denied", http_peer.url("/metrics")),
            *[
                relay(name, http_peer.url(f"/{name}"))
                for name in reasons
                if name != "denied"
            ],
        ],
        environment={"APP_TOKEN": "wonderland-7"},
    )
    daemon.wait_for("inside", 1)
    for name, reason in reasons.items():
        daemon.check_reason(name, reason)
        assert daemon.value("relay_up", probe=name) == 0
    assert "content type text/html" in error(daemon, "html")


def test_through_a_proxy(
    vitalsd: Daemon, application: Application, forward_proxy: ForwardProxy, dns_server: DnsServer
) -> None:
    """The options proxy and ip apply to each page."""
    dns_server.set_records("apps.test", {"A": ["127.0.0.1"], "AAAA": ["::1"]})
    way = {"proxy": forward_proxy.address, "proxy_password": {"env": "PROXY"}}
    port = application.port
    daemon = vitalsd(
        [
            relay("proxied", application.url, **way),
            relay("refused", application.url, **way | {"proxy_password": {"env": "WRONG"}}),
            relay("each", f"http://apps.test:{port}", each_address=True, ip="4"),
            relay("six", f"http://apps.test:{port}", ip="6", interval="1s", timeout="1s"),
        ],
        environment={"PROXY": forward_proxy.password, "WRONG": "not-the-password"},
        dns={"servers": [dns_server.address]},
    )
    daemon.wait_for("app_queue_size", -2.5, probe="proxied", instance=f"127.0.0.1:{port}")
    assert application.url in {request.target for request in forward_proxy.requests}
    daemon.wait_failed("refused", "config")
    assert f"the proxy 127.0.0.1:{forward_proxy.port} refuses" in error(daemon, "refused")
    daemon.wait_for("relay_up", 1, probe="each", instance=f"127.0.0.1:{port}")
    assert len(daemon.samples("relay_up", probe="each")) == 1
    daemon.wait_failed("six", "connect")  # the application has no IPv6
    assert "Connection refused" in error(daemon, "six")


def test_two_pages_of_one_server(vitalsd: Daemon, http_peer: HttpPeer) -> None:
    """Their label `instance` contains the path, so their series differ."""
    http_peer.answers |= {
        "/a": page('same{x="1"} 1\nonly_a 1\n'),
        "/b": lambda request: page(f'same{{x="1"}} {request.target[-1]}\n'),
        "/dead": answer(status=503),
    }
    paths = ("/a", "/b?x=2", "/b?x=3", "/dead")
    daemon = vitalsd([relay("apps", [http_peer.url(path) for path in paths])])
    daemon.wait_failed("apps", "unready")
    host = f"127.0.0.1:{http_peer.port}"
    assert {s.labels["instance"]: s.value for s in daemon.samples("relay_up")} == {
        f"{host}/a": 1, f"{host}/b": 1, f"{host}/b (2)": 1, f"{host}/dead": 0
    }
    assert {s.labels["instance"]: s.value for s in daemon.samples("same")} == {
        f"{host}/a": 1, f"{host}/b": 2, f"{host}/b (2)": 3
    }
    assert daemon.value("only_a") == 1
    check_page(daemon)


def test_its_own_page(vitalsd: Daemon) -> None:
    """Each run would relay the lines of the run before."""
    daemon = vitalsd([relay("self", f"http://127.0.0.1:{free_port()}", interval="1s")])
    daemon.configuration["probes"][0]["url"] = f"http://{daemon.address}"
    daemon.reload()
    daemon.wait_failed("self", "mismatch")
    assert "vitalsd's own page" in error(daemon, "self")
    daemon.wait_for("exported_vitalsd_build_info", None)
    assert daemon.value("relay_up", probe="self") == 0


def test_lines_that_are_left_out_are_a_warning(vitalsd: Daemon, http_peer: HttpPeer) -> None:
    http_peer.answers["/metrics"] = page("process_open_fds 1\na 1\n1\na 2\na 3\n")
    daemon = vitalsd([relay("app", http_peer.url("/metrics"), interval="1s")])
    daemon.wait_for("vitalsd_check_status", 1, probe="app", check="dropped")
    (row,) = daemon.status()["probes"]
    (check,) = (check for check in row["checks"] if check["name"] == "dropped")
    where = f"({http_peer.url('/metrics')})"
    assert check["reading"] == 4
    assert check["object"] == (
        f"1 invalid: line 3 {where}; 2 duplicate: a {where}; 1 declared: process_open_fds {where}"
    )
    http_peer.answers["/metrics"] = page("a 1\n")
    daemon.wait_for("vitalsd_check_status", 0, probe="app", check="dropped")


def test_a_histogram_with_an_inconsistent_count(vitalsd: Daemon, http_peer: HttpPeer) -> None:
    """Every second page has a count that differs from the last bucket. No run lacks a series."""
    torn: list[bool] = []

    def pages(_: Request) -> bytes:
        torn.append(len(torn) % 2 == 1)
        return page(
            '# TYPE h histogram\nh_bucket{le="+Inf"} 5\nh_sum 1\n'
            f"h_count {6 if torn[-1] else 5}\n"
        )

    http_peer.answers["/metrics"] = pages
    daemon = vitalsd([relay("app", http_peer.url("/metrics"), interval="200ms")])
    daemon.wait_for("h_count", 5)
    while len(torn) < 12:
        assert daemon.value("h_count") == 5
        check_page(daemon)
    assert dropped(daemon, "app").keys() == {"count"}
    assert daemon.value("vitalsd_check_status", probe="app", check="dropped") == 0


def test_the_limit_of_series(vitalsd: Daemon, http_peer: HttpPeer) -> None:
    """The application with the most series loses those that exceed the limit of the process."""
    size = [5]

    def heavy(_: Request) -> bytes:
        return page("small 1\n" + "".join(f'users{{id="{i}"}} 1\n' for i in range(size[0])))

    http_peer.answers |= {"/light": page("light 1\n"), "/heavy": heavy}
    probes = [relay(name, http_peer.url(f"/{name}"), interval="1s") for name in ("light", "heavy")]
    daemon = vitalsd(probes, limits={"series": 200})
    daemon.wait_for("users", 1, probe="heavy", id="4")
    assert daemon.value("vitalsd_series_limit") == 200
    assert daemon.absent("vitalsd_series_dropped")
    assert daemon.value("vitalsd_series", page="relay") == 7

    size[0] = 1000
    daemon.wait_for("vitalsd_series_dropped", 1000, probe="heavy")
    assert daemon.value("vitalsd_series", page="relay") == 1002
    assert daemon.absent("users")
    assert daemon.value("small") == daemon.value("light") == 1
    assert daemon.value("vitalsd_relay_series", probe="heavy") == 1001
    assert daemon.value("relay_up", probe="heavy") == 1
    assert "users{" not in daemon.page("/metrics/relay")
    assert daemon.page("/probes/heavy/metrics").count("users{") == 1000
    check_page(daemon)

    daemon.configuration["limits"] = {"series": 2000}
    daemon.reload()
    daemon.wait_for("vitalsd_series_dropped", None, probe="heavy")
    assert len(daemon.samples("users")) == 1000


# ---- pages that a parser must survive -----------------------------------------------------------

# Each page is invalid, or valid for lenient parsers only.
EVIL = {
    "types": "# TYPE m counter\n# TYPE m gauge\n# TYPE m histogram\nm 1\nm_sum 1\nm_bucket 1\n",
    "alternating": "".join(f"# TYPE x{i % 3} {t}\nx{i % 3} {i}\n" for i, t in enumerate(
        ["gauge", "counter", "summary", "histogram", "untyped", "info"] * 50)),
    "histogram": '# TYPE h histogram\nh_bucket{le="1"} 5\nh_bucket{le="0.1"} 9\nh_count -1\n',
    "clash": "# TYPE c histogram\nc_bucket 1\n# TYPE c_bucket gauge\nc_bucket{a=\"b\"} 1\n"
    "# TYPE c_count summary\nc_count_sum 1\nc_sum_count 1\n",
    "crlf": "# TYPE r gauge\r\nr 1\r\nr{a=\"b\r\"} 2\r\n",
    "nul": "n 1\nn{a=\"\0\"} 2\nn\0 3\n",
    "bytes": b"u{a=\"\xff\xfe\"} 1\nu{a=\"\xc3\xa9\"} 2\n".decode("latin-1"),
    "declared": "# TYPE probe_success histogram\nprobe_success_sum 1\n"
    "# TYPE process_open_fds summary\nprocess_open_fds_sum 1\nup 1\nrelay_up 1\nscrape_x 1\nvitalsd_x 1\n",
    "labels": 'l{probe="a",instance="b",job="c",le="d",quantile="x",__name__="up"} 1\n',
    "counters": "# TYPE k_total counter\nk_total -1\n# TYPE k gauge\nk 1\n"
    "# TYPE k_created gauge\nk_created 1\n",
    "summary": '# TYPE s summary\ns{quantile="7"} 1\ns 3\ns_sum NaN\ns_count 1.5\n',
    "timestamps": "t 1 5\nt 2 6\nt 3 7\n",
    "html": "<html>\n<body>{}</body>\n</html>\n",
    "spaces": ' a_b { x = "y" , } 1 \n',
    "quotes": '{"ü.x","y z"="1"} 1\n# TYPE "ü.x" gauge\n{"ü.x"} 2\n',
}
EVIL_OPENMETRICS = {
    "om-info": "# TYPE i info\ni_info 3\n# TYPE j info\nj 1\n# TYPE up info\nup_info 1\n",
    "om-state": "# TYPE q stateset\nq 1\nq{q=\"a\"} 7\n# TYPE vitalsd_q stateset\n"
    'vitalsd_q{vitalsd_q="a"} 1\n',
    "om-unit": "# TYPE w gauge\n# UNIT w seconds\nw 1\n# TYPE v_seconds info\n"
    "# UNIT v_seconds seconds\nv_seconds_info 1\n",
    "om-total": "# TYPE z_total counter\nz_total 1\nz_total_total 2\n# TYPE y counter\ny 1\n",
    "om-gauge": "# TYPE g gaugehistogram\ng_bucket{le=\"1\"} -1\ng_gsum NaN\n",
}


def prometheus_pages() -> dict[str, bytes]:
    """Returns the test pages of Prometheus, from the module that the tests build."""
    cache = subprocess.run(["go", "env", "GOMODCACHE"], capture_output=True, text=True, check=False)
    root = Path(cache.stdout.strip() or "/nonexistent")
    pages = root.glob("github.com/prometheus/prometheus@*/model/textparse/testdata/*.txt")
    return {path.name: path.read_bytes() for path in pages if ".om2." not in path.name}


def test_strict_parsers_accept_the_page(vitalsd: Daemon, http_peer: HttpPeer) -> None:
    """For any combination of pages from targets, the published page is valid and contains the
    series of a well-behaved target."""
    http_peer.answers |= {f"/{name}": page(text.encode("latin-1" if name == "bytes" else "utf-8"))
                          for name, text in EVIL.items()}
    http_peer.answers |= {f"/{n}": openmetrics_page(text) for n, text in EVIL_OPENMETRICS.items()}
    for name, text in prometheus_pages().items():
        kind = OPENMETRICS_TYPE if ".om." in name else TEXT_TYPE
        http_peer.answers[f"/{name}"] = answer(text, Content_Type=kind)
    honest = '# TYPE good_seconds histogram\ngood_seconds_bucket{le="+Inf"} 1\n'
    http_peer.answers["/honest"] = page(honest + "good_seconds_sum 1\ngood_seconds_count 1\n")
    daemon = vitalsd(
        [
            relay(name.strip("/").lower(), http_peer.url(name), interval="2s", timeout="2s")
            for name in sorted(http_peer.answers)
        ]
    )
    daemon.wait_ok("honest")
    for _ in range(2):
        check_page(daemon)
        assert daemon.value("good_seconds_count", probe="honest") == 1
        daemon.wait_runs("honest")
    families = {family.name: family.type for family in parse_openmetrics(daemon.page())}
    assert families["good_seconds"] == "histogram"
    # The invalid lines are counted, and the others are there.
    assert dropped(daemon, "nul") == {"invalid": 2} or dropped(daemon, "nul")["invalid"] % 2 == 0
    assert daemon.value("n", probe="nul") == 1
    assert daemon.value("t", probe="timestamps") == 1
    assert daemon.value("a_b", probe="spaces", x="y") == 1
    assert {s.value for s in daemon.samples("__x", probe="quotes")} == {1, 2}
    assert dropped(daemon, "declared")["declared"] > 0
    assert daemon.value("exported_vitalsd_x", probe="declared") == 1
    assert len(daemon.samples("relay_up", probe="declared")) == 1


def random_page(rng: random.Random, openmetrics: bool) -> str:
    """Returns a valid page with awkward texts."""
    bits = ["a", "b c", "{", "}", ",", "=", "#", "é", "\\\\", '\\"', "\\n", "1", " "]
    lines = []
    for family in range(rng.randint(1, 12)):
        kind = rng.choice(["gauge", "counter", "unknown", "histogram", "summary"])
        name = f"f{rng.randint(0, 10**9)}_{family}"
        sample = name + ("_total" if kind == "counter" else "")
        if kind == "counter" and not openmetrics:
            name = sample
        if rng.random() < 0.7:
            lines.append(f"# HELP {name} {''.join(rng.choices(bits[:3] + bits[8:9], k=4))}")
        lines.append(f"# TYPE {name} " + (kind if openmetrics else kind.replace("unknown", "untyped")))
        for series in range(rng.randint(1, 6)):
            labels = [f'n="{series}"'] + [
                f'l{i}="{"".join(rng.choices(bits, k=rng.randint(0, 5)))}"'
                for i in range(rng.randint(0, 4))
            ]
            rng.shuffle(labels)
            inner = ",".join(labels)
            end = rng.choice(["", " 1700000000", " 1700000000.5"] if openmetrics else ["", " 17000"])
            if kind in ("gauge", "unknown", "counter"):
                value = rng.choice(["0", "1", "1.5", "2e5", "+Inf", "17"])
                lines.append(f"{sample}{{{inner}}} {value}{end}")
                continue
            count = rng.randint(0, 5)
            if kind == "histogram":
                lines.append(f'{name}_bucket{{{inner},le="1.0"}} {count // 2}')
                lines.append(f'{name}_bucket{{{inner},le="+Inf"}} {count}')
            else:
                lines.append(f'{name}{{{inner},quantile="0.5"}} {rng.choice(["1", "NaN"])}')
            lines += [f"{name}_sum{{{inner}}} {count}.5", f"{name}_count{{{inner}}} {count}"]
    return "\n".join(lines) + "\n"


def test_random_pages_are_read_as_the_oracle_reads_them(
    vitalsd: Daemon, http_peer: HttpPeer
) -> None:
    rng = random.Random(os.environ.get("RELAY_SEED", "19"))
    pages = {}
    for number in range(40):
        openmetrics = number % 2 == 1
        text = random_page(rng, openmetrics)
        pages[f"p{number}"] = list((parse_openmetrics if openmetrics else parse_text)(
            text + ("# EOF\n" if openmetrics else "")))
        http_peer.answers[f"/p{number}"] = openmetrics_page(text) if openmetrics else page(text)
    daemon = vitalsd(
        [relay(name, http_peer.url(f"/{name}"), interval="5s", timeout="5s") for name in pages]
    )
    for name in pages:
        daemon.wait_ok(name)
    got: dict[str, list] = {name: [] for name in pages}
    types = {}
    for family in parse_openmetrics(daemon.page()):
        types[family.name] = family.type
        for sample in family.samples:
            labels = {k: v for k, v in sample.labels.items() if k not in ("probe", "instance")}
            if sample.name.startswith("f"):
                got[sample.labels["probe"]].append((sample.name, labels, repr(sample.value)))
    key = lambda entry: (entry[0], sorted(entry[1].items()))  # noqa: E731
    for name, families in pages.items():
        expected = []
        for family in families:
            assert types[family.name] == family.type, family
            for s in family.samples:
                labels = {k: v for k, v in s.labels.items() if v}
                expected.append((s.name, labels, repr(float(s.value))))
        found = [(n, labels, repr(float(v))) for n, labels, v in got[name]]
        assert sorted(found, key=key) == sorted(expected, key=key)
    assert not math.isnan(daemon.value("process_start_time_seconds") or math.nan)
    check_page(daemon)


# ---- hostile pages ------------------------------------------------------------------------------


def test_compressed_pages(vitalsd: Daemon, http_peer: HttpPeer) -> None:
    lines = "".join(f'big{{n="{i}"}} {i}\n' for i in range(5_000)).encode()
    bomb = gzip.compress(b"x" * 100_000_000, 9)
    http_peer.answers |= {
        "/good": page(gzip.compress(lines), Content_Encoding="gzip"),
        "/broken": page(gzip.compress(lines)[:-400] + b"x" * 400, Content_Encoding="gzip"),
        "/truncated": page(gzip.compress(lines)[:-400], Content_Encoding="gzip"),
        "/bomb": page(bomb, Content_Encoding="gzip"),
        "/brotli": page(b"xxxx", Content_Encoding="br"),
    }
    names = [name.strip("/") for name in http_peer.answers]
    daemon = vitalsd(
        [relay(name, http_peer.url(f"/{name}"), interval="3s", timeout="3s") for name in names]
    )
    daemon.wait_ok("good")
    assert len(daemon.samples("big", probe="good")) == 5_000
    for name in names[1:]:
        daemon.check_reason(name, "protocol")
    assert "200:1" in error(daemon, "bomb")
    assert any(r.headers.get("accept-encoding") == "gzip" for r in http_peer.requests)


def test_large_pages_are_bounded(vitalsd: Daemon, http_peer: HttpPeer) -> None:
    """The reason is shown, memory is bounded, and the other target is read on time."""
    line = b'many{n="%08d"} 1\n'
    block = b"".join(line % i for i in range(100_000))

    def series(_: Request) -> bytes:
        return page(b"".join(block.replace(b'n="', b'n="%d-' % i) for i in range(100)))

    http_peer.answers |= {
        "/series": series,
        "/line": page(b"x" * 20_000_000),
        "/large": page(block * 8),
        "/small": page("small 1\n"),
    }
    daemon = vitalsd(
        [
            relay(
                "series",
                http_peer.url("/series"),
                max_series=5_000,
                max_body="1GB",
                interval="20s",
                timeout="20s",
            ),
            relay("line", http_peer.url("/line")),
            relay("large", http_peer.url("/large"), max_body="10MB"),
            relay("small", http_peer.url("/small")),
        ],
        interval="5s",
        timeout="5s",
    )
    for name in ("series", "small"):
        daemon.wait_ok(name)
    assert len(daemon.samples("many", probe="series")) == 5_000
    assert dropped(daemon, "series")["limit"] >= 9_995_000
    daemon.check_reason("line", "protocol")
    daemon.check_reason("large", "protocol")
    assert "max_body" in error(daemon, "large")
    peak = int(Path(f"/proc/{daemon.pid}/status").read_text().split("VmHWM:")[1].split()[0])
    assert peak < 200_000  # KiB


def test_a_target_that_hangs(vitalsd: Daemon, http_peer: HttpPeer) -> None:
    """A part times out within the run. A refused part fails at once."""
    released = threading.Event()

    def hang(_: Request) -> bytes:
        released.wait(20)
        return page("late 1\n")

    http_peer.answers |= {"/hang": hang, "/metrics": page("fine 1\n")}
    refused = f"http://127.0.0.1:{unused_port()}/metrics"
    daemon = vitalsd(
        [relay("apps", [http_peer.url("/hang"), http_peer.url("/metrics"), refused])],
        interval="1s",
        timeout="1s",
    )
    daemon.wait_for("fine", 1)
    wait_until(lambda: daemon.failures("apps"), what="a failure")
    assert daemon.value("vitalsd_probe_parts", probe="apps", state="ok") == 1
    stays(lambda: daemon.value("fine") == 1, for_seconds=1, what="the good target")
    released.set()
    daemon.wait_for("late", 1)
