"""Kind backup: which files count as good backups in a directory and in S3, and that an unreachable
store is not treated as empty."""

from __future__ import annotations

import datetime
import gzip
import os
import secrets
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import parse_qs

import pytest

from support import wait_until
from support.dns_server import DnsServer
from support.fault_proxy import FaultProxy
from support.http_peer import HttpPeer, Request, answer
from support.nginx import Nginx
from support.s3 import PAGE, S3
from support.vitalsd import Vitalsd

pytestmark = pytest.mark.threads

Daemon = Callable[..., Vitalsd]

QUICK = {"interval": "400ms", "timeout": "350ms"}
HOUR = datetime.timedelta(hours=1)


def error(daemon: Vitalsd, probe: str = "backups") -> str:
    """Returns the error of a probe's last run from the status page; empty if it succeeded."""
    (row,) = (row for row in daemon.status()["probes"] if row["name"] == probe)
    return row.get("error", "")


def last(daemon: Vitalsd, probe: str = "backups") -> float:
    return daemon.value("backup_last_success_timestamp_seconds", probe=probe)


def objects(daemon: Vitalsd) -> dict[str, float]:
    """Returns the non-zero counts of objects by state."""
    return {s.labels["state"]: s.value for s in daemon.samples("backup_objects") if s.value}


# ---- directories --------------------------------------------------------------------------------


def directory(path: Path, **options: object) -> dict:
    return {"name": "backups", "kind": "backup", "directory": str(path), **options}


def write(path: Path, content: bytes, age: datetime.timedelta = HOUR) -> float:
    """Creates a file that was last modified `age` ago and returns that time."""
    path.write_bytes(content)
    changed = round(time.time() - age.total_seconds())
    os.utime(path, (changed, changed))
    return changed


def test_the_newest_good_file(vitalsd: Daemon, tmp_path: Path) -> None:
    """Newer files that are too small, have other names or are still being written do not count."""
    newest = write(tmp_path / "b.sql.gz", b"x" * 5000, 3 * HOUR)
    write(tmp_path / "a.sql.gz", b"x" * 6000, 30 * HOUR)
    write(tmp_path / "small.sql.gz", b"x" * 4000, 2 * HOUR)
    write(tmp_path / "notes.txt", b"x" * 9000, 2 * HOUR)
    write(tmp_path / "c.sql.gz.part", b"x" * 9000, 2 * HOUR)
    write(tmp_path / ".c.sql.gz", b"x" * 9000, 2 * HOUR)
    write(tmp_path / "fresh.sql.gz", b"x" * 9000, datetime.timedelta(seconds=20))
    (tmp_path / "d.sql.gz").mkdir()
    (tmp_path / "latest.sql.gz").symlink_to("b.sql.gz")
    daemon = vitalsd([directory(tmp_path, pattern="*.sql.gz", min_size="4500B")], **QUICK)
    assert daemon.value("probe_success") == 1, error(daemon)
    assert last(daemon) == newest
    assert daemon.value("vcci_last_successful_backup_timestamp") == newest
    assert daemon.value("backup_newest_size_bytes") == 5000
    states = {"good": 3, "too_small": 1, "unmatched": 3, "being_written": 1}
    assert objects(daemon) == states
    assert daemon.value("vitalsd_check_status", check="age") == 0
    arrived = write(tmp_path / "e.sql.gz", b"x" * 7000)
    daemon.wait_for("backup_last_success_timestamp_seconds", arrived)
    assert daemon.value("backup_newest_size_bytes") == 7000


def test_a_file_that_grows(vitalsd: Daemon, tmp_path: Path) -> None:
    """rsync --inplace keeps the old modification time while it writes."""
    older = write(tmp_path / "a", b"x" * 100, 5 * HOUR)
    newer = write(tmp_path / "b", b"x" * 100, 2 * HOUR)
    daemon = vitalsd([directory(tmp_path)], **QUICK)
    daemon.wait_for("backup_last_success_timestamp_seconds", newer)
    grown = 100

    def grows() -> bool:
        nonlocal grown
        grown += 100
        with (tmp_path / "b").open("ab") as file:
            file.write(b"x" * 100)
        os.utime(tmp_path / "b", (newer, newer))
        return last(daemon) == older

    wait_until(grows, what="the growing file does not count", every=0.1)
    daemon.wait_for("backup_last_success_timestamp_seconds", newer)
    assert daemon.value("backup_newest_size_bytes") == grown


