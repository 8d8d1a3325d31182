"""The one clock. Everything that waits or measures takes it as an argument, so tests can turn it."""

import time
from typing import Protocol


class Clock(Protocol):
    """What the program knows of time."""

    def monotonic(self) -> float:
        """Seconds from an arbitrary start that never run backwards: for durations."""

    def time(self) -> float:
        """Seconds since the Unix epoch: for comparing with record timestamps."""

    def sleep(self, seconds: float) -> None:
        """Wait for `seconds`."""


class SystemClock:
    """The machine's own clock."""

    def monotonic(self) -> float:
        """Seconds from an arbitrary start."""
        return time.monotonic()

    def time(self) -> float:
        """Seconds since the Unix epoch."""
        return time.time()  # noqa: TID251 - this is the one place that reads it

    def sleep(self, seconds: float) -> None:
        """Wait for `seconds`."""
        time.sleep(seconds)  # noqa: TID251 - this is the one place that waits
