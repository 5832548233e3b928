"""Ports of a network namespace at loopback ports of this machine."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import socket
import struct
import threading
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")

CLONE_NEWNET = 0x40000000


class Forwarder:
    """Forwards local loopback ports to ports of a network namespace, in a separate thread."""

    def __init__(self, namespace: Path) -> None:
        self._loop = asyncio.new_event_loop()
        self._servers: list[asyncio.Server] = []
        self._served: set[asyncio.Task[None]] = set()
        self._failure = 0
        started = threading.Event()

        def run() -> None:
            # The thread is in the namespace, so its connections are too. The listening sockets are
            # created outside, so accepted connections are outside.
            libc = ctypes.CDLL(None, use_errno=True)
            with namespace.open() as handle:
                if libc.setns(handle.fileno(), CLONE_NEWNET) != 0:
                    self._failure = ctypes.get_errno()
            started.set()
            self._loop.run_forever()

        self._thread = threading.Thread(target=run, daemon=True)
        self._thread.start()
        started.wait()
        if self._failure:
            self.close()
            raise OSError(self._failure, f"setns: {os.strerror(self._failure)}")

    def forward(self, port: int, target: int) -> None:
        self._accept(socket.create_server(("127.0.0.1", port)), target)

    def expose(self, address: str, port: int) -> None:
        """Forwards a loopback port of the namespace to another address there."""
        self._accept(self.listener(address, port), port)

    def listener(self, address: str, port: int) -> socket.socket:
        """Returns a listening socket in the namespace. Any process can accept its connections."""

        async def listen() -> socket.socket:
            return socket.create_server((address, port))

        return self._do(listen())

    def _accept(self, listener: socket.socket, target: int) -> None:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task
            self._served.add(task)
            try:
                await self._converse(target, reader, writer)
            except OSError:
                # Reset the connection, as if the target did not exist.
                raw = writer.get_extra_info("socket")
                with contextlib.suppress(OSError):
                    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                writer.transport.abort()
            except asyncio.CancelledError:
                writer.transport.abort()
            finally:
                self._served.discard(task)

        async def begin() -> None:
            self._servers.append(await asyncio.start_server(serve, sock=listener))

        self._do(begin())

    def _do(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout=60)

    async def _converse(
        self, target: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", target)
        try:
            await asyncio.gather(self._pump(reader, inner_writer), self._pump(inner_reader, writer))
        finally:
            inner_writer.close()
            writer.close()

    @staticmethod
    async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while piece := await reader.read(65536):
            writer.write(piece)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()

    def close(self) -> None:
        async def end() -> None:
            for server in self._servers:
                server.close()
            served = list(self._served)
            for task in served:
                task.cancel()
            await asyncio.gather(*served, return_exceptions=True)

        self._do(end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
