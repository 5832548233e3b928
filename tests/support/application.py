"""An HTTP API that is instrumented with prometheus_client, as the documented API is: requests by
status, their durations, and the state of a circuit breaker. A test lets it fail or be slow."""

from __future__ import annotations

import http.client
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import choose_encoder

from support.process import free_port

MAX_FAILURES = 3  # failures of the dependency in a row that open its circuit breaker


class Application:
    def __init__(self) -> None:
        self.port = free_port()
        self.status = 200  # of /work
        self.duration = 0.0  # seconds, of /work
        self.dependency_works = True
        self._failures = 0
        registry = CollectorRegistry()
        requests = Counter("http_requests", "Requests.", ["endpoint", "status"], registry=registry)
        durations = Histogram(
            "http_request_duration_seconds", "Durations.", ["endpoint"], registry=registry
        )
        breaker = Gauge(
            "circuit_breaker_state", "State, 1 if in it.", ["circuit", "state"], registry=registry
        )
        application = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                if self.path == "/metrics":
                    encode, content_type = choose_encoder(self.headers["Accept"] or "")
                    self._respond(200, encode(registry), content_type)
                    return
                with durations.labels(self.path).time():
                    time.sleep(application.duration)
                    if self.path == "/payments":
                        application._call_dependency()
                requests.labels(self.path, str(application.status)).inc()
                self._respond(application.status, b"", "text/plain")

            def _respond(self, status: int, body: bytes, content_type: str) -> None:
                self.send_response(status)
                self.send_header("Content-Type", content_type)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self._breaker = breaker
        self._set_breaker()
        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/metrics"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def request(self, count: int = 1, path: str = "/work") -> None:
        """Sends requests one after the other and ignores their status."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            for _ in range(count):
                connection.request("GET", path)
                connection.getresponse().read()
        finally:
            connection.close()

    @contextmanager
    def failing(self, status: int = 500) -> Iterator[None]:
        self.status = status
        try:
            yield
        finally:
            self.status = 200

    def _call_dependency(self) -> None:
        self._failures = 0 if self.dependency_works else self._failures + 1
        self._set_breaker()

    def _set_breaker(self) -> None:
        is_open = self._failures >= MAX_FAILURES
        self._breaker.labels("payments", "open").set(is_open)
        self._breaker.labels("payments", "closed").set(not is_open)
