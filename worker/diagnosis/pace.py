"""How long documents take to be processed, batch by batch."""

from collections.abc import Callable, Sequence
from typing import TypeVar

from worker.clock import Clock
from worker.serve.histograms import Tally

Item = TypeVar("Item")
Outcome = TypeVar("Outcome")

# A fixed step from 1 us to about 100 s.
_BOUNDS = tuple(1e-6 * 1.2**step for step in range(102))
# What a smaller batch takes is mostly not its documents.
_LEAST_DOCUMENTS = 10


class Pace:
    """Counts seconds per document: batches differ in size, so their own time says little."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.seconds = Tally(_BOUNDS)  # one value for each batch; one thread processes them

    def of(self, process: Callable[[Sequence[Item]], Outcome]) -> Callable[[Sequence[Item]], Outcome]:
        """The same, counted."""

        def measured(batch: Sequence[Item]) -> Outcome:
            started = self._clock.monotonic()
            outcome = process(batch)
            if len(batch) >= _LEAST_DOCUMENTS:
                self.seconds.add((self._clock.monotonic() - started) / len(batch))
            return outcome

        return measured
