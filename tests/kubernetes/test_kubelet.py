"""Kind kubelet with kubelets that refuse, hang or send invalid data, and with many kubelets. The
nodes are objects of a real API server, the kubelets are stubs. The failure of a kubelet must affect
only its own node. tests/e2e/test_kubernetes_alerts.py covers a real kubelet."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from support import wait_until
from support.certificates import Authority
from support.fault_proxy import FaultProxy
from support.http_peer import answer
from support.kubelet_stub import CADVISOR, RECORDED, SUMMARY, KubeletStub, node
from support.kubernetes import ApiServer, ServiceAccount
from support.vitalsd import Vitalsd, sanitized

READ_NODES = {"apiGroups": [""], "resources": ["nodes"], "verbs": ["list", "watch"]}
MEMORY = "node_memory_working_set_bytes"
CONTAINER = "container_memory_working_set_bytes"
GOOD, BAD = "127.0.0.1", "127.0.0.2"
MANY = [f"127.0.1.{i}" for i in range(1, 201)]
MIB = 1 << 20

StartVitalsd = Callable[..., Vitalsd]


@pytest.fixture
def account(api_server: ApiServer) -> ServiceAccount:
    account = api_server.service_account(api_server.namespace())
    api_server.grant(account, READ_NODES)
    return account


@pytest.fixture
def stub_of() -> Iterator[Callable[..., KubeletStub]]:
    """stub_of(authority, token) starts a stub with a certificate of that authority."""
    made = []

    def make(authority: Authority, token: str) -> KubeletStub:
        certificate = authority.issue("kubelet", [GOOD, BAD, "::1", *MANY])
        made.append(KubeletStub(certificate, token))
        return made[-1]

    yield make
    for stub in made:
        stub.close()


@pytest.fixture
def stub(
    stub_of: Callable[..., KubeletStub], api_server: ApiServer, account: ServiceAccount
) -> KubeletStub:
    return stub_of(api_server.authority, account.token)


@pytest.fixture
def watch(
    vitalsd: StartVitalsd, api_server: ApiServer, account: ServiceAccount
) -> Callable[..., Vitalsd]:
    def start(interval: str = "1s", timeout: str = "900ms", **options: Any) -> Vitalsd:
        return vitalsd(
            [{"name": "kubelets", "kind": "kubelet", **options}],
            interval=interval,
            timeout=timeout,
            plain={**api_server.environment, "VITALSD_SERVICE_ACCOUNT": str(account.directory)},
            secrets=[account.token],
        )

    return start


def error(daemon: Vitalsd) -> str:
    (probe,) = daemon.status()["probes"]
    return probe.get("error", "")


def wait_error(daemon: Vitalsd, reason: str, text: str) -> str:
    """Waits until the probe fails with this reason. Its error must match."""
    (probe,) = wait_until(
        lambda: [
            probe
            for probe in daemon.status()["probes"]
            if probe.get("reason") == reason and re.search(text, probe["error"])
        ],
        deadline=60,
        what=lambda: f"{reason}: {text}; the error is: {error(daemon)}",
    )
    return probe["error"]


def nodes(daemon: Vitalsd, metric: str = MEMORY) -> set[str]:
    return {sample.labels["node"] for sample in daemon.samples(metric)}


def wait_nodes(daemon: Vitalsd, *names: str, metric: str = MEMORY) -> None:
    wait_until(
        lambda: nodes(daemon, metric) == set(names),
        what=lambda: f"{names}, not {nodes(daemon, metric)}",
    )


def wait_parts(daemon: Vitalsd, ok: int, failed: int) -> None:
    daemon.wait_for("vitalsd_probe_parts", ok, state="ok")
    daemon.wait_for("vitalsd_probe_parts", failed, state="failed")


def summary(memory: int) -> bytes:
    """Returns the recorded summary with this memory usage of the node."""
    page = json.loads((RECORDED / "summary.json").read_text())
    page["node"]["memory"]["workingSetBytes"] = memory
    return answer(json.dumps(page))


def wait_fresh(daemon: Vitalsd, stub: KubeletStub, *nodes: str) -> None:
    """Checks that the readings of these nodes follow their kubelets."""
    wait_fresh.memory += MIB
    stub.answers[SUMMARY] = summary(wait_fresh.memory)
    for name in nodes:
        daemon.wait_for(MEMORY, wait_fresh.memory, node=name)


wait_fresh.memory = 1024 * MIB


# ---- authentication -----------------------------------------------------------------------------


def test_a_kubelet_that_refuses(
    watch: Callable[..., Vitalsd], api_server: ApiServer, stub: KubeletStub
) -> None:
    api_server.apply([stub.node("good", GOOD), stub.node("bad", BAD)])
    daemon = watch()
    daemon.wait_ok("kubelets")
    wait_nodes(daemon, "bad", "good")
    assert nodes(daemon, CONTAINER) == {"bad", "good"}
    assert daemon.value(CONTAINER, node="good", container="postgres") >= 0

    user = "system:serviceaccount:vitalsd:vitalsd"
    forbidden = f"Forbidden (user={user}, verb=get, resource=nodes, subresource(s)=[{{}}])"
    for path, right, lost, kept in (
        (SUMMARY, "nodes/stats", MEMORY, CONTAINER),
        (CADVISOR, "nodes/metrics", CONTAINER, MEMORY),
    ):
        said = forbidden.format(right.removeprefix("nodes/"))
        stub.answers[BAD, path] = answer(said, 403)
        text = wait_error(daemon, "permission", f'get resource "{right}" in API group ""')
        assert text.startswith(f"bad: https://{BAD}:{stub.port}{path}: status 403: {said}")
        wait_parts(daemon, 1, 1)
        wait_nodes(daemon, "good", metric=lost)
        assert nodes(daemon, kept) == {"bad", "good"}
        wait_fresh(daemon, stub, "good")
        del stub.answers[BAD, path]
        daemon.wait_ok("kubelets")
        wait_nodes(daemon, "bad", "good")


def test_every_kubelet_is_an_instance(
    watch: Callable[..., Vitalsd], api_server: ApiServer, stub: KubeletStub
) -> None:
    api_server.apply([stub.node("good", GOOD), stub.node("bad", BAD)])
    daemon = watch()
    daemon.wait_ok("kubelets")
    wait_nodes(daemon, "bad", "good")
    for metric in (MEMORY, CONTAINER, "node_filesystem_avail_bytes"):
        for sample in daemon.samples(metric):
            assert sample.labels["instance"] == sample.labels["node"]
            assert sample.labels["probe"] == "kubelets"
    (up,) = daemon.samples("vitalsd_target_up")
    assert up.labels["instance"] == "kubelets"
    # The selectors of the kubernetes-mixin and of rules for containers.
    for sample in daemon.samples(CONTAINER):
        assert sample.labels["image"] and sample.labels["name"]


def test_a_token_that_one_kubelet_does_not_know(
    watch: Callable[..., Vitalsd],
    api_server: ApiServer,
    account: ServiceAccount,
    stub: KubeletStub,
    stub_of: Callable[..., KubeletStub],
) -> None:
    untrusted = stub_of(api_server.authority, "another token")
    api_server.apply([stub.node("good"), untrusted.node("bad")])
    daemon = watch()
    url = f"https://127.0.0.1:{untrusted.port}{SUMMARY}"
    wait_error(daemon, "auth", f"^bad: {re.escape(url)}: status 401: Unauthorized$")
    wait_nodes(daemon, "good")
    wait_fresh(daemon, stub, "good")

    # Tokens rotate, and each run uses the current token.
    api_server.renew(account)
    daemon.secrets.add(account.token)
    stub.token = untrusted.token = account.token
    daemon.wait_ok("kubelets")
    wait_nodes(daemon, "bad", "good")


def test_a_kubelet_that_repeats_the_token(
    watch: Callable[..., Vitalsd], api_server: ApiServer, account: ServiceAccount, stub: KubeletStub
) -> None:
    api_server.apply([stub.node("good"), stub.node("bad", BAD)])
    stub.on(BAD, answer(f"no entry for Bearer {account.token}, sorry", 500))
    daemon = watch()
    wait_error(daemon, "unready", r"status 500: no entry for Bearer \*\*\*, sorry")
    wait_nodes(daemon, "good")


def test_certificates_of_an_authority_of_the_kubelets_own(
    watch: Callable[..., Vitalsd],
    api_server: ApiServer,
    account: ServiceAccount,
    stub: KubeletStub,
    stub_of: Callable[..., KubeletStub],
    certificates: Authority,
) -> None:
    other = stub_of(certificates, account.token)
    api_server.apply([stub.node("theirs"), other.node("own")])

    # Without tls.ca, the CA is the API server's.
    daemon = watch()
    wait_error(daemon, "tls", "^own: ")
    wait_nodes(daemon, "theirs")
    wait_fresh(daemon, stub, "theirs")
    assert not other.asked  # it has not received the token either

    (probe,) = daemon.configuration["probes"]
    probe["tls"] = {"ca": str(certificates.path)}
    daemon.reload()
    wait_error(daemon, "tls", "^theirs: ")
    wait_nodes(daemon, "own")
    wait_fresh(daemon, other, "own")

    probe["tls"] = {"verify": False}
    daemon.reload()
    daemon.wait_ok("kubelets")
    wait_nodes(daemon, "own", "theirs")


# ---- kubelets with faults -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mode", "reason"),
    [("refuse", "connect"), ("reset", "tls"), ("silent", "timeout"), ("garbage", "tls")],
)
def test_a_network_that_fails_one_node(
    watch: Callable[..., Vitalsd],
    api_server: ApiServer,
    stub: KubeletStub,
    fault_proxy: Callable[..., FaultProxy],
    mode: str,
    reason: str,
) -> None:
    proxy = fault_proxy(stub.port)
    api_server.apply([stub.node(f"good-{i}") for i in range(3)])
    api_server.apply(node("bad", "127.0.0.1", proxy.port))
    good = [f"good-{i}" for i in range(3)]
    daemon = watch()
    daemon.wait_ok("kubelets")
    proxy.set_mode(mode)
    wait_error(daemon, reason, "^bad: ")
    wait_nodes(daemon, *good)
    wait_parts(daemon, 3, 1)
    wait_fresh(daemon, stub, *good)
    proxy.set_mode("ok")
    daemon.wait_ok("kubelets")
    wait_nodes(daemon, "bad", *good)


def test_a_kubelet_that_hangs(
    watch: Callable[..., Vitalsd], api_server: ApiServer, stub: KubeletStub
) -> None:
    good = [f"good-{i}" for i in range(3)]
    api_server.apply([stub.node(name) for name in good])
    api_server.apply(stub.node("bad", BAD))
    daemon = watch()
    daemon.wait_ok("kubelets")
    for path in (SUMMARY, CADVISOR):
        stub.answers[BAD, path] = stub.hang
        wait_error(daemon, "timeout", "^bad: ")
        # One failed run removes no reading. A second one in a row removes only those of the failed
        # page.
        wait_nodes(daemon, *good, metric=CONTAINER)
        if path == SUMMARY:  # the other page is not requested if the kubelet does not respond
            wait_nodes(daemon, *good)
        wait_parts(daemon, 3, 1)
        wait_fresh(daemon, stub, *good)
        del stub.answers[BAD, path]
        daemon.wait_ok("kubelets")
        wait_nodes(daemon, "bad", *good)


def status_object(code: int) -> bytes:
    return answer(json.dumps({"kind": "Status", "apiVersion": "v1", "code": code}))


SUMMARY_TEXT = (RECORDED / "summary.json").read_bytes()
CADVISOR_TEXT = (RECORDED / "cadvisor.txt").read_bytes()
CUT_OFF = b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\nConnection: close\r\n\r\n"
HOSTILE = {
    "half of a summary": (answer(SUMMARY_TEXT[:5000]), None, "protocol", "incomplete JSON"),
    "a summary cut off": (CUT_OFF + SUMMARY_TEXT, None, "protocol", "bytes remaining"),
    "another object": (status_object(200), None, "protocol", "node/nodeName is missing"),
    "a login page": (answer("<html><body>Log in</body></html>"), None, "protocol", "summary: "),
    "nothing": (answer(), None, "protocol", "summary: "),
    "a list": (answer("[]"), None, "protocol", "node/nodeName is missing"),
    "text for a number": (
        answer('{"node": {"nodeName": "n", "memory": {"workingSetBytes": "much"}}}'),
        None,
        "protocol",
        "node/memory/workingSetBytes is a string, not a number",
    ),
    "nesting": (answer('{"a":' * 10_000), None, "protocol", "too deep"),
    "33 MiB": (answer(b"[" + b" " * (33 * MIB)), None, "protocol", "more than 32 MiB"),
    "too many pods": (
        answer('{"node": {"nodeName": "n"}, "pods": [' + ",".join(["{}"] * 50_001) + "]}"),
        None,
        "protocol",
        "too many pods",
    ),
    "a large refusal": (answer(b"x" * (2 * MIB), 500), None, "protocol", "larger than 1048576"),
    "a place elsewhere": (
        answer("", 302, Location="https://elsewhere.test/"), None, "mismatch", "status 302"
    ),
    "half of a line": (None, answer(CADVISOR_TEXT[:-9]), "protocol", "line .*: "),
    "a page cut off": (None, CUT_OFF + CADVISOR_TEXT, "protocol", "bytes remaining"),
    "a line of 65 KiB": (
        None, answer(b"a" * (65 << 10)), "protocol", "line 1: longer than 64 KiB"
    ),
    "no page of metrics": (None, answer("<html>\n"), "protocol", "line 1: expected a metric name"),
}


def highest_memory(daemon: Vitalsd) -> int:
    """Returns the maximum memory usage since its start, in bytes."""
    text = Path(f"/proc/{daemon.pid}/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+) kB", text)[1]) << 10


def test_hostile_answers(
    watch: Callable[..., Vitalsd], api_server: ApiServer, stub: KubeletStub
) -> None:
    api_server.apply([stub.node("good", GOOD), stub.node("bad", BAD)])
    endless = {
        "an endless text": (
            stub.endless(b'"' + b"x" * MIB), None, "protocol", "summary: "
        ),
        "endless space": (stub.endless(b" " * MIB), None, "protocol", "more than 32 MiB"),
        "an endless line": (None, stub.endless(b"x" * MIB), "protocol", "longer than 64 KiB"),
        "endless comments": (
            None, stub.endless(b"# x\n" * (MIB // 4)), "protocol", "more than 128 MiB"
        ),
    }
    daemon = watch(interval="2s", timeout="1900ms")
    daemon.wait_ok("kubelets")
    before = highest_memory(daemon)
    for what, (of_summary, of_cadvisor, reason, text) in {**HOSTILE, **endless}.items():
        if of_summary:
            stub.answers[BAD, SUMMARY] = of_summary
        else:
            stub.answers.pop((BAD, SUMMARY), None)
        if of_cadvisor:
            stub.answers[BAD, CADVISOR] = of_cadvisor
        said = wait_error(daemon, reason, f"^bad: .*{text}")
        assert len(said) < 1000, what
        assert "good" in nodes(daemon), what
        assert stub.sent < 600 * MIB, what
    wait_fresh(daemon, stub, "good")
    # The longest text in memory has the size limit of a summary.
    assert sanitized() or highest_memory(daemon) - before < 80 * MIB


def test_a_node_with_several_addresses(
    watch: Callable[..., Vitalsd], api_server: ApiServer, stub: KubeletStub
) -> None:
    """The second address is used if the first one cannot be connected to; a node may have only
    names."""
    dual = stub.node("dual")
    (address,) = dual["status"]["addresses"]
    dual["status"]["addresses"] = [{"type": "InternalIP", "address": "::1"}, address]
    named = stub.node("named")
    named["status"]["addresses"] = [
        {"type": "Hostname", "address": address["address"]},
        {"type": "InternalDNS", "address": "named.invalid"},
    ]
    api_server.apply([dual, named])
    wait_nodes(watch(), "dual", "named")


def test_a_node_with_an_ipv6_address(
    watch: Callable[..., Vitalsd],
    api_server: ApiServer,
    stub: KubeletStub,
    fault_proxy: Callable[..., FaultProxy],
) -> None:
    relay = fault_proxy(stub.port, address="::1")
    api_server.apply([node("six", "::1", relay.port)])
    wait_nodes(watch(), "six")
    assert relay.connections


def test_a_node_that_cannot_be_asked(
    watch: Callable[..., Vitalsd], api_server: ApiServer, stub: KubeletStub
) -> None:
    nowhere = stub.node("nowhere")
    nowhere["status"]["addresses"] = []
    api_server.apply([stub.node("good"), nowhere])
    daemon = watch()
    wait_error(daemon, "config", "^nowhere: the node has no address")
    wait_nodes(daemon, "good")

    # Nodes are added and removed.
    api_server.delete(nowhere)
    api_server.apply(stub.node("new", BAD))
    daemon.wait_ok("kubelets")
    wait_nodes(daemon, "good", "new")


# ---- many kubelets -------------------------------------------------------------------------------


@pytest.mark.threads
def test_many_kubelets_are_asked_a_few_at_a_time(
    watch: Callable[..., Vitalsd], api_server: ApiServer, stub: KubeletStub
) -> None:
    api_server.apply([stub.node(f"node-{i:03}", address) for i, address in enumerate(MANY)])
    stub.delay = 0.01
    # Long enough for a busy machine to make 400 connections in one run.
    daemon = watch(interval="8s", timeout="7900ms", concurrency=8)
    names = {f"node-{i:03}" for i in range(len(MANY))}
    daemon.wait_ok("kubelets", deadline=60)
    assert nodes(daemon) == nodes(daemon, CONTAINER) == names
    assert 1 < stub.most_at_once <= 8

    # Each run queries each node once, and spreads the queries over half of its time. A machine that
    # stalls may delay the queries of a run.
    def is_spread() -> bool:
        times: dict[str, list[float]] = defaultdict(list)
        for asked in list(stub.asked):
            if asked.path == SUMMARY:
                times[asked.address].append(asked.at)
        assert times.keys() == set(MANY)
        counts = {len(at) for at in times.values()}
        assert max(counts) - min(counts) <= 1
        runs = (sorted(at[run] for at in times.values()) for run in range(min(counts)))
        return any(run[len(run) * 3 // 4] - run[len(run) // 4] > 1.5 for run in runs)

    wait_until(is_spread, deadline=90, what="a run whose queries are spread")
    assert 1 < stub.most_at_once <= 8


def test_many_kubelets_that_hang_do_not_keep_the_others_waiting(
    watch: Callable[..., Vitalsd], api_server: ApiServer, stub: KubeletStub
) -> None:
    """A zone is lost: a third of all kubelets hang, more than fit into one run one after
    another."""
    api_server.apply([stub.node(f"node-{i:03}", address) for i, address in enumerate(MANY)])
    lost = {i for i in range(len(MANY)) if i % 3 == 0}
    daemon = watch(interval="4s", timeout="3900ms", concurrency=8)
    daemon.wait_ok("kubelets")
    for i in lost:
        stub.on(MANY[i], stub.hang)
    there = {f"node-{i:03}" for i in range(len(MANY)) if i not in lost}
    wait_until(lambda: nodes(daemon) == there, deadline=60, what="the others' readings")
    wait_parts(daemon, len(there), len(lost))
    wait_fresh(daemon, stub, *sorted(there)[:3], *sorted(there)[-3:])
    assert nodes(daemon) == there
