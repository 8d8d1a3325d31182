"""What the loop handles: records in, records out, and what became of a batch."""

from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from schemas.dead_letter import Headers


class TopicPartition(NamedTuple):
    """One partition of a topic."""

    topic: str
    partition: int


class Position(NamedTuple):
    """Where a group stands in a partition: the next offset to read, and a note that is committed with it."""

    offset: int
    note: str = ""


class Record(NamedTuple):
    """One record as it was read. `timestamp_ms` is milliseconds since the Unix epoch; 0 or less: it has none."""

    source: TopicPartition
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: Headers


class Outgoing(NamedTuple):
    """One record to publish."""

    topic: str
    partition: int
    key: bytes | None
    value: bytes | None
    headers: Headers


def size_of(records: Iterable[Record]) -> int:
    """Bytes of keys and values: what it costs to keep the records in hand."""
    return sum([len(key or b"") + len(value or b"") for _, _, _, key, value, _ in records])


def oldest(timestamps_ms: Iterable[int | None]) -> int | None:
    """The earliest timestamp; None when no record has one."""
    return min((stamp for stamp in timestamps_ms if stamp is not None and stamp > 0), default=None)


@dataclass(slots=True)
class Part:
    """What one partition's share of a batch became. Offsets travel with the data they stand for.

    `note` is committed with the offset, for whoever takes the partition over when this worker died; `note_if_left` is
    what replaces it when the worker leaves in peace. See `worker.stream.suspects`.
    """

    next_offset: int = 0
    outgoing: list[Outgoing] = field(default_factory=list)
    timestamps_ms: list[int] = field(default_factory=list)
    outcomes: Counter[str] = field(default_factory=Counter)
    dead_letters: Counter[str] = field(default_factory=Counter)
    predictions: Counter[tuple[str, str]] = field(default_factory=Counter)
    oldest_timestamp_ms: int | None = None
    note: str = ""
    note_if_left: str = ""

    def read(self, record: Record) -> None:
        """Count in a record that comes after all those of this part."""
        self.next_offset = record.offset + 1
        self.timestamps_ms.append(record.timestamp_ms)
        stamp, known = record.timestamp_ms, self.oldest_timestamp_ms
        if stamp > 0 and (known is None or stamp < known):
            self.oldest_timestamp_ms = stamp

    def followed_by(self, later: "Part") -> "Part":
        """This part and what was read after it, as one."""
        return Part(
            later.next_offset,
            self.outgoing + later.outgoing,
            self.timestamps_ms + later.timestamps_ms,
            self.outcomes + later.outcomes,
            self.dead_letters + later.dead_letters,
            self.predictions + later.predictions,
            oldest((self.oldest_timestamp_ms, later.oldest_timestamp_ms)),
            later.note,
            later.note_if_left,
        )


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a batch became, by source partition: everything one transaction publishes and commits."""

    parts: dict[TopicPartition, Part]

    @property
    def offsets(self) -> dict[TopicPartition, int]:
        """For every partition, the offset of the next record to read."""
        return {source: part.next_offset for source, part in self.parts.items()}

    @property
    def positions(self) -> dict[TopicPartition, Position]:
        """The same with the notes: what is committed."""
        return {source: Position(part.next_offset, part.note) for source, part in self.parts.items()}

    @property
    def size(self) -> int:
        """How many input records it settles."""
        return sum(len(part.timestamps_ms) for part in self.parts.values())

    @property
    def dead_letters(self) -> int:
        """How many of them ended as dead letters."""
        return sum(part.dead_letters.total() for part in self.parts.values())

    @property
    def oldest_timestamp_ms(self) -> int | None:
        """The earliest record timestamp, None when there is none."""
        return oldest(part.oldest_timestamp_ms for part in self.parts.values())

    def drop(self, partitions: Collection[TopicPartition]) -> None:
        """Forget what came from `partitions`: they belong to another worker now."""
        for source in partitions:
            self.parts.pop(source, None)
