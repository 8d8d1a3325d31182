"""All servers there are, and the choice among them."""

import random
import threading
from collections.abc import Callable, Collection, Iterable, Sequence

from worker.calling.server import Server
from worker.clock import Clock

_POLL_SECONDS = 0.01


class Fleet:
    """Keeps a connection to every address. Any thread may call it."""

    def __init__(
        self, connect: Callable[[str, Callable[[], None]], Server], clock: Clock, parting_seconds: float
    ) -> None:
        """`connect` makes a server of an address; one that leaves has `parting_seconds` for the calls it still has."""
        self._connect = connect
        self._clock = clock
        self._parting_seconds = parting_seconds
        self._servers: dict[str, Server] = {}
        self._changed = threading.Condition()
        self._updating = threading.Lock()
        self._closed = False

    @property
    def servers(self) -> Sequence[Server]:
        """Those that are known now."""
        return tuple(self._servers.values())

    def update(self, addresses: Iterable[str]) -> None:
        """These are the addresses from now on. Returns when those that left are disconnected."""
        wanted = dict.fromkeys(addresses)
        with self._updating:
            if self._closed:
                return  # told by a lookup that was under way
            kept = self._servers
            self._servers = {
                address: kept.get(address) or self._connect(address, self._on_change) for address in wanted
            }
        parting = [server for address, server in kept.items() if address not in wanted]
        end = self._clock.monotonic() + self._parting_seconds
        while any(server.in_flight for server in parting) and self._clock.monotonic() < end:
            self._clock.sleep(_POLL_SECONDS)
        _disconnect(parting)

    def await_ready(self, seconds: float) -> bool:
        """Wait until a server is ready; returns whether one is."""
        with self._changed:
            return self._changed.wait_for(lambda: any(server.ready for server in self.servers), seconds)

    def choose(self, tried: Collection[Server]) -> Server | None:
        """The server for the next attempt of a call that has `tried` those; None when none is known.

        Ready ones are preferred, then those not tried yet, then those that answer in time; of two random ones among
        the best, the one with fewer calls in flight (Mitzenmacher, "The Power of Two Choices", 2001).
        """
        best = _preferring(self.servers, lambda server: server.ready)
        best = _preferring(best, lambda server: server not in tried)
        best = _preferring(best, lambda server: not server.avoided)
        if not best:
            return None
        two = random.sample(best, min(2, len(best)))
        return min(two, key=lambda server: server.in_flight)

    def close(self) -> None:
        """Disconnect from all, for good."""
        with self._updating:
            self._closed = True
            servers, self._servers = self._servers, {}
        _disconnect(servers.values())

    def _on_change(self) -> None:
        with self._changed:
            self._changed.notify_all()


def _disconnect(servers: Collection[Server]) -> None:
    for server in servers:
        server.unwatch()
    for server in servers:
        server.close()


def _preferring(servers: Sequence[Server], good: Callable[[Server], bool]) -> Sequence[Server]:
    return [server for server in servers if good(server)] or servers
