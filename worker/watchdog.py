"""Finds out when the worker gets no further, from a thread of its own.

Partitions are assigned, records wait, and nothing was committed for a while: then the worker is not ready, and the log
says what every thread is doing. When that does not pass, the process ends with the code that asks for a restart.
Nothing uncommitted is lost by that. Whoever watches over the process from outside hears from it while it gets on.
"""

import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple, Protocol

import structlog

from worker.clock import Clock

log = structlog.get_logger(__name__)

_PERIOD_SECONDS = 1.0
# Longer between two looks, and the process was frozen (SIGSTOP, a suspended machine) or starved. What it did not get
# done meanwhile says nothing.
_FROZEN_SECONDS = 3 * _PERIOD_SECONDS
# A turn of the polling thread takes about one second at most. Longer, and it hangs.
_TURN_SECONDS = 2 * _PERIOD_SECONDS
# A log that blocks may be why nothing moves. It must not keep the process from ending.
_LOG_SECONDS = 1.0


class Seen(NamedTuple):
    """What one look finds. The counts only grow."""

    commits: int
    turns: int  # of the polling thread
    assigned: int  # partitions
    waiting: bool  # whether there are records to settle, as of the polling thread's last turn


class Alarm(Protocol):
    """Whom the watchdog tells; the metrics implement it."""

    def stuck(self, *, is_so: bool) -> None:
        """The worker is stuck, or is not any more; called when that changes."""


def _nobody() -> None:
    """Tell nobody."""


class Watchdog:
    """Counts the seconds without progress."""

    def __init__(
        self,
        see: Callable[[], Seen],
        alarm: Alarm,
        end: Callable[[], None],
        clock: Clock,
        after_seconds: float,
        alive: Callable[[], None] = _nobody,
    ) -> None:
        """After `after_seconds` without progress the worker is stuck, after twice that `end` is called; 0: never.

        `alive` is called at each look that finds the polling thread at work and the worker not stuck.
        """
        self._see = see
        self._alarm = alarm
        self._end = end
        self._alive = alive
        self._clock = clock
        self._after = after_seconds
        self._seen = see()
        self._looked = self._since = self._turned = clock.monotonic()
        self.reason: str | None = None

    @contextmanager
    def running(self) -> Iterator[None]:
        """Look every second for the time of the block."""
        stopping = threading.Event()

        def watch() -> None:
            while not stopping.wait(_PERIOD_SECONDS):
                self.look()

        threading.Thread(target=watch, name="watchdog", daemon=True).start()
        try:
            yield
        finally:
            stopping.set()

    def look(self) -> None:
        """Look once, and do what is due."""
        now, seen = self._clock.monotonic(), self._see()
        frozen = now - self._looked > _FROZEN_SECONDS
        before, self._seen, self._looked = self._seen, seen, now
        if seen.turns != before.turns:
            self._turned = now
        if _goes_on(before, seen):
            self._since = now
            self._all_clear()
        elif frozen or not self._after:
            self._since = now
        elif now - self._since >= 2 * self._after:
            self._give_up(now - self._since)
        elif now - self._since >= self._after and self.reason is None:
            self._raise_alarm(now)
        if seen.turns != before.turns and self.reason is None:
            self._alive()

    def _raise_alarm(self, now: float) -> None:
        what = f"Nothing was committed for {self._after:g} s (--stuck-after)"
        if now - self._turned > _TURN_SECONDS:
            self.reason = f"{what}, and the polling thread hangs"
        else:
            self.reason = f"{what}, although records wait"
        self._alarm.stuck(is_so=True)
        stack = stacks()
        _say(lambda: log.error("stuck", reason=self.reason, partitions=self._seen.assigned, stack=stack))

    def _all_clear(self) -> None:
        if self.reason is not None:
            self.reason = None
            self._alarm.stuck(is_so=False)
            _say(lambda: log.warning("not_stuck", reason="The worker goes on."))

    def _give_up(self, seconds: float) -> None:
        _say(
            lambda: log.error(
                "fatal", kind="Stuck", reason=f"Nothing was committed for {seconds:.0f} s, twice --stuck-after."
            )
        )
        self._end()


def _goes_on(before: Seen, seen: Seen) -> bool:
    """Whether something was committed, or there is nothing to commit.

    That nothing waits is what the polling thread says. When it has made no turn since, nobody knows.
    """
    if seen.commits != before.commits or not seen.assigned:
        return True
    return seen.turns != before.turns and not seen.waiting


def stacks() -> str:
    """What every other thread is doing: file, line and function, the innermost last. No source, no values."""
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    lines: list[str] = []
    for ident, frame in sys._current_frames().items():  # noqa: SLF001 - the documented way to see other threads
        if ident != threading.get_ident():
            lines.append(f"Thread {names.get(ident, ident)}:")
            calls = [
                f"  {at.f_code.co_filename}:{line} in {at.f_code.co_qualname}"
                for at, line in traceback.walk_stack(frame)
            ]
            lines += reversed(calls)
    return "\n".join(lines)


def _say(call: Callable[[], object]) -> None:
    thread = threading.Thread(target=call, name="watchdog-log", daemon=True)
    thread.start()
    thread.join(_LOG_SECONDS)
