"""A TCP proxy between a probe and its target that simulates network faults."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading
from collections.abc import Coroutine
from typing import Any

from support.process import free_port

MODES = ("ok", "slow", "hang", "silent", "reset", "refuse", "truncate", "garbage")


class FaultProxy:
    """Forwards a port of a loopback `address` to the port `target` of 127.0.0.1, in a mode that can be changed at any time:

    ok        forwards
    slow      forwards each chunk after `delay` seconds
    hang      stops forwarding; keeps connections open and accepts new ones
    silent    like hang, but does not connect to the target
    reset     resets open connections, and new connections at once
    refuse    stops listening and resets open connections
    truncate  closes the connection after `limit` bytes from the target
    garbage   sends `garbage` instead of the target's response
    """

    def __init__(self, target: int, mode: str = "ok", address: str = "127.0.0.1") -> None:
        self.address = address
        self.target = target
        self.port = free_port()
        self.delay = 1.0
        self.limit = 10
        self.garbage = b"\x00\xff\x13 this is no protocol \r\n\r\n" * 4
        self.connections = 0  # number of accepted connections
        self._mode = "ok"
        self._writers: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None
        self._loop = asyncio.new_event_loop()
        self._changed = asyncio.Event()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._do(self._listen())
        self.set_mode(mode)

    @property
    def mode(self) -> str:
        return self._mode

    def set_mode(self, mode: str, **settings: Any) -> None:
        """Sets the mode for open and new connections. `settings` are attributes such as delay."""
        assert mode in MODES, mode
        for name, value in settings.items():
            assert hasattr(self, name), name
            setattr(self, name, value)
        self._do(self._switch(mode))

    def close(self) -> None:
        self._do(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _do(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout=60)

    async def _listen(self) -> None:
        # No reuse_port, because a second proxy must not share the port.
        self._server = await asyncio.start_server(self._serve, self.address, self.port)

    async def _switch(self, mode: str) -> None:
        self._mode = mode
        self._changed.set()
        self._changed = asyncio.Event()
        if mode in ("reset", "refuse"):
            for writer in list(self._writers):
                self._reset(writer)
        if mode == "refuse" and self._server:
            self._server.close()
            self._server = None
        elif mode != "refuse" and not self._server:
            await self._listen()

    async def _end(self) -> None:
        await self._switch("refuse")
        mine = asyncio.current_task()
        tasks = [task for task in asyncio.all_tasks() if task is not mine]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    @staticmethod
    def _reset(writer: asyncio.StreamWriter) -> None:
        raw = writer.get_extra_info("socket")
        with contextlib.suppress(OSError):  # it has been closed in the meantime
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._writers.add(writer)
        try:
            await self._converse(reader, writer)
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            self._writers.discard(writer)
            writer.close()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while self._mode == "silent":
            await self._changed.wait()
        if self._mode == "reset":
            self._reset(writer)
            return
        if self._mode == "garbage":
            writer.write(self.garbage)
            await writer.drain()
            while await reader.read(65536) and self._mode == "garbage":
                writer.write(self.garbage)
            return
        target_reader, target_writer = await asyncio.open_connection("127.0.0.1", self.target)
        try:
            await asyncio.gather(
                self._pump(reader, target_writer, from_target=False),
                self._pump(target_reader, writer, from_target=True),
            )
        finally:
            target_writer.close()

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, from_target: bool
    ) -> None:
        passed = 0
        while piece := await reader.read(65536):
            if self._mode == "slow":
                await asyncio.sleep(self.delay)
            while self._mode in ("hang", "silent"):
                await self._changed.wait()
            if self._mode == "garbage" and from_target:
                piece = self.garbage
            if self._mode == "truncate" and from_target:
                piece = piece[: self.limit - passed]
                passed += len(piece)
            writer.write(piece)
            await writer.drain()
            if self._mode == "truncate" and from_target and passed >= self.limit:
                break
        writer.close()
