"""The breaker: a share of dead letters over the last records."""

import pytest

from worker.stream.breaker import Breaker
from worker.stream.errors import BreakerOpenError, FatalError
from worker.stream.records import Outcome, Part
from worker.tests.fakes import P0, P1


def outcome(good: int, dead: int) -> Outcome:
    """A batch with so many results and dead letters, spread over two partitions."""
    first, second = Part(timestamps_ms=[1] * good), Part(timestamps_ms=[1] * dead)
    second.dead_letters["not_json"] = dead
    return Outcome({P0: first, P1: second})


def test_it_stays_closed_at_the_limit_and_opens_above() -> None:
    """Exactly the limit is allowed; one more is not."""
    Breaker(0.5, 10).check(outcome(5, 5))
    with pytest.raises(BreakerOpenError):
        Breaker(0.5, 10).check(outcome(4, 6))


def test_it_waits_for_a_full_window() -> None:
    """A few bad records at the start prove nothing; the record that fills the window does."""
    breaker = Breaker(0.5, 10)
    breaker.check(outcome(0, 9))
    with pytest.raises(BreakerOpenError):
        breaker.check(outcome(0, 1))


def test_old_batches_leave_the_window() -> None:
    """Only the last records count: an old bad batch is forgotten, as long as the window stays full without it."""
    breaker = Breaker(0.5, 10)
    breaker.check(outcome(6, 4))
    breaker.check(outcome(9, 0))
    breaker.check(outcome(10, 0))
    breaker.check(outcome(5, 5))
    with pytest.raises(BreakerOpenError):
        breaker.check(outcome(0, 6))


def test_a_limit_of_one_never_opens() -> None:
    """1 switches the breaker off."""
    breaker = Breaker(1.0, 1)
    for _ in range(50):
        breaker.check(outcome(0, 100))


def test_a_limit_of_zero_allows_no_dead_letter() -> None:
    """0 stops at the first dead letter, once the window is full."""
    breaker = Breaker(0.0, 10)
    breaker.check(outcome(10, 0))
    with pytest.raises(BreakerOpenError):
        breaker.check(outcome(99, 1))


def test_its_sentence_tells_what_to_do() -> None:
    """It is fatal, and names the figures, the limit's option and the command that shows the dead letters."""
    with pytest.raises(FatalError) as caught:
        Breaker(0.25, 10).check(outcome(5, 5))
    sentence = str(caught.value)
    for part in ("5 of the last 10", "25%", "--dead-letter-limit", "clf dead-letters list"):
        assert part in sentence


def test_it_tells_when_it_opens() -> None:
    """Once, before it raises."""
    told: list[bool] = []
    breaker = Breaker(0.5, 10, tell=told.append)
    breaker.check(outcome(10, 0))
    with pytest.raises(BreakerOpenError):
        breaker.check(outcome(0, 100))
    assert told == [True]


def test_one_that_was_open_closes_after_a_good_window() -> None:
    """A few good records after a start prove nothing; the record that fills the window does."""
    told: list[bool] = []
    breaker = Breaker(0.5, 10, was_open=True, tell=told.append)
    breaker.check(outcome(9, 0))
    assert told == []
    breaker.check(outcome(1, 0))
    breaker.check(outcome(10, 0))
    assert told == [False]


def test_one_that_was_open_and_opens_again_tells_nothing_new() -> None:
    """It has been open all the time."""
    told: list[bool] = []
    with pytest.raises(BreakerOpenError):
        Breaker(0.5, 10, was_open=True, tell=told.append).check(outcome(0, 10))
    assert told == []
