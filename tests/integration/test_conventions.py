"""Properties of the whole daemon: the ecosystem's conventions, and generated documents."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from support import REPOSITORY
from support.certificates import Authority
from support.dns_server import DnsServer
from support.http_peer import HttpPeer, answer
from support.nginx import Nginx
from support.postgres import Postgres
from support.prometheus import Prometheus
from support.rabbitmq import Rabbitmq
from support.redis import Redis
from support.s3 import S3
from support.vitalsd import TEXT, Vitalsd, binary, run

pytestmark = pytest.mark.threads

DATA = REPOSITORY / "tests" / "data"
EXAMPLES = sorted((REPOSITORY / "config" / "examples").glob("*.yaml"))


def kinds_of_a_cluster() -> set[str]:
    """Kinds that need a Kubernetes API; tests/kubernetes/test_names.py has their page."""
    kinds = yaml.safe_load(run("config", "permissions").stdout)
    return {kind for kind, needs in kinds.items() if any("within" not in each for each in needs)}


@pytest.fixture
def every_kind(
    vitalsd: Callable[..., Vitalsd],
    certificates: Authority,
    postgres: Postgres,
    redis_server: Redis,
    rabbitmq: Rabbitmq,
    nginx: Nginx,
    dns_server: DnsServer,
    http_peer: HttpPeer,
    s3: S3,
    prometheus: Callable[..., Prometheus],
    tmp_path: Path,
) -> Vitalsd:
    """A daemon with a probe of every kind that needs no cluster. All probes succeed."""
    dns_server.set("api.test", "127.0.0.1")
    http_peer.answers["/metrics"] = answer(Content_Type="text/plain")  # no other names
    rabbitmq.declare("work")
    postgres.execute("CREATE TABLE IF NOT EXISTS written (x int)", postgres.database)
    (tmp_path / "today.dump").write_bytes(b"a backup")
    targets = [{"targets": [f"127.0.0.1:{nginx.port}"]}]
    watched = prometheus(
        {
            "global": {"scrape_interval": "1s", "scrape_timeout": "1s"},
            "scrape_configs": [{"job_name": "api", "static_configs": targets}],
        }
    )
    watched.wait_for("count(up) > 0")
    daemon = vitalsd(
        [
            {
                "name": "db",
                "kind": "postgres",
                "url": postgres.url(),
                "tls": {"ca": str(certificates.path)},
                "password": {"env": "DB_PASSWORD"},
            },
            {
                "name": "cache",
                "kind": "redis",
                "url": redis_server.url(),
                "password": {"env": "CACHE_PASSWORD"},
            },
            {
                "name": "broker",
                "kind": "rabbitmq",
                "url": rabbitmq.management,
                "user": "monitor",
                "password": {"env": "BROKER_PASSWORD"},
            },
            {
                "name": "api",
                "kind": "http",
                "url": nginx.url(tls=True),
                "histogram": True,
                "tls": {"ca": str(certificates.path)},
            },
            {"name": "name", "kind": "dns", "query": "api.test", "server": dns_server.address},
            {"name": "files", "kind": "certificate", "files": [str(certificates.path)]},
            {
                "name": "dumps",
                "kind": "backup",
                "directory": str(tmp_path),
                "settle": "0s",
            },
            {
                "name": "data",
                "kind": "bucket",
                "quota": "1GiB",
                "s3": {
                    "bucket": s3.new_bucket("data"),
                    "endpoint": s3.url,
                    "access_key": {"env": "S3_ACCESS"},
                    "secret_key": {"env": "S3_SECRET"},
                },
            },
            {
                "name": "metrics",
                "kind": "prometheus",
                "url": watched.url,
                "queries": [{"name": "one", "expr": "vector(1)"}],
            },
            {"name": "disks", "kind": "filesystem", "mounts": ["/"]},
            {"name": "nightly", "kind": "job", "schedule": "@daily", "token": "none"},
            {"name": "port", "kind": "tcp", "endpoint": f"127.0.0.1:{nginx.port}"},
            {"name": "app", "kind": "relay", "url": http_peer.url("/metrics")},
        ],
        interval="2s",
        timeout="2s",
        environment={
            "DB_PASSWORD": postgres.passwords["monitor"],
            "CACHE_PASSWORD": redis_server.password,
            "S3_ACCESS": s3.access_key,
            "S3_SECRET": s3.secret_key,
            "BROKER_PASSWORD": rabbitmq.passwords["monitor"],
        },
    )
    for action in ("start", "exit/0", "exit/1"):
        assert daemon.get(f"/api/v1/jobs/nightly/{action}", method="POST")[0] == 200
    daemon.wait_for("job_last_failure_timestamp_seconds", lambda time: time > 0)
    kinds = {probe["kind"] for probe in daemon.status()["probes"]} | kinds_of_a_cluster()
    assert kinds == set(re.findall(r"(?m)^# Kind ([\w-]+)$", run("metrics").stdout))
    for sample in daemon.samples("probe_success"):
        assert sample.value == 1, daemon.tail()
    return daemon


def test_promtool_finds_only_what_is_waived(every_kind: Vitalsd) -> None:
    """Every complaint of promtool has a waiver, and every waiver has a complaint."""
    page = every_kind.page(accept=TEXT)
    found = subprocess.run(
        ["promtool", "check", "metrics"], input=page, capture_output=True, text=True, check=False
    )
    complaints = set((found.stdout + found.stderr).splitlines())
    waivers = (DATA / "promtool-waivers.txt").read_text().splitlines()
    assert complaints == {line for line in waivers if line and not line.startswith("#")}


def test_every_name_on_the_page_is_documented(every_kind: Vitalsd) -> None:
    documented = set(re.findall(r"`([a-z_0-9]+)[`{]", (REPOSITORY / "docs/metrics.md").read_text()))
    counters = {name.removesuffix("_total") for name in documented}
    assert every_kind.names() - documented - counters == set()


def test_documents_are_what_the_code_says(tmp_path: Path) -> None:
    """The list of metrics is an interface. A change must be visible as a diff in a review."""
    subprocess.run(
        [REPOSITORY / "docs" / "generate.sh", tmp_path],
        env={**os.environ, "VITALSD_BINARY": str(binary())},
        check=True,
        timeout=60,
    )
    made = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert made
    for path in made:
        document = path.relative_to(tmp_path)
        now = (REPOSITORY / document).read_text()
        assert now == path.read_text(), f"{document}: run docs/generate.sh"


@pytest.mark.parametrize("page", ["field-reports", "documented-rules"])
def test_named_tests_exist(page: str) -> None:
    text = (REPOSITORY / "docs" / f"{page}.md").read_text()
    named = re.findall(r"`((?:test_|[A-Z]\w+\.[A-Z])\w+)`", text)
    assert len(named) >= 24
    sources = [*REPOSITORY.glob("tests/**/test_*.py"), *REPOSITORY.glob("tests/unit/**/*.cpp")]
    text = "\n".join(path.read_text() for path in sources)
    for name in named:
        suite, _, case = name.rpartition(".")
        pattern = rf"\bdef {case}\(" if not suite else rf"\({suite},\s*{case}\)"
        assert re.search(pattern, text), f"the test {name} does not exist"


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_examples_are_valid(example: Path) -> None:
    done = run("config", "check", example)
    assert done.returncode == 0, done.stderr


def test_no_metric_of_a_kind_has_a_label_kind() -> None:
    """The scrape configuration selects vitalsd_target_up by this label."""
    framework, *kinds = run("metrics").stdout.split("# Kind ")
    assert "vitalsd_target_up{kind}" in framework
    for kind in kinds:
        assert not re.search(r"[{,]kind[,}]", kind), kind


def test_the_smallest_kind_is_small_and_shown_as_it_is() -> None:
    """docs/architecture.md shows the real code."""
    tcp = (REPOSITORY / "probes" / "tcp.cpp").read_text()
    assert len(tcp.splitlines()) <= 60
    page = (REPOSITORY / "docs" / "architecture.md").read_text()
    (shown,) = re.findall(r"(?s)```cpp\n(.*?)```", page)
    for block in shown.strip().split("\n\n"):
        assert block in tcp
