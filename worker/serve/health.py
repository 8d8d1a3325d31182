"""The standard health service, grpc.health.v1: whether this server may be called.

grpcio's own holds a lock while it sends to a watcher, and takes that lock on the server's one serving thread when a
watcher leaves. A watcher that leaves while another one is told therefore stops the whole server, for ever.
"""

import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, Final

import grpc
from grpc_health.v1 import health_pb2

SERVICE: Final = health_pb2.DESCRIPTOR.services_by_name["Health"].full_name
EVERYTHING: Final = ""  # the name that asks for the server as a whole
SERVING: Final = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING: Final = health_pb2.HealthCheckResponse.NOT_SERVING

_UNKNOWN: Final = health_pb2.HealthCheckResponse.SERVICE_UNKNOWN
_THREADS: Final = 2

Send = Callable[[health_pb2.HealthCheckResponse], Any]


class Health:
    """One status under a few names; any thread may set it."""

    def __init__(self, names: Iterable[str]) -> None:
        """Not serving, until `set` says otherwise."""
        self._names = frozenset(names)
        self._status: int = NOT_SERVING
        self._watchers: set[_Watcher] = set()
        self._lock = threading.Lock()  # never held while sending: the serving thread takes it
        self._tellers = ThreadPoolExecutor(_THREADS, "health-tell")  # whoever sets must not wait for a slow watcher

    def set(self, status: int) -> None:
        """From now on that is the answer, and those who watch are told."""
        with self._lock:
            self._status = status
            watchers = list(self._watchers)
        for watcher in watchers:
            self._tellers.submit(watcher.tell)

    def check(
        self, request: health_pb2.HealthCheckRequest, context: grpc.ServicerContext
    ) -> health_pb2.HealthCheckResponse:
        """Answer `Check`."""
        if request.service not in self._names:
            known = ", ".join(sorted(self._names - {EVERYTHING}))
            context.abort(grpc.StatusCode.NOT_FOUND, f"no such service here; there is {known}")
        return health_pb2.HealthCheckResponse(status=self._status)

    def watch(self, request: health_pb2.HealthCheckRequest, context: grpc.ServicerContext, send: Send) -> None:
        """Answer `Watch`: once now, and again through `send` whenever the status changes. Keeps no thread."""
        watcher = _Watcher(partial(self._status_of, request.service), send)
        with self._lock:
            self._watchers.add(watcher)
        if not context.add_callback(partial(self._left, watcher)):
            self._left(watcher)
        watcher.tell()

    def _status_of(self, name: str) -> int:
        return self._status if name in self._names else _UNKNOWN

    def _left(self, watcher: "_Watcher") -> None:
        """On the serving thread."""
        with self._lock:
            self._watchers.discard(watcher)


class _Watcher:
    """Whoever watches: told what is new, in order, one message after the other."""

    def __init__(self, status: Callable[[], int], send: Send) -> None:
        self._status = status
        self._send = send
        self._told: int | None = None
        self._lock = threading.Lock()

    def tell(self) -> None:
        """Send the present status, unless it was the last one sent; waits until it is on its way."""
        with self._lock:
            status = self._status()
            if status != self._told:
                self._told = status
                self._send(health_pb2.HealthCheckResponse(status=status))
