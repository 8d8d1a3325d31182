"""Forecasts: what they say of numbers, and what they make of a worker's life, with a clock that is turned by hand."""

import math
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.capacity import Capacity, drain_seconds, workers_useful
from worker.stream.records import TopicPartition
from worker.tests.fakes import P0, P1, ManualClock, records, settle

TARGET = 300.0
LAGS = st.dictionaries(
    st.builds(TopicPartition, st.just("documents"), st.integers(0, 20)), st.integers(0, 10**12), max_size=20
)
COST = st.none() | st.floats(0, 1e6)
RATE = st.floats(0, 1e9)


class Played:
    """A worker that is watched."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.capacity = Capacity(self.clock, TARGET)
        self.offset = 0

    def second(self, lags: Mapping[TopicPartition, int], settled: int = 0, busy: float = 0.0) -> None:
        """One second in which so many documents of P0 were settled, with so much work, and these lags at its end."""
        self.clock.now += 1
        self.capacity.stage("score", busy)
        self.capacity.stage("commit", busy / 2)
        if settled:
            self.capacity.committed(settle(records(P0, self.offset, self.offset + settled - 1)))
            self.offset += settled
        self.capacity.saw(lags)

    @property
    def drain(self) -> float:
        """The forecast."""
        return self.capacity.drain_seconds


# --- the numbers ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lag", "cost", "inflow", "seconds"),
    [
        (0, 0.01, 1000, 0),
        (0, None, 0, 0),
        (1000, 0.01, 0, 10),
        (1000, 0.01, 50, 20),
        (1000, 0.01, 100, math.inf),
        (1, 0.01, 1e9, math.inf),
        (1, None, 0, math.inf),
        (5, 0.0, 5, 0),
    ],
)
def test_drain_seconds(lag: int, cost: float | None, inflow: float, seconds: float) -> None:
    """The lag by what is left of the speed after the inflow."""
    assert drain_seconds(lag, cost, inflow) == pytest.approx(seconds)


@given(st.integers(0, 10**12), st.integers(0, 10**6), COST, RATE)
def test_more_lag_never_drains_sooner(lag: int, more: int, cost: float | None, inflow: float) -> None:
    """Nor is a forecast ever negative, or no number."""
    assert 0 <= drain_seconds(lag, cost, inflow) <= drain_seconds(lag + more, cost, inflow)


@pytest.mark.parametrize(
    ("lags", "cost", "inflow", "workers"),
    [
        ({}, 0.01, {}, 0),
        ({P0: 0, P1: 0}, 0.01, {P0: 50}, 0),
        ({P0: 3000, P1: 0}, 0.01, {}, 0.1),
        ({P0: 3000, P1: 3000}, 0.01, {P0: 20}, 0.4),
        ({P0: 10**9, P1: 3000}, 0.01, {}, 1.1),
        ({P0: 10**9, P1: 10**9}, 0.01, {}, 2),
        ({P0: 10**9, P1: 10**9}, None, {}, 1),
        ({P0: 0}, None, {}, 0),
    ],
)
def test_workers_useful(
    lags: dict[TopicPartition, int], cost: float | None, inflow: dict[TopicPartition, float], workers: float
) -> None:
    """The shares of the partitions that lag, each one worker at most: a hot partition is not drained by many."""
    assert workers_useful(lags, cost, inflow, TARGET) == pytest.approx(workers)


@given(LAGS, COST, st.dictionaries(st.builds(TopicPartition, st.just("documents"), st.integers(0, 20)), RATE))
def test_never_more_workers_than_partitions_that_lag(
    lags: dict[TopicPartition, int], cost: float | None, inflow: dict[TopicPartition, float]
) -> None:
    """Whatever was measured, so that the sum over all workers is not above it either."""
    assert 0 <= workers_useful(lags, cost, inflow, TARGET) <= sum(lag > 0 for lag in lags.values())


@given(LAGS, LAGS, COST, RATE)
def test_more_lag_never_needs_fewer_workers(
    lags: dict[TopicPartition, int], more: dict[TopicPartition, int], cost: float | None, inflow: float
) -> None:
    """On any of the partitions."""
    grown = {source: lags.get(source, 0) + more.get(source, 0) for source in lags | more}
    inflows = dict.fromkeys(grown, inflow)
    assert workers_useful(lags, cost, inflows, TARGET) <= workers_useful(grown, cost, inflows, TARGET)


# --- what is measured ----------------------------------------------------------------------------------------


def test_a_backlog_without_inflow() -> None:
    """The worker is never idle, so every second counts, however short its stages say they were."""
    worker = Played()
    worker.second({P0: 1100})
    assert worker.drain == math.inf, "nobody knows yet"
    assert worker.capacity.workers_useful == 1
    for left in range(1000, 0, -100):
        worker.second({P0: left}, settled=100, busy=0.3)
        assert worker.drain == pytest.approx(left / 100)
    worker.second({P0: 0}, settled=100)
    assert worker.drain == 0


def test_a_worker_that_keeps_up() -> None:
    """It has pauses, so what its slower thread was busy with counts: 10 ms for each document."""
    worker = Played()
    for _ in range(300):
        worker.second({P0: 3}, settled=20, busy=0.2)
    assert worker.capacity.cost == pytest.approx(0.01)
    assert worker.capacity.inflow == pytest.approx(20, rel=0.1)
    worker.second({P0: 4003}, settled=20, busy=0.2)
    assert 50 < worker.drain < 100, "a burst is not taken for the inflow from now on"


def test_a_worker_that_does_not_keep_up() -> None:
    """More comes than it settles: it never drains, and half of another worker would be of use."""
    worker = Played()
    for second in range(60):
        worker.second({P0: 1000 + 50 * second}, settled=100, busy=1.0)
    assert worker.drain == math.inf
    assert worker.capacity.inflow == pytest.approx(150)
    assert worker.capacity.workers_useful == 1, "there is one partition"


def test_commits_that_come_seldom() -> None:
    """One every three seconds: the seconds between them count too."""
    worker = Played()
    worker.second({P0: 3000})
    for left in range(2700, 0, -300):
        worker.second({P0: left + 300})
        worker.second({P0: left + 300})
        worker.second({P0: left}, settled=300)
        assert worker.drain == pytest.approx(left / 100)


def test_a_worker_that_stands_still() -> None:
    """After a minute without a commit the forecast is infinite, and the need for workers is what it was."""
    worker = Played()
    for left in (300, 200, 100):
        worker.second({P0: left}, settled=100)
    needed = worker.capacity.workers_useful
    for _ in range(59):
        worker.second({P0: 100})
    assert worker.drain < math.inf
    worker.second({P0: 100})
    assert worker.drain == math.inf
    assert worker.capacity.workers_useful == pytest.approx(needed, rel=0.01)


def test_a_pause_is_no_work() -> None:
    """After hours without documents the cost is still known, and no hour of it counts."""
    worker = Played()
    for _ in range(10):
        worker.second({P0: 0}, settled=10, busy=0.1)
    worker.clock.now += 7200
    worker.second({P0: 0})
    worker.second({P0: 500})
    assert worker.capacity.cost == pytest.approx(0.01)
    assert 5 <= worker.drain < 6


def test_a_rebalance() -> None:
    """What left takes its inflow along; what came is no inflow, and the second of the change measures nothing."""
    worker = Played()
    for second in range(60):
        worker.second({P0: 1000 + 50 * second}, settled=100)
    worker.second({P0: 4000, P1: 10_000}, settled=1)
    assert worker.capacity.cost == pytest.approx(0.01)
    worker.second({P1: 10_000})
    assert worker.capacity.inflow == 0
    assert worker.drain == pytest.approx(100)
    worker.second({})
    assert (worker.drain, worker.capacity.workers_useful) == (0, 0)
