"""The loop, one `run_once` at a time: no thread, a clock that is turned by hand, stages that end when told to."""

from collections.abc import Sequence
from threading import Timer

import pytest

from worker.clock import SystemClock
from worker.stream.breaker import Breaker
from worker.stream.deadline import Deadline
from worker.stream.errors import AbortableError, BreakerOpenError, FatalError, FencedError, StreamError
from worker.stream.ports import RebalanceEvent
from worker.stream.records import Outcome, Record
from worker.tests.fakes import (
    P0,
    P1,
    ScriptedPublisher,
    record,
    records,
    settle,
)
from worker.tests.loop_rig import Rig

# --- batches --------------------------------------------------------------------------------------------------------


def test_a_full_batch_goes_through_all_stages() -> None:
    """It is processed, committed with its membership, acknowledged and reported, at the turn after it was read."""
    rig = Rig()
    rig.turn(*records(P0, 0, 2))
    assert rig.publisher.calls == []
    rig.turn()
    rig.turn()
    rig.turn()
    assert rig.publisher.commits == rig.publisher.acknowledged == [{P0: 3}]
    assert rig.publisher.memberships == [b"member"]
    assert (rig.observer.batches, rig.sent) == ([3], [b"0", b"1", b"2"])
    assert rig.loop.idle


def test_turns_and_commits_are_counted() -> None:
    """So that somebody else can see whether the loop gets on: a turn without a commit is none."""
    rig = Rig(hold=True)
    rig.into_commit(*records(P0, 0, 2))
    assert (rig.loop.turns, rig.loop.commits) == (3, 0)
    rig.committing.release()
    rig.turn()
    assert (rig.loop.turns, rig.loop.commits) == (4, 1)


def test_a_batch_closes_on_bytes() -> None:
    """Fewer records than allowed are handed on when they are large enough together."""
    rig = Rig(max_bytes=100)
    rig.turn(record(0, size=100))
    rig.turn()
    assert rig.observer.batches == [1]


def test_a_batch_closes_on_the_age_of_its_first_record() -> None:
    """After an idle time far beyond the age one record waits its full age, and not a moment longer."""
    rig = Rig()
    rig.turn()
    rig.clock.now += 100
    rig.turn(record(0))
    rig.clock.now += 1.9
    rig.turn()
    assert rig.observer.batches == []
    rig.clock.now += 0.1
    rig.turn()
    assert rig.observer.batches == [1]


def test_a_poll_never_waits_past_the_age() -> None:
    """With a record that is almost due the poll returns when it is; with work in flight it hardly waits at all."""
    rig = Rig(hold=True)
    rig.turn(record(0))
    assert rig.source.polls[-1] == (3, 0.1)
    rig.clock.now += 1.95
    rig.turn()
    assert rig.source.polls[-1][1] == pytest.approx(0.05)
    rig.clock.now += 1
    rig.turn()
    assert rig.source.polls[-1] == (3, 0.005)


# --- back-pressure --------------------------------------------------------------------------------------------------


def test_back_pressure_is_a_state() -> None:
    """With a batch in work and the next one full the source is paused once, still polled, and resumed afterwards."""
    rig = Rig(hold=True)
    rig.turn(*records(P0, 0, 2))
    rig.turn(*records(P0, 3, 5))
    polls = len(rig.source.polls)
    for _ in range(5):
        rig.turn(*records(P0, 6, 6))
    assert (rig.source.paused, rig.source.pauses, len(rig.source.polls)) == (True, 1, polls + 5)
    assert len(rig.source.records) == 5, "a paused source was read"
    rig.source.records[1:] = []
    rig.processing.release()
    rig.turn()
    assert not rig.source.paused
    rig.settle_all()
    assert rig.sent == [b"%d" % n for n in range(7)]


def test_a_paused_loop_survives_a_rebalance() -> None:
    """Partitions that come while it is paused are paused too; those that go make room, and reading goes on."""
    rig = Rig(hold=True)
    rig.turn(*records(P0, 0, 2))
    rig.turn(*records(P0, 3, 5))
    rig.turn()
    assert rig.source.paused
    rig.source.paused = False  # what a new partition is
    rig.during_poll(lambda loop: loop.assigned({P1}))
    assert rig.source.paused
    rig.during_poll(lambda loop: loop.revoked({P0}))
    rig.turn()
    assert not rig.source.paused


def test_what_a_paused_source_delivers_is_kept() -> None:
    """A record that slips through a pause is processed, not dropped."""
    rig = Rig(hold=True)
    rig.turn(*records(P0, 0, 2))
    rig.turn(*records(P0, 3, 5))
    rig.source.events.append(lambda loop: setattr(rig.source, "paused", False))  # noqa: ARG005 - it is told the loop
    rig.turn(record(6))
    rig.settle_all()
    assert rig.sent == [b"%d" % n for n in range(7)]