def test_old_and_missing_backups(vitalsd: Daemon, tmp_path: Path) -> None:
    """An empty store gives 0, which fires the rule. An unreachable store keeps the last value."""
    store = tmp_path / "store"
    store.mkdir()
    daemon = vitalsd([directory(store)], **QUICK)
    assert last(daemon) == 0
    assert daemon.value("vcci_last_successful_backup_timestamp") == 0
    assert daemon.value("backup_newest_size_bytes") == 0
    daemon.check_reason("backups", "mismatch")
    assert error(daemon).startswith("no good backup: 0 do not match")

    old = write(store / "dump", b"x", 25 * HOUR)
    daemon.wait_for("backup_last_success_timestamp_seconds", old)
    assert daemon.value("vitalsd_check_status", check="age") == 2
    daemon.wait_ok("backups")
    store.rename(tmp_path / "away")
    daemon.wait_runs("backups", 3)
    assert error(daemon) == f"{store}: No such file or directory"
    assert last(daemon) == old
    assert daemon.value("vcci_last_successful_backup_timestamp") == old
    (tmp_path / "away").rename(store)
    daemon.wait_ok("backups")
    (store / "dump").unlink()
    daemon.wait_for("backup_last_success_timestamp_seconds", 0)
    daemon.wait_for("vitalsd_check_status", 2, check="age")
    assert daemon.value("backup_newest_size_bytes") == 0
    (row,) = daemon.status()["probes"]
    assert [(check["state"], check["object"]) for check in row["checks"]] == [
        ("critical", "no good backup")
    ]


def test_backups_that_are_not_made_daily(vitalsd: Daemon, tmp_path: Path) -> None:
    """The limit of the documented rule is a day, so a weekly backup must not be in its series."""
    made = write(tmp_path / "weekly", b"x", 100 * HOUR)
    checks = {"age": {"warn": "48h"}}
    daemon = vitalsd([directory(tmp_path, max_age="192h", checks=checks)])
    assert last(daemon) == made
    assert daemon.absent("vcci_last_successful_backup_timestamp")
    assert daemon.value("vitalsd_check_status", check="age") == 1


def test_files_that_must_be_gzip(vitalsd: Daemon, tmp_path: Path) -> None:
    """A damaged file does not count, even if it is newer. The newest intact file counts."""
    whole = gzip.compress(secrets.token_bytes(200_000))
    damaged = bytearray(whole)
    damaged[100_000] ^= 0xFF
    sound = write(tmp_path / "a.gz", whole, 5 * HOUR)
    write(tmp_path / "cut.gz", whole[:-1000], 4 * HOUR)
    write(tmp_path / "damaged.gz", bytes(damaged), 3 * HOUR)
    write(tmp_path / "text.gz", b"no gzip at all", 2 * HOUR)
    daemon = vitalsd([directory(tmp_path, verify="gzip")], **QUICK)
    daemon.wait_for("backup_last_success_timestamp_seconds", sound)
    assert objects(daemon) == {"good": 1, "broken": 3}
    (tmp_path / "a.gz").unlink()
    daemon.wait_for("backup_last_success_timestamp_seconds", 0)
    for fault in ("cut.gz is truncated", "damaged.gz is damaged", "text.gz is damaged"):
        assert fault in error(daemon)
    # A file with two members, as from `cat a.gz b.gz`, is valid.
    repaired = write(tmp_path / "cut.gz", whole + whole, 4 * HOUR)
    daemon.wait_for("backup_last_success_timestamp_seconds", repaired)


