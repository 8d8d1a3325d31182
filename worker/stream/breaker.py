"""Stops the worker when too many documents end as dead letters: then the input, not the document, is broken."""

from collections import deque
from collections.abc import Callable

from worker.stream.errors import BreakerOpenError
from worker.stream.records import Outcome


class Breaker:
    """Watches the share of dead letters over the last `window` records.

    It is asked before a batch is committed, so the batch that opens it stays uncommitted: whoever repairs the
    cause finds every one of its documents still in the input topic.
    """

    def __init__(
        self, limit: float, window: int, *, was_open: bool = False, tell: Callable[[bool], None] = lambda _: None
    ) -> None:
        """Open above the share `limit` (0 to 1) once `window` records were seen; a limit of 1 never opens.

        A breaker ends its process, so `was_open` says that it opened in the one before: then it counts as open until a
        window is within the limit. `tell` is told whenever it opens or closes.
        """
        self._limit = limit
        self._window = window
        self._is_open = was_open
        self._tell = tell
        self._batches: deque[tuple[int, int]] = deque()
        self._records = 0
        self._dead = 0

    def check(self, outcome: Outcome) -> None:
        """Count `outcome` in.

        Raises:
            BreakerOpenError: the share of dead letters is above the limit.
        """
        self._push(outcome.size, outcome.dead_letters)
        if self._records < self._window:
            return
        self._turn(is_open=self._dead > self._limit * self._records)
        if not self._is_open:
            return
        raise BreakerOpenError(
            f"{self._dead} of the last {self._records} records could not be classified, more than the limit of "
            f"{self._limit:.0%} (--dead-letter-limit). Nothing of the last batch was committed. Look at what arrives "
            "(`clf dead-letters list`), repair the producer or raise the limit, and start the worker again."
        )

    def _turn(self, *, is_open: bool) -> None:
        if is_open is not self._is_open:
            self._is_open = is_open
            self._tell(is_open)

    def _push(self, records: int, dead: int) -> None:
        self._batches.append((records, dead))
        self._records += records
        self._dead += dead
        while self._batches and self._records - self._batches[0][0] >= self._window:
            old_records, old_dead = self._batches.popleft()
            self._records -= old_records
            self._dead -= old_dead
