"""Each fixture produces the fault that it describes. Otherwise the tests that use it prove nothing.

These tests are fast and need no daemon.
"""

from __future__ import annotations

import datetime
import os
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import dns.message
import dns.query
import dns.rcode
import psycopg2
import pytest
from cryptography import x509

from support import REPOSITORY, process, wait_until
from support.certificates import Authority
from support.dns_server import DnsServer
from support.fault_proxy import FaultProxy
from support.nginx import Nginx
from support.postgres import Postgres
from support.prometheus import Prometheus
from support.redis import Redis
from support.s3 import S3
from support.serving import serve


def exchange(
    port: int, message: bytes = b"hello", until: bytes = b"hello", timeout: float = 60
) -> bytes:
    """Sends a line and returns all received bytes until they end with `until`, the end of the
    connection or the timeout."""
    with socket.create_connection(("127.0.0.1", port), timeout=timeout) as connection:
        connection.sendall(message)
        received = b""
        try:
            while piece := connection.recv(4096):
                received += piece
                if received.endswith(until):
                    break
        except TimeoutError:
            pass
        return received


class Echo:
    """An echo server in a thread."""

    def __init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        serve(self.listener, self._echo)

    @staticmethod
    def _echo(connection: socket.socket) -> None:
        with connection:
            try:
                while piece := connection.recv(4096):
                    connection.sendall(piece)
            except OSError:
                pass


@pytest.fixture
def echo() -> Echo:
    return Echo()


# ---- waiting and processes ----------------------------------------------------------------------


def test_waiting_tells_what_it_saw_last() -> None:
    with pytest.raises(AssertionError, match=r"not within 0\.05 s: rain; seen last: 0"):
        wait_until(lambda: 0, deadline=0.05, what="rain")
    with pytest.raises(AssertionError, match="KeyError: 'sun'"):
        wait_until(lambda: dict[str, int]()["sun"], deadline=0.05)


def test_ports_are_free_and_never_the_same() -> None:
    ports = [process.free_port() for _ in range(50)]
    assert len(set(ports)) == 50
    assert not any(process.accepts_connections(port) for port in ports)


