"""Finds the document that takes the process down, by notes that are committed with the offsets.

Who is killed tells nothing afterwards, so a worker leaves its note beforehand, for whoever takes the partition over:

    documents before UNTIL are suspects: take few at a time. The one at AT was alone in hand in DEATHS deaths

1.  Before the first batch of a partition that was just assigned, the group's offset is committed once more, with UNTIL
    at the end of that batch. The commit of the batch takes the note away, and so does a worker that leaves in peace.
    Whoever finds it knows that a worker died here; mostly the second in a row, for the first made the partition move.
2.  Who finds it takes the documents before UNTIL in sixteen parts, one after the other with nothing else in hand. Each
    commit says where the next part ends. So another death leaves the successor a sixteenth of what there was, and no
    death costs sixteen transactions. (Halves would take four times as many deaths, single documents a thousand
    transactions after any two kills in a row.)
3.  A part of one document is charged as well: each commit says that the next one is being tried, as if it had cost a
    death already. So a death points at the offset that is committed.
4.  A document that was alone in hand in as many deaths as are allowed becomes a dead letter. What follows it is a batch
    again, as if the partition had just been assigned; a second one among them is found as the first was.
    One that was charged before and has been processed this time is acquitted before it is published: publishing may
    fail for reasons of the cluster, and must condemn nobody.

With no such note about, and none to be left, a batch costs one look at an empty set.
"""

import math
import re
from collections import defaultdict, deque
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, Self

import structlog

from worker.stream.ports import Observer
from worker.stream.records import Outcome, Part, Position, Record, TopicPartition

log = structlog.get_logger(__name__)

_NOTE = re.compile(r"clf-suspects:([0-9]{1,18}):([0-9]{1,18}):([0-9]{1,9})")
_NONE = ""
_PARTS = 16


class Note(NamedTuple):
    """What is committed for a successor; see above."""

    until: int
    at: int = 0
    deaths: int = 0

    @classmethod
    def read(cls, text: str) -> Self | None:
        """None for what is no note of ours: anybody may commit an offset with anything."""
        found = _NOTE.fullmatch(text)
        return None if found is None else cls(*map(int, found.groups()))

    def text(self) -> str:
        """As it is committed."""
        return f"clf-suspects:{self.until}:{self.at}:{self.deaths}"


@dataclass(frozen=True, slots=True)
class Step:
    """What is in hand at one time, up to its commit.

    Attributes:
        records: To be processed; none when the outcome is known.
        outcome: The known outcome.
        notes: What the commit of suspects says, if the worker dies and if it leaves.
        acquittal: To be committed once the records are processed, before what came of them.
        deaths: Not 0: the one record is condemned by them, and must not be processed.
    """

    records: Sequence[Record] = ()
    outcome: Outcome | None = None
    notes: tuple[str, str] | None = None
    acquittal: Outcome | None = None
    deaths: int = 0

    def noted(self, outcome: Outcome) -> Outcome:
        """The outcome of the records, with the notes."""
        if self.notes is not None:
            for part in outcome.parts.values():
                part.note, part.note_if_left = self.notes
        return outcome

    def without(self, partitions: Collection[TopicPartition]) -> Self | None:
        """What is left when these are another worker's; None when nothing is."""
        if self.outcome is not None:
            self.outcome.drop(partitions)
            return self if self.outcome.parts else None
        records = [record for record in self.records if record.source not in partitions]
        return replace(self, records=records) if records else None


