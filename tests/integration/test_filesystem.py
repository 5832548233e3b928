"""Kind filesystem with mounted file systems: empty, full and unresponsive."""

from __future__ import annotations

import select
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from support import wait_until
from support.mounts import Mounts
from support.nginx import Nginx
from support.vitalsd import Vitalsd, run
from support.waiting import PATIENCE

pytestmark = pytest.mark.threads

Daemon = Callable[..., Vitalsd]

QUICK = {"interval": "300ms", "timeout": "250ms"}
MIB = 1 << 20


def disks(*patterns: Path, name: str = "disks", **options: object) -> dict:
    mounts = [str(pattern) for pattern in patterns]
    return {"name": name, "kind": "filesystem", "mounts": mounts, **options}


def mountpoints(daemon: Vitalsd, name: str = "node_filesystem_size_bytes", **labels: str) -> set:
    return {sample.labels["mountpoint"] for sample in daemon.samples(name, **labels)}


def error(daemon: Vitalsd, probe: str = "disks") -> str:
    """Returns the error of a probe's last run from the status page; empty if it succeeded."""
    (row,) = (row for row in daemon.status()["probes"] if row["name"] == probe)
    return row.get("error", "")


def test_a_disk_that_fills_up(vitalsd: Daemon, mounts: Mounts, tmp_path: Path) -> None:
    mounts.small(tmp_path / "data", "size=8m,nr_inodes=100")
    daemon = vitalsd([disks(tmp_path / "data", node="host-1")], **QUICK)
    (size,) = daemon.samples("node_filesystem_size_bytes")
    assert size.value == 8 * MIB
    assert size.labels == {
        "probe": "disks",
        "instance": "disks",
        "mountpoint": str(tmp_path / "data"),
        "device": "small",
        "fstype": "tmpfs",
        "node": "host-1",
    }
    (avail,) = daemon.samples("node_filesystem_avail_bytes")
    assert avail.labels == size.labels  # the rule divides these two
    assert avail.value == daemon.value("node_filesystem_free_bytes") == 8 * MIB
    assert daemon.value("vitalsd_check_status", check="used") == 0

    for kib, status in ((6.8 * 1024, 1), (7.6 * 1024, 2)):
        (tmp_path / "data" / "file").write_bytes(b"x" * int(kib * 1024))
        daemon.wait_for("vitalsd_check_status", status, check="used")
        assert daemon.value("node_filesystem_avail_bytes") == pytest.approx(
            8 * MIB - kib * 1024, abs=8192
        )
    (tmp_path / "data" / "file").unlink()
    daemon.wait_for("vitalsd_check_status", 0, check="used")

    free = daemon.value("node_filesystem_files_free")
    assert free < daemon.value("node_filesystem_files") == 100
    for number in range(int(free)):
        (tmp_path / "data" / str(number)).touch()
    daemon.wait_for("node_filesystem_files_free", 0)
    assert daemon.value("vitalsd_check_status", check="files_used") == 2


def test_mounts_that_come_change_and_go(vitalsd: Daemon, mounts: Mounts, tmp_path: Path) -> None:
    one, two = tmp_path / "vol one", tmp_path / "vol-two"  # spaces are escaped in the mount table
    mounts.small(one)
    daemon = vitalsd([disks(tmp_path / "vol*", two)], **QUICK)
    assert mountpoints(daemon) == {str(one)}
    daemon.check_reason("disks", "mismatch")
    assert error(daemon) == f"{two}: nothing is mounted there"
    mounts.small(two)
    daemon.wait_ok("disks")
    assert mountpoints(daemon) == {str(one), str(two)}
    assert daemon.value("node_filesystem_readonly", mountpoint=str(two)) == 0
    mounts.remount(two, "ro")
    daemon.wait_for("node_filesystem_readonly", 1, mountpoint=str(two))
    assert daemon.value("node_filesystem_readonly", mountpoint=str(one)) == 0
    mounts.remove(one)
    wait_until(lambda: mountpoints(daemon) == {str(two)}, what="the first one is not published")
    daemon.wait_ok("disks")


def test_the_root_of_a_host(vitalsd: Daemon, mounts: Mounts, tmp_path: Path) -> None:
    """In a container, the host's file systems are mounted below a directory, which is not part of
    their published names."""
    mounts.small(tmp_path / "host")
    mounts.small(tmp_path / "host" / "var")
    mounts.small(tmp_path / "hostess")
    daemon = vitalsd([disks(Path("/"), Path("/*"), root=f"{tmp_path}/host/")])
    assert mountpoints(daemon) == {"/", "/var"}