# --- overlap and order ----------------------------------------------------------------------------------------------


def test_the_next_batch_is_processed_while_one_is_committed() -> None:
    """Processing overlaps with a commit, but a second commit waits for the first, whatever is ready."""
    rig = Rig(hold=True)
    rig.into_commit(*records(P0, 0, 2))
    rig.turn(*records(P0, 3, 5))
    rig.turn()
    assert rig.processing.release()
    rig.turn(*records(P0, 6, 8))
    rig.turn()
    assert rig.processing.held, "the third batch is processed while the second waits"
    assert len(rig.committing.held) == 1
    rig.settle_all()
    assert rig.publisher.commits == [{P0: 3}, {P0: 6}, {P0: 9}]
    assert rig.sent == [b"%d" % n for n in range(9)]


def test_an_aborted_batch_goes_first_when_it_is_run_again() -> None:
    """What settled meanwhile is merged behind it, partition by partition, and both are committed at once."""
    rig = Rig(ScriptedPublisher({"commit": [AbortableError("try again")]}), hold=True)
    rig.into_commit(*records(P0, 0, 2))
    rig.turn(*records(P1, 0, 1), record(3))
    rig.turn()
    rig.processing.release()
    rig.turn()
    rig.settle_all()
    assert rig.publisher.commits == [{P0: 4, P1: 2}]
    assert [item.value for item in rig.publisher.sent[-6:]] == [b"0", b"1", b"2", b"3", b"0", b"1"]
    assert (len(rig.observer.outcomes), rig.observer.aborts, rig.observer.outcomes[0].size) == (1, 1, 6)


def test_too_many_attempts_are_fatal() -> None:
    """A batch that cannot be committed ends the worker, with the reason, after the attempts it has."""
    rig = Rig(ScriptedPublisher({"commit": [AbortableError("the broker says no")] * 3}))
    with pytest.raises(FatalError, match=r"in 3 attempts.*the broker says no"):
        rig.turns(10, *records(P0, 0, 2))
    assert rig.publisher.commits == []


def test_a_commit_resets_the_attempts() -> None:
    """Only attempts in a row count: trouble that passes never adds up."""
    failures = [AbortableError("x"), AbortableError("x"), None] * 4
    rig = Rig(ScriptedPublisher({"commit": failures}))
    for first in range(0, 12, 3):
        rig.turn(*records(P0, first, first + 2))
        for _ in range(6):
            rig.turn()
    assert rig.publisher.commits == [{P0: 3}, {P0: 6}, {P0: 9}, {P0: 12}]


@pytest.mark.parametrize("error", [FencedError("taken"), FatalError("unknown"), RuntimeError("bug")], ids=repr)
def test_what_cannot_be_run_again_is_raised(error: Exception) -> None:
    """A fenced worker, an unknown outcome and a bug all end `run_once`; nothing counts as committed."""
    rig = Rig(ScriptedPublisher({"commit": [error]}))
    with pytest.raises(type(error)):
        rig.turns(5, *records(P0, 0, 2))
    assert rig.observer.outcomes == []


def test_a_failed_acknowledgement_is_raised() -> None:
    """An offset commit that fails for good ends the worker; the results count as repeated, not as committed."""
    rig = Rig(ScriptedPublisher({"acknowledge": [FatalError("no")]}))
    with pytest.raises(FatalError):
        rig.turns(5, *records(P0, 0, 2))
    assert rig.observer.outcomes == []


def test_without_membership_nothing_is_committed() -> None:
    """A batch waits, and the source is polled, until there is a membership to prove."""
    rig = Rig()
    rig.source.member = None
    rig.turn(*records(P0, 0, 2))
    for _ in range(5):
        rig.turn()
    assert rig.publisher.calls == []
    assert rig.source.polls[-1] == (3, 0.005)
    rig.source.member = b"again"
    rig.turn()
    assert rig.publisher.memberships == [b"again"]


# --- failures -------------------------------------------------------------------------------------------------------


def test_the_breaker_opens_before_the_commit() -> None:
    """The batch that opens it is not even begun."""

    def all_dead(batch: Sequence[Record]) -> Outcome:
        outcome = settle(batch)
        for part in outcome.parts.values():
            part.dead_letters["not_json"] = len(part.timestamps_ms)
        return outcome

    rig = Rig(process=all_dead, breaker=Breaker(0.5, 3))
    with pytest.raises(BreakerOpenError):
        rig.turns(5, *records(P0, 0, 2))
    assert rig.publisher.calls == []


def test_what_processing_raises_run_once_raises() -> None:
    """A failed batch ends the worker with the error itself, and nothing of it is committed."""

    def fail(batch: Sequence[Record]) -> Outcome:
        raise FatalError(f"policy, at {batch[0].offset}")

    rig = Rig(process=fail)
    with pytest.raises(FatalError, match="policy, at 0"):
        rig.turns(5, *records(P0, 0, 2))
    assert rig.publisher.calls == []


