"""Secrets do not appear in the log, on pages, in the state, in the process list or in the output of
`vitalsd check`. A rotated secret is used without a reload."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import pytest

from support.http_peer import HttpPeer, answer
from support.nginx import Nginx
from support.postgres import Postgres
from support.redis import Redis
from support.s3 import S3
from support.vitalsd import Vitalsd, run

pytestmark = pytest.mark.threads

Daemon = Callable[..., Vitalsd]

QUICK = {"interval": "400ms", "timeout": "350ms"}
# Characters that are likely to break URLs, quoting and logs.
LITERAL = 's3cr=t/"p&ss:w%rd@'


class Hidden:
    """Secrets that must not appear in any text, either verbatim or percent-encoded."""

    def __init__(self, *secrets: str) -> None:
        self.secrets = secrets

    def check(self, text: str, where: str) -> None:
        for secret in self.secrets:
            for form in (secret, quote(secret, safe=""), secret.replace('"', '\\"')):
                assert form not in text, f"a secret is in {where}: {text}"


def test_of_every_kind(
    vitalsd: Daemon,
    postgres: Postgres,
    redis_server: Redis,
    nginx: Nginx,
    s3: S3,
    http_peer: HttpPeer,
    tmp_path: Path,
) -> None:
    """Valid and invalid secrets from files, the environment, the configuration and URLs. Errors of
    servers are logged, and can quote the request."""
    good = {
        "PG": postgres.passwords["monitor"],
        "REDIS": redis_server.monitor_password,
        "HTTP": nginx.password,
        "TOKEN": nginx.token,
        "S3": s3.secret_key,
    }
    files = {}
    for name, secret in {**good, "WRONG": "wrong-file-secret"}.items():
        files[name] = tmp_path / name.lower()
        files[name].write_text(secret + "\n")
    environment = {**good, "WRONG": "wrong-environment-secret"}
    bucket = s3.new_bucket()
    s3.put(bucket, "dump", b"x")
    # It returns the request, as debugging proxies do.
    http_peer.answers["/echo"] = lambda request: answer(
        f"{request.target} {request.headers}", 401, WWW_Authenticate="Bearer"
    )
    elsewhere = "http://nowhere.invalid/?key=key-in-query"
    http_peer.answers["/away"] = answer("", 302, Location=elsewhere)

    def all_kinds(suffix: str, secret: Callable[[str], object]) -> list[dict]:
        keys = {"bucket": bucket, "endpoint": s3.url, "access_key": s3.access_key}
        return [
            {"name": f"pg-{suffix}", "kind": "postgres", "password": secret("PG"),
             "url": postgres.url(sslmode="disable")},
            {"name": f"redis-{suffix}", "kind": "redis", "password": secret("REDIS"),
             "url": redis_server.url(user="monitor")},
            {"name": f"basic-{suffix}", "kind": "http", "password": secret("HTTP"),
             "url": nginx.url("/private"), "user": nginx.user},
            {"name": f"bearer-{suffix}", "kind": "http", "bearer_token": secret("TOKEN"),
             "url": nginx.url("/token")},
            {"name": f"s3-{suffix}", "kind": "backup", "s3": {**keys, "secret_key": secret("S3")}},
        ]  # fmt: skip

    in_url = quote(LITERAL, safe="")
    urls = {
        "pg-url": ("postgres", postgres.url(sslmode="disable").replace("@", f":{in_url}@")),
        "redis-url": ("redis", redis_server.url(user="monitor").replace("@", f":{in_url}@")),
        "http-url": ("http", f"http://u:{in_url}@127.0.0.1:{http_peer.port}/echo?key=key-in-query"),
        "redirect": ("http", http_peer.url("/away?key=key-in-query")),
        "refused": ("http", f"http://u:{in_url}@127.0.0.1:1/?key=key-in-query"),
        "unknown": ("http", f"https://u:{in_url}@nowhere.invalid/?key=key-in-query"),
    }
    probes = [
        *all_kinds("env", lambda name: {"env": name}),
        *all_kinds("file", lambda name: {"file": str(files[name])}),
        *all_kinds("wrong-env", lambda name: {"env": "WRONG"}),
        *all_kinds("wrong-file", lambda name: {"file": str(files["WRONG"])}),
        *all_kinds("literal", lambda name: LITERAL),
        *({"name": name, "kind": kind, "url": url} for name, (kind, url) in urls.items()),
    ]
    hidden = Hidden(*good.values(), *environment.values(), "wrong-file-secret", LITERAL)
    state = tmp_path / "state"
    state.mkdir()
    daemon = vitalsd(
        probes,
        environment=environment,
        secrets=[*hidden.secrets, "key-in-query"],
        state={"directory": str(state)},
        interval="2s",
        timeout="2s",
    )
    for source in ("env", "file"):
        for probe in all_kinds(source, lambda name: name):
            daemon.wait_ok(probe["name"])
    for kind in ("pg", "redis", "basic", "bearer", "s3"):
        reason = "mismatch" if kind in ("basic", "bearer") else "auth"
        for source in ("wrong-env", "wrong-file", "literal"):
            daemon.check_reason(f"{kind}-{source}", reason)
    daemon.check_discretion()
    for probe in probes:
        hidden.check(daemon.page(f"/probes/{probe['name']}/metrics"), f"page of {probe['name']}")

    text = run("check", "--config", daemon.config_file, **environment)
    as_json = run("check", "--format", "json", "--config", daemon.config_file, **environment)
    for done in (text, as_json, run("config", "check", daemon.config_file)):
        Hidden(*hidden.secrets, "key-in-query").check(done.stdout + done.stderr, done.args[1])
    assert "redirect" in text.stdout and text.returncode == 2
    daemon.end()
    for file in state.iterdir():
        hidden.check(file.read_text(), file.name)
    assert any(state.iterdir())
    daemon.start(ready=False)


@pytest.mark.parametrize(
    "broken",
    [
        "url: 'postgresql://monitor:SECRET@db.test:543210/app'",
        "url: 'postgresql://monitor:SECRET@db.test/app?sslmode=bogus'",
        "url: 'postgresql://monitor:SECRET@/app'",
        "url: 'postgresql//monitor:SECRET@db.test/app'",
        "url: 'mysql://monitor:SECRET@db.test/app'",
        "url: 'postgresql://monitor:SECRET@db.test/app', password: SECRET",
        "url: 'postgresql://mon itor:SECRET@db.test/app'",
        "url: 'postgresql://monitor:SECRET%zz@db.test/app'",
        "url: 'postgresql://db.test/app', passwort: SECRET",
        "url: 'postgresql://m@db.test/app', password: {fiel: SECRET}",
        "url: 'postgresql://m@db.test/app', password: [SECRET]",
    ],
)
def test_of_a_configuration_with_faults(tmp_path: Path, broken: str) -> None:
    """The message about an invalid URL does not contain its password."""
    file = tmp_path / "vitalsd.yaml"
    text = broken.replace("SECRET", "hunter2")
    file.write_text(f"probes: [{{name: db, kind: postgres, {text}}}]\n")
    done = run("config", "check", file)
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith(f"{file}:1:")
    assert "hunter2" not in done.stderr


def test_a_password_that_is_rotated(
    vitalsd: Daemon, postgres: Postgres, redis_server: Redis, tmp_path: Path
) -> None:
    """The file is read for each connection, so new content is used without a reload."""
    old, new = postgres.passwords["monitor"], "rotated-password"
    file = tmp_path / "password"
    file.write_text(old)
    probe = {"name": "db", "kind": "postgres", "url": postgres.url(sslmode="disable")}
    daemon = vitalsd([probe | {"password": {"file": str(file)}}], secrets=[old, new], **QUICK)
    daemon.wait_ok("db")
    cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'monitor'"
    try:
        postgres.execute(f"ALTER ROLE monitor PASSWORD '{new}'")
        postgres.execute(cut)
        daemon.wait_failed("db", "auth")
        file.unlink()
        daemon.wait_failed("db", "config")
        assert daemon.value("probe_success", probe="db") == 0
        file.write_text(f"{new}\n")
        daemon.wait_ok("db")
    finally:
        postgres.execute(f"ALTER ROLE monitor PASSWORD '{old}'")