def test_an_orphan_is_found_and_ended() -> None:
    # A shell that starts a sleeping child and exits at once.
    shell = subprocess.run(
        ["sh", "-c", "sleep 1000 >/dev/null 2>&1 & echo $!"],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    orphan = int(shell.stdout)
    assert orphan in process.family(os.getpid())
    process.send(orphan, signal.SIGKILL)
    wait_until(lambda: process.is_gone(orphan))


def test_a_server_that_cannot_start_says_why() -> None:
    class Broken(process.Server):
        name = "broken"

    server = Broken()
    with pytest.raises(RuntimeError, match=r"ended: 3\n.*\nno such luck"):
        server.launch(["sh", "-c", "echo no such luck >&2; exit 3"], lambda: False)
    server.close()
    assert not server.directory.exists()


def test_freezing_reaches_children() -> None:
    class Family(process.Server):
        name = "family"

    def state(pid: int) -> str:
        stat = open(f"/proc/{pid}/stat").read()
        return stat[stat.rindex(")") + 2]

    server = Family()
    try:
        server.launch(
            ["sh", "-c", "sleep 1000 & wait"], lambda: len(process.family(server.pid)) == 2
        )
        pids = process.family(server.pid)
        server.freeze()
        wait_until(lambda: [state(pid) for pid in pids] == ["T", "T"])
        server.thaw()
        wait_until(lambda: [state(pid) for pid in pids] == ["S", "S"])
    finally:
        server.kill()
        server.close()
    assert all(process.is_gone(pid) for pid in pids)


# ---- certificates -------------------------------------------------------------------------------


def test_certificates_verify_or_do_not(nginx: Nginx, certificates: Authority) -> None:
    def verify(port: int, authority: Authority = certificates, host: str = "localhost") -> None:
        context = ssl.create_default_context(cafile=str(authority.path))
        with socket.create_connection(("127.0.0.1", port), timeout=60) as plain:
            context.wrap_socket(plain, server_hostname=host).close()

    verify(nginx.tls_port)
    verify(nginx.tls_port, host="127.0.0.1")
    verify(nginx.serve_tls("nameless", certificates.issue(None)))
    intermediate = Authority(
        certificates.directory, "test-intermediate", issuer=certificates.certificate
    )
    verify(nginx.serve_tls("chained", intermediate.issue()))
    bad = {
        "certificate has expired": certificates.expired(),
        "self-signed certificate": certificates.issue(self_signed=True),
        "Hostname mismatch": certificates.issue("elsewhere.test", ["elsewhere.test"]),
        "unable to get local issuer": Authority(certificates.directory, "other-ca").issue(),
    }
    port = 0
    for why, certificate in bad.items():
        port = nginx.serve_tls("bad", certificate)
        with pytest.raises(ssl.SSLCertVerificationError, match=why):
            verify(port)
    soon = certificates.issue(lifetime=datetime.timedelta(days=20))
    assert nginx.serve_tls("bad", soon) == port
    shown = x509.load_der_x509_certificate(nginx.peer_certificate(port))
    assert shown.not_valid_after.replace(tzinfo=datetime.UTC).timestamp() == soon.expiry


# ---- servers ------------------------------------------------------------------------------------


def test_postgres_knows_its_roles(postgres: Postgres) -> None:
    with postgres.held(3):
        seen = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'app' AND state IS NOT NULL"
        for role, count in (("monitor", 3), ("viewer", 0)):
            connection = postgres.connect(role)
            with connection.cursor() as cursor:
                cursor.execute(seen)
                assert cursor.fetchone() == (count,)
                cursor.execute("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()")
                assert cursor.fetchone() == (True,)
            connection.close()
    postgres.connect("app", sslmode="disable").close()
    with pytest.raises(psycopg2.OperationalError, match="no encryption"):
        postgres.connect("encrypted_only", sslmode="disable")
    with pytest.raises(psycopg2.OperationalError, match="password authentication failed"):
        postgres.connect("app", password="wrong")


def test_postgres_can_be_full_frozen_stopped_and_killed(postgres: Postgres) -> None:
    free = postgres.max_connections - 3  # reserved for superusers
    with postgres.held(free):
        with pytest.raises(psycopg2.OperationalError, match="remaining connection slots"):
            postgres.connect()
    old = postgres.connect()
    postgres.freeze()
    assert process.accepts_connections(postgres.port)
    with pytest.raises(psycopg2.OperationalError, match="timeout"):
        postgres.connect(connect_timeout=2)
    postgres.thaw()
    postgres.connect().close()
    postgres.stop()
    assert not process.accepts_connections(postgres.port)
    postgres.start()
    with pytest.raises(psycopg2.OperationalError), old.cursor() as cursor:
        cursor.execute("SELECT 1")
    postgres.kill()
    postgres.start()
    postgres.connect().close()


def test_two_postgres_are_independent(postgres: Postgres, other_postgres: Postgres) -> None:
    postgres.stop()
    other_postgres.create_database("only_here")
    assert other_postgres.execute("SELECT current_database()", "only_here") == [("only_here",)]
    other_postgres.drop_database("only_here")


def test_redis_refuses_strangers(redis_server: Redis, certificates: Authority) -> None:
    def ask(*options: str, password: str = "") -> str:
        run = subprocess.run(
            ["redis-cli", *options, "CONFIG", "GET", "maxmemory"],
            capture_output=True,
            text=True,
            check=False,
            env={"REDISCLI_AUTH": password} if password else {},
        )
        return run.stdout + run.stderr

    plain = ["-p", str(redis_server.port)]
    assert "NOAUTH" in ask(*plain)
    assert "WRONGPASS" in ask(*plain, password="wrong")
    assert "maxmemory" in ask(*plain, "--user", "monitor", password=redis_server.monitor_password)
    assert "NOPERM" in ask(*plain, "--user", "blind", password=redis_server.blind_password)
    tls = ["-p", str(redis_server.tls_port), "--tls", "-h", "localhost"]
    trusted = [*tls, "--cacert", str(certificates.path)]
    assert "maxmemory" in ask(*trusted, password=redis_server.password)
    assert "verify failed" in ask(*tls, password=redis_server.password)


def test_redis_fills_and_looks_up(redis_server: Redis) -> None:
    redis_server.set_max_memory(64 << 20)
    redis_server.fill(32 << 20)
    assert redis_server.used_memory > 32 << 20
    redis_server.empty()
    assert redis_server.used_memory < 8 << 20
    hits, misses = (int(redis_server.info(f"keyspace_{what}")) for what in ("hits", "misses"))
    redis_server.look_up(hits=8, misses=2)
    assert int(redis_server.info("keyspace_hits")) == hits + 8
    assert int(redis_server.info("keyspace_misses")) == misses + 2


def test_redis_can_be_loading_and_frozen(redis_server: Redis) -> None:
    redis_server.start_loading()
    assert redis_server.ask("GET", "x").startswith("LOADING")
    assert redis_server.info("loading") == "1"
    redis_server.finish_loading()
    assert redis_server.ask("PING") == "PONG"
    redis_server.freeze()
    assert exchange(redis_server.port, b"PING\r\n", timeout=0.3) == b""
    redis_server.thaw()
    redis_server.restart()


def test_s3_checks_signatures_and_knows_old_objects(s3: S3) -> None:
    bucket = s3.new_bucket()
    now = s3.put(bucket, "production/database/new.gz", b"new")
    age = datetime.timedelta(hours=30)
    old = s3.put(bucket, "production/database/old.gz", b"old", age=age)
    assert now - old == pytest.approx(age.total_seconds(), abs=10)
    assert [key for key, _ in s3.list(bucket, "production/")] == [
        "production/database/new.gz",
        "production/database/old.gz",
    ]
    s3.delete(bucket, "production/database/new.gz")
    s3.empty(bucket)
    assert s3.list(bucket) == []
    secret, s3.secret_key = s3.secret_key, "wrong"
    status, body = s3.request("GET", f"/{bucket}")
    s3.secret_key = secret
    assert status == 403 and b"SignatureDoesNotMatch" in body
    assert s3.request("GET", "/no-such-bucket")[0] == 404


def test_s3_can_be_frozen_stopped_and_reached_by_tls(
    s3: S3, nginx: Nginx, certificates: Authority
) -> None:
    s3.proxy.freeze()
    with pytest.raises(TimeoutError):
        with socket.create_connection(("127.0.0.1", s3.port), timeout=0.2) as connection:
            connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
            connection.recv(1)
    s3.proxy.thaw()
    s3.proxy.stop()
    assert not process.accepts_connections(s3.port)
    s3.restore()
    port = nginx.proxy_tls("s3", s3.port)
    context = ssl.create_default_context(cafile=str(certificates.path))
    with socket.create_connection(("127.0.0.1", port), timeout=60) as plain:
        with context.wrap_socket(plain, server_hostname="localhost") as connection:
            connection.sendall(b"GET /healthcheck HTTP/1.0\r\n\r\n")
            assert b"200" in connection.recv(4096)


def test_nginx_answers_as_told(nginx: Nginx) -> None:
    assert nginx.get("/health/ready") == (200, b'{"status": "ok"}\n')
    nginx.answer("/health/ready", 503)
    assert nginx.get("/health/ready")[0] == 503
    assert nginx.get("/health/live")[0] == 200
    nginx.answer_well()
    assert nginx.get("/health/ready")[0] == 200
    statuses = {"/redirect": 302, "/private": 401, "/token": 401, "/absent": 404}
    assert {path: nginx.get(path)[0] for path in statuses} == statuses
    assert exchange(nginx.port, b"GET /silent HTTP/1.0\r\n\r\n", timeout=0.3) == b""
    assert nginx.requests("/absent") == 1


# ---- peers in threads ---------------------------------------------------------------------------


def test_dns_answers_as_scripted(dns_server: DnsServer) -> None:
    def ask(
        name: str,
        kind: str = "A",
        ask_by: Callable[..., dns.message.Message] = dns.query.udp,
        timeout: float = 60,
    ) -> dns.message.Message:
        question = dns.message.make_query(name, kind)
        return ask_by(question, "127.0.0.1", port=dns_server.port, timeout=timeout)

    dns_server.set("api.test", "10.0.0.1")
    dns_server.set_records("alias.test", {"CNAME": ["api.test."], "TXT": ['"a b"']})
    dns_server.set("late.test", delay=0.1)
    dns_server.set("silent.test", silent=True)
    dns_server.set("broken.test", rcode="SERVFAIL")
    dns_server.set("large.test", truncated=True)
    dns_server.set("hostile.test", raw=b"\xff" * 40)
    assert ask("api.test").answer[0].to_text() == "api.test. 1 IN A 10.0.0.1"
    assert ask("api.test", "AAAA").answer == []
    assert ask("alias.test").answer[0].to_text() == "alias.test. 1 IN CNAME api.test."
    assert ask("alias.test", "TXT").answer[0].to_text() == 'alias.test. 1 IN TXT "a b"'
    assert ask("absent.test").rcode() == dns.rcode.NXDOMAIN
    assert ask("broken.test").rcode() == dns.rcode.SERVFAIL
    began = time.monotonic()
    assert ask("late.test").answer and time.monotonic() - began >= 0.1
    with pytest.raises(dns.exception.Timeout):
        ask("silent.test", timeout=0.3)
    assert not ask("large.test").answer
    assert ask("large.test", ask_by=dns.query.tcp).answer
    with pytest.raises((dns.exception.DNSException, ValueError)):
        ask("hostile.test")
    assert dns_server.questions("api.test") == 2


def test_proxy_does_each_fault(fault_proxy: Callable[..., FaultProxy], echo: Echo) -> None:
    proxy = fault_proxy(echo.port)
    assert exchange(proxy.port) == b"hello"
    proxy.set_mode("slow", delay=0.1)
    began = time.monotonic()
    assert exchange(proxy.port) == b"hello"
    assert time.monotonic() - began >= 0.2  # in each direction
    proxy.set_mode("hang")
    assert exchange(proxy.port, timeout=0.3) == b""
    proxy.set_mode("silent")
    assert exchange(proxy.port, timeout=0.3) == b""
    proxy.set_mode("truncate", limit=3)
    assert exchange(proxy.port) == b"hel"
    proxy.set_mode("garbage")
    assert exchange(proxy.port, until=b"\r\n").startswith(b"\x00\xff")
    proxy.set_mode("reset")
    with pytest.raises(ConnectionResetError):
        exchange(proxy.port)
    proxy.set_mode("refuse")
    with pytest.raises(ConnectionRefusedError):
        exchange(proxy.port)
    proxy.set_mode("ok")
    assert exchange(proxy.port) == b"hello"
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=60) as connection:
        wait_until(lambda: proxy.connections >= 8)
        proxy.set_mode("reset")
        with pytest.raises(ConnectionResetError):
            connection.recv(1)


