"""Records of one partition, one after the other, looked at before they are taken."""

from collections.abc import Iterable, Iterator, Sequence

from worker.stream.records import Record


class Cursor:
    """Where a reader stands. `next_offset` is the offset after the last record taken, `start` before the first."""

    def __init__(self, batches: Iterable[Sequence[Record]], start: int = 0) -> None:
        self._records: Iterator[Record] = (record for batch in batches for record in batch)
        self._head: Record | None = None
        self.next_offset = start

    def peek(self) -> Record | None:
        """The next record; None at the end."""
        if self._head is None:
            self._head = next(self._records, None)
        return self._head

    def take(self) -> Record | None:
        """The next record, which is passed by that; None at the end."""
        record, self._head = self.peek(), None
        if record is not None:
            self.next_offset = record.offset + 1
        return record
