"""The fixtures. A server starts once per session, when the first test uses it, and is restored
after each test that used it. Daemons, proxies and Prometheus exist for one test.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import pytest

from support import process
from support.alertmanager import Alertmanager, Receivers
from support.certificates import Authority
from support.dns_server import DnsServer
from support.fault_proxy import FaultProxy
from support.forward_proxy import ForwardProxy
from support.http_peer import HttpPeer
from support.kubernetes import ApiServer
from support.kubernetes_node import Node
from support.mounts import Mounts
from support.nginx import Nginx
from support.postgres import Postgres
from support.prometheus import Prometheus
from support.rabbitmq import Rabbitmq
from support.redis import Redis
from support.s3 import S3
from support.vitalsd import Vitalsd

T = TypeVar("T")


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def pytest_sessionstart() -> None:
    process.begin()
    signal.signal(signal.SIGTERM, _interrupt)  # ends the session like Ctrl-C, with all teardowns


# Command lines of processes that were still running at the end of the session.
_left_by_workers: list[str] = []  # of pytest-xdist
_left_behind: list[str] = []


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    _left_by_workers.extend(getattr(node, "workeroutput", {}).get("left", []))


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Ends the processes that fixtures have left running, and fails the session if there are any.

    This is a hook, because pytest ends an autouse session fixture before the other fixtures.
    """
    left = process.end_all()
    if hasattr(session.config, "workeroutput"):  # a worker; its errors are not printed
        session.config.workeroutput["left"] = left
        return
    _left_behind.extend([*left, *_left_by_workers])
    if _left_behind:
        session.exitstatus = pytest.ExitCode.USAGE_ERROR


# After the failures, which may be the reason.
@pytest.hookimpl(trylast=True)
def pytest_terminal_summary(terminalreporter: Any) -> None:
    for command in _left_behind:
        terminalreporter.line(f"ERROR: a process was left behind: {command}")


def _opened(make: Callable[..., Any], *arguments: Any, **options: Any) -> Iterator[Any]:
    made = make(*arguments, **options)
    try:
        yield made
    finally:
        made.close()


def _factory(make: Callable[..., T]) -> Iterator[Callable[..., T]]:
    """Yields a function that creates any number of objects. All of them are closed at the end, even
    if closing one of them fails."""
    made: list[Any] = []

    def one(*arguments: Any, **options: Any) -> T:
        thing = make(*arguments, **options)
        made.append(thing)
        return thing

    yield one
    errors = []
    for thing in reversed(made):
        try:
            thing.close()
        except Exception as error:
            errors.append(error)
    if errors:
        raise errors[0] if len(errors) == 1 else ExceptionGroup("at teardown", errors)


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """The authority that issued the servers' certificates. It can issue more."""
    return Authority(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="session")
def _postgres(certificates: Authority) -> Iterator[Postgres]:
    yield from _opened(Postgres, certificates)


@pytest.fixture
def postgres(_postgres: Postgres) -> Iterator[Postgres]:
    """PostgreSQL 15. When a test starts, the server runs and has no other connections."""
    yield _postgres
    _postgres.restore()


@pytest.fixture(scope="session")
def _other_postgres(certificates: Authority) -> Iterator[Postgres]:
    yield from _opened(Postgres, certificates)


@pytest.fixture
def other_postgres(_other_postgres: Postgres) -> Iterator[Postgres]:
    """A second server, which has a database with the same name as the first server."""
    yield _other_postgres
    _other_postgres.restore()


@pytest.fixture(scope="session")
def _redis_server(certificates: Authority) -> Iterator[Redis]:
    yield from _opened(Redis, certificates)


@pytest.fixture
def redis_server(_redis_server: Redis) -> Iterator[Redis]:
    """Redis 7.0. When a test starts, it is empty and has no memory limit."""
    yield _redis_server
    _redis_server.restore()


@pytest.fixture(scope="session")
def _rabbitmq(certificates: Authority) -> Iterator[Rabbitmq]:
    yield from _opened(Rabbitmq, authority=certificates)


