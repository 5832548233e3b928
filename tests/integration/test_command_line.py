"""The command line: its output on both streams, and the exit codes that scripts rely on."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from support.http_peer import HttpPeer, Request, answer
from support.nginx import Nginx
from support.process import free_port
from support.vitalsd import Vitalsd, binary, run
from support.waiting import PATIENCE, wait_until

Daemon = Callable[..., Vitalsd]

OK, WARNING, CRITICAL, UNKNOWN = range(4)


@pytest.fixture
def config(tmp_path: Path) -> Callable[..., Path]:
    """config(line, ...) writes a configuration with these probes."""

    def write(*probes: str, before: str = "") -> Path:
        file = tmp_path / "vitalsd.yaml"
        file.write_text("\n".join([before, "probes:", *(f"  - {probe}" for probe in probes), ""]))
        return file

    return write


@pytest.fixture
def examples(nginx: Nginx, tmp_path: Path) -> dict[int, str]:
    """A probe for each result."""
    (tmp_path / "backups").mkdir()
    dump = tmp_path / "backups" / "dump"
    dump.write_text("x")
    os.utime(dump, (time.time() - 7200,) * 2)
    aged = f"kind: backup, directory: {dump.parent}, checks: {{age: {{warn: 1h}}}}"
    return {
        OK: f"{{name: web, kind: tcp, endpoint: '127.0.0.1:{nginx.port}'}}",
        WARNING: f"{{name: dumps, {aged}}}",
        CRITICAL: f"{{name: nobody, kind: tcp, endpoint: '127.0.0.1:{free_port()}'}}",
        UNKNOWN: f"{{name: api, kind: http, url: '{nginx.url()}', bearer_token: {{env: UNSET}}}}",
    }


# ---- check --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("verdicts", "code"),
    [
        ([OK], 0),
        ([OK, WARNING], 1),
        ([OK, WARNING, CRITICAL, UNKNOWN], 2),
        ([OK, WARNING, UNKNOWN], 3),
    ],
)
def test_check_exits_with_the_worst_verdict(
    config: Callable[..., Path], examples: dict[int, str], verdicts: list[int], code: int
) -> None:
    done = run("check", "--config", config(*(examples[verdict] for verdict in verdicts)))
    assert done.returncode == code, done.stdout + done.stderr
    assert done.stderr == ""


def test_check_as_text(config: Callable[..., Path], examples: dict[int, str]) -> None:
    done = run("check", "--config", config(*examples.values()))
    lines = done.stdout.splitlines()
    marks = {line.split()[1]: line[0] for line in lines if line[:1] in "✓!✗?" and line.strip()}
    assert marks == {"web": "✓", "dumps": "!", "nobody": "✗", "api": "?"}
    assert "    ! age 2h (dump), warn above 1h" in lines
    assert any(line.startswith("    connect: ") for line in lines)
    assert "    config: environment variable UNSET is not set" in lines
    assert lines[-1] == "4 probes: 1 critical, 1 unknown, 1 warning, 1 ok"
    assert list(marks) == ["nobody", "api", "dumps", "web"]
    assert "\x1b" not in done.stdout


def test_check_as_json(config: Callable[..., Path], examples: dict[int, str]) -> None:
    done = run("check", "--format", "json", "--config", config(*examples.values()))
    assert done.returncode == CRITICAL
    document = json.loads(done.stdout)
    assert document["state"] == "critical"
    probes = {probe["name"]: probe for probe in document["probes"]}
    states = {name: probe["state"] for name, probe in probes.items()}
    assert states == {"web": "ok", "dumps": "warning", "nobody": "critical", "api": "unknown"}
    (age,) = probes["dumps"]["checks"]
    assert (age["name"], age["state"], age["object"]) == ("age", "warning", "dump")
    assert 7200 <= age["reading"] < 7200 + PATIENCE * 60
    assert (age["unit"], age["threshold"], age["worse"]) == ("seconds", 3600, "above")
    assert (probes["nobody"]["reason"], probes["api"]["reason"]) == ("connect", "config")
    assert "Connection refused" in probes["nobody"]["error"]
    assert "reason" not in probes["web"]
    assert all(0 <= probe["duration_seconds"] < PATIENCE for probe in probes.values())


def test_check_of_some_probes(config: Callable[..., Path], examples: dict[int, str]) -> None:
    file = config(*examples.values())

    def names(*arguments: str) -> list[str]:
        done = run("check", "--config", file, "--format", "json", *arguments)
        assert done.stderr == ""
        return [probe["name"] for probe in json.loads(done.stdout)["probes"]]

    assert names("--sort", "name") == ["api", "dumps", "nobody", "web"]
    assert names("web", "d*") == ["dumps", "web"]
    assert names("--kind", "tcp", "--failed") == ["nobody"]
    assert names("--kind", "tcp,http", "--sort", "name") == names(
        "--kind=tcp", "--kind=http", "--sort=name"
    )
    done = run("check", "--config", file, "--failed", "--format", "json", "web")
    status = json.loads(done.stdout)
    assert (done.returncode, status["state"], status["probes"]) == (OK, "ok", [])
    done = run("check", "--config", file, "web", "--quiet")
    assert (done.returncode, done.stdout) == (OK, "")
    assert run("check", "--config", file, "--format", "nagios").stdout.startswith("CRITICAL - ")
    assert "| critical | nobody | tcp |" in run("check", "-c", file, "--format=markdown").stdout
    for arguments, error in {
        ("wep",): "no probe has the name 'wep' (did you mean 'web'?)",
        ("--kind", "http", "web"): "no probe",
        ("--label", "team=x"): "no probe matches all of PROBE, --kind and --label",
        ("--label", "team"): "use NAME=VALUE",
        ("--format", "xml"): "xml",
    }.items():
        done = run("check", "--config", file, *arguments)
        assert done.returncode == UNKNOWN, done.stdout
        assert error in done.stderr


@pytest.mark.serial
def test_check_ends_at_the_deadline(config: Callable[..., Path], nginx: Nginx) -> None:
    """A hanging probe takes its own timeout, which may be as long as its interval."""
    silent = f"kind: http, url: '{nginx.url('/silent')}', timeout: 1s"
    for interval in ("1s", "30s"):
        probes = [f"{{name: silent-{number}, {silent}, interval: {interval}}}" for number in "1234"]
        began = time.monotonic()
        done = run("check", "--config", config(*probes))
        assert 0.9 < time.monotonic() - began < 1.3 + PATIENCE
        assert done.returncode == CRITICAL, done.stdout
        assert done.stdout.count("timeout: no response within 1s") == 4


def test_check_of_a_running_daemon(vitalsd: Daemon, nginx: Nginx, tmp_path: Path) -> None:
    """It prints what `check` prints of the same probes, and what the daemon knows."""
    dump = tmp_path / "dump"
    dump.write_text("x")
    os.utime(dump, (time.time() - 7200,) * 2)
    checks = {"age": {"warn": "1h"}}
    web = {"name": "web", "kind": "tcp", "endpoint": f"127.0.0.1:{nginx.port}"}
    dumps = {"name": "dumps", "kind": "backup", "directory": str(tmp_path), "checks": checks}
    nobody = {"name": "nobody", "kind": "tcp", "endpoint": f"127.0.0.1:{free_port()}"}
    daemon = vitalsd([web, dumps, nobody])
    daemon.wait_for("vitalsd_probe_status", OK, probe="web")
    daemon.wait_for("vitalsd_probe_status", WARNING, probe="dumps")
    daemon.check_reason("nobody", "connect")
    url = f"http://{daemon.address}"

    def shown(*arguments: str | Path) -> list[str]:
        """The lines without durations and readings, which change."""
        text = run("check", *arguments).stdout
        return [re.sub(r"  \d+m?s$", "", line) for line in text.splitlines()]

    def agrees() -> bool:
        for form in ("text", "nagios", "markdown"):
            own = shown("--format", form, "--config", daemon.config_file)
            assert shown("--format", form, "--status", url) == own
        return True

    wait_until(agrees, what="the daemon and check agree")
    wait_until(
        lambda: run("check", "--status", url).returncode == CRITICAL, what="nobody is critical"
    )
    done = run("check", "--status", url, "--format", "json", "--label", "team=x")
    assert (done.returncode, done.stdout) == (UNKNOWN, "")

    def warns() -> bool:
        done = run("check", "--status", url, "--format", "json", "dumps")
        (probe,) = json.loads(done.stdout)["probes"]
        return (probe["state"], "since" in probe) == ("warning", True)

    wait_until(warns, what="the daemon knows since when")
    for arguments, error in {
        ("--status", url, "wep"): "no probe has the name 'wep' (did you mean 'web'?)",
        ("--status", url + "/nothing"): "status 404: Not found.",
        ("--status", f"http://127.0.0.1:{free_port()}"): "Connection refused",
        ("--status", f"https://{daemon.address}"): "the server does not use TLS on this port",
        ("--status", daemon.address): "the URL has no scheme",
        ("--status", url, "--config", "x"): "--config excludes --status",
        ("--ca", "x"): "--ca requires --status",
    }.items():
        done = run("check", *arguments)
        assert (done.returncode, done.stdout) == (UNKNOWN, "")
        assert error in done.stderr


def test_check_of_a_daemon_on_standby() -> None:
    """It has no probes, so nothing is known."""
    standby = {"version": "1", "healthy": True, "leads": False, "probes": []}

    def status(request: Request) -> bytes:
        # base64 of "monitor:a password"
        if request.headers.get("authorization") != "Basic bW9uaXRvcjphIHBhc3N3b3Jk":
            return answer("Authentication is required.\n", 401)
        return answer(json.dumps(standby))

    with closing(HttpPeer({"/prefix/api/v1/status": status})) as peer:
        url = peer.url("/prefix").replace("://", "://monitor@")
        done = run("check", "--status", url, VITALSD_PASSWORD="a password")
        assert done.returncode == UNKNOWN
        assert "standby: another replica is the leader" in done.stderr
        refused = run("check", "--status", url)
        assert refused.returncode == UNKNOWN
        assert "status 401: Authentication is required." in refused.stderr


# ---- configuration ------------------------------------------------------------------------------

BAD = """\
defaults: {interval: 5s, timeout: 10s}
probes:
  - name: web
    kind: htpp
    url: http://web.test
  - name: web
    kind: tcp
    endpoit: web.test:80
    interval: 10
