"""How many partitions the three topics have, looked at again and again: somebody may add some while the worker runs.

Results go to the partition of their document. Where the results have no such partition yet, its documents wait: nothing
of them is read or committed, all other partitions go on, and so does this one as soon as the results have it too.
"""

import threading
from collections.abc import Callable
from typing import NamedTuple, Protocol

import structlog

from worker.config import Topics
from worker.stream.errors import StreamError

log = structlog.get_logger(__name__)

_LOOK_SECONDS = 5.0
_LOOK_SOON_SECONDS = 1.0  # while documents wait
_CLOSE_SECONDS = 10.0


class Partitions(NamedTuple):
    """How many each topic has."""

    documents: int
    classifications: int
    dead_letters: int


class PartitionBooks(Protocol):
    """Who is told; the metrics implement it."""

    def partitions(self, found: Partitions) -> None:
        """These are the counts from now on."""


class PartitionWatch:
    """Knows the counts. Any thread may ask."""

    def __init__(self, topics: Topics, found: Partitions, books: PartitionBooks) -> None:
        """`found` are those of the start, when they were fit to start with."""
        self._topics = topics
        self._books = books
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self.found = found
        books.partitions(found)

    def has_results(self, partition: int) -> bool:
        """Whether the documents of that partition have one for their results."""
        return partition < self.found.classifications

    def start(self, count: Callable[[str], int]) -> None:
        """Look every few seconds, on a thread of its own. `count` tells a topic's partitions, or raises StreamError."""
        self._thread = threading.Thread(target=self._repeat, args=(count,), name="partition-watch", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Look no more."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(_CLOSE_SECONDS)

    def look(self, count: Callable[[str], int]) -> None:
        """Look once. A cluster that does not answer is told of by those who need more of it."""
        try:
            found = Partitions(*map(count, self._topics.names))
        except StreamError:
            return
        before, self.found = self.found, found
        if found != before:
            self._books.partitions(found)
            self._tell(before, found)

    def _repeat(self, count: Callable[[str], int]) -> None:
        while not self._stopping.wait(_LOOK_SOON_SECONDS if self._some_wait() else _LOOK_SECONDS):
            self.look(count)

    def _some_wait(self) -> bool:
        return not self.has_results(self.found.documents - 1)

    def _tell(self, before: Partitions, found: Partitions) -> None:
        log.info("partitions_changed", before=before._asdict(), now=found._asdict())
        documents, results = self._topics.documents, self._topics.classifications
        counts = f"Topic {documents} has {found.documents} partitions and {results} has {found.classifications}"
        help_ = f"`clf topics add-partitions --partitions {max(found[:2])}` adds what is missing"
        if found.documents > found.classifications:
            waiting = ", ".join(map(str, range(found.classifications, found.documents)))
            log.error(
                "partitions_without_results",
                reason=f"{counts}: there is no place for the results of partition {waiting}. {help_}.",
                consequence="Documents there wait, and no worker can start. All other partitions go on.",
            )
        elif found.documents < found.classifications:
            log.warning(
                "partitions_unequal",
                reason=f"{counts}. {help_}.",
                consequence="What runs goes on as before, in order, but no worker can start.",
            )