# ---- Prometheus ---------------------------------------------------------------------------------


def test_prometheus_fires_and_resolves(prometheus: Callable[..., Prometheus], nginx: Nginx) -> None:
    nginx.answer("/health/live", 200, "switch 0\\n")
    running = prometheus(
        {
            "global": {"scrape_interval": "100ms", "evaluation_interval": "100ms"},
            "scrape_configs": [
                {
                    "job_name": "nginx",
                    "metrics_path": "/health/live",
                    "static_configs": [{"targets": [f"127.0.0.1:{nginx.port}"]}],
                }
            ],
        },
        rules=["groups: [{name: g, rules: [{alert: On, expr: switch == 1, for: 200ms}]}]"],
    )
    running.wait_scraped("nginx")
    running.wait_evaluated()
    assert running.value("switch") == 0
    assert running.alerts() == []
    nginx.answer("/health/live", 200, "switch 1\\n")
    assert running.wait_firing("On")["labels"]["job"] == "nginx"
    nginx.answer("/health/live", 200, "switch 0\\n")
    running.wait_silent("On")


# ---- the session --------------------------------------------------------------------------------

LEAVING = """
import subprocess

def test_leaves_a_process_behind():
    subprocess.Popen(["sleep", "1000"])

def test_leaves_nothing():
    pass
"""


@pytest.mark.parametrize("options", [[], ["-n2"]], ids=["alone", "in-workers"])
def test_a_session_that_leaves_processes_behind_fails(tmp_path: Path, options: list[str]) -> None:
    (tmp_path / "test_leaving.py").write_text(LEAVING)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "support.fixtures", *options, tmp_path]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        cwd=REPOSITORY / "tests",
        env={**os.environ, "PYTHONPATH": str(REPOSITORY / "tests")},
    )
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert "ERROR: a process was left behind: sleep 1000\n" in done.stdout


def test_two_sessions_never_have_one_port() -> None:
    """The second session tries the ports of the first session and skips them."""
    port = process.unused_port()
    script = f"from support import process\nprint(process._reserve({port}))"
    other = subprocess.run(
        [sys.executable, "-c", script],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY / "tests")},
    )
    assert other.stdout == "False\n"
    assert not process._reserve(port)