def test_a_mount_that_is_made_on_access(vitalsd: Daemon, mounts: Mounts, tmp_path: Path) -> None:
    """statvfs on an autofs would mount what belongs there, so a probe does not look at it."""
    mounts.small(tmp_path / "data")
    automatic = tmp_path / "automatic"
    requests = mounts.on_access(automatic)
    daemon = vitalsd([disks(tmp_path / "*", automatic)], **QUICK)
    daemon.wait_runs("disks", 3)
    assert mountpoints(daemon) == {str(tmp_path / "data")}
    assert error(daemon) == ""
    assert not select.select([requests], [], [], 0)[0]
    # Any other process that looks at it requests the mount.
    look = subprocess.Popen(["stat", "--file-system", automatic], start_new_session=True)
    try:
        assert select.select([requests], [], [], 60)[0]
    finally:
        look.kill()
        look.wait()  # unmounting would wait for it


def test_a_mount_over_the_parent_of_a_mount(
    vitalsd: Daemon, mounts: Mounts, tmp_path: Path
) -> None:
    """The inner mount cannot be reached, and its name would have the numbers of the outer one."""
    outer, inner = tmp_path / "outer", tmp_path / "outer" / "inner"
    mounts.small(inner, "size=4m")
    daemon = vitalsd([disks(tmp_path / "*", tmp_path / "*" / "*")])
    daemon.wait_for("node_filesystem_size_bytes", 4 * MIB, mountpoint=str(inner))
    mounts.small(outer, "size=8m")
    inner.mkdir()  # a directory of the outer file system
    daemon.wait_for("node_filesystem_size_bytes", 8 * MIB, mountpoint=str(outer))
    assert mountpoints(daemon) == {str(outer)}
    mounts.remove(outer)
    wait_until(lambda: mountpoints(daemon) == {str(inner)}, what="the inner one is visible again")


@pytest.mark.serial
def test_dead_mounts(vitalsd: Daemon, mounts: Mounts, nginx: Nginx, tmp_path: Path) -> None:
    """Four unresponsive file systems delay neither the others of the same probe, nor other probes,
    scrapes or the stop of the daemon."""
    dead = [tmp_path / f"dead-{number}" for number in range(4)]
    mounts.small(tmp_path / "good")
    for place in dead:
        mounts.dead(place)
    daemon = vitalsd(
        [
            disks(tmp_path / "*"),
            disks(tmp_path / "good", name="good"),
            {"name": "web", "kind": "tcp", "endpoint": f"127.0.0.1:{nginx.port}"},
        ],
        ready=False,
        **QUICK,
    )
    daemon.wait_failed("disks", "timeout")
    began, runs = time.monotonic(), {name: daemon.runs(name) for name in ("good", "web", "disks")}
    daemon.wait_runs("web", 8)
    intervals = (time.monotonic() - began) / 0.3
    for name, before in runs.items():
        assert daemon.runs(name) - before >= intervals - 2 * PATIENCE, name
        assert mountpoints(daemon, probe="disks") == {str(tmp_path / "good")}
    for name in ("good", "web"):
        assert daemon.failures(name) == {}
    daemon.check_reason("disks", "timeout")
    assert "still hangs from an earlier run (and 3 more)" in error(daemon)
    daemon.wait_for("vitalsd_hanging_threads", 4)
    assert daemon.value("vitalsd_probe_parts", probe="disks", state="failed") == 4
    assert daemon.value("vitalsd_probe_parts", probe="disks", state="ok") == 1
    assert daemon.get("/-/healthy")[0] == 200

    mounts.revive(dead[0])  # its calls return with an error
    daemon.wait_for("vitalsd_hanging_threads", 3)
    for place in dead[:2]:
        mounts.remove(place)
    daemon.wait_for("vitalsd_probe_parts", 2, probe="disks", state="failed")

    once = tmp_path / "vitalsd.yaml"
    probe = f"{{name: disks, kind: filesystem, timeout: 250ms, mounts: ['{tmp_path}/*']}}"
    once.write_text(f"probes: [{probe}]\n")
    done = run("check", "--config", once)
    assert done.returncode == 2, done.stdout
    assert "timeout: no response within 250ms while waiting for statvfs" in done.stdout
    began = time.monotonic()
    daemon.end()
    assert time.monotonic() - began < 30  # runs have five seconds to end
    daemon.start(ready=False)
    daemon.wait_ok("web")


def test_a_mount_that_comes_back(vitalsd: Daemon, mounts: Mounts, tmp_path: Path) -> None:
    """When an unresponsive file system responds again, the probe recovers without a restart."""
    place = tmp_path / "data"
    mounts.dead(place)
    daemon = vitalsd([disks(place)], ready=False, **QUICK)
    daemon.wait_failed("disks", "timeout")
    assert mountpoints(daemon) == set()
    mounts.remove(place)
    mounts.small(place)
    daemon.wait_ok("disks")
    assert mountpoints(daemon) == {str(place)}
    daemon.wait_for("vitalsd_hanging_threads", 0)