def test_a_directory_for_each_backup(vitalsd: Daemon, tmp_path: Path) -> None:
    """The layout of pgBackRest: the manifest is written last, and `latest` is a link."""

    def backup(name: str, age: datetime.timedelta, *, complete: bool = True) -> float:
        data = tmp_path / name / "pg_data" / "base" / "16384"
        data.mkdir(parents=True)
        write(tmp_path / name / "pg_data" / "PG_VERSION", b"15", age + HOUR)
        changed = write(data / "2619.gz", b"x" * 5000, age)
        manifest = "backup.manifest" if complete else "backup.manifest.copy"
        write(tmp_path / name / manifest, b"[backup]", age + HOUR)
        return changed

    full = backup("20261127-020000F", 30 * HOUR)
    newest = backup("20261127-020000F_20261128-020000D", 6 * HOUR)
    backup("20261128-080000F", 2 * HOUR, complete=False)
    write(tmp_path / "backup.info", b"x" * 9000)
    (tmp_path / "backup.history" / "2026").mkdir(parents=True)
    write(tmp_path / "backup.history" / "2026" / "a.manifest.gz", b"x")
    (tmp_path / "latest").symlink_to("20261127-020000F_20261128-020000D")
    options = {"layout": "directories", "pattern": "????????-??????*", "min_size": "1KiB"}
    probe = directory(tmp_path, marker="backup.manifest", **options)
    daemon = vitalsd([probe], **QUICK)
    assert daemon.value("probe_success") == 1, error(daemon)
    assert last(daemon) == newest
    assert daemon.value("backup_newest_size_bytes") == 5000 + 2 + 8
    assert objects(daemon) == {"good": 2, "incomplete": 1, "unmatched": 2}
    shutil.rmtree(tmp_path / "20261127-020000F_20261128-020000D")
    daemon.wait_for("backup_last_success_timestamp_seconds", full)
    assert daemon.value("vitalsd_check_status", check="age") == 2
    (tmp_path / "20261128-080000F" / "backup.manifest.copy").rename(
        tmp_path / "20261128-080000F" / "backup.manifest"
    )
    daemon.wait_for("vitalsd_check_status", 0, check="age")


# ---- S3 -----------------------------------------------------------------------------------------


def bucket(server: S3, name: str, *, probe: str = "backups", **options: object) -> dict:
    """Returns a probe with the configured keys. `options` belong to the section s3."""
    place = {"bucket": name, "endpoint": server.url, "region": server.region}
    place |= {"access_key": {"env": "ACCESS"}, "secret_key": {"env": "SECRET"}}
    return {"name": probe, "kind": "backup", "s3": place | options}


def keys(server: S3) -> dict[str, str]:
    return {"SECRET": server.secret_key, "ACCESS": server.access_key}


def test_the_newest_good_object(vitalsd: Daemon, s3: S3) -> None:
    """The newest object is on the last of several pages. The pattern applies to the keys without
    the prefix."""
    name = s3.new_bucket()
    for number in range(PAGE + 3):
        s3.put(name, f"db/{number:03}.gz", b"x" * 100, age=(50 - number) * HOUR)
    newest = s3.put(name, "db/a day/é+&.gz", b"x" * 200, age=2 * HOUR)
    s3.put(name, "db/zz.txt", b"x" * 300)
    s3.put(name, "db/zz.gz", b"x")
    s3.put(name, "other/b.gz", b"x" * 300)
    probe = bucket(s3, name, prefix="db/") | {"pattern": "*.gz", "min_size": "50B"}
    daemon = vitalsd([probe], environment=keys(s3), **QUICK)
    daemon.wait_ok("backups")
    assert last(daemon) == newest
    assert daemon.value("vcci_last_successful_backup_timestamp") == newest
    assert daemon.value("backup_newest_size_bytes") == 200
    assert objects(daemon) == {"good": PAGE + 4, "unmatched": 1, "too_small": 1}
    assert daemon.value("vitalsd_check_status", check="age") == 0


