"""How long a call may take to bring its request.

A caller that sends no request, or never the rest of it, keeps one of few threads waiting. Its deadline ends that, if it
has one; without one this does, and sooner while other calls wait for a thread.
"""

import threading
from collections.abc import Callable, Iterator

import grpc

from worker.clock import Clock

REQUEST_SECONDS = 5.0
CROWDED_SECONDS = 0.25
_LOOK_SECONDS = 0.1


class Patience:
    """Waits for requests, and has calls cancelled whose request does not come."""

    def __init__(self, clock: Clock, crowded: Callable[[], bool]) -> None:
        """Nothing is cancelled before `start`. `crowded` tells whether calls wait for a thread."""
        self._clock = clock
        self._crowded = crowded
        self._waiting: dict[int, tuple[float, grpc.ServicerContext]] = {}
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="patience", daemon=True)

    def start(self) -> None:
        """Look from time to time who waits too long."""
        self._thread.start()

    def close(self) -> None:
        """Look no more."""
        self._stopping.set()

    def await_request(self, requests: Iterator[bytes], context: grpc.ServicerContext) -> bytes | None:
        """The first request of a call; None when the caller has said that there is none.

        Raises:
            grpc.RpcError: grpcio's own, when the call was cancelled meanwhile.
        """
        thread = threading.get_ident()
        self._waiting[thread] = (self._clock.monotonic(), context)
        try:
            return next(requests, None)
        finally:
            del self._waiting[thread]

    def cancel_late(self) -> None:
        """Cancel the calls that have waited too long."""
        if not self._waiting:
            return
        latest = self._clock.monotonic() - (CROWDED_SECONDS if self._crowded() else REQUEST_SECONDS)
        for since, context in list(self._waiting.values()):
            if since < latest:
                context.cancel()

    def _run(self) -> None:
        while not self._stopping.wait(_LOOK_SECONDS):
            self.cancel_late()
