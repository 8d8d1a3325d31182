"""One budget of time, shared by all the steps of a commit, a revocation or a shutdown."""

from worker.clock import Clock


class Deadline:
    """A point in time, counted down by every step that is handed it."""

    def __init__(self, clock: Clock, seconds: float) -> None:
        self._clock = clock
        self._end = clock.monotonic() + seconds

    def remaining(self) -> float:
        """Seconds left, never negative."""
        return max(0.0, self._end - self._clock.monotonic())

    @property
    def expired(self) -> bool:
        """Whether nothing is left."""
        return self.remaining() == 0.0