# --- rebalances -----------------------------------------------------------------------------------------------------


def test_a_revocation_drops_what_is_in_hand() -> None:
    """Records of the partitions that go leave the open batch, the one in work and the settled one; others stay."""
    rig = Rig(hold=True)
    rig.source.member = None  # so that the first batch stays settled
    rig.turn(record(0, P0), record(0, P1), record(1, P1))
    rig.turn()
    rig.processing.release()
    rig.turn(record(1, P0), record(2, P1), record(3, P1))
    rig.turn(record(2, P0), record(4, P1))
    assert rig.processing.held
    rig.during_poll(lambda loop: loop.revoked({P0}))
    rig.source.member = b"m"
    rig.settle_all()
    assert [set(commit) for commit in rig.publisher.commits] == [{P1}] * 3
    assert rig.sent == [b"%d" % n for n in range(5)]
    assert rig.loop.assignment == {P1}


def test_a_revocation_waits_for_the_running_commit() -> None:
    """The commit ends inside the callback, and counts."""
    rig = Rig(hold=True, revoke_timeout=10.0)
    rig.into_commit(*records(P0, 0, 2))
    other_thread = Timer(0.02, rig.committing.release)
    other_thread.start()
    rig.during_poll(lambda loop: loop.revoked({P0}))
    other_thread.join()
    assert (rig.publisher.commits, len(rig.observer.outcomes), rig.loop.idle) == ([{P0: 3}], 1, True)
    assert [event for event, _, _ in rig.observer.rebalances] == [RebalanceEvent.ASSIGNED, RebalanceEvent.REVOKED]


def test_a_revocation_has_one_budget() -> None:
    """A commit that does not end makes the worker exit, as soon as the budget is spent: its outcome is unknown."""
    rig = Rig(hold=True, revoke_timeout=0.05)
    rig.into_commit(*records(P0, 0, 2))
    clock = SystemClock()
    started = clock.monotonic()
    with pytest.raises(FatalError, match="--revoke-timeout"):
        rig.during_poll(lambda loop: loop.revoked({P1}))
    assert 0.04 < clock.monotonic() - started < 1.0


def test_offsets_are_released_before_partitions_go() -> None:
    """After the running commit, while the worker still is a member; those of lost partitions are forgotten."""
    rig = Rig(hold=True, revoke_timeout=10.0)
    rig.into_commit(*records(P0, 0, 2))
    rig.during_poll(lambda loop: loop.revoked({P0}), commit_ends=True)
    assert rig.publisher.calls[-2:] == ["acknowledge", "release"]
    rig.during_poll(lambda loop: loop.lost({P1}))
    assert (rig.publisher.released, rig.publisher.forgotten) == ([{P0}], [{P1}])


def test_a_client_that_hangs_ends_the_worker() -> None:
    """A commit that outlives its own deadline is not waited for: nobody knows what became of it."""
    rig = Rig(hold=True)
    rig.into_commit(*records(P0, 0, 2))
    rig.clock.now += 11.9
    rig.turn()
    rig.clock.now += 0.2
    with pytest.raises(FatalError, match="has not come back from a commit for 12 s"):
        rig.turn()


def test_an_abort_during_a_revocation_keeps_what_stays() -> None:
    """When the running commit is aborted, only the records of the partitions that stay are run again."""
    rig = Rig(ScriptedPublisher({"commit": [AbortableError("rebalance")]}), hold=True)
    rig.into_commit(record(0, P0), record(0, P1), record(1, P0))
    rig.during_poll(lambda loop: loop.revoked({P0}), commit_ends=True)
    rig.settle_all()
    assert rig.publisher.commits == [{P1: 1}]


def test_a_revocation_raises_what_the_commit_raised() -> None:
    """A worker that was fenced learns of it in the callback too."""
    rig = Rig(ScriptedPublisher({"commit": [FencedError("taken")]}), hold=True)
    rig.into_commit(*records(P0, 0, 2))
    with pytest.raises(FencedError):
        rig.during_poll(lambda loop: loop.revoked({P0}), commit_ends=True)


def test_lost_partitions_never_commit() -> None:
    """A commit that has not gone out yet is aborted, and what is left is only what is still ours."""
    rig = Rig(hold=True, revoke_timeout=10.0)
    rig.into_commit(record(0, P0), record(0, P1), record(1, P0))
    other_thread = Timer(0.02, rig.committing.release)
    other_thread.start()
    rig.during_poll(lambda loop: loop.lost({P0}))
    other_thread.join()
    assert (rig.publisher.commits, rig.observer.aborts) == ([], 1)
    rig.settle_all()
    assert rig.publisher.commits == [{P1: 1}]


