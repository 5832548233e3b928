"""Warnings about what a valid configuration cannot use here: `config check` and the daemon."""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from support.mounts import Mounts
from support.vitalsd import Vitalsd, binary, run
from support.waiting import PATIENCE, wait_until

PROBE = "probes: [{{name: a, kind: http, url: 'http://h.test', bearer_token: {{file: '{}'}}}}]\n"


def test_strict_makes_warnings_errors(tmp_path: Path) -> None:
    file = tmp_path / "vitalsd.yaml"
    secret = tmp_path / "token"
    file.write_text(PROBE.format(secret))
    lenient, strict = (run("config", "check", *flag, file) for flag in ([], ["--strict"]))
    warning = rf"{file}:1:\d+: warning: probes\[0\]\.bearer_token: cannot read {secret}: .*\n"
    assert re.fullmatch(warning, lenient.stderr), lenient.stderr
    assert (lenient.returncode, lenient.stdout) == (0, f"{file}: valid, 1 probe\n")
    assert strict.stderr.startswith(lenient.stderr)
    assert (strict.returncode, strict.stdout) == (2, "")
    secret.write_text("letmein\n")
    strict = run("config", "check", "--strict", file)
    assert (strict.returncode, strict.stderr) == (0, "")


def test_standard_input_is_checked(tmp_path: Path) -> None:
    text = PROBE.format(tmp_path / "token")
    command = [binary(), "config", "check", "--strict", "-"]
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert re.match(r"-:1:\d+: warning: probes\[0\]\.bearer_token: ", done.stderr)


def test_a_dead_directory_delays_the_check_by_a_second(tmp_path: Path, mounts: Mounts) -> None:
    dead = tmp_path / "dead"
    mounts.dead(dead)
    file = tmp_path / "vitalsd.yaml"
    file.write_text(f"state: {{directory: {dead / 'state'}}}\n" + PROBE.format(dead / "token"))
    began = time.monotonic()
    done = run("config", "check", file)
    assert time.monotonic() - began < 2 + 2 * PATIENCE
    assert done.returncode == 0
    assert done.stderr.count("check that its file system responds") == 2, done.stderr


def test_the_daemon_logs_the_warnings_once(
    vitalsd: Callable[..., Vitalsd], tmp_path: Path
) -> None:
    missing = tmp_path / "token"
    probe = {"name": "a", "kind": "http", "url": "http://127.0.0.1:1", "interval": "100ms"}
    daemon = vitalsd([{**probe, "bearer_token": {"file": str(missing)}}])

    def warnings() -> int:
        lines = daemon.log_lines("configuration", level="warn")
        return sum(str(missing) in line["problem"] for line in lines)

    wait_until(lambda: warnings() == 1, what="the warning at the start")
    daemon.hang_up()
    wait_until(lambda: warnings() == 2, what="the warning of the reload")
