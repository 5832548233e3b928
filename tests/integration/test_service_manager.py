"""The daemon as a systemd service (Type=notify). The test simulates systemd."""

from __future__ import annotations

import os
import secrets
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from support import REPOSITORY
from support.service_manager import ServiceManager
from support.vitalsd import Vitalsd, binary
from support.wedge import wedged

pytestmark = pytest.mark.threads

Daemon = Callable[..., Vitalsd]
PROBE = {"name": "port", "kind": "tcp", "endpoint": "127.0.0.1:1"}


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ServiceManager]:
    abstract = request.param == "abstract"
    made = ServiceManager(f"@vitalsd-{secrets.token_hex(8)}") if abstract else ServiceManager.at(tmp_path)
    yield made
    made.close()


def test_start_reload_and_stop(vitalsd: Daemon, manager: ServiceManager) -> None:
    daemon = vitalsd([PROBE], plain={"NOTIFY_SOCKET": manager.address})
    ready = manager.hear("READY")
    assert ready == {"READY": "1", "STATUS": f"Serves on {daemon.address}"}

    os.kill(daemon.pid, signal.SIGHUP)
    reloading = manager.hear("RELOADING")
    assert abs(time.monotonic() - int(reloading["MONOTONIC_USEC"]) / 1e6) < 60
    assert manager.hear("READY")["STATUS"].strip() == "Configuration reloaded."

    # A line of the file must not become a field of the protocol.
    daemon.configuration["probes"][0]["STOPPING"] = 1
    daemon.write_configuration()
    os.kill(daemon.pid, signal.SIGHUP)
    refused = manager.hear("READY")
    while "reloaded" in refused["STATUS"]:
        refused = manager.hear("READY")
    assert refused.keys() == {"READY", "STATUS"}
    assert "invalid, keeping the previous configuration: " in refused["STATUS"]
    assert "probes[0].STOPPING" in refused["STATUS"]

    daemon.end()
    assert manager.hear("STOPPING")["STOPPING"] == "1"
    assert not any("WATCHDOG" in each for each in manager.received)


def test_the_watchdog_is_fed_by_the_probe_loop(vitalsd: Daemon, tmp_path: Path) -> None:
    manager = ServiceManager.at(tmp_path)
    daemon = vitalsd(
        [PROBE], plain={"NOTIFY_SOCKET": manager.address, "WATCHDOG_USEC": "400000"}
    )
    manager.hear("READY")
    for _ in range(3):
        manager.hear("WATCHDOG")
    with wedged(daemon.pid):
        assert manager.is_silent(1)
        assert daemon.get("/-/healthy")[0] in (200, 503)  # the web thread still responds
    manager.hear("WATCHDOG")
    manager.close()


def test_a_watchdog_that_is_not_ours(vitalsd: Daemon, tmp_path: Path) -> None:
    manager = ServiceManager.at(tmp_path)
    vitalsd(
        [PROBE],
        plain={"NOTIFY_SOCKET": manager.address, "WATCHDOG_USEC": "100000", "WATCHDOG_PID": "1"},
    )
    manager.hear("READY")
    assert manager.is_silent(0.5)
    manager.close()


def test_a_manager_that_has_gone(vitalsd: Daemon, tmp_path: Path) -> None:
    nobody = str(tmp_path / "nobody")
    daemon = vitalsd([PROBE], plain={"NOTIFY_SOCKET": nobody, "WATCHDOG_USEC": "100000"})
    assert daemon.get("/-/healthy")[0] == 200


def test_a_password_among_the_credentials(vitalsd: Daemon, tmp_path: Path) -> None:
    """LoadCredential= creates files in a directory whose path is in the environment."""
    (tmp_path / "api").write_text("a-secret-of-the-api\n")
    probe = {
        "name": "api",
        "kind": "http",
        "url": "http://127.0.0.1:1/",
        "bearer_token": {"credential": "api"},
    }
    daemon = vitalsd(
        [probe], plain={"CREDENTIALS_DIRECTORY": str(tmp_path)}, secrets=["a-secret-of-the-api"]
    )
    assert daemon.failures("api").keys() == {"connect"}


# ---- the unit -----------------------------------------------------------------------------------

UNIT = REPOSITORY / "deploy" / "systemd" / "vitalsd.service"


def analyze(*arguments: str | Path) -> str:
    done = subprocess.run(["systemd-analyze", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_systemd_finds_no_fault_with_the_unit(tmp_path: Path) -> None:
    file = tmp_path / UNIT.name
    file.write_text(UNIT.read_text().replace("/usr/bin/vitalsd", str(binary())))
    assert analyze("verify", file) == ""


def test_the_unit_exposes_little() -> None:
    """2.0 of 10. The rest is due to the network and to the mounts that the kind filesystem must
    see."""
    said = analyze("security", "--offline=yes", UNIT)
    found = re.search(r"Overall exposure level for vitalsd.service: ([0-9.]+)", said)
    assert found and float(found[1]) <= 2.0, said