def test_directories_of_a_bucket(vitalsd: Daemon, s3: S3) -> None:
    """The layout of WAL-G, over several pages."""
    name = s3.new_bucket()
    store = "wal-g/basebackups_005/"
    for number, age in ((1, 50 * HOUR), (2, 26 * HOUR), (3, 2 * HOUR)):
        for part in range(PAGE // 2):
            key = f"{store}base_{number}/tar_partitions/part_{part:03}.tar.lz4"
            made = s3.put(name, key, b"x" * 100, age=age)
        if number < 3:  # the third one has not finished
            newest = s3.put(name, f"{store}base_{number}/metadata.json", b"{}", age=age)
            s3.put(name, f"{store}base_{number}_backup_stop_sentinel.json", b"{}", age=age)
    s3.put(name, "wal-g/wal_005/000000010000000000000001.lz4", b"x")
    options = {"layout": "directories", "pattern": "base_*", "max_age": "48h"}
    marked = bucket(s3, name, prefix=store) | options | {"marker": "metadata.json"}
    unmarked = bucket(s3, name, probe="unmarked", prefix=store.rstrip("/")) | options
    daemon = vitalsd([marked, unmarked], environment=keys(s3), **QUICK)
    daemon.wait_ok("backups")
    assert last(daemon) == newest
    assert daemon.value("backup_newest_size_bytes", probe="backups") == 100 * (PAGE // 2) + 2
    assert daemon.value("backup_objects", probe="backups", state="good") == 2
    assert daemon.value("backup_objects", probe="backups", state="incomplete") == 1
    daemon.wait_ok("unmarked")
    assert last(daemon, "unmarked") == made
    assert daemon.value("backup_objects", probe="unmarked", state="good") == 3


def test_ways_to_a_bucket(vitalsd: Daemon, s3: S3, nginx: Nginx, dns_server: DnsServer) -> None:
    """The bucket in the path, in the host name, and over TLS, all with signatures."""
    name = s3.new_bucket()
    made = s3.put(name, "dump", b"x", age=30 * HOUR)
    dns_server.set(f"{name}.{s3.domain}")
    secured = nginx.proxy_tls("s3", s3.port)
    over_tls = {"endpoint": f"https://localhost:{secured}"}
    virtual = {"endpoint": f"http://{s3.domain}:{s3.port}", "style": "virtual"}
    daemon = vitalsd(
        [
            bucket(s3, name, probe="path", style="path"),
            bucket(s3, name, probe="virtual", **virtual),
            bucket(s3, name, probe="tls", tls={"ca": str(nginx.authority.path)}, **over_tls),
            bucket(s3, name, probe="wrong-ca", **over_tls),
        ],
        environment=keys(s3),
        dns={"servers": [dns_server.address]},
        **QUICK,
    )
    for probe in ("path", "virtual", "tls"):
        assert last(daemon, probe) == made, error(daemon, probe)
        assert daemon.value("vitalsd_check_status", probe=probe, check="age") == 2
    # Connections are reused, but not by probes that would not trust the server.
    daemon.wait_runs("wrong-ca", 3)
    daemon.check_reason("wrong-ca", "tls")
    assert daemon.absent("backup_last_success_timestamp_seconds", probe="wrong-ca")


def test_a_bucket_that_cannot_be_listed(vitalsd: Daemon, s3: S3, tmp_path: Path) -> None:
    """No failure sets the last good backup to 0 or removes it; only an empty list does. The secret
    is read in each run, so a rotated file needs no reload."""
    name, secret = s3.new_bucket(), tmp_path / "secret"
    secret.write_text(f"{s3.secret_key}\n")
    made = s3.put(name, "dump", b"x", age=2 * HOUR)
    probe = bucket(s3, name, secret_key={"file": str(secret)})
    daemon = vitalsd(
        [probe, bucket(s3, "no-such-bucket", probe="missing")], environment=keys(s3), **QUICK
    )
    daemon.wait_for("backup_last_success_timestamp_seconds", made, probe="backups")
    daemon.check_reason("missing", "mismatch")
    assert "NoSuchBucket" in error(daemon, "missing")
    assert daemon.absent("backup_last_success_timestamp_seconds", probe="missing")

    secret.write_text("not-this-one")
    daemon.wait_failed("backups", "auth")
    assert daemon.value("vitalsd_target_up", probe="backups") == 1
    assert last(daemon) == made
    secret.unlink()
    daemon.wait_failed("backups", "config")
    secret.write_text(s3.secret_key)
    daemon.wait_ok("backups")
    s3.proxy.freeze()
    daemon.wait_failed("backups", "timeout")
    s3.proxy.thaw()
    daemon.wait_ok("backups")
    s3.proxy.stop()
    daemon.wait_failed("backups", "connect")
    daemon.wait_for("backup_objects", None, probe="backups", state="good")
    assert last(daemon) == made
    assert daemon.value("vcci_last_successful_backup_timestamp", probe="backups") == made
    s3.start()
    daemon.wait_ok("backups")
    s3.empty(name)
    daemon.wait_for("backup_last_success_timestamp_seconds", 0, probe="backups")
    assert daemon.value("probe_success", probe="backups") == 0


def test_a_list_of_many_pages_takes_one_connection(
    vitalsd: Daemon, s3: S3, nginx: Nginx, fault_proxy: Callable[..., FaultProxy]
) -> None:
    name = s3.new_bucket()
    for number in range(2 * PAGE + 1):
        s3.put(name, f"{number:03}", b"x")
    proxy = fault_proxy(nginx.proxy_tls("s3", s3.port))
    trusted = {"tls": {"ca": str(nginx.authority.path)}}
    probe = bucket(s3, name, endpoint=f"https://localhost:{proxy.port}", **trusted)
    daemon = vitalsd([probe], environment=keys(s3), interval="1h", timeout="2s")
    assert objects(daemon) == {"good": 2 * PAGE + 1}
    assert proxy.connections == 1


def test_credentials_of_the_environment(vitalsd: Daemon, s3: S3) -> None:
    name = s3.new_bucket()
    made = s3.put(name, "dump", b"x")
    probe = bucket(s3, name)
    del probe["s3"]["access_key"], probe["s3"]["secret_key"]
    aws = {"AWS_ACCESS_KEY_ID": s3.access_key, "AWS_SECRET_ACCESS_KEY": s3.secret_key}
    assert last(vitalsd([probe], environment=aws, **QUICK)) == made
    without = vitalsd([probe], **QUICK)
    assert set(without.failures("backups")) == {"config"}
    assert "AWS_ACCESS_KEY_ID" in error(without)


def test_credentials_for_a_web_identity(
    vitalsd: Daemon, s3: S3, http_peer: HttpPeer, tmp_path: Path
) -> None:
    """Web identity, as for a Kubernetes service account with an AWS role: the token is exchanged
    for temporary keys."""
    name = s3.new_bucket()
    made = s3.put(name, "dump", b"x")
    token = tmp_path / "token"
    token.write_text("token-that-has-run-out\n")
    good = f"token/{secrets.token_hex(8)}+="

    def token_service(request: Request) -> bytes:
        form = {key: values[0] for key, values in parse_qs(request.body.decode()).items()}
        assert form.pop("WebIdentityToken", "") in ("token-that-has-run-out", good)
        assert form == {
            "Action": "AssumeRoleWithWebIdentity",
            "Version": "2011-06-15",
            "RoleArn": "arn:aws:iam::1:role/backups",
            "RoleSessionName": "vitalsd",
        }
        if token.read_text() != good:
            code = "<Code>ExpiredTokenException</Code><Message>it ran out</Message>"
            return answer(f"<ErrorResponse><Error>{code}</Error></ErrorResponse>", 400)
        until = datetime.datetime.now(datetime.UTC) + HOUR
        found = {
            "AccessKeyId": s3.access_key,
            "SecretAccessKey": s3.secret_key,
            "SessionToken": "session-of-an-hour",
            "Expiration": until.strftime("%Y-%m-%dT%H:%M:%SZ"),
        }
        inside = "".join(f"<{tag}>{text}</{tag}>" for tag, text in found.items())
        action = "AssumeRoleWithWebIdentity"
        return answer(
            f'<{action}Response xmlns="https://sts.amazonaws.com/doc/2011-06-15/">'
            f"<{action}Result><Credentials>{inside}</Credentials></{action}Result>"
            f"</{action}Response>"
        )

    http_peer.answers["/"] = token_service
    probe = bucket(s3, name, sts_endpoint=http_peer.url())
    del probe["s3"]["access_key"], probe["s3"]["secret_key"]
    daemon = vitalsd(
        [probe],
        environment={
            "AWS_WEB_IDENTITY_TOKEN_FILE": str(token),
            "AWS_ROLE_ARN": "arn:aws:iam::1:role/backups",
        },
        secrets=[s3.secret_key, good, "session-of-an-hour", "token-that-has-run-out"],
        **QUICK,
    )
    daemon.check_reason("backups", "config")
    assert "it ran out" in error(daemon)
    asked = len(http_peer.requests)
    token.write_text(good)
    daemon.wait_for("backup_last_success_timestamp_seconds", made)
    daemon.wait_runs("backups", 2)
    assert len(http_peer.requests) <= asked + 2  # one failed and one successful request, no more
    daemon.wait_ok("backups")
