"""Pushes to a probe of kind job. The clients are those of a Pushgateway: curl, as in the documented
backup CronJob, and Python's client; their answers are compared with those of a real Pushgateway."""

from __future__ import annotations

import http.client
import json
import os
import re
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import (
    CollectorRegistry,
    Gauge,
    Histogram,
    delete_from_gateway,
    push_to_gateway,
    pushadd_to_gateway,
)
from prometheus_client.exposition import default_handler
from prometheus_client.parser import text_string_to_metric_families

from support.prometheus import Prometheus, shipped_configuration
from support.pushgateway import Pushgateway
from support.vitalsd import Vitalsd, sanitized
from support.waiting import stays, wait_until

Daemon = Callable[..., Vitalsd]

TOKEN = "a-token-of-the-backup-job"
OTHER = "a-token-of-another-job"

# The line of the documented backup CronJob, with another URL and one header.
DOCUMENTED = """
echo "vcci_last_successful_backup_timestamp $(date +%s)" | \\
  curl -H "Authorization: Bearer $TOKEN" \\
  --data-binary @- http://$VITALSD/metrics/job/database_backup
"""


def job(name: str = "database_backup", **options: Any) -> dict[str, Any]:
    return {
        "name": name,
        "kind": "job",
        "schedule": "0 2 * * *",
        "token": {"env": "OTHER_TOKEN" if name == "other" else "JOB_TOKEN"},
        "push": {"ttl": "26h"},
        **options,
    }


@pytest.fixture
def watched(vitalsd: Daemon, tmp_path: Path) -> Callable[..., Vitalsd]:
    """Starts a daemon that keeps its state, with these probes."""

    def start(*probes: dict[str, Any]) -> Vitalsd:
        state = tmp_path / "state"
        state.mkdir(exist_ok=True)
        return vitalsd(
            list(probes or [job()]),
            state={"directory": str(state)},
            environment={"JOB_TOKEN": TOKEN, "OTHER_TOKEN": OTHER},
        )

    return start


def send(
    address: str,
    path: str,
    body: bytes | str = b"",
    method: str = "POST",
    token: str | None = TOKEN,
    headers: dict[str, str] | None = None,
) -> tuple[int, str]:
    connection = http.client.HTTPConnection(address, timeout=30)
    try:
        sent = dict(headers or {})
        if token is not None:
            sent["Authorization"] = f"Bearer {token}"
        connection.request(method, path, body.encode() if isinstance(body, str) else body, sent)
        response = connection.getresponse()
        return response.status, response.read().decode()
    finally:
        connection.close()


def push(
    daemon: Vitalsd, body: bytes | str, group: str = "", method: str = "POST", **options: Any
) -> tuple[int, str]:
    return send(daemon.address, f"/metrics/job/database_backup{group}", body, method, **options)


def resident_kib(daemon: Vitalsd) -> int:
    status = Path(f"/proc/{daemon.pid}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+)", status)[1])


def outcomes(daemon: Vitalsd, probe: str = "database_backup") -> dict[str, float]:
    samples = daemon.samples("job_runs_total", probe=probe)
    return {sample.labels["outcome"]: sample.value for sample in samples}


# ---- as the clients of a Pushgateway use it ----------------------------------------------------


