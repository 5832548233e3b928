"""Files of the configuration on a mount that hangs, as on an unreachable NFS server."""

from __future__ import annotations

import http.client
import ssl
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from support import wait_until
from support.certificates import Authority
from support.mounts import Mounts
from support.nginx import Nginx
from support.postgres import Postgres
from support.redis import Redis
from support.vitalsd import Vitalsd

# These tests measure whether other probes run on time.
pytestmark = [pytest.mark.threads, pytest.mark.serial]

Daemon = Callable[..., Vitalsd]


class Files:
    """Files that can be moved to a mount that hangs, and back."""

    def __init__(self, directory: Path, mounts: Mounts) -> None:
        self.good, self.dead, self.current = (directory / n for n in ("good", "dead", "current"))
        self.mounts = mounts
        self.good.mkdir()
        mounts.dead(self.dead)
        self.use(self.good)

    def use(self, place: Path) -> None:
        new = self.current.with_suffix(".new")
        new.symlink_to(place)
        new.rename(self.current)

    def revive(self) -> None:
        """Ends the calls that hang, with an error."""
        self.mounts.revive(self.dead)

    def add(self, name: str, content: str | bytes) -> str:
        (self.good / name).write_bytes(content.encode() if isinstance(content, str) else content)
        return str(self.current / name)


@pytest.fixture
def files(tmp_path: Path, mounts: Mounts) -> Files:
    return Files(tmp_path, mounts)


def test_of_probes(
    vitalsd: Daemon,
    files: Files,
    postgres: Postgres,
    redis_server: Redis,
    nginx: Nginx,
    certificates: Authority,
) -> None:
    """Probes use the last content, and other probes are not affected. A probe whose file was never
    read reports the file that hangs, and its failure is not attributed to the target."""
    ca = files.add("ca.pem", certificates.path.read_bytes())
    password = {"file": files.add("redis", redis_server.monitor_password)}
    secrets = {
        "cache": {"kind": "redis", "url": redis_server.url(user="monitor"), "password": password},
        "web": {"kind": "http", "url": nginx.url(tls=True), "tls": {"ca": ca}},
        "token": {
            "kind": "http",
            "url": nginx.url("/token"),
            "bearer_token": {"file": files.add("token", nginx.token)},
        },
        "handshake": {
            "kind": "certificate",
            "endpoint": f"localhost:{nginx.tls_port}",
            "tls": {"ca": ca},
        },
    }
    canary = {"name": "canary", "kind": "http", "url": nginx.url(), "interval": "200ms"}
    probes = [{"name": name} | options for name, options in secrets.items()]
    daemon = vitalsd([*probes, canary], interval="2s")
    for name in (*secrets, "canary"):
        daemon.wait_ok(name)
    skipped = {"probe": "canary", "outcome": "skipped"}
    slow = daemon.samples("vitalsd_probe_runs_total", **skipped)
    files.use(files.dead)
    for name in secrets:
        daemon.wait_runs(name, 2)
    assert all(daemon.failures(name) == {} for name in (*secrets, "canary"))
    assert daemon.samples("vitalsd_probe_runs_total", **skipped) == slow
    daemon.wait_for("vitalsd_hanging_threads", lambda threads: threads >= 1)

    tls = {"ca": str(files.current / "new-ca.pem")}
    secret = {"password": {"file": str(files.current / "new")}}
    daemon.configuration["probes"] += [
        {"name": "db", "kind": "postgres", "url": postgres.url(), "tls": tls},
        {"name": "new", "kind": "redis", "url": redis_server.url(user="monitor")} | secret,
    ]
    daemon.reload()
    for name in ("db", "new"):
        daemon.wait_failed(name, "internal")
        daemon.check_reason(name, "internal")
        assert daemon.absent("vitalsd_target_up", probe=name)
        rows = {row["name"]: row for row in daemon.status()["probes"]}
        assert str(files.current) in rows[name]["error"]

    files.add("new", redis_server.monitor_password)
    files.use(files.good)
    files.revive()
    daemon.wait_failed("db", "config")  # the CA is missing
    daemon.wait_ok("new")