class Steps:
    """Those of one batch, of which one is in hand at a time."""

    def __init__(self) -> None:
        self._waiting: deque[Step] = deque()
        self._current: Step | None = None
        self.under_way = False

    def __len__(self) -> int:
        """How many wait."""
        return len(self._waiting)

    def begin(self, steps: Iterable[Step]) -> None:
        """These are to be taken from now on."""
        self._waiting.extend(steps)
        self.under_way = True

    def next(self) -> Step | None:
        """The next one; None when the last one is done with."""
        self._current = self._waiting.popleft() if self._waiting else None
        self.under_way = self._current is not None
        return self._current

    def acquitted(self, outcome: Outcome) -> Outcome:
        """What is to be committed first of what became of the records in hand."""
        if self._current is None or self._current.acquittal is None:
            return outcome
        self._waiting.appendleft(Step(outcome=outcome))
        return self._current.acquittal

    def drop(self, partitions: Collection[TopicPartition]) -> None:
        """Take no steps with `partitions`, which are another worker's now."""
        left = [step.without(partitions) for step in self._waiting]
        self._waiting = deque(step for step in left if step is not None)

    def clear(self) -> None:
        """Take none of those that wait."""
        self._waiting.clear()


class Suspects:
    """What is known of the assigned partitions. Called on the polling thread only."""

    def __init__(self, max_deaths: int, observer: Observer) -> None:
        """`max_deaths` 0: no notes are left, and none is looked for."""
        self._max_deaths = max_deaths
        self._observer = observer
        self._fresh: set[TopicPartition] = set()  # nothing of theirs was committed yet
        self._ranges: dict[TopicPartition, Note] = {}
        self._to_give_back: dict[TopicPartition, Position] = {}  # what we are charged with, as it must be left

    def assigned(self, partitions: Collection[TopicPartition]) -> None:
        """These are ours, and nothing is known of them."""
        if self._max_deaths:
            self._fresh.update(partitions)

    def forget(self, partitions: Collection[TopicPartition]) -> None:
        """These are ours no more."""
        self._fresh.difference_update(partitions)
        for source in partitions:
            self._ranges.pop(source, None)
            self._to_give_back.pop(source, None)
        self._observer.suspected(len(self._ranges))

    def trusts(self, records: Sequence[Record]) -> bool:
        """Whether these may be processed as they are, while others are being committed."""
        if not self._fresh and not self._ranges:
            return True
        sources = {record.source for record in records}
        return self._fresh.isdisjoint(sources) and self._ranges.keys().isdisjoint(sources)

    def unknown(self, records: Sequence[Record]) -> set[TopicPartition]:
        """The partitions of these whose position `plan` must be told."""
        return self._fresh & {record.source for record in records}

    def plan(self, records: Sequence[Record], positions: Mapping[TopicPartition, Position]) -> list[Step]:
        """How a batch is to be taken, one step after the other. `positions` are those of the `unknown`."""
        by_source: dict[TopicPartition, list[Record]] = defaultdict(list)
        for record in records:
            by_source[record.source].append(record)
        for source, position in positions.items():
            self._read(source, position, by_source[source][0].offset)
        steps: list[Step] = []
        for source in sorted(by_source.keys() & self._ranges.keys()):
            if self._ranges[source].deaths >= self._max_deaths:
                steps.append(self._condemned(by_source[source].pop(0)))
            suspects = [record for record in by_source[source] if self._suspects(record)]
            alone = len(suspects) <= _PARTS or self._ranges[source].deaths
            steps += self._one_by_one(source, suspects) if alone else self._in_parts(source, suspects)
        taken = {record[:2] for step in steps for record in step.records}
        steps += self._together([record for record in records if record[:2] not in taken])
        return steps

    def _read(self, source: TopicPartition, position: Position, first: int) -> None:
        note = Note.read(position.note)
        if note is None or note.until <= first:
            return
        if note.at != first:
            note = Note(note.until)
        self._fresh.discard(source)
        self._ranges[source] = note
        self._observer.death_found()
        self._observer.suspected(len(self._ranges))
        reason = "A worker died with these documents in hand, or lost them. They are taken a few at a time."
        place = f"{source.topic}/{source.partition}"
        log.warning(
            "documents_suspected", partition=place, first=first, until=note.until, deaths=note.deaths, reason=reason
        )

    def _suspects(self, record: Record) -> bool:
        note = self._ranges.get(record.source)
        return note is not None and record.offset < note.until

    # --- steps --------------------------------------------------------------------------------------------------

    def _condemned(self, record: Record) -> Step:
        deaths = self._ranges.pop(record.source).deaths
        self._fresh.add(record.source)
        self._observer.suspected(len(self._ranges))
        document = f"{record.source.topic}/{record.source.partition}/{record.offset}"
        log.error("document_killed_workers", document=document, deaths=deaths, consequence="It becomes a dead letter.")
        return Step([record], deaths=deaths)

    def _one_by_one(self, source: TopicPartition, records: Sequence[Record]) -> Iterator[Step]:
        if not records:
            return
        until, _, deaths = self._ranges[source]
        tried, left = (Note(until, records[0].offset, count) for count in (deaths + 1, deaths))
        yield Step(outcome=Outcome({source: Part(records[0].offset, note=tried.text(), note_if_left=left.text())}))
        for record, following in zip(records, [*records[1:], None], strict=True):
            acquittal = self._acquittal(record, until, deaths + 1)
            yield Step([record], notes=_notes_after(record, following, until), acquittal=acquittal)
            deaths = 0

    def _in_parts(self, source: TopicPartition, records: Sequence[Record]) -> Iterator[Step]:
        until, size = self._ranges[source].until, math.ceil(len(records) / _PARTS)
        parts = [records[start : start + size] for start in range(0, len(records), size)]
        first = Part(records[0].offset, note=_end_of(parts[0]).text(), note_if_left=Note(until).text())
        yield Step(outcome=Outcome({source: first}))
        for part, following in zip(parts, [*parts[1:], None], strict=True):
            is_last = part[-1].offset + 1 >= until
            left = _NONE if is_last else Note(until).text()
            yield Step(part, notes=(left if following is None else _end_of(following).text(), left))

    def _acquittal(self, record: Record, until: int, charged: int) -> Outcome | None:
        if charged < min(2, self._max_deaths):
            return None
        note = Note(until).text()
        return Outcome({record.source: Part(record.offset, note=note, note_if_left=note)})

    def _together(self, records: Sequence[Record]) -> Iterator[Step]:
        if not records:
            return
        marks: dict[TopicPartition, Part] = {}
        for record in records:
            if record.source in self._fresh:
                mark = marks.setdefault(record.source, Part(record.offset))
                mark.note = Note(record.offset + 1).text()
        if marks:
            yield Step(outcome=Outcome(marks))
        yield Step(records)

    # --- what was committed -------------------------------------------------------------------------------------

    def committed(self, outcome: Outcome) -> None:
        """The group has these positions and notes now."""
        if not (self._fresh or self._ranges or self._to_give_back):
            return
        for source, part in outcome.parts.items():
            if part.note == part.note_if_left:
                self._to_give_back.pop(source, None)
            else:
                self._to_give_back[source] = Position(part.next_offset, part.note_if_left)
            if part.timestamps_ms:
                self._got_on(source, part)

    def _got_on(self, source: TopicPartition, part: Part) -> None:
        self._fresh.discard(source)
        note = Note.read(part.note_if_left)
        if note is not None:
            self._ranges[source] = Note(note.until)
        elif self._ranges.pop(source, None) is not None:
            self._observer.suspected(len(self._ranges))
            log.info("suspicion_ended", partition=f"{source.topic}/{source.partition}", offset=part.next_offset)

    def to_give_back(self, partitions: Collection[TopicPartition]) -> Outcome:
        """What must be committed before these are given up, so that leaving them does not look like a death."""
        parts: dict[TopicPartition, Part] = {}
        for source in partitions:
            position = self._to_give_back.pop(source, None)
            if position is not None:
                parts[source] = Part(position.offset, note=position.note, note_if_left=position.note)
        return Outcome(parts)


def _end_of(records: Sequence[Record]) -> Note:
    return Note(records[-1].offset + 1)


def _notes_after(record: Record, following: Record | None, until: int) -> tuple[str, str]:
    """What the commit of a record that was taken alone says: of the next one, if it is in hand, that it is tried."""
    if record.offset + 1 >= until:
        return _NONE, _NONE
    left = Note(until).text()
    return (left if following is None else Note(until, following.offset, 1).text()), left
