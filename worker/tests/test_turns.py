"""Who has to rest, so that others get their turn."""

from collections.abc import Sequence

import pytest

from worker.kafka.turns import PATIENCE_SECONDS, TURN_BYTES, TURN_RECORDS, Turns
from worker.stream.records import Record, TopicPartition
from worker.tests.fakes import P0, P1, ManualClock

P2 = TopicPartition(P0.topic, 2)


@pytest.fixture
def clock() -> ManualClock:
    """The time."""
    return ManualClock()


@pytest.fixture
def turns(clock: ManualClock) -> Turns:
    """With two partitions that have more to give, and have been waiting for long."""
    made = Turns(clock)
    made.know({P0, P1})
    clock.now += PATIENCE_SECONDS + 1
    return made


def records(source: TopicPartition, count: int, size: int = 0) -> Sequence[Record]:
    """As many of one partition."""
    return [Record(source, n, 1, None, b"v" * size, ()) for n in range(count)]


def test_nobody_rests_before_another_one_has_waited_for_long(clock: ManualClock) -> None:
    """What comes from it now and then is enough."""
    turns = Turns(clock)
    turns.know({P0, P1})
    for _ in range(3):
        clock.now += PATIENCE_SECONDS
        turns.took([*records(P0, TURN_RECORDS), *records(P1, 1)])
        assert turns.resting == frozenset()
    clock.now += PATIENCE_SECONDS + 1
    turns.took(records(P0, 1))
    assert turns.resting == {P0}


def test_who_had_a_turn_rests_until_the_others_had_theirs(turns: Turns, clock: ManualClock) -> None:
    """By records, in any portions; then all go on until one has waited for long again."""
    turns.took(records(P0, TURN_RECORDS - 1))
    assert turns.resting == frozenset()
    turns.took(records(P0, 1))
    assert turns.resting == {P0}
    turns.took(records(P1, TURN_RECORDS - 1))
    assert turns.resting == {P0}
    turns.took(records(P1, 1))
    assert turns.resting == frozenset()
    turns.took(records(P1, TURN_RECORDS))
    assert turns.resting == frozenset()
    clock.now += PATIENCE_SECONDS + 1
    turns.took(records(P1, 1))
    assert turns.resting == {P1}


def test_a_turn_is_bounded_by_bytes_too(turns: Turns) -> None:
    """Of large documents a few are a turn."""
    turns.took(records(P0, 8, TURN_BYTES // 8))
    assert turns.resting == {P0}


def test_nobody_rests_for_those_that_have_nothing(turns: Turns) -> None:
    """One partition alone with a backlog never stops; nor does it wait for one that has been read to its end."""
    turns.know({P0})
    turns.took(records(P0, 3 * TURN_RECORDS))
    assert turns.resting == frozenset()


def test_one_that_has_been_read_to_its_end_is_not_waited_for(turns: Turns) -> None:
    """The statistics say so."""
    turns.took(records(P0, TURN_RECORDS))
    assert turns.resting == {P0}
    turns.know({P0})
    turns.took(records(P2, 1))
    assert turns.resting == frozenset()


def test_nobody_rests_while_nothing_comes(turns: Turns, clock: ManualClock) -> None:
    """What the statistics knew may be read by now: after a moment of silence, a pause apart, all go on."""
    turns.took(records(P0, TURN_RECORDS))
    turns.took([])
    assert turns.resting == {P0}
    clock.now += 0.3
    turns.listen()
    turns.took([])
    assert turns.resting == {P0}
    clock.now += 0.3
    turns.took([])
    assert turns.resting == frozenset()


def test_a_round_ends_in_any_case(turns: Turns, clock: ManualClock) -> None:
    """A partition that gives nothing, although it has something, does not hold the others up for ever."""
    turns.took(records(P0, TURN_RECORDS))
    assert turns.resting == {P0}
    clock.now += 61
    turns.took(records(P2, 1))
    assert turns.resting == frozenset()


def test_a_partition_that_is_given_up_is_forgotten(turns: Turns) -> None:
    """It neither rests nor is waited for."""
    turns.took(records(P0, TURN_RECORDS))
    turns.forget({P0})
    assert turns.resting == frozenset()
    turns.know({P0, P1})
    turns.forget({P1})
    turns.took(records(P0, TURN_RECORDS))
    assert turns.resting == frozenset()
