"""Kind bucket: an S3 bucket can be listed, and the count of its objects is reported as complete
only if it is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from support.forward_proxy import ForwardProxy
from support.s3 import PAGE, S3
from support.vitalsd import Vitalsd, run

pytestmark = pytest.mark.threads

Daemon = Callable[..., Vitalsd]

QUICK = {"interval": "400ms", "timeout": "350ms"}


def bucket(
    server: S3, name: str, *, probe: str = "data", prefix: str = "", **options: object
) -> dict:
    place = {"bucket": name, "prefix": prefix, "endpoint": server.url, "region": server.region}
    place |= {"access_key": {"env": "ACCESS"}, "secret_key": {"env": "SECRET"}}
    return {"name": probe, "kind": "bucket", "s3": place, **options}


def keys(server: S3) -> dict[str, str]:
    return {"SECRET": server.secret_key, "ACCESS": server.access_key}


def error(daemon: Vitalsd, probe: str = "data") -> str:
    (row,) = (row for row in daemon.status()["probes"] if row["name"] == probe)
    return row.get("error", "")


def test_through_a_proxy(vitalsd: Daemon, s3: S3, forward_proxy: ForwardProxy) -> None:
    """Both kinds with a bucket reach it through the proxy of the option."""
    name = s3.new_bucket("data")
    s3.put(name, "a.gz", b"x" * 100)
    way = {"proxy": forward_proxy.address, "proxy_password": {"env": "PROXY"}}
    probes = [bucket(s3, name), bucket(s3, name, probe="backups") | {"kind": "backup"}]
    for probe in probes:
        probe["s3"] |= way
    refused, nowhere = bucket(s3, name, probe="refused"), bucket(s3, name, probe="nowhere")
    refused["s3"] |= way | {"proxy_password": {"env": "WRONG"}}
    nowhere["s3"] |= {"proxy": "http://127.0.0.1:1"}
    passwords = {"PROXY": forward_proxy.password, "WRONG": "wrong"}
    daemon = vitalsd([*probes, refused, nowhere], environment=keys(s3) | passwords)
    for probe in probes:
        daemon.wait_ok(probe["name"])
    assert {request.method for request in forward_proxy.requests} == {"GET"}
    daemon.check_reason("refused", "config")
    assert f"the proxy 127.0.0.1:{forward_proxy.port}" in error(daemon, "refused")
    daemon.wait_failed("nowhere", "internal")


def test_what_is_stored(vitalsd: Daemon, s3: S3) -> None:
    """A count continues over several pages, applies to the prefix, and is repeated."""
    name = s3.new_bucket("data")
    for number in range(2 * PAGE + 1):
        s3.put(name, f"in/{number:03}", b"x" * 100)
    s3.put(name, "out/a", b"x" * 5000)
    usage = {"usage_interval": "1s"}
    daemon = vitalsd(
        [
            bucket(s3, name, prefix="in/", quota="2500B", **usage),
            bucket(s3, name, probe="plain"),
            bucket(s3, name, probe="capped", max_pages=2, usage=True, **usage),
            bucket(s3, name, probe="capped-quota", max_pages=2, quota="1GiB", **usage),
        ],
        environment=keys(s3),
        interval="1s",
        timeout="1s",
    )
    for probe in ("data", "plain", "capped"):
        daemon.wait_ok(probe)
    where = {"probe": "data", "bucket": name, "prefix": "in/"}
    daemon.wait_for("s3_objects", 2 * PAGE + 1, **where)
    assert daemon.value("s3_objects_size_sum_bytes", **where) == (2 * PAGE + 1) * 100
    assert daemon.value("vitalsd_bucket_usage_complete", **where) == 1
    assert daemon.value("vitalsd_bucket_quota_bytes", **where) == 2500
    daemon.wait_for("vitalsd_check_status", 1, probe="data", check="quota")
    assert daemon.absent("s3_objects", probe="plain")
    for probe in ("capped", "capped-quota"):
        daemon.wait_for("vitalsd_bucket_usage_complete", 0, probe=probe)
        assert daemon.value("vitalsd_bucket_usage_pages", probe=probe) == 2
        assert daemon.absent("s3_objects", probe=probe)
    daemon.check_reason("capped-quota", "config")
    assert "increase max_pages" in error(daemon, "capped-quota")
    assert daemon.absent("vitalsd_check_status", probe="capped-quota", check="quota")

    s3.put(name, "in/large", b"x" * 400)
    daemon.wait_for("s3_objects_size_sum_bytes", (2 * PAGE + 1) * 100 + 400, **where)
    daemon.wait_for("vitalsd_check_status", 2, probe="data", check="quota")
    s3.empty(name)
    daemon.wait_for("s3_objects", 0, **where)
    daemon.wait_for("vitalsd_check_status", 0, probe="data", check="quota")
    daemon.wait_for("vitalsd_bucket_usage_complete", 1, probe="capped-quota")


def test_a_bucket_that_cannot_be_listed(vitalsd: Daemon, s3: S3, tmp_path: Path) -> None:
    name, secret = s3.new_bucket("data"), tmp_path / "secret"
    secret.write_text(f"{s3.secret_key}\n")
    s3.put(name, "a", b"x")
    probe = bucket(s3, name, usage=True)
    probe["s3"]["secret_key"] = {"file": str(secret)}
    daemon = vitalsd(
        [probe, bucket(s3, "no-such-bucket", probe="missing")], environment=keys(s3), **QUICK
    )
    daemon.wait_ok("data")
    daemon.check_reason("missing", "mismatch")
    assert "NoSuchBucket" in error(daemon, "missing")
    secret.write_text("not-this-one")
    daemon.wait_failed("data", "auth")
    assert daemon.value("vitalsd_target_up", probe="data", kind="bucket") == 1
    secret.write_text(s3.secret_key)
    daemon.wait_ok("data")
    s3.proxy.freeze()
    daemon.wait_failed("data", "timeout")
    assert daemon.value("vitalsd_target_up", probe="data", kind="bucket") == 0
    s3.proxy.thaw()
    daemon.wait_ok("data")
    s3.proxy.stop()
    daemon.wait_failed("data", "connect")
    daemon.wait_for("s3_objects", None, probe="data")
    s3.start()
    daemon.wait_ok("data")
    daemon.wait_for("s3_objects", 1, probe="data")


def test_the_documented_check(s3: S3, tmp_path: Path) -> None:
    """Check 21: the data bucket is accessible."""
    name = s3.new_bucket("data")
    s3.put(name, "a", b"x" * 1024)
    file = tmp_path / "vitalsd.yaml"
    where = f"bucket: {name}, endpoint: '{s3.url}', region: {s3.region}"
    secrets = "access_key: {env: ACCESS}, secret_key: {env: SECRET}"
    file.write_text(
        f"probes: [{{name: data, kind: bucket, s3: {{{where}, {secrets}}}, quota: 10KiB}}]\n"
    )
    done = run("check", "--config", file, **keys(s3))
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"✓ data  bucket  s3://{name}/" in done.stdout
    assert "✓ quota 10%" in done.stdout