"""
FAULTS = [
    r":1:\d+: defaults\.timeout: ",
    r":4:11: probes\[0\]\.kind: unknown kind 'htpp' \(did you mean 'http'\?\)",
    r":6:11: probes\[1\]\.name: ",
    r":8:5: probes\[1\]\.endpoit: .*did you mean 'endpoint'",
    r":9:15: probes\[1\]\.interval: ",
]


def test_all_errors_of_a_configuration_are_reported_at_once(tmp_path: Path) -> None:
    file = tmp_path / "bad.yaml"
    file.write_text(BAD)
    told = []
    for command in (["config", "check", file], ["--config", file]):
        done = run(*command)
        assert done.returncode == 2
        assert done.stdout == ""
        told.append(done.stderr)
    assert told[0] == told[1]
    for fault in FAULTS:
        assert re.search(f"^{re.escape(str(file))}{fault}", told[0], re.MULTILINE), told[0]
    once = run("check", "--config", file)
    assert (once.returncode, once.stderr) == (UNKNOWN, told[0])


def test_a_good_configuration(config: Callable[..., Path], examples: dict[int, str]) -> None:
    file = config(examples[OK], examples[CRITICAL])
    done = run("config", "check", file)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{file}: valid, 2 probes\n", "")
    disabled = config(examples[OK], "{name: b, kind: tcp, endpoint: 'b.test:1', enabled: false}")
    assert run("config", "check", disabled).stdout == f"{disabled}: valid, 2 probes, 1 disabled\n"
    literal = config("{name: a, kind: redis, url: 'redis://a.test', password: letmein}")
    done = run("config", "check", literal)
    assert (done.returncode, done.stdout) == (0, f"{literal}: valid, 1 probe\n")
    assert re.search(r":3:\d+: warning: probes\[0\]\.password: ", done.stderr), done.stderr
    assert "letmein" not in done.stderr


@pytest.mark.parametrize("kind", ["missing", "directory", "binary", "empty"])
def test_a_file_that_is_no_configuration(tmp_path: Path, kind: str) -> None:
    """An empty configuration is invalid too, because it is certainly a mistake."""
    file = tmp_path / "vitalsd.yaml"
    if kind == "directory":
        file.mkdir()
    if kind == "binary":
        file.write_bytes(bytes(range(128)))
    if kind == "empty":
        file.touch()
    done = run("--config", file)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith(f"{file}:"), done.stderr


def test_the_address_to_listen_on(vitalsd: Daemon, config: Callable[..., Path]) -> None:
    daemon = vitalsd([], ready=False)
    taken = run("--config", daemon.config_file)
    assert taken.returncode == 3
    assert "cannot serve HTTP" in taken.stderr
    assert "Address already in use" in taken.stderr
    elsewhere = run("--config", daemon.config_file, "--listen", "192.0.2.1:1")
    assert elsewhere.returncode == 3
    for wrong in ("nowhere", "127.0.0.1:99999", "localhost:9090"):
        done = run("--config", daemon.config_file, "--listen", wrong)
        assert done.returncode == 2
        assert done.stderr.startswith("--listen: ")
    # `check` opens no port.
    assert run("check", "--config", daemon.config_file).returncode == UNKNOWN  # no probes


def test_a_configuration_from_standard_input() -> None:
    """It is read to its end, however it arrives, and has a limit."""
    text = b"probes:\n" + b"# a comment\n" * 10_000 + b"- {name: web, kind: tcp, endpont: a:1}\n"
    command = [binary(), "config", "check", "-"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdin and process.stderr
        for start in range(0, len(text), 1000):
            process.stdin.write(text[start : start + 1000])
            process.stdin.flush()
        process.stdin.close()
        problems = process.stderr.read().decode()
        assert process.wait(60) == 2
    assert "10002:" in problems and "did you mean 'endpoint'" in problems

    limit = 16 << 20
    valid = b"probes: [{name: a, kind: tcp, endpoint: 'a.test:1'}]\n"
    for size, expected in ((limit, 0), (limit + 1, 2)):
        padded = valid + b"#" * (size - len(valid))
        large = subprocess.run(command, input=padded, capture_output=True, check=False, timeout=60)
        assert large.returncode == expected, large.stderr
        assert (b"larger than 16 MiB" in large.stderr) == (size > limit)


def test_ends_while_it_waits_for_its_configuration() -> None:
    """Reading standard input from a terminal, or a file from an unresponsive disk, never ends."""
    process = subprocess.Popen([binary(), "--config", "-"], stdin=subprocess.PIPE)

    def ignores_sighup() -> bool:
        status = Path(f"/proc/{process.pid}/status").read_text()
        mask = re.search(r"^SigIgn:\s*([0-9a-f]+)$", status, re.MULTILINE)
        return mask is not None and bool(int(mask[1], 16) >> (signal.SIGHUP - 1) & 1)

    try:
        wait_until(ignores_sighup, what="the configuration is being read")
        process.send_signal(signal.SIGHUP)
        process.send_signal(signal.SIGTERM)
        assert process.wait(15 * PATIENCE) == -signal.SIGTERM
    finally:
        process.kill()
        process.wait()


# ---- the rest -----------------------------------------------------------------------------------


def test_a_health_check_of_nobody() -> None:
    url = f"http://127.0.0.1:{free_port()}/-/healthy"
    done = run("healthcheck", "--url", url)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"{url}: {url[7:-10]}: Connection refused\n"


def test_a_health_check_of_an_invalid_url() -> None:
    done = run("healthcheck", "--url", "ftp://x")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "--url: the scheme must be http or https, not 'ftp'\n"


def test_version_and_help() -> None:
    version = run("--version")
    assert version.returncode == 0
    assert re.fullmatch(r"vitalsd \d+\.\d+\.\d+ \(\S+, .+\)\n", version.stdout)
    for command in (["--help"], ["check", "--help"], ["config", "--help"]):
        done = run(*command)
        assert done.returncode == 0
        assert "Usage" in done.stdout
        assert done.stderr == ""
    assert "Exit: 0 ok, 1 warning, 2 critical, 3 unknown" in run("check", "--help").stdout
    assert "Exit:" not in run("metrics", "--help").stdout
    assert run("version").stdout == version.stdout
    assert run("help").stdout == run("--help").stdout
    assert run("help", "config", "check").stdout == run("config", "check", "--help").stdout


def test_rules_absent(config: Callable[..., Path], tmp_path: Path) -> None:
    """The rules are those of the configured kinds."""
    http = "{name: api, kind: http, url: 'http://a.test'}"
    file = config("{name: web, kind: tcp, endpoint: 'a.test:1'}", http)
    done = run("rules", "absent", "--config", str(file))
    assert (done.returncode, done.stderr) == (0, "")
    rules = tmp_path / "rules.yaml"
    rules.write_text(done.stdout)
    checked = subprocess.run(["promtool", "check", "rules", rules], capture_output=True, check=False)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    kinds = re.compile("(?<=kind: )[a-z-]+")
    assert set(kinds.findall(done.stdout)) == {"http"}
    assert {"http", "backup"} < set(kinds.findall(run("rules", "absent", "--all-kinds").stdout))
    invalid = run("rules", "absent", "--config", str(config("{name: web, kind: teapot}")))
    assert (invalid.returncode, invalid.stdout) == (2, "")
    assert "teapot" in invalid.stderr


UNUSED = "is an option of the daemon, which this command does not use"


# Nagios reads 2 as critical, so `check` has another exit code for an error of the user.
@pytest.mark.parametrize(
    ("arguments", "code", "error"),
    [
        ("--bogus", 2, "vitalsd: unexpected argument '--bogus'"),
        ("--confg x", 2, "vitalsd: unexpected argument '--confg' (did you mean '--config'?)"),
        ("chek", 2, "vitalsd: unknown command 'chek' (did you mean 'check'?)"),
        ("help chek", 2, "vitalsd help: unknown command 'chek' (did you mean 'check'?)"),
        ("config", 2, "vitalsd config: A subcommand is required"),
        ("config chek x", 2, "vitalsd config: unknown command 'chek' (did you mean 'check'?)"),
        ("--listen", 2, "vitalsd: --listen: 1 required HOST:PORT missing"),
        ("check --bogus", 3, "vitalsd check: unexpected argument '--bogus'"),
        ("check --sort x", 3, "vitalsd check: --sort: x not in {state,name}"),
        ("--shard 0/3 check", 3, f"vitalsd check: --shard {UNUSED}"),
        ("--listen :1 metrics", 2, f"vitalsd metrics: --listen {UNUSED}"),
        ("--config x config reference", 2, f"vitalsd config reference: --config {UNUSED}"),
        ("--config x check --config y", 3, "vitalsd check: --config is given twice"),
        ("--config x config check y", 2, "vitalsd config check: --config and FILE are both given"),
        ("-q check", 3, "vitalsd check: '-q' must follow the command: vitalsd check -q"),
        (
            "--format json check",
            3,
            "vitalsd check: '--format' must follow the command: vitalsd check --format",
        ),
        (
            "--format=json",
            2,
            "vitalsd: '--format' must follow the command: vitalsd check --format",
        ),
        (
            "config --strict check x",
            2,
            "vitalsd config check: '--strict' must follow the command: "
            "vitalsd config check --strict",
        ),
        ("--bogus check", 3, "vitalsd check: unexpected argument '--bogus'"),
    ],
)
def test_wrong_usage(arguments: str, code: int, error: str) -> None:
    done = run(*arguments.split())
    assert (done.returncode, done.stdout) == (code, "")
    hint = r"\nRun 'vitalsd.* --help' for more information.\n"
    assert re.fullmatch(re.escape(error) + hint, done.stderr)


def test_the_configuration_before_the_command(
    config: Callable[..., Path], examples: dict[int, str]
) -> None:
    file = config(examples[OK])
    assert run("--config", file, "check").returncode == OK
    assert run("--config", file, "config", "check").stdout == f"{file}: valid, 1 probe\n"


def test_output_that_cannot_be_written(
    config: Callable[..., Path], examples: dict[int, str]
) -> None:
    file = str(config(examples[OK]))
    commands = ["check -c", "check --format=json -c", "config check", "rules absent -c"]
    commands = [f"{command} {file}" for command in commands]
    commands += ["metrics", "config reference", "config permissions", "version", "help"]
    commands += ["--version", "--help", "check --help"]
    for command in commands:
        with open("/dev/full", "wb", buffering=0) as full:
            done = subprocess.run(
                [binary(), *command.split()],
                stdout=full,
                stderr=subprocess.PIPE,
                check=False,
                timeout=60,
            )
        assert done.returncode == UNKNOWN, command
        assert b"vitalsd: cannot write to standard output" in done.stderr, command


@pytest.mark.parametrize("kind_of_terminal", ["xterm", "dumb"])
def test_progress_on_a_terminal(
    config: Callable[..., Path], nginx: Nginx, kind_of_terminal: str
) -> None:
    """Standard error is a terminal, standard output is not. A dumb one cannot clear a line."""
    silent = f"{{name: silent, kind: http, url: '{nginx.url('/silent')}', timeout: 3s}}"
    file = config(silent, f"{{name: web, kind: tcp, endpoint: '127.0.0.1:{nginx.port}'}}")
    terminal, end = pty.openpty()
    with subprocess.Popen(
        [binary(), "check", "-c", file],
        stdout=subprocess.PIPE,
        stderr=end,
        text=True,
        env={**os.environ, "TERM": kind_of_terminal},
    ) as process:
        output, _ = process.communicate(timeout=60)
    os.write(end, b"END")  # a read of an empty terminal fails
    shown = os.read(terminal, 10_000).decode().removesuffix("END")
    os.close(end)
    os.close(terminal)
    assert process.returncode == CRITICAL
    if kind_of_terminal == "dumb":
        assert shown == ""
        return
    assert re.search(r"waiting for [12] of 2 probes: silent", shown), shown
    assert shown.endswith("\r\x1b[K")
    assert "waiting for 1 of" not in output


def test_the_default_configuration_is_checked() -> None:
    done = run("config", "check")
    assert done.returncode in (0, 2)
    assert "/etc/vitalsd/vitalsd.yaml" in done.stdout + done.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_end_it_in_good_order(vitalsd: Daemon, nginx: Nginx, number: int) -> None:
    probe = {"name": "web", "kind": "tcp", "endpoint": f"127.0.0.1:{nginx.port}"}
    daemon = vitalsd([probe])
    daemon.stop_signal = signal.Signals(number)
    daemon.end()  # fails unless the exit code is 0
    assert daemon.log_lines("received a signal, shutting down", signal=signal.Signals(number).name)
    daemon.start()