def test_the_documented_cron_job(watched: Callable[..., Vitalsd], tmp_path: Path) -> None:
    """Rule 8 reads the series of kind backup, because the pushed time is not published."""
    backups = tmp_path / "backups"
    backups.mkdir()
    dump = backups / "vcci-production.sql"
    dump.write_text("-- a dump")
    os.utime(dump, (time.time() - 3600,) * 2)
    daemon = watched(
        job(backup="dumps"),
        {"name": "dumps", "kind": "backup", "directory": str(backups), "max_age": "24h"},
    )
    done = subprocess.run(
        ["sh", "-euc", DOCUMENTED],
        env={"PATH": "/usr/bin:/bin", "TOKEN": TOKEN, "VITALSD": daemon.address},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert done.stdout == (
        "OK. Not published, because vitalsd declares these metrics itself: "
        "vcci_last_successful_backup_timestamp.\n"
    )
    daemon.wait_for("job_runs_total", 1, outcome="ok")
    assert daemon.value("job_overdue", probe="database_backup") == 0
    [sample] = daemon.samples("vcci_last_successful_backup_timestamp")
    assert sample.labels["probe"] == "dumps"
    assert daemon.value("vitalsd_job_push_dropped_total", probe="database_backup") == 1


def test_labels_in_prometheus(watched: Callable[..., Vitalsd]) -> None:
    """The shipped scrape configuration in a real Prometheus, as shipped."""
    daemon = watched(job(labels={"environment": "production"}))
    assert push(daemon, "# TYPE dump_bytes gauge\ndump_bytes 12\n")[0] == 200
    assert push(daemon, "rows{table=\"a\"} 3\n", "/zone/b/instance/db-1")[0] == 200
    prometheus = Prometheus(shipped_configuration([daemon.address]))
    try:
        [(labels, value)] = prometheus.wait_for("dump_bytes")
        assert value == 12
        common = {
            "job": "database_backup",
            "probe": "database_backup",
            "environment": "production",
        }
        assert labels == {"__name__": "dump_bytes", "instance": "database_backup", **common}
        [(labels, value)] = prometheus.wait_for("rows")
        assert labels == {
            "__name__": "rows",
            "instance": "db-1",
            "zone": "b",
            "table": "a",
            **common,
        }
        [(_, age)] = prometheus.wait_for("time() - push_time_seconds{instance='db-1'}")
        assert -1 < age < 60
    finally:
        prometheus.close()


def test_the_client_of_python(watched: Callable[..., Vitalsd]) -> None:
    daemon = watched()

    def handler(url: str, method: str, timeout: float, headers: Any, data: bytes) -> Any:
        headers = [*headers, ("Authorization", f"Bearer {TOKEN}")]
        return default_handler(url, method, timeout, headers, data)

    registry = CollectorRegistry()
    Gauge("last_rows", "Rows \"written\"\n.", ["table"], registry=registry).labels("a\\b").set(7)
    Histogram("step_seconds", "Steps.", registry=registry, buckets=[1, 2]).observe(1.5)
    where = {"gateway": daemon.address, "job": "database_backup", "handler": handler}
    group = {"path": "/var/lib/db", "zone": "ä-b"}
    push_to_gateway(registry=registry, grouping_key=group, **where)
    daemon.wait_for("last_rows", 7, table="a\\b", path="/var/lib/db", zone="ä-b")
    assert daemon.value("step_seconds_bucket", le="2.0") == 1
    assert daemon.value("step_seconds_bucket", le="1.0") == 0

    only = CollectorRegistry()
    Gauge("last_rows", "Rows.", ["table"], registry=only).labels("c").set(8)
    pushadd_to_gateway(registry=only, grouping_key=group, **where)
    daemon.wait_for("last_rows", 8)
    assert daemon.value("step_seconds_count") == 1
    push_to_gateway(registry=only, grouping_key=group, **where)
    daemon.wait_for("step_seconds_count", None)
    delete_from_gateway(grouping_key=group, **where)
    daemon.wait_for("last_rows", None)
    assert outcomes(daemon)["ok"] == 3


# Method, path behind /metrics/job, body.
REQUESTS = [
    ("POST", "/JOB", "a 1\n"),
    ("PUT", "/JOB", ""),
    ("POST", "/JOB", ""),
    ("POST", "/JOB", "a 1"),
    ("POST", "/JOB", "a 1\n\n# a comment\n b{x=\"1\",} 2e3\n"),
    ("POST", "/JOB", "a 1 1700000000000\n"),
    ("POST", "/JOB", "a 1\na 2\n"),
    ("POST", "/JOB", "a{x=\"1\",x=\"2\"} 1\n"),
    ("POST", "/JOB", "a b c\n"),
    ("POST", "/JOB", "a{x=\"1} 1\n"),
    ("POST", "/JOB", "# TYPE a gauge\n# TYPE a counter\na 1\n"),
    ("POST", "/JOB/", "a 1\n"),
    ("POST", "/JOB/l", "a 1\n"),
    ("POST", "/JOB/l/", "a 1\n"),
    ("POST", "/JOB/l/v", "a 1\n"),
    ("PUT", "/JOB/l/v/", "a 1\n"),
    ("PUT", "/JOB/l/v/m", "a 1\n"),
    ("POST", "/JOB/l@base64/=", "a 1\n"),
    ("POST", "/JOB/l@base64/YS9i", "c 1\n"),
    ("POST", "/JOB/l@base64/YS8", "c 1\n"),
    ("POST", "/JOB/l@base64/YS8=", "c 1\n"),
    ("POST", "/JOB/l@base64/!!", "c 1\n"),
    ("POST", "/JOB/l/a%20b", "c 1\n"),
    ("POST", "/JOB/l/a+b", "c 1\n"),
    ("POST", "/JOB/__l/v", "c 1\n"),
    ("POST", "/JOB/1l/v", "c 1\n"),
    ("POST", "@base64/BASE64", "e 1\n"),
    ("POST", "@base64/BASE64=", "e 1\n"),
    ("POST", "/JOB/q/1", "# TYPE d counter\nd 1\n"),
    ("POST", "/JOB/q/2", "# TYPE d gauge\nd 1\n"),
    ("POST", "/JOB/q/1", "f{r=\"1\"} 1\n"),
    ("POST", "/JOB/q/1/r/1", "f 1\n"),
    ("DELETE", "/JOB/none", ""),
    ("DELETE", "/JOB/none/x", ""),
    ("DELETE", "/JOB/q/1", ""),
    ("GET", "/JOB", ""),
]


def test_answers_are_those_of_a_pushgateway(watched: Callable[..., Vitalsd]) -> None:
    """A job has 20 requests at once, so four jobs take turns. In both, the groups of a job are
    independent of the other jobs'."""
    names = ["job-a", "job-b", "job-c", "job-d"]
    encoded = ["am9iLWE", "am9iLWI", "am9iLWM", "am9iLWQ"]
    daemon = watched(*[job(name) for name in names])
    gateway = Pushgateway()
    try:
        turn = 0
        for method, path, body in REQUESTS:
            if "/q/" not in path:
                turn += 1
            name = "/metrics/job" + path.replace("JOB", names[turn % 4]).replace(
                "BASE64", encoded[turn % 4]
            )
            theirs = send(gateway.address, name, body, method, token=None)
            ours = send(daemon.address, name, body, method)
            assert ours[0] == theirs[0], (method, name, body, ours, theirs)
        daemon.wait_runs("job-a", 2)

        def series(page: str) -> dict[tuple[str, ...], float]:
            """Of pushed metrics, without the labels that differ."""
            return {
                (sample.name, *sorted(f"{name}={value}" for name, value in sample.labels.items()
                                      if value and name not in ("instance", "probe"))): sample.value
                for family in text_string_to_metric_families(page)
                for sample in family.samples
                if re.fullmatch("[a-f]", sample.name)
            }

        ours = series(daemon.page(accept="text/plain"))
        assert ours == series(gateway.page())
        assert len(ours) > 10
    finally:
        gateway.close()


# ---- what is kept ------------------------------------------------------------------------------


def test_an_acknowledged_push_survives_a_kill(watched: Callable[..., Vitalsd]) -> None:
    daemon = watched()
    for run in range(3):
        assert push(daemon, f"rows {run}\n", f"/run/{run}")[0] == 200
        daemon.kill()
        daemon.start()
    daemon.wait_for("rows", 2, run="2")
    assert len(daemon.samples("rows")) == 3
    daemon.wait_for("job_runs_total", 3, outcome="ok")
    assert push(daemon, "", "/run/1", "DELETE") == (202, "")
    daemon.kill()
    daemon.start()
    daemon.wait_for("rows", 0, run="0")
    assert len(daemon.samples("rows")) == 2


def test_a_group_expires(watched: Callable[..., Vitalsd]) -> None:
    daemon = watched(job(push={"ttl": "2s"}))
    assert push(daemon, "rows 1\n")[0] == 200
    daemon.wait_for("rows", 1)
    assert daemon.value("push_time_seconds", job="database_backup")
    daemon.wait_for("rows", None)
    assert daemon.absent("push_time_seconds")
    assert push(daemon, "rows 1\n")[0] == 200
    daemon.end()
    started = time.time()
    wait_until(lambda: time.time() > started + 2.1, what="the time to live has passed")
    daemon.start()
    assert daemon.absent("rows")
    assert daemon.value("job_last_success_timestamp_seconds")


def test_the_configuration_changes(watched: Callable[..., Vitalsd]) -> None:
    daemon = watched()
    assert push(daemon, "rows 1\n")[0] == 200
    daemon.wait_for("rows", 1)
    daemon.configuration["probes"] = [job(labels={"environment": "dev"})]
    daemon.reload()
    daemon.wait_for("rows", 1, environment="dev")
    assert len(daemon.samples("rows")) == 1
    daemon.configuration["probes"] = [job() | {"push": {"ttl": "1s"}}]
    daemon.reload()
    daemon.wait_for("rows", None)
    without = job()
    del without["push"]
    daemon.configuration["probes"] = [without]
    daemon.reload()
    status, text = push(daemon, "rows 1\n")
    assert status == 403 and "push: {ttl: DURATION}" in text
    daemon.configuration["probes"] = [job("other")]
    daemon.reload()
    assert push(daemon, "rows 1\n")[0] == 404


def test_a_push_that_is_refused_is_no_success(watched: Callable[..., Vitalsd]) -> None:
    daemon = watched()
    status, text = push(daemon, "rows 1\nrows{ 2\n")
    assert (status, text) == (400, "Line 2 is not valid in the Prometheus text format 0.0.4.\n")
    daemon.wait_for("push_failure_time_seconds", lambda value: value > time.time() - 60)
    assert daemon.value("push_time_seconds") == 0
    assert outcomes(daemon) == {"ok": 0, "failed": 0}
    # A job reports its failure on another path with the same token.
    assert send(daemon.address, "/api/v1/jobs/database_backup/fail")[0] == 200
    daemon.wait_for("job_runs_total", 1, outcome="failed")


# ---- who may push ------------------------------------------------------------------------------


def test_only_the_token_of_the_job_may_push(watched: Callable[..., Vitalsd]) -> None:
    daemon = watched(job(), job("other"))
    for method in ("POST", "PUT", "DELETE", "GET"):
        for token in (None, "wrong", OTHER, TOKEN[:-1], TOKEN + "x"):
            assert push(daemon, "rows 1\n", method=method, token=token)[0] in (401, 429)
    basic = {"Authorization": "Basic ZGF0YWJhc2U6" + "YS10b2tlbg=="}
    assert push(daemon, "rows 1\n", token=None, headers=basic)[0] in (401, 429)
    assert send(daemon.address, "/metrics/job@base64/b3RoZXI", "rows 1\n")[0] == 401
    assert send(daemon.address, "/metrics/job@base64/b3RoZXI", "rows 1\n", token=OTHER)[0] == 200
    assert send(daemon.address, "/metrics/job/unknown", "rows 1\n")[0] == 404
    daemon.wait_for("rows", 1, job="other")
    assert outcomes(daemon) == {"ok": 0, "failed": 0}
    assert push(daemon, "rows 1\n")[0] == 200  # requests without the token do not use its limit


def test_without_a_token(vitalsd: Daemon) -> None:
    daemon = vitalsd([job(token="none")])
    assert push(daemon, "rows 1\n", token=None) == (200, "OK\n")
    daemon.wait_for("rows", 1)


# ---- hostile clients ---------------------------------------------------------------------------


@pytest.fixture
def tested(watched: Callable[..., Vitalsd]) -> Iterator[Vitalsd]:
    """A daemon with a push, which must be on a valid page after the test."""
    daemon = watched()
    assert push(daemon, "rows 1\n", "/good/1")[0] == 200
    yield daemon
    daemon.wait_for("rows", 1, good="1")
    daemon.wait_ok("database_backup")


def test_bodies_are_bounded(tested: Vitalsd) -> None:
    def endless(token: str | None) -> tuple[int, int]:
        """Returns the status of the response to a body without an end, and the number of bytes that
        were sent."""
        with socket.create_connection((tested.host, tested.port), timeout=30) as peer:
            head = "POST /metrics/job/database_backup HTTP/1.1\r\nHost: h\r\n"
            if token:
                head += f"Authorization: Bearer {token}\r\n"
            peer.sendall(f"{head}Transfer-Encoding: chunked\r\n\r\n".encode())
            sent = 0
            chunk = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
            try:
                while sent < 64 << 20:
                    peer.sendall(chunk)
                    sent += 0x10000
            except OSError:
                pass
            try:
                return int(peer.recv(4096).split()[1]), sent
            except (OSError, IndexError):  # reset, because the rest of the body was not read
                return 0, sent

    before = resident_kib(tested)
    for token in (TOKEN, None):
        status, sent = endless(token)
        assert status in (0, 413 if token else 401)
        assert sent < 16 << 20
    assert sanitized() or resident_kib(tested) < before + 16 * 1024
    large = "a" * (1 << 20)
    assert push(tested, f"{large} 1\n")[0] == 413
    assert push(tested, f'a{{l="{large[:900_000]}"}} 1\n')[0] == 400
    many = "".join(f'a{{i="{i}"}} 1\n' for i in range(10_001))
    status, text = push(tested, many)
    assert status == 413 and "10000 series" in text
    assert push(tested, "", f"/l/{'x' * 1025}")[0] == 400
    assert push(tested, "", f"/l/{'x' * 20_000}")[0] == 431


def test_damaged_bodies(tested: Vitalsd) -> None:
    for body in (
        b"rows\x00 1\n",
        b"rows{a=\"\xff\"} 1\n",
        b"rows 1\nrows 1\n",
        b"\x1f\x8b\x08 not gzip\n",
        b"rows{good=\"1\"} 1\n",  # of another group
        b"# TYPE h histogram\nh_bucket{le=\"+Inf\"} 1\nh_count 2\nh_sum 1\nh_count 2\n",
    ):
        status, text = push(tested, body)
        assert status == 400, (body, status, text)
        assert text.endswith(".\n")
    assert push(tested, b"rows 2\r\n# TYPE crlf gauge\r\ncrlf 1\r\n")[0] == 200
    tested.wait_for("crlf", 1)
    assert push(tested, b"x 1\n", headers={"Content-Encoding": "gzip"})[0] == 400
    assert push(tested, b"x 1\n", headers={"Content-Encoding": "br"})[0] == 415
    protobuf = {"Content-Type": "application/vnd.google.protobuf; encoding=delimited"}
    assert push(tested, b"x 1\n", headers=protobuf)[0] == 415
    invalid = "# TYPE h histogram\nh_bucket{le=\"1\"} 3\nh_bucket{le=\"+Inf\"} 1\nh_sum 1\nh_count 1\n"
    status, text = push(tested, invalid)
    assert status == 400 and "family 'h' is not a valid histogram" in text
    assert push(tested, invalid.replace("} 3", "} 1"), "/other/group")[0] == 200
    # curl ignores the response: the log has the reason, once for each change.
    assert push(tested, invalid, "/third/group")[0] == 400
    assert push(tested, invalid)[0] == 400
    logged = [line for line in tested.log().splitlines() if "request to a probe refused" in line]
    assert len([line for line in logged if "is not a valid histogram" in line]) == 2
    assert json.loads(logged[-1])["path"] == "/metrics/job/database_backup/third/group"


def test_pushes_are_limited(tested: Vitalsd) -> None:
    with ThreadPoolExecutor(40) as clients:
        pushes = [clients.submit(push, tested, "rows 1\n", f"/host/{i}") for i in range(40)]
        statuses = [each.result()[0] for each in pushes]
    assert set(statuses) == {200, 429}
    assert statuses.count(200) >= 19


def test_a_frozen_daemon(watched: Callable[..., Vitalsd]) -> None:
    daemon = watched()
    daemon.freeze()
    client = subprocess.Popen(
        ["curl", "--silent", "--fail", "--max-time", "3", "--retry", "5", "--retry-delay", "1"]
        + ["--retry-all-errors", "-H", f"Authorization: Bearer {TOKEN}", "--data-binary"]
        + ["rows 1\n", f"http://{daemon.address}/metrics/job/database_backup?rid=1"],
        stdout=subprocess.DEVNULL,
    )
    stays(lambda: client.poll() is None, for_seconds=0.5)
    daemon.kill()
    daemon.start()
    assert client.wait(timeout=30) == 0
    daemon.wait_for("job_runs_total", 1, outcome="ok")
    daemon.wait_for("rows", 1)


def test_a_state_that_cannot_be_saved_is_not_acknowledged(vitalsd: Daemon, tmp_path: Path) -> None:
    missing = tmp_path / "missing"
    daemon = vitalsd(
        [job()], state={"directory": str(missing)}, environment={"JOB_TOKEN": TOKEN}
    )
    assert push(daemon, "rows 1\n")[0] == 503
    missing.mkdir()
    wait_until(lambda: push(daemon, "rows 1\n")[0] == 200, what="a push that is saved")
    daemon.wait_for("rows", 1)
