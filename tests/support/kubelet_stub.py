"""A kubelet stub with TLS, a check of the token, recorded pages, and all kinds of invalid
responses. Use it only for faults and scale. kubernetes_node has a real kubelet."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from support import REPOSITORY
from support.certificates import Certificate
from support.http_peer import answer
from support.kubernetes_client import Object, reference
from support.process import free_port

SUMMARY, CADVISOR = "/stats/summary", "/metrics/cadvisor"
RECORDED = REPOSITORY / "tests" / "data" / "kubernetes"

Answer = Callable[[asyncio.StreamWriter], Awaitable[None]]


@dataclass(frozen=True)
class Asked:
    address: str  # address of the node
    path: str
    at: float  # time.monotonic()


def node(name: str, address: str, port: int, **labels: str) -> Object:
    """Returns a Node object whose kubelet is at this address."""
    thing = reference("v1", "Node", name)
    thing["metadata"]["labels"] = labels
    thing["status"] = {
        "addresses": [{"type": "InternalIP", "address": address}],
        "daemonEndpoints": {"kubeletEndpoint": {"Port": port}},
        "capacity": {"cpu": "4", "memory": "16Gi"},
    }
    return thing


class KubeletStub:
    """The kubelets of all nodes with a loopback address, on one port. `answers` maps a path or
    (address, path), which has priority, to bytes or to a function that writes them."""

    def __init__(self, certificate: Certificate, token: str) -> None:
        self.token = token
        self.port = free_port()
        self.delay = 0.0  # before each response
        self.answers: dict[str | tuple[str, str], bytes | Answer] = {
            SUMMARY: answer((RECORDED / "summary.json").read_bytes()),
            CADVISOR: answer((RECORDED / "cadvisor.txt").read_bytes()),
        }
        self.asked: list[Asked] = []
        self.most_at_once = 0
        self.sent = 0  # bytes that endless() has sent
        self._at_once = 0
        self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._tls.load_cert_chain(certificate.path, certificate.key)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._do(self._listen())

    def node(self, name: str, address: str = "127.0.0.1", **labels: str) -> Object:
        return node(name, address, self.port, **labels)

    def on(self, address: str, summary: bytes | Answer, cadvisor: bytes | Answer = b"") -> None:
        """Sets the responses of one node."""
        self.answers[address, SUMMARY] = summary
        if cadvisor:
            self.answers[address, CADVISOR] = cadvisor

    def close(self) -> None:
        self._do(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    # ---- invalid responses ---------------------------------------------------------------------

    @staticmethod
    async def hang(_: asyncio.StreamWriter) -> None:
        """Never responds, like a frozen kubelet."""
        await asyncio.Event().wait()

    def endless(self, piece: bytes) -> Answer:
        """Sends an endless response as fast as the client reads it."""

        async def write(writer: asyncio.StreamWriter) -> None:
            writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
            while not writer.is_closing():
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(0)  # drain() alone does not let other tasks run
                self.sent += len(piece)

        return write

    # ---- the server ----------------------------------------------------------------------------

    def _do(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout=60)

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(
            self._serve, "0.0.0.0", self.port, ssl=self._tls, backlog=1024
        )

    async def _end(self) -> None:
        self._server.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await self._converse(reader, writer):
                pass
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # one side has closed the connection
        finally:
            writer.transport.abort()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        method, path, _ = head[0].split(" ")
        address = writer.get_extra_info("sockname")[0]
        reply = self.answers.get((address, path), self.answers.get(path, answer(status=404)))
        self.asked.append(Asked(address, path, time.monotonic()))
        self._at_once += 1
        self.most_at_once = max(self.most_at_once, self._at_once)
        try:
            if f"Authorization: Bearer {self.token}" not in head:
                reply = answer("Unauthorized", 401)
            if callable(reply):
                # The client may close the connection while it waits for the response.
                await self._unless_closed(reader, reply(writer))
                return False
            await asyncio.sleep(self.delay)
        finally:
            self._at_once -= 1  # before the peer receives the response and sends the next request
        writer.write(reply)
        await writer.drain()
        return method == "GET" and b"Connection: close" not in reply

    @staticmethod
    async def _unless_closed(reader: asyncio.StreamReader, work: Awaitable[None]) -> None:
        tasks = [asyncio.ensure_future(work), asyncio.ensure_future(reader.read(1))]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.gather(*tasks, return_exceptions=True)
