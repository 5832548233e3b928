"""What a large cluster costs vitalsd, beside what it costs the informers of client-go, which every
exporter in Go is built on: a real API server with 1,000 nodes and 20,000 pods of 2 containers.
Rows of bench.py."""

from __future__ import annotations

import contextlib
import http.client
import json
import ssl
import statistics
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import sys

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench import Row, cpu_seconds, get, memory_mb, running, timed
from support import wait_until
from support.kubernetes import ApiServer, Client, built
from support.vitalsd import Vitalsd

NODES, PODS = 1_000, 20_000
EVENTS = 2_000
PROTOBUF = "application/vnd.kubernetes.protobuf"


def load(api: ApiServer, nodes: int, pods: int) -> None:
    subprocess.run(
        [built("load", "load"), "load", f"-kubeconfig={api.kubeconfig()}", f"-nodes={nodes}", f"-pods={pods}"],
        check=True,
        stdout=subprocess.DEVNULL,
    )


def seconds_to_list(api: ApiServer) -> float:
    """What the API server needs to send both lists, to a reader that does nothing with them."""
    context = ssl.create_default_context(cafile=str(api.authority.path))
    admin = api.user("admin")
    context.load_cert_chain(admin.path, admin.key)

    def fetch(resource: str) -> None:
        connection = http.client.HTTPSConnection("127.0.0.1", api.port, context=context)
        path = f"/api/v1/{resource}?resourceVersion=0"
        connection.request("GET", path, headers={"Accept": PROTOBUF})
        response = connection.getresponse()
        assert response.status == 200
        while response.read(1 << 18):
            pass
        connection.close()

    def both() -> None:
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(fetch, ["pods", "nodes"]))

    return statistics.median(timed(both) for _ in range(5))


class Informers:
    """The peer; `reports` are its own words."""

    def __init__(self, api: ApiServer) -> None:
        self.process = subprocess.Popen(
            [built("load", "load"), "informers", f"-kubeconfig={api.kubeconfig()}"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.first = self._read()

    def _read(self) -> dict[str, Any]:
        assert self.process.stdout
        return json.loads(self.process.stdout.readline())

    def report(self) -> dict[str, Any]:
        assert self.process.stdin
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return self._read()

    def close(self) -> None:
        assert self.process.stdin
        self.process.stdin.close()
        self.process.wait(timeout=30)


def restarts(daemon: Vitalsd) -> int:
    _, body = get(daemon.port, "/metrics")
    return body.count(b"\nkube_pod_container_status_restarts_total{")


def change(api: ApiServer, names: list[tuple[str, str]], turn: int) -> None:
    """One event a pod: the first container has restarted."""

    def restart(name: tuple[str, str]) -> None:
        path = f"/api/v1/namespaces/{name[0]}/pods/{name[1]}/status"
        status = {"message": f"turn {turn}"}
        api.request("PATCH", path, {"status": status}, content_type="application/merge-patch+json")

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(restart, names))


def bench_kubernetes() -> Iterator[Row]:
    probes = [{"name": "pods", "kind": "pod"}, {"name": "nodes", "kind": "node"}]
    with running(ApiServer) as api:
        load(api, NODES, PODS)
        sending = seconds_to_list(api)
        make = lambda: Vitalsd(  # noqa: E731
            probes,
            interval="15s",
            timeout="14s",
            ready=False,
            kubernetes={"kubeconfig": str(api.kubeconfig())},
        )
        began = time.monotonic()
        with running(make) as daemon:
            wait_until(lambda: restarts(daemon) >= 2 * PODS, deadline=60)
            first, cpu = time.monotonic() - began, cpu_seconds(daemon.pid)
            yield Row("first whole `/metrics`", first, "s", 1.5 * sending)
            yield Row("CPU until then", cpu, "s", 0.4)
            scrape = statistics.median(timed(lambda: get(daemon.port, "/metrics")) for _ in range(9))
            yield Row("memory", memory_mb(daemon.pid), "MB", 64)
            yield Row("scrape", scrape * 1e3, "ms", 20)


if __name__ == "__main__":
    import sys

    from support import process

    if len(sys.argv) > 1:
        NODES, PODS = int(sys.argv[1]), int(sys.argv[2])
    process.begin()
    for row in bench_kubernetes():
        print(row.line(), flush=True)
