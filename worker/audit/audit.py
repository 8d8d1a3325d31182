"""One look at a whole system, or many: every partition's documents, outcomes and offsets, in this order.

The group's offsets are read first and the ends of the other topics after them, so whatever the group had committed has
its outcome before those ends. The offsets are read again at the very end, since no outcome may be beyond them.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from worker.audit.contents import Bundles, Contents
from worker.audit.cursor import Cursor
from worker.audit.findings import Finding, Report
from worker.audit.outcomes import UnreadableError, read_dead_letter, read_result
from worker.audit.partition import PartitionAudit, Streams
from worker.audit.ports import AuditedCluster, Extent, Progress
from worker.clock import Clock
from worker.config import Topics
from worker.stream.deadline import Deadline
from worker.stream.processor import Read
from worker.stream.records import Record, TopicPartition

_LOOK_SECONDS = 0.2
_NOTHING = Extent(0, 0, 0)
_OFFSETS_SECONDS = 5.0  # at-least-once workers commit offsets a moment after their results


@dataclass(frozen=True, slots=True)
class AuditLimits:
    """What an audit puts up with.

    Attributes:
        patience: seconds until an open transaction counts as one that stays open.
        max_lag: documents of one partition that may wait; None for any number.
    """

    patience: float
    max_lag: int | None


@dataclass(slots=True)
class _Place:
    """Where the audit of one partition stands."""

    audit: PartitionAudit
    result: int
    letter: int


class Audit:
    """Looks at a system once or, with `look` called again, at what came since."""

    def __init__(
        self,
        cluster: AuditedCluster,
        topics: Topics,
        bundles: Bundles,
        share: float,
        limits: AuditLimits,
        clock: Clock,
        read: Read,
    ) -> None:
        """`share` of the outcomes is recomputed, from 0 to 1, of documents that `read` reads as the worker does."""
        self._cluster = cluster
        self._topics = topics
        self._limits = limits
        self._clock = clock
        self._progress: Progress | None = None
        self.report = Report()
        self._contents = Contents(bundles, share, self.report, read)
        self._places: dict[int, _Place] = {}

    def skip_to_now(self) -> None:
        """Leave out what is there already: begin with the documents that the group has not committed yet."""
        results = self._cluster.extents(self._topics.classifications)
        letters = self._cluster.extents(self._topics.dead_letters)
        documents = self._cluster.extents(self._topics.documents)
        committed = self._cluster.committed()
        for partition, extent in documents.items():
            audit = self._audit(partition, committed.get(partition, extent.first), len(letters))
            letter = letters[partition % len(letters)].stable
            self._places[partition] = _Place(audit, results.get(partition, _NOTHING).stable, letter)

    def size(self) -> int:
        """How much there is to read, in offsets."""
        return sum(e.stable - e.first for topic in self._topics.names for e in self._cluster.extents(topic).values())

    def look(self, progress: Progress | None = None) -> Report:
        """Read everything up to now, and say what was found so far.

        Raises:
            StreamError, ClusterError: the cluster does not answer; the next look goes on where this one stopped.
        """
        self._progress = progress
        committed = self._cluster.committed()
        deadline = Deadline(self._clock, self._limits.patience)
        documents = self._settled(self._topics.documents, deadline)
        results = self._settled(self._topics.classifications, deadline)
        letters = self._settled(self._topics.dead_letters, deadline)
        for partition, extent in documents.items():
            self._note_unmatched(partition, len(results))
            places = extent, results.get(partition, _NOTHING), letters[partition % len(letters)]
            self._look_at(partition, committed.get(partition), places, len(letters))
        self._compare_offsets(documents)
        return self.report

    def _note_unmatched(self, partition: int, result_partitions: int) -> None:
        source = TopicPartition(self._topics.documents, partition)
        detail = f"{self._topics.classifications} has {result_partitions} partitions only: `clf topics add-partitions`"
        self.report.stands(partition, Finding.UNMATCHED, int(partition >= result_partitions), source, detail)

    def _settled(self, topic: str, deadline: Deadline) -> dict[int, Extent]:
        """The extents of a topic once the transactions that are open now have ended, or patience has."""
        found = self._cluster.extents(topic)
        ends = {partition: extent.end for partition, extent in found.items()}
        while any(found[n].stable < end for n, end in ends.items()) and not deadline.expired:
            self._clock.sleep(_LOOK_SECONDS)
            found = self._cluster.extents(topic)
        return {n: Extent(found[n].first, min(found[n].stable, end), end) for n, end in ends.items()}

    # --- one partition ------------------------------------------------------------------------------------------

    def _look_at(
        self, partition: int, committed: int | None, extents: tuple[Extent, Extent, Extent], letter_partitions: int
    ) -> None:
        documents, results, letters = extents
        place = self._places.get(partition)
        if place is None:
            place = self._first_place(partition, extents, letter_partitions)
            self._places[partition] = place
        source = TopicPartition(self._topics.documents, partition)
        streams = Streams(
            self._cursor(source, place.audit.position, documents.stable),
            self._cursor(TopicPartition(self._topics.classifications, partition), place.result, results.stable),
            self._cursor(self._letters_of(partition, letter_partitions), place.letter, letters.stable),
        )
        try:
            place.audit.run(streams)
        finally:
            place.result, place.letter = streams.results.next_offset, streams.dead_letters.next_offset
        open_in = [name for name, extent in zip(self._topics.names, extents, strict=True) if extent.stable < extent.end]
        hidden = place.audit.close(streams.documents, committed or 0, hidden=bool(open_in))
        detail = (
            f"open for more than {self._limits.patience:g} s in {', '.join(open_in)}; "
            f"{hidden} committed documents may have their outcome behind it"
        )
        self.report.stands(partition, Finding.OPEN_TRANSACTION, len(open_in), source, detail)
        self._note_lag(source, committed, documents)

    def _note_lag(self, source: TopicPartition, committed: int | None, documents: Extent) -> None:
        report, most = self.report.of(source.partition), self._limits.max_lag
        report.committed = committed
        report.lag = max(0, documents.stable - max(committed or 0, documents.first))
        too_many = report.lag if most is not None and report.lag > most else 0
        self.report.stands(source.partition, Finding.LAG, too_many, source, f"{report.lag} documents wait")

    def _first_place(self, partition: int, extents: tuple[Extent, Extent, Extent], letter_partitions: int) -> _Place:
        """Start with the oldest document whose outcome cannot have been removed by retention yet."""
        documents, results, letters = extents
        start = documents.first
        source = TopicPartition(self._topics.documents, partition)
        if results.first > 0:
            where = TopicPartition(self._topics.classifications, partition)
            start = max(start, self._first_document(source, where, results))
        if letters.first > 0:
            where = self._letters_of(partition, letter_partitions)
            start = max(start, self._first_document(source, where, letters))
        return _Place(self._audit(partition, start, letter_partitions), results.first, letters.first)

    def _first_document(self, source: TopicPartition, where: TopicPartition, extent: Extent) -> int:
        """The document of the oldest outcome of `source` that is left in `where`; 0 when there is none."""
        read = read_result if where.topic == self._topics.classifications else read_dead_letter
        for batch in self._cluster.read(where, extent.first, extent.stable):
            for record in batch:
                try:
                    found = read(record).source
                except UnreadableError:
                    continue
                if found[:2] == source:
                    return found.offset
        return 0

    def _audit(self, partition: int, start: int, letter_partitions: int) -> PartitionAudit:
        source = TopicPartition(self._topics.documents, partition)
        return PartitionAudit(source, start, letter_partitions, self.report, self._contents)

    def _letters_of(self, partition: int, letter_partitions: int) -> TopicPartition:
        return TopicPartition(self._topics.dead_letters, partition % letter_partitions)

    def _cursor(self, source: TopicPartition, start: int, end: int) -> Cursor:
        return Cursor(self._told(self._cluster.read(source, start, end)) if start < end else (), start)

    def _told(self, batches: Iterator[Sequence[Record]]) -> Iterator[Sequence[Record]]:
        passed = None
        for batch in batches:
            if self._progress is not None and batch:
                self._progress.records_done(len(batch))
                last = batch[-1].offset + 1
                self._progress.advanced(last - (batch[0].offset if passed is None else passed))
                passed = last
            yield batch

    # --- the offsets --------------------------------------------------------------------------------------------

    def _compare_offsets(self, documents: Mapping[int, Extent]) -> None:
        deadline = Deadline(self._clock, _OFFSETS_SECONDS)
        while (beyond := self._beyond()) and not deadline.expired:
            self._clock.sleep(_LOOK_SECONDS)
        for partition, extent in documents.items():
            source = TopicPartition(self._topics.documents, partition)
            committed = self.report.of(partition).committed or 0
            if committed > extent.end:
                detail = f"the group's offset {committed} is beyond the last document, before {extent.end}"
                self.report.stands(partition, Finding.OFFSETS, committed - extent.end, source, detail)
            else:
                detail = "there are outcomes beyond the group's offset: their documents will be settled again"
                self.report.stands(partition, Finding.OFFSETS, beyond.get(partition, 0), source, detail)

    def _beyond(self) -> dict[int, int]:
        """For partitions with outcomes beyond the group's offset: by how many documents."""
        committed = self._cluster.committed()
        ahead = {
            partition: place.audit.highest + 1 - committed.get(partition, place.audit.start)
            for partition, place in self._places.items()
        }
        return {partition: count for partition, count in ahead.items() if count > 0}
