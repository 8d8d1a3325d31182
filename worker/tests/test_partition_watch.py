"""Partitions that are added while a worker runs: what waits, what is said, what the metrics show."""

from collections.abc import Callable, Iterator, Mapping

import pytest
from structlog.testing import capture_logs

from worker.config import Topics
from worker.partition_watch import Partitions, PartitionWatch
from worker.stream.errors import RetriableError
from worker.tests.request_log_scene import Logs

TOPICS = Topics("documents", "results", "dead")


class Books:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.told: list[Partitions] = []

    def partitions(self, found: Partitions) -> None:
        """Keep them."""
        self.told.append(found)


def counts(**found: int) -> Callable[[str], int]:
    """A cluster with these numbers of partitions."""
    known: Mapping[str, int] = found

    def count(topic: str) -> int:
        if topic not in known:
            raise RetriableError("The cluster does not answer.")
        return known[topic]

    return count


@pytest.fixture
def books() -> Books:
    """Empty ones."""
    return Books()


@pytest.fixture
def logs() -> Iterator[Logs]:
    """What is logged."""
    with capture_logs() as found:
        yield found


@pytest.fixture
def watch(books: Books) -> PartitionWatch:
    """One that began with four of each."""
    return PartitionWatch(TOPICS, Partitions(4, 4, 4), books)


def test_nothing_is_said_while_nothing_changes(watch: PartitionWatch, books: Books, logs: Logs) -> None:
    """The counts of the start are in the books, once."""
    watch.look(counts(documents=4, results=4, dead=4))
    assert books.told == [Partitions(4, 4, 4)]
    assert logs == []


def test_documents_without_a_place_for_results(watch: PartitionWatch, books: Books, logs: Logs) -> None:
    """An error names the partitions that wait and the command that helps, once; afterwards they are used."""
    for _ in range(2):
        watch.look(counts(documents=6, results=4, dead=4))
    assert [watch.has_results(n) for n in (3, 4, 5)] == [True, False, False]
    [changed, error] = logs
    assert changed["event"] == "partitions_changed"
    assert (error["event"], error["log_level"]) == ("partitions_without_results", "error")
    assert "documents has 6 partitions and results has 4" in error["reason"]
    assert "results of partition 4, 5. `clf topics add-partitions --partitions 6`" in error["reason"]
    watch.look(counts(documents=6, results=6, dead=4))
    assert watch.has_results(5)
    assert books.told[-1] == Partitions(6, 6, 4)


def test_results_with_more_partitions_than_documents(watch: PartitionWatch, logs: Logs) -> None:
    """Nothing waits, but it is said, because no worker could start like that."""
    watch.look(counts(documents=4, results=6, dead=4))
    [_, warning] = logs
    assert (warning["event"], warning["log_level"]) == ("partitions_unequal", "warning")
    assert "no worker can start" in warning["consequence"]
    assert watch.has_results(3)


def test_a_cluster_that_does_not_answer(watch: PartitionWatch, books: Books, logs: Logs) -> None:
    """What is known stays known, whichever topic the answer is missing of."""
    watch.look(counts(documents=6, results=6))
    assert (watch.found, books.told, logs) == (Partitions(4, 4, 4), [Partitions(4, 4, 4)], [])
