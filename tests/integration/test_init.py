"""`vitalsd init`: a starter configuration from the environment, without secrets."""

from __future__ import annotations

import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from support.vitalsd import binary, run

SECRET = "hunter2"


def init(*arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Runs it with these variables only."""
    command = [binary(), "init", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


CASES: dict[str, tuple[dict[str, str], dict[str, Any]]] = {
    "nothing": ({}, {}),
    "pod": ({"KUBERNETES_SERVICE_HOST": "10.0.0.1"}, {"nodes": {}, "pods": {}, "workloads": {}}),
    "libpq": (
        {"PGHOST": "db", "PGUSER": "m@n", "PGPASSWORD": SECRET, "PGSSLMODE": "verify-full"},
        {
            "postgres": {
                "url": "postgresql://m%40n@db/m%40n?sslmode=verify-full",
                "password": {"env": "PGPASSWORD"},
            }
        },
    ),
    "socket": (
        {"PGHOST": "/run/pg"},
        {"postgres": {"url": "postgresql://postgres@/postgres?host=%2Frun%2Fpg"}},
    ),
    "database": (
        {"DATABASE_URL": f"postgres://u:{SECRET}@db:5433/app?sslmode=verify-full&options={SECRET}"},
        {
            "database": {
                "url": "postgresql://u@db:5433/app?sslmode=verify-full",
                "password": {"file": "/etc/vitalsd/database-password"},
            }
        },
    ),
    "redis": (
        {"REDIS_URL": f"rediss://:{SECRET}@c:6380/1", "REDIS_PASSWORD": SECRET},
        {"redis": {"url": "rediss://c:6380/1", "password": {"env": "REDIS_PASSWORD"}}},
    ),
    "redis of a Service": ({"REDIS_HOST": "c", "REDIS_PORT": "tcp://10.0.0.2:6379"}, {}),
    "redis host": ({"REDIS_HOST": "c"}, {"redis": {"url": "redis://c:6379"}}),
    "web": (
        {
            "MY_API_URL": f"https://u:{SECRET}@api.test/x?t={SECRET}",
            "MQ_URI": f"amqp://u:{SECRET}@mq:5672",
        },
        {
            "my-api": {"url": "https://api.test/x"},
            "my-api-tls": {"endpoint": "api.test:443"},
            "mq": {"endpoint": "mq:5672"},
        },
    ),
    "nonsense": (
        {
            "A_URL": SECRET,
            "_URL": "http://h",
            "B_URL": f"http://u:{SECRET}/@h",
            "PGHOST": "a\n- b",
            "REDIS_URL": "redis://h/x?y",
        },
        {"redis": {"url": "redis://h"}},
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_the_result_is_valid_and_has_what_was_found(case: str, tmp_path: Path) -> None:
    environment, expected = CASES[case]
    done = init(**environment, HOME=str(tmp_path))
    assert (done.returncode, done.stderr) == (0, "")
    assert SECRET not in done.stdout
    file = tmp_path / "vitalsd.yaml"
    file.write_text(done.stdout)
    checked = run("config", "check", file)
    assert checked.returncode == 0, checked.stderr
    # A password that is in no variable is to be written to a file, and the check says so.
    files = done.stdout.count("password: {file")
    assert checked.stderr.count("cannot read") == files, checked.stderr
    written = yaml.safe_load(done.stdout)
    host = "0.0.0.0" if case == "pod" else "127.0.0.1"
    assert written["web"] == {"listen": f"{host}:9747"}
    probes = {probe.pop("name"): probe for probe in written["probes"]}
    disks = probes.pop("disks")
    assert disks["mounts"][0] == "/"
    for probe in probes.values():
        assert probe.pop("kind")
    assert probes == expected


def test_a_kubeconfig(tmp_path: Path) -> None:
    file = tmp_path / "kubeconfig"
    missing = init(KUBECONFIG=str(file), HOME=str(tmp_path))
    assert "kubernetes:" not in missing.stdout
    file.touch()
    found = yaml.safe_load(init(KUBECONFIG=f"{file}:/x", HOME=str(tmp_path)).stdout)
    assert found["kubernetes"] == {"kubeconfig": str(file)}
    assert [probe["kind"] for probe in found["probes"]][:3] == ["node", "pod", "workload"]
    default = tmp_path / ".kube" / "config"
    default.parent.mkdir()
    default.touch()
    found = yaml.safe_load(init(HOME=str(tmp_path)).stdout)
    assert found["kubernetes"] == {"kubeconfig": str(default)}


def test_a_file_is_never_overwritten(tmp_path: Path) -> None:
    file = tmp_path / "vitalsd.yaml"
    done = init("-o", file)
    assert (done.returncode, done.stderr) == (0, "")
    assert str(file) in done.stdout
    assert not file.stat().st_mode & stat.S_IWOTH
    assert run("config", "check", file).returncode == 0
    file.write_text("precious")
    again = init("-o", file)
    assert (again.returncode, again.stdout) == (1, "")
    assert "File exists" in again.stderr
    assert file.read_text() == "precious"
    assert init("-o", tmp_path / "missing" / "x").returncode == 1


def test_the_error_about_a_missing_configuration_names_it(tmp_path: Path) -> None:
    missing = tmp_path / "missing.yaml"
    for command in (["--config"], ["check", "--config"], ["config", "check"]):
        assert "vitalsd init" in run(*command, missing).stderr
