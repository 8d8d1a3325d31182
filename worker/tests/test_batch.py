"""When a batch closes, and what it forgets."""

import pytest

from worker.stream.batch import Batch, BatchLimits
from worker.tests.fakes import P0, P1, ManualClock, record, records

LIMITS = BatchLimits(max_records=3, max_bytes=100, max_age_seconds=2.0)


@pytest.fixture
def clock() -> ManualClock:
    """A clock the test turns."""
    return ManualClock()


@pytest.fixture
def batch(clock: ManualClock) -> Batch:
    """An empty batch."""
    return Batch(LIMITS, clock)


def test_it_closes_on_count(batch: Batch) -> None:
    """It is due exactly when it holds the most records it may."""
    batch.add(records(P0, 0, 1))
    assert (batch.room, batch.due) == (1, False)
    batch.add([record(2)])
    assert (batch.room, batch.due) == (0, True)


def test_it_closes_on_bytes(batch: Batch) -> None:
    """It is due at its bytes, of keys and values, even when it has room for more records."""
    batch.add([record(0, size=99)])
    assert (batch.room, batch.due) == (2, False)
    batch.add([record(1, size=0)._replace(key=b"k")])
    assert (batch.size_bytes, batch.room, batch.due) == (100, 0, True)


def test_it_closes_on_age(batch: Batch, clock: ManualClock) -> None:
    """It is due when its first record has waited long enough; later records do not prolong that."""
    batch.add([record(0)])
    clock.now += 1.5
    batch.add([record(1)])
    assert (batch.remaining_age, batch.due) == (0.5, False)
    clock.now += 0.5
    assert batch.due


def test_its_age_starts_with_its_first_record(batch: Batch, clock: ManualClock) -> None:
    """An idle time longer than the age does not count: one record after it is not flushed at once."""
    batch.add([])
    clock.now += 60
    assert (batch.remaining_age, batch.due) == (None, False)
    batch.add([record(0)])
    assert (batch.remaining_age, batch.due) == (2.0, False)


def test_what_is_dropped_no_longer_counts(batch: Batch) -> None:
    """Records of partitions that were given up leave with their bytes; the others stay in order."""
    batch.add([record(0, P0, size=40), record(7, P1, size=50), record(1, P0, size=40)])
    assert batch.room == 0
    batch.drop({P0})
    assert [(item.source, item.offset) for item in batch.records] == [(P1, 7)]
    assert (batch.size_bytes, batch.room) == (50, 2)


def test_an_emptied_batch_is_new(batch: Batch, clock: ManualClock) -> None:
    """A batch that lost all its records has no age until the next one comes."""
    batch.add(records(P0, 0, 1))
    clock.now += 60
    batch.drop({P0, P1})
    assert (batch.remaining_age, batch.due, batch.size_bytes) == (None, False, 0)
    batch.add([record(5, P1)])
    assert batch.remaining_age == 2.0


def test_too_many_records_leave_no_negative_room(batch: Batch) -> None:
    """What a paused source delivers all the same is kept, never refused."""
    batch.add(records(P0, 0, 4))
    assert (len(batch.records), batch.room, batch.due) == (5, 0, True)
