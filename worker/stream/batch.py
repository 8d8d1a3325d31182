"""A batch in the making. It closes on a count, on bytes, or on the age of its first record."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from worker.clock import Clock
from worker.stream.records import Record, TopicPartition, oldest, size_of


@dataclass(frozen=True, slots=True)
class BatchLimits:
    """When a batch is full."""

    max_records: int
    max_bytes: int
    max_age_seconds: float


class Batch:
    """Records in the order they were read. Its age starts with its first record, never before."""

    def __init__(self, limits: BatchLimits, clock: Clock) -> None:
        self._limits = limits
        self._clock = clock
        self._started: float | None = None
        self.records: list[Record] = []
        self.size_bytes = 0
        self.oldest_timestamp_ms: int | None = None

    def add(self, records: Sequence[Record]) -> None:
        """Take more records in."""
        if not records:
            return
        if self._started is None:
            self._started = self._clock.monotonic()
        self.records.extend(records)
        self.size_bytes += size_of(records)
        self.oldest_timestamp_ms = oldest([self.oldest_timestamp_ms, *[record.timestamp_ms for record in records]])

    @property
    def room(self) -> int:
        """How many more records it takes; 0 when it is full by count or by bytes."""
        if self.size_bytes >= self._limits.max_bytes:
            return 0
        return max(0, self._limits.max_records - len(self.records))

    @property
    def remaining_age(self) -> float | None:
        """Seconds until it closes by age; None while it is empty."""
        if self._started is None:
            return None
        return max(0.0, self._limits.max_age_seconds - (self._clock.monotonic() - self._started))

    @property
    def due(self) -> bool:
        """Whether it is time to hand it on."""
        return bool(self.records) and (self.room == 0 or self.remaining_age == 0.0)

    def drop(self, partitions: Collection[TopicPartition]) -> None:
        """Forget the records of `partitions`: they belong to another worker now."""
        self.records = [record for record in self.records if record.source not in partitions]
        self.size_bytes = size_of(self.records)
        self.oldest_timestamp_ms = oldest(record.timestamp_ms for record in self.records)
        if not self.records:
            self._started = None
