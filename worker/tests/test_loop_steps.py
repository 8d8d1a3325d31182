"""A batch that is taken in steps, one `run_once` at a time; see `worker.stream.suspects`."""

from worker.stream.errors import RetriableError
from worker.stream.records import Position
from worker.stream.suspects import Note
from worker.tests.fakes import (
    P0,
    P1,
    record,
    records,
)
from worker.tests.loop_rig import Rig


def rig_of(max_deaths: int = 3) -> Rig:
    """A loop that looks for killers."""
    return Rig(max_deaths=max_deaths, revoke_timeout=5.0)


def test_trusted_partitions_cost_nothing() -> None:
    """After the first batch of a partition there is one commit per batch, and no note and no question any more."""
    rig = rig_of()
    rig.turns(8, *records(P0, 0, 2))
    assert rig.publisher.commits == [{P0: 0}, {P0: 3}]
    assert rig.publisher.notes == [{P0: Note(3).text()}, {P0: ""}]
    rig.source.unanswered = [RetriableError("nobody asks")]
    rig.turns(8, *records(P0, 3, 8))
    assert rig.publisher.commits[2:] == [{P0: 6}, {P0: 9}]
    assert rig.publisher.notes[2:] == [{P0: ""}] * 2
    assert [outcome.size for outcome in rig.observer.outcomes] == [3, 3, 3]


def test_switched_off_there_are_no_notes() -> None:
    """Neither written nor read."""
    rig = rig_of(max_deaths=0)
    rig.source.positions = {P0: Position(0, Note(3, 0, 99).text())}
    rig.turns(6, *records(P0, 0, 2))
    assert (rig.publisher.commits, rig.publisher.notes) == ([{P0: 3}], [{P0: ""}])


def test_nothing_is_processed_before_the_group_has_answered() -> None:
    """A question without an answer is asked again, after a pause."""
    rig = rig_of()
    rig.source.unanswered = [RetriableError("a coordinator moves")] * 3
    rig.turns(4, *records(P0, 0, 2))
    assert (rig.publisher.calls, len(rig.clock.slept)) == ([], 3)
    rig.turns(4)
    assert rig.publisher.commits == [{P0: 0}, {P0: 3}]


def test_a_note_that_was_not_taken_is_waited_for() -> None:
    """At-least-once: nothing is processed on the strength of a note that the group refused."""
    rig = rig_of()
    rig.publisher.refusals = 4
    rig.turns(5, *records(P0, 0, 2))
    assert rig.publisher.commits == [{P0: 0}]
    assert rig.observer.stages.count("produce") == 1
    rig.turns(5)
    assert rig.publisher.commits == [{P0: 0}, {P0: 3}]


def test_steps_wait_for_what_is_in_hand() -> None:
    """A batch with an unknown partition begins when the last commit has ended, and the next batch when its own has."""
    rig = rig_of()
    rig.turns(6, *records(P0, 0, 2))
    rig.turns(12, *records(P0, 3, 5), *records(P1, 0, 2), *records(P0, 6, 8))
    assert rig.publisher.commits[2:] == [{P0: 6}, {P1: 0}, {P1: 3}, {P0: 9}]


def test_the_membership_is_kept_while_documents_are_taken_one_by_one() -> None:
    """Every turn polls; when the next batch is full the source is paused, and nothing piles up."""
    rig = rig_of()
    rig.source.positions = {P0: Position(0, Note(3).text())}
    rig.turns(2, *records(P0, 0, 8))
    polls = len(rig.source.polls)
    rig.turns(3)
    assert len(rig.source.polls) == polls + 3
    assert (rig.source.paused, len(rig.source.records)) == (True, 3)
    rig.turns(12)
    assert rig.publisher.commits[-1] == {P0: 9}
    assert not rig.source.paused


def test_a_revocation_amid_steps() -> None:
    """The steps of what goes are left, those of what stays are taken, and the note is given back before it goes."""
    rig = rig_of()
    rig.source.positions = {P0: Position(0, Note(9, 0, 1).text())}
    rig.turns(2, record(0), record(1), record(0, P1))
    rig.source.events.append(lambda loop: loop.revoked({P0}))
    rig.turns(8)
    assert rig.publisher.commits[0] == {P0: 0}
    given_back = rig.publisher.notes[[set(commit) for commit in rig.publisher.commits].index({P0}, 1)][P0]
    assert Note.read(given_back) in {Note(9, 0, 1), Note(9)}
    assert [commit for commit in rig.publisher.commits if P1 in commit] == [{P1: 0}, {P1: 1}]
    assert rig.observer.suspects == 0


def test_lost_partitions_give_nothing_back() -> None:
    """They are another worker's, so not even a note is committed."""
    rig = rig_of()
    rig.turns(2, *records(P0, 0, 2))
    assert rig.publisher.commits == [{P0: 0}]
    rig.source.events.append(lambda loop: loop.lost({P0}))
    rig.turns(8)
    assert rig.publisher.commits == [{P0: 0}]
