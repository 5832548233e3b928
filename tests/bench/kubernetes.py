"""Measures the cost of a large cluster for vitalsd and for the informers of client-go, which all
exporters in Go use: a real API server with 1,000 nodes and 20,000 pods with 2 containers. Prints
rows for the table of bench.py.

    kubernetes.py [NODES PODS]     measures; use smaller numbers for trials
    kubernetes.py --families       prints the bytes on the page per pod, by family
"""

from __future__ import annotations

import http.client
import json
import ssl
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench import Row, cpu_seconds, get, memory_mb, running, timed  # noqa: E402
from support import process, wait_until  # noqa: E402
from support.kubernetes import ApiServer, built  # noqa: E402
from support.kubernetes_client import Client  # noqa: E402
from support.vitalsd import Vitalsd  # noqa: E402

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
    """Returns the time that the API server needs to send both lists to a client that discards
    them."""
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
    """The peer. `reports` are its output lines."""

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


def change(api: Client, pods: list[tuple[str, str]]) -> None:
    """Changes each pod once, in a field that is published."""
    turn = time.time_ns() % 1_000_000

    def restart(pod: tuple[str, str]) -> None:
        path = f"/api/v1/namespaces/{pod[0]}/pods/{pod[1]}/status"
        change = {"status": {"reason": f"turn-{turn}"}}
        api.request("PATCH", path, change, content_type="application/merge-patch+json")

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(restart, pods))


def some_pods(api: Client) -> list[tuple[str, str]]:
    """Returns pods spread over all, like real changes."""
    found = [
        (pod["metadata"]["namespace"], pod["metadata"]["name"])
        for pod in api.request("GET", "/api/v1/pods")["items"]
    ]
    return found[:: max(1, len(found) // EVENTS)][:EVENTS]


def settled(cpu: Callable[[], float]) -> float:
    """Returns the CPU time when it no longer increases."""
    before, now = -1.0, cpu()
    while now - before > 0.002:
        time.sleep(1)
        before, now = now, cpu()
    return now


def bench_kubernetes() -> Iterator[Row]:
    probes = [{"name": "pods", "kind": "pod"}, {"name": "nodes", "kind": "node"}]
    with running(ApiServer) as api:
        load(api, NODES, PODS)
        sending = seconds_to_list(api)
        pods = some_pods(api)

        def each(cpu: Callable[[], float]) -> float:
            """Returns the microseconds per event of a pod."""
            before = settled(cpu)
            change(api, pods)
            return (settled(cpu) - before) / len(pods) * 1e6

        # One after the other, because simultaneous events cost both of them more.
        name = "client-go informers"
        with running(lambda: Informers(api)) as peer:
            theirs = peer.first
            their_event = each(lambda: peer.report()["cpu_seconds"])
            their_memory = peer.report()["rss_bytes"] / 1e6
        make = lambda: Vitalsd(  # noqa: E731
            probes,
            interval="5s",
            timeout="5s",
            ready=False,
            kubernetes={"kubeconfig": str(api.kubeconfig())},
        )
        began = time.monotonic()
        with running(make) as daemon:
            # Without pages, because each page would include the cost of the first one.
            wait_until(lambda: get(daemon.port, "/-/ready")[0] == 200, deadline=60)
            assert restarts(daemon) >= 2 * PODS
            first, cpu = time.monotonic() - began, cpu_seconds(daemon.pid)
            what = f"{NODES:,} nodes and {PODS:,} pods: first whole `/metrics`"
            yield Row(what, first, "s", 1.5 * sending, theirs["seconds"], name)
            yield Row("... CPU until then", cpu, "s", 0.4, theirs["cpu_seconds"], name, 2.0)
            scrapes = [timed(lambda: get(daemon.port, "/metrics")) for _ in range(9)]
            yield Row("... scrape of the complete page", statistics.median(scrapes) * 1e3, "ms", 20)
            event = each(lambda: cpu_seconds(daemon.pid))
            yield Row("... one event of a pod", event, "us", 50, their_event, name)
            get(daemon.port, "/metrics", **{"Accept-Encoding": "gzip"})
            yield Row("... memory", memory_mb(daemon.pid), "MB", 64, their_memory, name)


def families() -> None:
    """Prints the bytes on the page for a pod with two containers, by family."""
    pods = 200
    with running(ApiServer) as api:
        load(api, 10, pods)
        for name in ("basic", "all"):
            make = lambda: Vitalsd(  # noqa: E731
                [{"name": "pods", "kind": "pod", "families": name}],
                interval="5s",
                timeout="5s",
                kubernetes={"kubeconfig": str(api.kubeconfig())},
            )
            with running(make) as daemon:
                wait_until(lambda: restarts(daemon) >= 2 * pods, deadline=60)
                lines = get(daemon.port, "/probes/pods/metrics")[1].decode().splitlines()
            sizes: dict[str, int] = {}
            for line in lines:
                if line.startswith("kube_pod_"):
                    family = line.split("{")[0]
                    sizes[family] = sizes.get(family, 0) + len(line) + 1
            print(f"families: {name}: {sum(sizes.values()) / pods:.0f} bytes a pod")
            for family, size in sorted(sizes.items()):
                print(f"| `{family}` | {size / pods:.0f} |")


def main() -> None:
    global NODES, PODS
    if len(sys.argv) > 2:
        NODES, PODS = int(sys.argv[1]), int(sys.argv[2])
    process.begin()
    if sys.argv[1:] == ["--families"]:
        families()
        return
    for row in bench_kubernetes():
        print(row.line(), flush=True)


if __name__ == "__main__":
    main()
