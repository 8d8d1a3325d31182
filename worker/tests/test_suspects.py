"""The notes and the steps of `worker.stream.suspects`, without a loop."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.stream.records import Outcome, Position, Record, TopicPartition
from worker.stream.suspects import Note, Step, Steps, Suspects
from worker.tests.fakes import P0, P1, NotingObserver, condemn, record, records, settle

OFFSETS = st.integers(0, 10**17)


class Group:
    """What a group has committed, as a worker takes its batches step by step."""

    def __init__(self, max_deaths: int = 3) -> None:
        self.positions: dict[TopicPartition, Position] = {}
        self.max_deaths = max_deaths
        self.observer = NotingObserver()
        self.successor()

    def successor(self) -> None:
        """Another worker takes over."""
        self.suspects = Suspects(self.max_deaths, self.observer)
        self.suspects.assigned({P0, P1})

    def plan(self, *batch: Record) -> list[Step]:
        """The steps of a batch."""
        unknown = self.suspects.unknown(batch)
        return self.suspects.plan(batch, {p: self.positions.get(p, Position(-1)) for p in unknown})

    def take(self, *batch: Record, deaths_at: int | None = None) -> list[Outcome]:
        """Take all its steps; `deaths_at` is the offset whose processing kills the worker."""
        steps, taken = Steps(), []
        steps.begin(self.plan(*batch))
        while (step := steps.next()) is not None:
            if step.outcome is None and not step.deaths and deaths_at in {item.offset for item in step.records}:
                break
            outcome = step.outcome or step.noted(
                condemn(step.records[0], step.deaths) if step.deaths else settle(step.records)
            )
            outcome = steps.acquitted(outcome) if step.outcome is None else outcome
            self.commit(outcome)
            taken.append(outcome)
        return taken

    def commit(self, outcome: Outcome) -> None:
        """The group takes it."""
        self.positions.update(outcome.positions)
        self.suspects.committed(outcome)

    def note(self, source: TopicPartition = P0) -> Note | None:
        """What a successor will find."""
        return Note.read(self.positions[source].note)

    def leave(self) -> None:
        """In peace."""
        self.positions.update(self.suspects.to_give_back({P0, P1}).positions)


def offsets(steps: Sequence[Step]) -> list[list[int]]:
    """Of the records of each step; none of one that only commits."""
    return [[item.offset for item in step.records] for step in steps]


@given(OFFSETS, OFFSETS, st.integers(0, 10**8))
def test_a_note_is_read_back(until: int, at: int, deaths: int) -> None:
    """As it was written, and it is small enough for any broker."""
    note = Note(until, at, deaths)
    assert Note.read(note.text()) == note
    assert len(note.text()) < 100


@pytest.mark.parametrize(
    "text", ["", "checkpoint 7", "clf-suspects:1:2", "clf-suspects:1:2:-3", "clf-suspects:1:2:3 ", "1" * 5000, "clf-ü"]
)
def test_what_others_commit_is_no_note(text: str) -> None:
    """It is not read, and not minded: the partition is taken as any other."""
    assert Note.read(text) is None
    group = Group()
    group.positions[P0] = Position(0, text)
    assert offsets(group.plan(*records(P0, 0, 2))) == [[], [0, 1, 2]]
    assert group.observer.deaths == 0


@given(st.text())
def test_any_text_can_be_read(text: str) -> None:
    """None of them is an error."""
    Note.read(text)


def test_the_first_batch_leaves_a_note_until_it_is_committed() -> None:
    """It tells where the batch ends; from then on the partition is trusted, and no other partition is."""
    group = Group()
    mark, batch = group.plan(*records(P0, 5, 9))
    assert not group.suspects.trusts(records(P0, 5, 9))
    assert mark.outcome is not None
    group.commit(mark.outcome)
    assert (group.positions[P0].offset, group.note(), mark.outcome.size) == (5, Note(10), 0)
    group.commit(settle(batch.records))
    assert group.positions[P0] == Position(10)
    assert group.suspects.trusts(records(P0, 10, 12))
    assert not group.suspects.trusts([record(10), record(0, P1)])


def test_who_leaves_in_peace_takes_the_note_along() -> None:
    """Nothing is left of it, and there is nothing to give back once something was committed."""
    group = Group()
    mark, batch = group.plan(*records(P0, 5, 9))
    assert mark.outcome is not None
    group.commit(mark.outcome)
    group.leave()
    assert group.positions[P0] == Position(5)
    group.commit(settle(batch.records))
    assert not group.suspects.to_give_back({P0, P1}).parts


def test_after_a_death_documents_are_taken_one_at_a_time() -> None:
    """Up to the end of the batch that was in hand; what follows is one batch again."""
    group = Group()
    group.take(*records(P0, 0, 2), record(0, P1), deaths_at=2)
    group.successor()
    steps = group.plan(*records(P0, 0, 4), record(5, P1))
    assert offsets(steps) == [[], [0], [1], [2], [], [3, 4, 5]]
    assert (group.observer.deaths, group.observer.suspects) == (1, 1)
    group.take(*records(P0, 0, 4))
    assert (group.positions[P0], group.observer.suspects) == (Position(5), 0)


def test_a_death_points_at_one_document() -> None:
    """Each commit charges the next document, and the last one nobody."""
    group = Group()
    group.take(*records(P0, 0, 3), deaths_at=3)
    group.successor()
    group.take(*records(P0, 0, 3), deaths_at=2)
    assert (group.positions[P0].offset, group.note()) == (2, Note(4, 2, 1))


def test_many_suspects_are_taken_in_parts() -> None:
    """Another death leaves the successor one part; a worker that leaves in peace leaves what it has not taken."""
    group = Group()
    group.take(*records(P0, 0, 319), deaths_at=319)
    group.successor()
    steps = group.plan(*records(P0, 0, 319), record(320))
    assert [len(step) for step in offsets(steps)] == [0, *[20] * 16, 1]
    group.successor()
    group.take(*records(P0, 0, 319), deaths_at=45)
    assert (group.positions[P0].offset, group.note()) == (40, Note(60))
    group.leave()
    assert (group.positions[P0].offset, group.note()) == (40, Note(320))


@pytest.mark.parametrize("killer", [0, 5, 1233, 1998, 1999])
def test_one_killer_among_many_documents_is_found_in_a_few_deaths(killer: int) -> None:
    """One in the batch, three in parts of parts at most, and those that it is allowed alone."""
    group, deaths, dead = Group(max_deaths=2), 0, 0
    while group.positions.get(P0, Position(0)).offset < 2000:
        group.successor()
        first = max(0, group.positions.get(P0, Position(0)).offset)
        taken = group.take(*records(P0, first, 1999), deaths_at=killer)
        dead += sum(outcome.parts[P0].dead_letters.total() for outcome in taken)
        deaths += 1
    assert dead == 1
    assert deaths - 1 <= 1 + 3 + 2
    assert group.positions[P0] == Position(2000)


def test_after_enough_deaths_a_document_is_condemned() -> None:
    """It is never processed again; the next one begins with a clean slate."""
    group = Group(max_deaths=3)
    group.take(*records(P0, 0, 3), deaths_at=1)
    for deaths in (1, 2, 3):
        group.successor()
        group.take(*records(P0, group.positions[P0].offset, 3), deaths_at=1)
        assert group.note() == Note(4, 1, deaths)
    group.successor()
    taken = group.take(*records(P0, 1, 3), deaths_at=1)
    assert [dict(outcome.parts[P0].dead_letters) for outcome in taken] == [{"killed_worker": 1}, {}, {}]
    assert taken[0].parts[P0].outgoing[0].value == b"3 died of 1"
    assert group.positions[P0] == Position(4)


def test_what_follows_a_condemned_document_is_a_batch_again() -> None:
    """It leaves a note as a first batch does; the suspicion is over."""
    group = Group()
    group.positions[P0] = Position(1, Note(6, 1, 3).text())
    steps = group.plan(*records(P0, 1, 8))
    assert offsets(steps) == [[1], [], [2, 3, 4, 5, 6, 7, 8]]
    assert [step.deaths for step in steps] == [3, 0, 0]
    assert steps[1].outcome is not None
    assert steps[1].outcome.positions == {P0: Position(2, Note(9).text())}
    assert group.observer.suspects == 0


@pytest.mark.parametrize("max_deaths", [1, 2, 5])
def test_whoever_was_charged_is_acquitted_before_it_is_published(max_deaths: int) -> None:
    """So that one death less than it takes, and any trouble with publishing, condemn nobody."""
    group = Group(max_deaths)
    group.take(*records(P0, 0, 1), deaths_at=0)
    for _ in range(max_deaths - 1):
        group.successor()
        group.take(*records(P0, 0, 1), deaths_at=0)
    group.successor()
    steps = Steps()
    steps.begin(group.plan(*records(P0, 0, 1)))
    if max_deaths > 1:
        mark = steps.next()
        assert mark is not None
        assert mark.outcome is not None
        group.commit(mark.outcome)
        assert group.note() == Note(2, 0, max_deaths)
    else:
        steps.next()
    step = steps.next()
    assert step is not None
    first = steps.acquitted(step.noted(settle(step.records)))
    group.commit(first)
    assert (first.size, group.positions[P0].offset, group.note()) == (0, 0, Note(2))
    second = steps.next()
    assert second is not None
    assert second.outcome is not None
    assert second.outcome.offsets == {P0: 1}


def test_who_leaves_in_peace_leaves_the_older_deaths() -> None:
    """Only what the present worker charged in advance is taken back."""
    group = Group()
    group.take(*records(P0, 0, 1), deaths_at=0)
    for _ in range(2):
        group.successor()
        group.take(*records(P0, 0, 1), deaths_at=0)
    assert group.note() == Note(2, 0, 2)
    group.successor()
    mark = group.plan(*records(P0, 0, 1))[0]
    assert mark.outcome is not None
    group.commit(mark.outcome)
    assert group.note() == Note(2, 0, 3)
    group.leave()
    assert group.note() == Note(2, 0, 2)


def test_deaths_of_a_document_that_is_gone_count_for_no_other() -> None:
    """When retention removed it, the next one has none; when all suspects are gone, nobody is one."""
    group = Group()
    group.positions[P0] = Position(0, Note(10, 0, 99).text())
    assert offsets(group.plan(*records(P0, 4, 5))) == [[], [4], [5]]
    group.successor()
    assert offsets(group.plan(*records(P0, 10, 11))) == [[], [10, 11]]


def test_a_range_may_be_longer_than_a_batch() -> None:
    """The document after the last one in hand is not charged: nobody has begun with it."""
    group = Group()
    group.positions[P0] = Position(0, Note(6).text())
    group.take(*records(P0, 0, 2))
    assert group.note() == Note(6)
    assert not group.suspects.to_give_back({P0}).parts
    assert offsets(group.plan(*records(P0, 3, 7))) == [[], [3], [4], [5], [6, 7]]


def test_gaps_in_the_offsets() -> None:
    """Markers and compaction leave some; the document after one is charged as itself."""
    group = Group()
    group.positions[P0] = Position(0, Note(9).text())
    group.take(record(0), record(4), record(8), deaths_at=4)
    assert group.note() == Note(9, 4, 1)
    group.successor()
    group.take(record(4), record(8), deaths_at=4)
    assert group.note() == Note(9, 4, 2)


def test_lost_partitions_leave_the_steps() -> None:
    """What is another worker's is neither committed nor processed; what is ours stays."""
    steps = Steps()
    steps.begin(Group().plan(*records(P0, 0, 1), *records(P1, 0, 1)))
    steps.drop({P1})
    mark, batch = steps.next(), steps.next()
    assert mark is not None
    assert mark.outcome is not None
    assert mark.outcome.offsets == {P0: 0}
    assert batch is not None
    assert [item.source for item in batch.records] == [P0, P0]
    steps.begin(Group().plan(*records(P0, 0, 1)))
    steps.drop({P0})
    assert len(steps) == 0


def test_without_a_limit_nothing_is_noted_or_found() -> None:
    """0 switches it off: every partition is trusted from the start."""
    suspects = Suspects(0, NotingObserver())
    suspects.assigned({P0})
    assert suspects.trusts(records(P0, 0, 2))