@pytest.fixture
def rabbitmq(_rabbitmq: Rabbitmq) -> Iterator[Rabbitmq]:
    """RabbitMQ 3.10. When a test starts, it has no queues."""
    yield _rabbitmq
    _rabbitmq.restore()


@pytest.fixture(scope="session")
def _s3() -> Iterator[S3]:
    yield from _opened(S3)


@pytest.fixture
def s3(_s3: S3) -> Iterator[S3]:
    """An S3 server. Each test creates its own buckets."""
    yield _s3
    _s3.restore()


@pytest.fixture(scope="session")
def _nginx(certificates: Authority) -> Iterator[Nginx]:
    yield from _opened(Nginx, certificates)


@pytest.fixture
def nginx(_nginx: Nginx) -> Iterator[Nginx]:
    """nginx. When a test starts, its health endpoints are healthy."""
    yield _nginx
    _nginx.restore()


@pytest.fixture(scope="session")
def _api_server() -> Iterator[ApiServer]:
    yield from _opened(ApiServer)


@pytest.fixture
def api_server(_api_server: ApiServer) -> Iterator[ApiServer]:
    """A Kubernetes API server without nodes. Objects that a test creates are removed after the
    test."""
    yield _api_server
    _api_server.restore()


@pytest.fixture
def api_server_with() -> Iterator[Callable[..., ApiServer]]:
    """api_server_with(option, ...) starts a separate API server with additional options."""
    yield from _factory(ApiServer)


@pytest.fixture(scope="session")
def _kubernetes_node() -> Iterator[Node]:
    yield from _opened(Node)


@pytest.fixture
def kubernetes_node(_kubernetes_node: Node) -> Iterator[Node]:
    """A Kubernetes node that runs pods. When a test starts, it is ready and has no pods."""
    yield _kubernetes_node
    _kubernetes_node.restore()


@pytest.fixture
def kubernetes_node_with() -> Iterator[Callable[..., Node]]:
    """kubernetes_node_with(option, ...) starts a separate node with other settings."""
    yield from _factory(Node)


@pytest.fixture
def dns_server() -> Iterator[DnsServer]:
    """A DNS server without names."""
    yield from _opened(DnsServer)


@pytest.fixture
def http_peer() -> Iterator[HttpPeer]:
    """An HTTP server without responses."""
    yield from _opened(HttpPeer)


@pytest.fixture
def mounts() -> Iterator[Mounts]:
    """Mounts small and unresponsive file systems."""
    yield from _opened(Mounts)


@pytest.fixture
def fault_proxy() -> Iterator[Callable[..., FaultProxy]]:
    """fault_proxy(port) starts a proxy to a port."""
    yield from _factory(FaultProxy)


@pytest.fixture
def forward_proxies() -> Iterator[Callable[..., ForwardProxy]]:
    """forward_proxies(host=...) starts an HTTP proxy."""
    yield from _factory(ForwardProxy)


@pytest.fixture
def forward_proxy(forward_proxies: Callable[..., ForwardProxy]) -> ForwardProxy:
    return forward_proxies()


@pytest.fixture
def prometheus() -> Iterator[Callable[..., Prometheus]]:
    """prometheus(configuration, rules) starts a Prometheus."""
    yield from _factory(Prometheus)


@pytest.fixture
def receivers() -> Iterator[Receivers]:
    """Stand-ins for PagerDuty, Slack and a heartbeat service that record notifications."""
    yield from _opened(Receivers)


@pytest.fixture
def alertmanager() -> Iterator[Callable[..., Alertmanager]]:
    """alertmanager(receivers) starts an Alertmanager."""
    yield from _factory(Alertmanager)


@pytest.fixture
def vitalsd() -> Iterator[Callable[..., Vitalsd]]:
    """vitalsd([probe, ...], interval=..., secrets=[...], state={...}) starts a daemon."""
    yield from _factory(Vitalsd)
