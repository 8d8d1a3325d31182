"""The states of a worker or server and its legal moves, in one table. `/ready` reads it, signals drive it."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from types import FrameType


class State(StrEnum):
    """Where a worker stands."""

    STARTING = "starting"
    WAITING = "waiting"
    RUNNING = "running"
    DRAINING = "draining"
    STOPPED = "stopped"
    FAILED = "failed"


# STARTING -> WAITING: models are loaded and warmed, the group is joined; no partitions yet.
# STARTING -> RUNNING: the same of `clf serve`, which waits for no partitions.
# WAITING <-> RUNNING: partitions are assigned, or all are gone.
# DRAINING: told to stop; nothing more is taken in.
MOVES: dict[State, frozenset[State]] = {
    State.STARTING: frozenset({State.WAITING, State.RUNNING, State.DRAINING, State.FAILED}),
    State.WAITING: frozenset({State.RUNNING, State.DRAINING, State.FAILED}),
    State.RUNNING: frozenset({State.WAITING, State.DRAINING, State.FAILED}),
    State.DRAINING: frozenset({State.STOPPED, State.FAILED}),
    State.STOPPED: frozenset(),
    State.FAILED: frozenset(),
}

_NOT_READY = {
    State.STARTING: "still starting: models are being loaded",
    State.WAITING: "no partitions are assigned to this worker",
    State.DRAINING: "shutting down",
    State.STOPPED: "stopped",
    State.FAILED: "failed",
}


class IllegalMoveError(RuntimeError):
    """A bug: the program tried a move that is not in the table."""


class Lifecycle:
    """The present state. Any thread may read it."""

    def __init__(self) -> None:
        self._state = State.STARTING
        self._lock = threading.Lock()

    @property
    def state(self) -> State:
        """Where the worker stands now."""
        return self._state

    def move(self, to: State) -> None:
        """Move to another state; to stay is always allowed.

        Raises:
            IllegalMoveError: the table has no such move.
        """
        with self._lock:
            if to is not self._state and to not in MOVES[self._state]:
                raise IllegalMoveError(f"{self._state} -> {to}")
            self._state = to

    @property
    def not_ready_because(self) -> str | None:
        """Why no traffic may come; None when it may."""
        return _NOT_READY.get(self._state)


class ExitCode:
    """What the process says when it ends; deploy files rely on it."""

    CLEAN = 0
    USAGE = 2
    CANNOT_START = 3
    FATAL = 4


class StopSignals:
    """SIGTERM and SIGINT: the first asks to drain, the second forces."""

    def __init__(self, force: Callable[[], None]) -> None:
        """`force` is called by the second signal, in the main thread, between two bytecodes."""
        self._force = force
        self._stopping = threading.Event()

    def stopping(self) -> bool:
        """Whether a signal came."""
        return self._stopping.is_set()

    def wait(self, seconds: float) -> bool:
        """Wait for a signal that long; returns whether one came."""
        return self._stopping.wait(seconds)

    @contextmanager
    def installed(self) -> Iterator["StopSignals"]:
        """Handle the signals inside the `with` block; put back what was there before."""
        kinds = (signal.SIGTERM, signal.SIGINT)
        before = {kind: signal.signal(kind, self._on_signal) for kind in kinds}
        try:
            yield self
        finally:
            for kind, handler in before.items():
                signal.signal(kind, handler)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        del number, frame
        if self._stopping.is_set():
            self._force()
        self._stopping.set()
