"""Kind job. The clients are curl and a shell script like that of the documented backup CronJob."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from support.mounts import Mounts
from support.vitalsd import Vitalsd
from support.waiting import PATIENCE, stays, wait_until

Daemon = Callable[..., Vitalsd]

TOKEN = "a-token-of-the-nightly-job"

# The documented CronJob's script with its push to the Pushgateway replaced.
BACKUP = """
set -eu
ping() {
  curl --fail --silent --show-error --retry 5 --retry-all-errors -X POST \\
    -H "Authorization: Bearer $TOKEN" --data-binary @- "$URL$1?rid=$RUN"
}
ping /start </dev/null
code=0
$DUMP >dump.log 2>&1 || code=$?
ping /exit/$code <dump.log
"""


@pytest.fixture
def token(tmp_path: Path) -> Path:
    file = tmp_path / "token"
    file.write_text(TOKEN + "\n")
    return file


def job(token: Path, **options: Any) -> dict[str, Any]:
    return {
        "name": "nightly",
        "kind": "job",
        "schedule": "0 3 * * *",
        "token": {"file": str(token)},
        **options,
    }


@pytest.fixture
def watched(vitalsd: Daemon, token: Path, tmp_path: Path) -> Callable[..., Vitalsd]:
    """Starts a daemon that watches the job `nightly` and keeps its state."""

    def start(**options: Any) -> Vitalsd:
        state = tmp_path / "state"
        state.mkdir(exist_ok=True)
        return vitalsd([job(token, **options)], state={"directory": str(state)}, secrets=[TOKEN])

    return start


def curl(daemon: Vitalsd, path: str, *options: str, token: str = TOKEN) -> int:
    """Returns the status of a request to the job `nightly`."""
    done = subprocess.run(
        ["curl", "--silent", "--output", os.devnull, "--write-out", "%{http_code}"]
        + ["--max-time", "60", "-X", "POST", "-H", f"Authorization: Bearer {token}", *options]
        + [f"http://{daemon.address}/api/v1/jobs/nightly{path}"],
        capture_output=True,
        text=True,
        check=False,
        timeout=90,
    )
    return int(done.stdout or 0)


def run_backup(daemon: Vitalsd, directory: Path, dump: str, run: str) -> None:
    subprocess.run(
        ["sh", "-c", BACKUP],
        cwd=directory,
        env={
            "PATH": os.environ["PATH"],
            "TOKEN": TOKEN,
            "URL": f"http://{daemon.address}/api/v1/jobs/nightly",
            "DUMP": dump,
            "RUN": run,
        },
        check=True,
        timeout=60,
    )


def outcomes(daemon: Vitalsd) -> dict[str, float]:
    samples = daemon.samples("job_runs_total", probe="nightly")
    return {sample.labels["outcome"]: sample.value for sample in samples}


def test_the_documented_backup_job(watched: Callable[..., Vitalsd], tmp_path: Path) -> None:
    daemon = watched()
    assert daemon.absent("job_overdue", probe="nightly")
    assert outcomes(daemon) == {"ok": 0, "failed": 0}
    for unknown in ("start_timestamp", "success_timestamp", "failure_timestamp", "duration"):
        assert daemon.absent(f"job_last_{unknown}_seconds")
    assert daemon.absent("job_last_exit_code")

    began = time.time()
    run_backup(daemon, tmp_path, "echo 12 MiB written", "run-1")
    daemon.wait_for("job_runs_total", 1, outcome="ok")
    assert daemon.value("job_last_exit_code") == 0
    assert began - 1 < daemon.value("job_last_start_timestamp_seconds") < time.time()
    assert began - 1 < daemon.value("job_last_success_timestamp_seconds") < time.time()
    assert 0 <= daemon.value("job_last_duration_seconds") < 20
    (probe,) = daemon.status()["probes"]
    assert probe["message"] == "12 MiB written"

    run_backup(daemon, tmp_path, "ls /no/such/<b>directory", "run-2")
    daemon.wait_for("job_runs_total", 1, outcome="failed")  # published when it is saved
    assert daemon.value("job_last_exit_code") == 2
    assert daemon.value("vitalsd_check_status", check="failed") == 1
    page = daemon.page("/")
    assert "/no/such/&lt;b&gt;directory" in page and "<b>directory" not in page
    assert "directory" not in daemon.page()  # the message is no label


def test_an_acknowledged_run_survives_a_kill(watched: Callable[..., Vitalsd]) -> None:
    daemon = watched()
    for run in range(3):
        assert curl(daemon, f"/start?rid={run}") == 200
        assert curl(daemon, f"/exit/{run}?rid={run}", "--data", f"message {run}") == 200
        daemon.kill()
        daemon.start()
    daemon.wait_for("job_last_exit_code", 2)
    assert outcomes(daemon) == {"ok": 1, "failed": 2}
    assert daemon.status()["probes"][0]["message"] == "message 2"
    # A repetition of the last request has no effect.
    assert curl(daemon, "/exit/2?rid=2") == 200
    daemon.wait_runs("nightly", 2)
    assert outcomes(daemon) == {"ok": 1, "failed": 2}


def wait_hanging(daemon: Vitalsd) -> None:
    """Waits until a thread of the daemon is in a call that does not return."""

    def hangs() -> bool:
        stats = (file.read_text() for file in Path(f"/proc/{daemon.pid}/task").glob("*/stat"))
        return any(stat.rpartition(")")[2].split()[0] == "D" for stat in stats)

    wait_until(hangs, what="a thread that hangs")


@pytest.mark.parametrize("where", ["file", "directory"])
def test_a_save_that_hangs_at_shutdown(
    watched: Callable[..., Vitalsd], tmp_path: Path, mounts: Mounts, where: str
) -> None:
    """The daemon exits within five seconds. What was acknowledged is in the file, and what is not in
    the file was not acknowledged."""
    good, dead, state = (tmp_path / name for name in ("good", "dead", "state"))
    good.mkdir()
    state.symlink_to(good)
    mounts.dead(dead)
    daemon = watched()
    assert curl(daemon, "/fail?rid=1") == 200
    if where == "file":
        hanging = good / "state.json.new"
        hanging.symlink_to(dead / "file")
    else:
        hanging = state
        state.unlink()
        state.symlink_to(dead)
    with ThreadPoolExecutor() as clients:
        late = clients.submit(curl, daemon, "")
        wait_hanging(daemon)
        began = time.monotonic()
        daemon.end()
        assert time.monotonic() - began < 8 * PATIENCE
        assert late.result() != 200
    hanging.unlink()
    if where == "directory":
        state.symlink_to(good)
    daemon.start()
    daemon.wait_for("job_runs_total", 1, outcome="failed")
    assert outcomes(daemon) == {"ok": 0, "failed": 1}
    assert curl(daemon, "") == 200


def test_a_slow_save_at_shutdown(
    watched: Callable[..., Vitalsd], tmp_path: Path, mounts: Mounts
) -> None:
    """If the disk responds in time, the daemon ends the save that is in progress."""
    state = tmp_path / "state"
    mounts.disk(state)
    daemon = watched()
    assert curl(daemon, "/fail?rid=1") == 200
    mounts.freeze(state)

    def thaw() -> None:
        wait_until(lambda: daemon.log_lines("received a signal"), what="the shutdown")
        mounts.thaw(state)

    with ThreadPoolExecutor() as threads:
        late = threads.submit(curl, daemon, "")
        wait_hanging(daemon)
        thawed = threads.submit(thaw)
        daemon.end()
        thawed.result()
        assert late.result() in (0, 200, 503)
    daemon.start()
    daemon.wait_for("job_runs_total", 1, outcome="failed")
    assert outcomes(daemon) == {"ok": 1, "failed": 1}


def test_wrong_credentials(watched: Callable[..., Vitalsd], token: Path) -> None:
    daemon = watched()
    assert curl(daemon, "", token="wrong") == 401
    assert daemon.get("/api/v1/jobs/nightly", method="POST")[0] == 401
    assert daemon.get("/api/v1/jobs/other", {"Authorization": f"Bearer {TOKEN}"}, "POST")[0] == 404
    # The file is read for each request.
    token.write_text("the-next-token-of-the-job")
    assert curl(daemon, "") == 401
    assert curl(daemon, "", token="the-next-token-of-the-job") == 200
    token.unlink()
    assert curl(daemon, "", token="the-next-token-of-the-job") == 503
    daemon.wait_failed("nightly", "config")
    token.write_text(TOKEN)
    assert curl(daemon, "") == 200
    daemon.wait_ok("nightly")
    assert outcomes(daemon)["failed"] == 0
    daemon.wait_for("job_runs_total", 2, outcome="ok")


def test_requests_are_limited(watched: Callable[..., Vitalsd], tmp_path: Path) -> None:
    daemon = watched()
    large = tmp_path / "large"
    large.write_bytes(b"x" * 60_000)
    assert curl(daemon, "/fail", "--data-binary", f"@{large}") == 200
    large.write_bytes(b"x" * 70_000)
    assert curl(daemon, "/fail", "--data-binary", f"@{large}") == 413
    daemon.wait_for("job_runs_total", 1, outcome="failed")
    assert len(daemon.status()["probes"][0]["message"]) == 10_001
    statuses = {daemon.get("/api/v1/jobs/nightly", method="POST")[0] for _ in range(40)}
    assert statuses == {401, 429}
    assert curl(daemon, "") == 200  # with the token


def test_a_run_that_does_not_end(watched: Callable[..., Vitalsd]) -> None:
    daemon = watched(max_duration="1s")
    assert curl(daemon, "/start") == 200
    daemon.wait_for("job_overdue", 1)
    daemon.wait_for("vitalsd_check_status", 2, check="overdue")
    (check,) = (c for c in daemon.status()["probes"][0]["checks"] if c["name"] == "overdue")
    assert "has not ended" in check["object"]
    daemon.restart()
    daemon.wait_for("job_overdue", 1)
    assert curl(daemon, "") == 200
    daemon.wait_for("job_overdue", 0)


def test_the_configuration_changes(watched: Callable[..., Vitalsd], token: Path) -> None:
    daemon = watched()
    assert curl(daemon, "/fail") == 200
    daemon.wait_for("job_runs_total", 1, outcome="failed")
    # A new schedule keeps the state of the job.
    daemon.configuration["probes"] = [job(token, schedule="@weekly")]
    daemon.reload()
    daemon.wait_runs("nightly", 2)
    assert outcomes(daemon) == {"ok": 0, "failed": 1}
    # The state of a removed job is removed, too, and stays removed after a restart.
    daemon.configuration["probes"] = [job(token) | {"name": "other"}]
    daemon.reload()
    assert daemon.absent("job_runs_total", probe="nightly")
    assert curl(daemon, "") == 404
    daemon.restart()
    daemon.configuration["probes"] = [job(token)]
    daemon.reload()
    daemon.wait_runs("nightly")
    assert outcomes(daemon) == {"ok": 0, "failed": 0}


def test_curl_retries_during_a_restart(watched: Callable[..., Vitalsd]) -> None:
    daemon = watched()
    daemon.freeze()
    patient = ["--max-time", "3", "--retry", "5", "--retry-delay", "1", "--retry-all-errors"]
    url = f"http://{daemon.address}/api/v1/jobs/nightly?rid=1"
    client = subprocess.Popen(
        ["curl", "--silent", "--fail", *patient, "-X", "POST"]
        + ["-H", f"Authorization: Bearer {TOKEN}", url],
        stdout=subprocess.DEVNULL,
    )
    stays(lambda: client.poll() is None, for_seconds=0.5)
    daemon.kill()
    daemon.start()
    assert client.wait(timeout=30) == 0
    daemon.wait_for("job_runs_total", 1, outcome="ok")


def test_a_state_that_cannot_be_saved_is_not_acknowledged(
    vitalsd: Daemon, token: Path, tmp_path: Path
) -> None:
    daemon = vitalsd([job(token)], state={"directory": str(tmp_path / "missing")}, secrets=[TOKEN])
    assert curl(daemon, "?rid=1") == 503
    (tmp_path / "missing").mkdir()
    assert curl(daemon, "?rid=1", "--retry", "5") == 200
    daemon.wait_for("job_runs_total", 1, outcome="ok")


def test_without_a_state_file(vitalsd: Daemon) -> None:
    daemon = vitalsd(
        [{"name": "nightly", "kind": "job", "schedule": "@every 1h", "token": "none"}]
    )
    assert daemon.get("/api/v1/jobs/nightly/fail", method="POST") == (200, b"OK\n")
    daemon.wait_for("job_runs_total", 1, outcome="failed")