def test_losing_other_partitions_disturbs_no_commit() -> None:
    """Only a commit with lost partitions in it is cancelled."""
    rig = Rig(hold=True)
    rig.into_commit(*records(P0, 0, 2))
    rig.during_poll(lambda loop: loop.lost({P1}), commit_ends=True)
    assert (rig.publisher.commits, rig.observer.aborts) == ([{P0: 3}], 0)


def test_a_commit_that_ended_before_the_loss_cancels_no_other() -> None:
    """When the commit was through already, the next batch is not aborted in its place."""
    rig = Rig(hold=True)
    rig.into_commit(*records(P0, 0, 2))
    rig.during_poll(lambda loop: loop.lost({P0}), commit_ends=True)
    rig.turn(*records(P1, 0, 2))
    rig.settle_all()
    assert (rig.publisher.commits, rig.observer.aborts) == ([{P0: 3}, {P1: 3}], 0)


def test_revoked_and_assigned_again_during_processing() -> None:
    """Records read before are dropped although the partition is ours again: they are read once more."""
    rig = Rig(hold=True)
    rig.turn(*records(P0, 0, 2))
    rig.turn()
    rig.source.events.append(lambda loop: loop.revoked({P0}))
    rig.during_poll(lambda loop: loop.assigned({P0}), *records(P0, 0, 2))
    rig.settle_all()
    assert rig.publisher.commits == [{P0: 3}]
    assert rig.sent == [b"0", b"1", b"2"]


def test_the_assignment_is_known_and_told() -> None:
    """The loop knows its partitions, and the observer hears of every change with the number that is left."""
    rig = Rig()
    rig.loop.revoked({P0})
    rig.loop.lost({P1})
    assert rig.loop.assignment == set()
    assert rig.observer.rebalances == [
        (RebalanceEvent.ASSIGNED, {P0, P1}, 2),
        (RebalanceEvent.REVOKED, {P0}, 1),
        (RebalanceEvent.LOST, {P1}, 0),
    ]


# --- draining -------------------------------------------------------------------------------------------------------


def test_draining_finishes_what_is_in_hand() -> None:
    """A batch that is not due yet is committed too, nothing more is polled, and the loop is idle."""
    rig = Rig()
    rig.turn(*records(P0, 0, 2))
    rig.turn(record(3))
    polls = len(rig.source.polls)
    assert rig.loop.drain(Deadline(rig.clock, 10.0))
    assert rig.publisher.commits == [{P0: 3}, {P0: 4}]
    assert (rig.loop.idle, len(rig.source.polls)) == (True, polls)


def test_draining_honours_its_deadline() -> None:
    """A stage that does not end is not waited for beyond the deadline, and the caller is told."""
    rig = Rig(hold=True)
    rig.into_commit(*records(P0, 0, 2))
    started = rig.clock.now
    assert not rig.loop.drain(Deadline(rig.clock, 0.01))
    assert rig.clock.now - started == pytest.approx(0.01, abs=0.01)
    assert rig.publisher.commits == []


def test_draining_nothing_is_done_at_once() -> None:
    """An idle loop drains without a wait."""
    rig = Rig()
    assert rig.loop.drain(Deadline(rig.clock, 10.0))
    assert rig.clock.slept == []


def test_draining_raises_what_went_wrong() -> None:
    """An error while draining is not swallowed."""
    rig = Rig(ScriptedPublisher({"commit": [FatalError("unknown")]}))
    rig.turn(record(0))
    with pytest.raises(StreamError, match="unknown"):
        rig.loop.drain(Deadline(rig.clock, 10.0))


# --- what is in hand ------------------------------------------------------------------------------------------------


def test_the_oldest_record_in_hand_is_told() -> None:
    """The oldest of all records in any stage is reported, wherever it stands; None when there is none."""
    rig = Rig(hold=True)
    rig.turn(record(0, timestamp_ms=500), record(0, P1, timestamp_ms=200))
    assert rig.observer.oldest == 200
    rig.turn(record(1, timestamp_ms=900))
    rig.turn(record(2, timestamp_ms=100))
    assert rig.observer.oldest == 100
    rig.processing.release()
    rig.turn()
    assert rig.observer.oldest == 100
    rig.settle_all()
    assert rig.observer.oldest is None


def test_records_without_a_timestamp_have_no_age() -> None:
    """A record that does not know when it was written says nothing about the oldest."""
    rig = Rig(hold=True)
    rig.turn(record(0, timestamp_ms=0), record(1, timestamp_ms=-1))
    assert rig.observer.oldest is None
    rig.turn(record(2, timestamp_ms=700))
    rig.turn()
    rig.processing.release()
    rig.turn()
    assert rig.observer.oldest == 700
