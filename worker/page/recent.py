"""What happened last: changes of the assignment, and dead letters without anything of their documents."""

from collections import deque
from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple

from schemas.dead_letter import HEADER_NAMES
from schemas.source import SOURCE_HEADER
from worker.clock import Clock
from worker.stream.ports import RebalanceEvent
from worker.stream.records import Outcome, Outgoing, TopicPartition

_MOST = 10
_REASON_HEADER = HEADER_NAMES[1]


class Letter(NamedTuple):
    """A record that became a dead letter; `source` is topic/partition/offset."""

    time: float
    reason: str
    source: str


class Rebalance(NamedTuple):
    """Partitions that came or went; `assigned` is how many there were then."""

    time: float
    event: RebalanceEvent
    partitions: Sequence[int]
    assigned: int


class Recent:
    """The last ones of each, the latest first. The polling thread tells, any thread may read."""

    def __init__(self, clock: Clock, dead_letters: str) -> None:
        """`dead_letters` is the topic."""
        self._clock = clock
        self._topic = dead_letters
        self._letters = deque[Letter](maxlen=_MOST)
        self._rebalances = deque[Rebalance](maxlen=_MOST)

    @property
    def letters(self) -> list[Letter]:
        """Dead letters."""
        return list(self._letters)

    @property
    def rebalances(self) -> list[Rebalance]:
        """Changes of the assignment."""
        return list(self._rebalances)

    def committed(self, outcome: Outcome) -> None:
        """A batch is permanent."""
        for part in outcome.parts.values():
            if part.dead_letters:
                self._note(part.outgoing)

    def rebalanced(self, event: RebalanceEvent, partitions: Collection[TopicPartition], assigned: int) -> None:
        """Partitions came or went."""
        numbers = sorted(partition.partition for partition in partitions)
        self._rebalances.appendleft(Rebalance(self._clock.time(), event, numbers, assigned))

    def _note(self, outgoing: Iterable[Outgoing]) -> None:
        now = self._clock.time()
        for record in [record for record in outgoing if record.topic == self._topic][-_MOST:]:
            headers = dict(record.headers)  # ours come last, whatever the document brought
            reason, source = (headers.get(name) or b"" for name in (_REASON_HEADER, SOURCE_HEADER))
            self._letters.appendleft(Letter(now, reason.decode(errors="replace"), source.decode(errors="replace")))
