"""Memory errors at exit, while requests hang and a reload is in progress. The sanitizers do not see
the libraries of the system, and valgrind does."""

from __future__ import annotations

import os
import signal
import socket
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from support.vitalsd import Vitalsd, binary, sanitized

pytestmark = pytest.mark.long

KUBECONFIG = {
    "current-context": "hangs",
    "contexts": [{"name": "hangs", "context": {"cluster": "hangs", "user": "nobody"}}],
    "users": [{"name": "nobody", "user": {}}],
}


@pytest.mark.parametrize("reloads", [0, 1, 3])
def test_exit_under_valgrind(
    vitalsd: Callable[..., Vitalsd],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    reloads: int,
) -> None:
    if sanitized():
        pytest.skip("valgrind cannot run a sanitizer")
    log, program = tmp_path / "valgrind.log", tmp_path / "vitalsd"
    program.write_text(
        "#!/bin/sh\n"
        f'exec valgrind -q --error-exitcode=99 --log-file={log} {binary()} "$@"\n'
    )
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("VITALSD_BINARY", str(program))
    with socket.create_server(("127.0.0.1", 0), backlog=64) as hanging:  # accepts, never answers
        place = f"127.0.0.1:{hanging.getsockname()[1]}"
        kubeconfig = tmp_path / "kubeconfig"
        cluster = {"name": "hangs", "cluster": {"server": f"http://{place}"}}
        kubeconfig.write_text(yaml.safe_dump(KUBECONFIG | {"clusters": [cluster]}))
        probes = [
            {"name": "nodes", "kind": "node"},
            {"name": "pods", "kind": "pod"},
            {"name": "web", "kind": "http", "url": f"http://{place}/"},
            {"name": "tls", "kind": "certificate", "endpoint": place},
            {"name": "cache", "kind": "redis", "url": f"redis://{place}"},
            {"name": "db", "kind": "postgres", "url": f"postgresql://monitor@{place}/db"},
            {"name": "name", "kind": "dns", "query": "a.test", "server": place},
            {"name": "port", "kind": "tcp", "endpoint": place},
            {"name": "backups", "kind": "backup", "directory": str(tmp_path)},
            {"name": "disks", "kind": "filesystem"},
        ]
        daemon = vitalsd(
            probes,
            interval="20s",
            timeout="20s",
            ready=False,
            kubernetes={"kubeconfig": str(kubeconfig)},
            state={"directory": str(tmp_path)},
        )
        daemon.wait_ok("port", deadline=60)
        for number in range(reloads):  # SIGTERM arrives while the last one is in progress
            daemon.configuration["defaults"]["interval"] = f"{21 + number}s"
            daemon.write_configuration()
            os.kill(daemon.pid, signal.SIGHUP)
        daemon.end()
    assert log.read_text() == ""
