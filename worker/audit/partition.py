"""The audit of one partition: its documents, results and dead letters merged by the document's offset.

A worker publishes the outcomes of a partition in the order of its documents, so three readers that move forward side by
side meet each document once. What is remembered are only the documents that were passed and have no outcome yet.
"""

from collections.abc import Callable
from typing import NamedTuple

from schemas.classification import Classification
from schemas.dead_letter import DeadLetter
from worker.audit.contents import Contents
from worker.audit.cursor import Cursor
from worker.audit.findings import Finding, Report
from worker.audit.offsets import OffsetRanges
from worker.audit.outcomes import Outcome, UnreadableError, read_dead_letter, read_result
from worker.stream.records import Record, TopicPartition


class Streams(NamedTuple):
    """The three readers of one round."""

    documents: Cursor
    results: Cursor
    dead_letters: Cursor


class PartitionAudit:
    """Each round is one `run` and one `close`; the next one goes on where it ended."""

    def __init__(
        self, source: TopicPartition, start: int, letter_partitions: int, report: Report, contents: Contents
    ) -> None:
        """`start` is the offset of the first document that must have an outcome among those that are read.

        `letter_partitions` says how many partitions the dead-letter topic has: several of ours may share one.
        """
        self._source = source
        self.start = start
        self._letter_partitions = letter_partitions
        self._report = report
        self._seen = report.of(source.partition)
        self._contents = contents
        self._outstanding = OffsetRanges()  # passed, without an outcome so far
        self._missing = OffsetRanges()  # those that were told of already
        self._highest: dict[str, int] = {}  # of the documents that have an outcome, by its topic
        self.position = start  # of the next document to pass

    @property
    def highest(self) -> int:
        """The last document that has an outcome; below `start` when there is none."""
        return max(self._highest.values(), default=self.start - 1)

    def run(self, streams: Streams) -> None:
        """Take in all outcomes that the streams hold, and pass the documents before them."""
        results = _Outcomes(streams.results, read_result, self._unreadable)
        letters = _Outcomes(streams.dead_letters, read_dead_letter, self._unreadable)
        while True:
            result, letter = results.peek(), letters.peek()
            if result is not None and (letter is None or result.source.offset < letter.source.offset):
                self._settle(result, streams.documents)
                results.take()
            elif letter is not None:
                self._settle(letter, streams.documents)
                letters.take()
            else:
                break
        self._contents.flush()

    def close(self, documents: Cursor, committed: int, *, hidden: bool) -> int:
        """End a round: documents before `committed` must have had an outcome.

        Args:
            documents: what `run` left of them.
            committed: the group's offset.
            hidden: whether an open transaction hides outcomes, so that those behind the last visible one may exist.

        Returns:
            How many documents have no visible outcome for that reason.
        """
        self._pass_to(committed, documents)
        limit = min(committed, self.highest + 1) if hidden else committed
        for missing in self._outstanding.take_below(limit):
            for offset in missing:
                self._missing.add(offset)
                detail = "committed, without a result or a dead letter"
                self._report.found(self._source.partition, Finding.MISSING, self._source, offset, detail)
        return len(self._outstanding) if hidden else 0

    # --- one outcome --------------------------------------------------------------------------------------------

    def _settle(self, outcome: Outcome, documents: Cursor) -> None:
        offset = outcome.source.offset
        if outcome.source[:2] != self._source:
            self._of_another(outcome)
        elif offset < self.start:
            self._seen.unchecked += 1
        elif offset >= self.position:
            self._meet(outcome, documents)
        elif self._outstanding.remove(offset) or self._missing.remove(offset):
            self._late(outcome)
        else:
            self._found(Finding.DOUBLED, outcome.record, f"of {self._name(offset)}, which has an outcome already")

    def _meet(self, outcome: Outcome, documents: Cursor) -> None:
        offset = outcome.source.offset
        self._pass_to(offset, documents)
        document = documents.peek()
        if document is None or document.offset != offset:
            self._found(Finding.UNEXPECTED, outcome.record, f"there is no document {self._name(offset)}")
            return
        documents.take()
        self._seen.documents += 1
        self.position = offset + 1
        self._highest[outcome.record.source.topic] = offset
        self._count(outcome)
        self._contents.check(document, outcome)

    def _late(self, outcome: Outcome) -> None:
        # Something else made the audit pass these documents before their time: an outcome of the other topic, or one
        # that is out of order itself. The document is no longer at hand, so the contents go unchecked.
        offset, topic = outcome.source.offset, outcome.record.source.topic
        self._count(outcome)
        before = self._highest.get(topic, -1)
        if offset < before:
            detail = f"of {self._name(offset)}, after that of {self._name(before)}"
            self._found(Finding.REORDERED, outcome.record, detail)
        self._highest[topic] = max(before, offset)

    def _of_another(self, outcome: Outcome) -> None:
        """Topics may be shared with other systems, and a partition of dead letters by several of ours."""
        topic, partition, _ = outcome.source
        at_home = outcome.record.source.partition == (
            partition % self._letter_partitions if isinstance(outcome.content, DeadLetter) else partition
        )
        if topic == self._source.topic and not at_home:
            self._stray(outcome.record, f"it is of a document of partition {partition}")

    def _unreadable(self, record: Record, error: UnreadableError) -> None:
        self._stray(record, str(error))

    def _stray(self, record: Record, detail: str) -> None:
        """Told by one of the partitions that share a partition of dead letters, not by each of them."""
        if record.source.partition == self._source.partition:
            self._found(Finding.UNEXPECTED, record, detail)

    def _pass_to(self, offset: int, documents: Cursor) -> None:
        while (document := documents.peek()) is not None and document.offset < offset:
            documents.take()
            self._outstanding.add(document.offset)
            self._seen.documents += 1
            self.position = document.offset + 1

    def _count(self, outcome: Outcome) -> None:
        match outcome.content:
            case None:
                self._seen.tombstones += 1
            case DeadLetter():
                self._seen.dead_letters += 1
            case Classification(model=stamp):
                self._seen.results += 1
                if stamp is not None:
                    self._report.models[stamp] += 1

    def _found(self, finding: Finding, record: Record, detail: str) -> None:
        self._report.found(self._source.partition, finding, record.source, record.offset, detail)

    def _name(self, offset: int) -> str:
        return f"{self._source.topic}/{self._source.partition}/{offset}"


class _Outcomes:
    """The outcomes among the records of a cursor; what is none is told and passed over."""

    def __init__(
        self,
        records: Cursor,
        read: Callable[[Record], Outcome],
        unreadable: Callable[[Record, UnreadableError], None],
    ) -> None:
        self._records = records
        self._read = read
        self._unreadable = unreadable
        self._head: Outcome | None = None

    def peek(self) -> Outcome | None:
        """The next outcome; None at the end."""
        while self._head is None and (record := self._records.peek()) is not None:
            try:
                self._head = self._read(record)
            except UnreadableError as error:
                self._unreadable(record, error)
                self._records.take()
        return self._head

    def take(self) -> None:
        """Pass the next outcome."""
        self._head = None
        self._records.take()
