"""A network that can be cut: a TCP proxy between workers and the broker.

A cut holds back what it is given, as TCP does with what is not acknowledged: when the network is back, it arrives.
"""

import asyncio
import threading
from collections.abc import Coroutine
from contextlib import suppress
from enum import StrEnum
from typing import Any

_CHUNK = 65_536
_HOST = "127.0.0.1"
_SECONDS = 10.0


class Network(StrEnum):
    """What the proxy does."""

    OPEN = "open"
    CUT = "cut"
    CUT_TO_BROKER = "cut to the broker"
    CUT_TO_CLIENT = "cut to the client"
    SLOW = "slow"
    TORN = "torn"
    """Connections are closed a moment after they were made, in the midst of whatever they carry."""


_CLOSED_UP = frozenset({Network.CUT, Network.CUT_TO_BROKER})
_CLOSED_DOWN = frozenset({Network.CUT, Network.CUT_TO_CLIENT})
_SLOW_SECONDS, _SLOW_CHUNK = 0.05, 4096
_TORN_SECONDS = 0.5


class Proxy:
    """Listens on `port` and forwards to `target`, on a thread of its own."""

    def __init__(self, port: int, target: int) -> None:
        self.port = port
        self._target = target
        self._state = Network.OPEN
        self._up, self._down = asyncio.Event(), asyncio.Event()
        self._connections: set[asyncio.StreamWriter] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)
        self._thread.start()
        self._server: asyncio.Server = self._call(asyncio.start_server(self._serve, _HOST, port))
        self.set(Network.OPEN)

    def set(self, state: Network) -> None:
        """From now on the network is like that."""
        self._call(self._set(state))

    def close(self) -> None:
        """Disconnect all."""
        self._call(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _call(self, work: Coroutine[Any, Any, Any]) -> Any:  # noqa: ANN401 - whatever it gives
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(_SECONDS)

    async def _set(self, state: Network) -> None:
        self._state = state
        for gate, closed in ((self._up, _CLOSED_UP), (self._down, _CLOSED_DOWN)):
            gate.clear() if state in closed else gate.set()
        if state is Network.TORN:
            await self._tear()

    async def _tear(self) -> None:
        for writer in list(self._connections):
            writer.transport.abort()

    async def _end(self) -> None:
        self._server.close()
        await self._tear()
        self._up.set()
        self._down.set()
        if others := asyncio.all_tasks() - {asyncio.current_task()}:
            await asyncio.wait(others)  # they find their connections gone

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            far_reader, far_writer = await asyncio.open_connection(_HOST, self._target)
            self._connections |= {writer, far_writer}
            pumps = [
                asyncio.create_task(self._pump(reader, far_writer, self._up)),
                asyncio.create_task(self._pump(far_reader, writer, self._down)),
            ]
            if self._state is Network.TORN:
                self._loop.call_later(_TORN_SECONDS, writer.transport.abort)
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
            for pump in pumps:
                pump.cancel()
            self._connections -= {writer, far_writer}
            far_writer.transport.abort()
        writer.transport.abort()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, gate: asyncio.Event) -> None:
        with suppress(OSError):
            while data := await reader.read(_SLOW_CHUNK if self._state is Network.SLOW else _CHUNK):
                await gate.wait()
                if self._state is Network.SLOW:
                    await _pause(_SLOW_SECONDS)
                writer.write(data)
                await writer.drain()


async def _pause(seconds: float) -> None:
    with suppress(TimeoutError):
        await asyncio.wait_for(asyncio.Event().wait(), seconds)
