"""Turns: of partitions that have more to give than a worker takes, each gives some and then lets the others.

Whenever librdkafka's queue was full it begins with the same partitions again. With a backlog the others would get
nothing until those are read to their end, and nothing at all while more keeps coming there.
"""

from collections import defaultdict
from collections.abc import Collection, Sequence
from itertools import groupby
from operator import attrgetter
from typing import Final

from worker.clock import Clock
from worker.stream.records import Record, TopicPartition, size_of

# No less than a half of what the client fetches ahead: that is what it throws away of a partition that has to rest.
TURN_RECORDS: Final = 5_000
TURN_BYTES: Final = 8 * 2**20

# How long a partition may wait before the others have to rest for it, which costs a tenth of the speed while it lasts.
PATIENCE_SECONDS: Final = 5.0
_ROUND_SECONDS = 60.0
_SILENCE_SECONDS = 0.2  # longer than it takes to fetch
_source_of = attrgetter("source")


class Turns:
    """Says which partitions are to rest.

    Nobody does until one has waited for long. Then each rests that has had its turn, until all have had theirs.

    Attributes:
        resting: those that have had their turn, while others wait for theirs.
    """

    def __init__(self, clock: Clock) -> None:
        """Nobody waits yet."""
        self._clock = clock
        self._waiting_since: dict[TopicPartition, float] = {}  # of those with something unread
        self._given: dict[TopicPartition, float] = defaultdict(float)  # in this round, in turns
        self._round_began = self._last_record = clock.monotonic()
        self.resting: frozenset[TopicPartition] = frozenset()

    def know(self, unread: Collection[TopicPartition]) -> None:
        """These have records that the client has not fetched yet."""
        now = self._clock.monotonic()
        self._waiting_since = {source: self._waiting_since.get(source, now) for source in unread}

    def took(self, records: Sequence[Record]) -> None:
        """These records were delivered; none, when nothing came."""
        now = self._clock.monotonic()
        if not records:
            if self.resting and now - self._last_record > _SILENCE_SECONDS:
                self._begin_round(now)
            return
        self._last_record = now
        for source, group in groupby(records, _source_of):
            delivered = list(group)
            self._given[source] += max(len(delivered) / TURN_RECORDS, size_of(delivered) / TURN_BYTES)
            if source in self._waiting_since:
                self._waiting_since[source] = now
        done = {source for source, given in self._given.items() if given >= 1.0}
        waiting = self._waiting_since.keys() - done
        if not waiting or now - self._round_began > _ROUND_SECONDS:
            self._begin_round(now)
        elif self.resting or any(now - self._waiting_since[source] > PATIENCE_SECONDS for source in waiting):
            self.resting = frozenset(done)

    def listen(self) -> None:
        """Nothing could come until now, so silence counts from here."""
        self._last_record = self._clock.monotonic()

    def forget(self, partitions: Collection[TopicPartition]) -> None:
        """These are another worker's now."""
        self.resting -= set(partitions)
        for source in partitions:
            self._given.pop(source, None)
            self._waiting_since.pop(source, None)

    def _begin_round(self, now: float) -> None:
        self._given.clear()
        self._round_began = now
        self.resting = frozenset()
