"""Stand-ins for grpcio's side of a call, and for the books about calls."""

import threading
from collections.abc import Callable
from typing import cast

import grpc

PATIENCE = 20.0  # seconds until a test that waits for another thread has failed


class AbortError(Exception):
    """What `abort` raises; grpcio raises an exception of no particular kind."""


class FakeContext:
    """A `grpc.ServicerContext` as far as it is used here; the test says what the caller does."""

    def __init__(self, seconds_left: float = 1.0, *, active: bool = True) -> None:
        self.seconds_left = seconds_left
        self.active = active
        self.aborted: tuple[grpc.StatusCode, str] | None = None
        self.details = ""
        self.trailers: tuple[tuple[str, str], ...] = ()
        self.callbacks: list[Callable[[], None]] = []
        self.over = False
        self.cancelled = threading.Event()

    def as_context(self) -> grpc.ServicerContext:
        """The same for the type checker."""
        return cast("grpc.ServicerContext", self)

    def time_remaining(self) -> float:
        """What the test set."""
        return self.seconds_left

    def is_active(self) -> bool:
        """What the test set."""
        return self.active

    def abort(self, code: grpc.StatusCode, details: str) -> None:
        """Note it, and end the handler."""
        self.aborted = (code, details)
        raise AbortError

    def cancel(self) -> None:
        """Note it."""
        self.cancelled.set()

    def set_details(self, details: str) -> None:
        """Note it."""
        self.details = details

    def set_trailing_metadata(self, trailers: tuple[tuple[str, str], ...]) -> None:
        """Note it."""
        self.trailers = trailers

    def add_callback(self, callback: Callable[[], None]) -> bool:
        """Keep it for the end of the call, unless that has come."""
        if not self.over:
            self.callbacks.append(callback)
        return not self.over

    def end(self) -> None:
        """The call is over."""
        self.over = True
        for callback in self.callbacks:
            callback()


class NotingBooks:
    """Keeps what it is told, in order."""

    def __init__(self) -> None:
        self.entries: list[tuple[object, ...]] = []
        self._changed = threading.Condition()

    def began(self, method: str) -> None:
        """Note it."""
        self._note("began", method)

    def refused(self, method: str) -> None:
        """Note it."""
        self._note("refused", method)

    def ended(self, method: str, code: str, seconds: float, seconds_left: float | None) -> None:
        """Note it."""
        self._note("ended", method, code, seconds, seconds_left)

    def count(self, kind: str, method: str | None = None) -> int:
        """How many entries there are of a kind."""
        return sum(entry[0] == kind and method in {None, entry[1]} for entry in self.entries)

    def await_balance(self) -> None:
        """Wait until every call that began is over."""
        with self._changed:
            balanced = self._changed.wait_for(
                lambda: self.count("began") == self.count("ended") + self.count("refused"), PATIENCE
            )
        assert balanced, self.entries

    def _note(self, *entry: object) -> None:
        with self._changed:
            self.entries.append(entry)
            self._changed.notify_all()
