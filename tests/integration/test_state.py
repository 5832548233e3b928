"""The state file: what an earlier version wrote, and a file that another process has locked."""

from __future__ import annotations

import fcntl
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from support import REPOSITORY, wait_until
from support.vitalsd import Vitalsd

pytestmark = pytest.mark.threads

Daemon = Callable[..., Vitalsd]

EARLIER = REPOSITORY / "tests" / "data" / "state" / "9842ba9-facts.json"
SOURCES = "/srv/vitalsd-test"  # does not exist, so only the file has the facts
BACKUPS = {
    "name": "backups",
    "kind": "backup",
    "directory": f"{SOURCES}/backups",
    "pattern": "*.gz",
}


def test_a_file_of_9842ba9(vitalsd: Daemon, tmp_path: Path) -> None:
    shutil.copy(EARLIER, tmp_path / "state.json")
    sections = {"state": {"directory": str(tmp_path)}}
    daemon = vitalsd([BACKUPS], interval="400ms", timeout="350ms", **sections)
    for _ in range(2):
        assert daemon.value("backup_last_success_timestamp_seconds") == 1795485605
        assert daemon.value("vcci_last_successful_backup_timestamp") == 1795485605
        assert daemon.value("backup_newest_size_bytes") == 4096
        (row,) = daemon.status()["probes"]
        assert row["last_success"] == "2026-11-28T20:02:30Z"
        assert row["state"] == "critical"
        daemon.wait_runs("backups", 3)  # failures keep them, and so does a restart
        daemon.restart()


def test_a_file_that_another_process_has_locked(vitalsd: Daemon, tmp_path: Path) -> None:
    """The daemon observes, and reports by a metric and on the status page that the state is not
    saved."""
    dumps = {"name": "dumps", "kind": "backup", "directory": str(tmp_path), "settle": "0s"}
    with (tmp_path / "state.json.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        sections = {"state": {"directory": str(tmp_path)}}
        daemon = vitalsd([dumps], interval="400ms", timeout="350ms", **sections)
        daemon.wait_for("vitalsd_state_last_save_successful", 0, deadline=60)
        notice = f"state: another process has locked {tmp_path}/state.json.lock"
        assert daemon.status()["notices"] == [notice]
        assert notice in daemon.page("/")
        assert daemon.value("backup_last_success_timestamp_seconds") >= 0
    daemon.wait_for("vitalsd_state_last_save_successful", 1, deadline=60)
    wait_until(lambda: daemon.status()["notices"] == [], what="the notice ends")
