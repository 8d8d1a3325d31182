"""One server: a channel that stays connected, and what recent calls tell of it."""

import json
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Protocol, cast

import grpc

from worker.clock import Clock

SERVICE: Final = "clf.v1.Classifier"
# Slow calls in a row until others are preferred, and for how long at first and at most: each time twice as long.
_SLOW_CALLS: Final = 3
_PAUSE_SECONDS: Final = 0.5
_LONGEST_PAUSE_SECONDS: Final = 8.0

_CONFIG: Final = {
    # gRPC's core watches the health of a server for policies such as this one, and shows an unhealthy one as not ready.
    "loadBalancingConfig": [{"round_robin": {}}],
    "healthCheckConfig": {"serviceName": SERVICE},
}


@dataclass(frozen=True, slots=True)
class Security:
    """How connections are made.

    Attributes:
        credentials: None is plain text.
        name: whose certificate is expected, when it is not that of the address: DNS and Consul give numbers.
    """

    credentials: grpc.ChannelCredentials | None = None
    name: str | None = None


PLAIN_TEXT: Final = Security()

Metadata = tuple[tuple[str, str], ...]


class Pending(Protocol):
    """A call under way: what is used of grpcio's future."""

    def add_done_callback(self, fn: Callable[[Any], None], /) -> None:
        """Call `fn` with this object when it is done, on some thread; at once if it is."""

    def cancel(self) -> bool:
        """Give it up."""

    def code(self) -> grpc.StatusCode:
        """How it ended."""

    def details(self) -> str | None:
        """What the server said about that."""

    def result(self) -> bytes:
        """The answer, if it ended well."""


def open_channel(address: str, security: Security) -> grpc.Channel:
    """A channel to one server. It notices in three seconds that a server does not even answer pings."""
    options: list[tuple[str, Any]] = [
        ("grpc.service_config", json.dumps(_CONFIG)),
        ("grpc.enable_retries", 0),  # the attempts are made here
        ("grpc.enable_http_proxy", 0),
        ("grpc.keepalive_time_ms", 1000),
        ("grpc.keepalive_timeout_ms", 2000),
        ("grpc.http2.ping_timeout_ms", 2000),  # the one that counts; a minute by default
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.max_pings_without_data", 0),
        ("grpc.initial_reconnect_backoff_ms", 100),
        ("grpc.min_reconnect_backoff_ms", 1000),  # the name deceives: how long one attempt may take
        ("grpc.max_reconnect_backoff_ms", 250),  # within the half second that a server leaves its callers for it
        ("grpc.max_receive_message_length", -1),
        ("grpc.client_idle_timeout_ms", 2**31 - 1),  # or it disconnects after half an hour without a call
    ]
    if security.credentials is None:
        return grpc.insecure_channel(address, options)
    if security.name is not None:
        options.append(("grpc.ssl_target_name_override", security.name))
    return grpc.secure_channel(address, security.credentials, options)


class Server:
    """Any thread may call it."""

    def __init__(self, address: str, channel: grpc.Channel, clock: Clock, changed: Callable[[], None]) -> None:
        """Begin to connect; `changed` is told, on some thread, when the server becomes ready or ceases to be."""
        self.address = address
        self._channel = channel
        self._clock = clock
        self._changed = changed
        self._methods: dict[str, grpc.UnaryUnaryMultiCallable[bytes, bytes]] = {}
        self._lock = threading.Lock()
        self._ready = False
        self._slow_calls = 0
        self._pause = _PAUSE_SECONDS
        self._avoided_until = 0.0
        self._closed = False
        self.in_flight = 0
        channel.subscribe(self._on_connectivity, try_to_connect=True)

    @property
    def ready(self) -> bool:
        """Whether it is connected, and healthy by its own word."""
        return self._ready

    @property
    def avoided(self) -> bool:
        """Whether its last calls were slow; another one is the better choice if there is one."""
        return self._clock.monotonic() < self._avoided_until

    def begin(self, method: str, request: bytes, timeout: float, metadata: Metadata = ()) -> Pending | None:
        """Begin a call; None when the server is closed. Without a connection it waits for one, while there is time."""
        call = self._methods.get(method)
        if call is None:
            call = self._methods[method] = self._channel.unary_unary(f"/{SERVICE}/{method}")
        with self._lock:
            self.in_flight += 1
        try:
            future = call.future(request, timeout=timeout, wait_for_ready=not self._ready, metadata=metadata or None)
        except ValueError:  # grpcio's word for a closed channel
            self._on_done(None)
            if not self._closed:
                raise
            return None
        future.add_done_callback(self._on_done)
        return cast("Pending", future)

    def was_slow(self) -> None:
        """A call to it took longer than one should."""
        with self._lock:
            self._slow_calls += 1
            if self._slow_calls >= _SLOW_CALLS and not self.avoided:
                self._avoided_until = self._clock.monotonic() + self._pause
                self._pause = min(_LONGEST_PAUSE_SECONDS, 2 * self._pause)

    def was_quick(self) -> None:
        """A call to it was answered in time."""
        if self._slow_calls:
            with self._lock:
                self._slow_calls, self._pause, self._avoided_until = 0, _PAUSE_SECONDS, 0.0

    def unwatch(self) -> None:
        """Look no more whether it is ready; comes before `close`."""
        self._channel.unsubscribe(self._on_connectivity)

    def close(self) -> None:
        """Disconnect; calls in flight are cancelled. Takes the fifth of a second after `unwatch` that grpcio takes."""
        self._closed = True
        self._channel.close()

    def _on_connectivity(self, state: grpc.ChannelConnectivity) -> None:
        ready = state is grpc.ChannelConnectivity.READY
        if ready is not self._ready:
            self._ready = ready
            self._changed()

    def _on_done(self, future: object) -> None:
        del future
        with self._lock:
            self.in_flight -= 1