class TlsVitalsd(Vitalsd):
    """Serves HTTPS only."""

    def write_configuration(self) -> None:
        self.configuration["web"]["listen"] = self.address
        super().write_configuration()

    def connect(self) -> http.client.HTTPConnection:
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        connection = http.client.HTTPSConnection(
            "127.0.0.1", self.port, timeout=60, context=context
        )
        connection.connect()
        self.certificate = connection.sock.getpeercert(binary_form=True)
        return connection


def test_of_the_web_server(files: Files, certificates: Authority) -> None:
    """The server uses the last certificate, and loads the next one when the mount responds."""
    first, second = certificates.issue(), certificates.issue()
    tls = {
        "certificate": files.add("tls.crt", first.path.read_bytes()),
        "key": files.add("tls.key", first.key.read_bytes()),
    }
    with closing(TlsVitalsd([], web={"tls": tls})) as daemon:
        shown = daemon.certificate
        files.use(files.dead)
        for _ in range(3):
            assert daemon.get("/-/healthy")[0] == 200
        assert daemon.certificate == shown
        files.add("tls.crt", second.path.read_bytes())
        files.add("tls.key", second.key.read_bytes())
        files.use(files.good)
        files.revive()

        def is_new() -> bool:
            daemon.get("/-/healthy")
            return daemon.certificate != shown

        wait_until(is_new, what="the new certificate")


def test_of_the_token_of_a_job(vitalsd: Daemon, files: Files) -> None:
    """Pages are answered while the token is read. A request is compared with the last token; if the
    token was never read, the client has to retry."""

    def job(name: str) -> dict[str, Any]:
        token = {"file": str(files.current / name)}
        return {"name": name, "kind": "job", "schedule": "0 3 * * *", "token": token}

    def push(name: str, token: str) -> int:
        connection = http.client.HTTPConnection("127.0.0.1", daemon.port, timeout=60)
        with closing(connection):
            headers = {"Authorization": f"Bearer {token}"}
            connection.request("POST", f"/api/v1/jobs/{name}", headers=headers)
            assert daemon.get("/-/healthy")[0] == 200
            assert daemon.get("/metrics")[0] == 200
            return connection.getresponse().status

    tokens = {"nightly": "the-token-of-nightly", "weekly": "the-token-of-weekly"}
    files.add("nightly", tokens["nightly"])
    daemon = vitalsd([job("nightly")], secrets=tokens.values())
    assert push("nightly", tokens["nightly"]) == 200
    files.use(files.dead)
    assert push("nightly", tokens["nightly"]) == 200
    assert push("nightly", tokens["weekly"]) == 401
    daemon.configuration["probes"].append(job("weekly"))
    daemon.reload()
    assert push("weekly", tokens["weekly"]) == 503

    files.add("weekly", tokens["weekly"])
    files.use(files.good)
    files.revive()
    wait_until(lambda: push("weekly", tokens["weekly"]) == 200, what="the token")


def test_of_the_configuration(vitalsd: Daemon, files: Files, nginx: Nginx) -> None:
    """Probes keep running, and a reload fails with the reason. When the mount responds, the file is
    read."""
    canary = {"name": "canary", "kind": "http", "url": nginx.url(), "interval": "200ms"}
    daemon = vitalsd([canary], interval="2s")
    config = files.current / daemon.config_file.name
    files.add(config.name, daemon.config_file.read_bytes())
    daemon.config_file.unlink()
    daemon.config_file.symlink_to(config)
    wait_until(lambda: daemon.log_lines("configuration loaded")[1:], what="a reload")
    files.use(files.dead)
    daemon.wait_for("vitalsd_hanging_threads", 1)
    daemon.hang_up(successful=False)
    assert "still hangs" in daemon.log_lines("cannot load the configuration")[-1]["error"]
    daemon.wait_runs("canary", 5)
    assert daemon.failures("canary") == {}
    daemon.configuration["probes"][0]["name"] = "renamed"
    daemon.write_configuration()  # replaces the link
    files.revive()
    daemon.wait_ok("renamed")
