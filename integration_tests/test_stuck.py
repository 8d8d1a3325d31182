"""A worker that gets no further: it says so, says where, and ends; and one that only looks as if."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from confluent_kafka import Producer

from integration_tests.broker import ToSend
from integration_tests.stuck_worker import HANGS, hang_in_the_scorer
from integration_tests.system import System, WorkerProcess, numbered, wait_until
from schemas.document import Document

pytestmark = pytest.mark.broker

LAG = "clf_consumer_lag_records{"
OPTIONS = ("--no-scoring", "--stuck-after", "2")


@contextmanager
def stuck_worker(system: System) -> Iterator[WorkerProcess]:
    """One whose scorer hangs where a document says so."""
    command = [sys.executable, "-m", "integration_tests.stuck_worker", "worker", *system.options(), *OPTIONS]
    process = WorkerProcess(command, system.directory / "stuck")
    try:
        yield process
    finally:
        process.kill()


def hang(system: System, seconds: float) -> None:
    """Send a document that the scorer hangs on."""
    document = Document(f"{HANGS}{seconds:g}", "", "private text", "en")
    system.kafka.produce(system.documents, [ToSend(document.to_json(), document.url.encode())])


def test_a_scorer_that_hangs(system: System, sample: list[Document]) -> None:
    """While it hangs: not ready, and the log names the function. It goes on: all is well. It does not: exit 4."""
    system.send(numbered(sample, 100))
    with stuck_worker(system) as worker:
        worker.await_ready()
        system.await_settled(100)
        hang(system, 4)
        wait_until(lambda: worker.get("/ready")[0] == 503, "it says that it is stuck")
        assert "Nothing was committed for 2 s (--stuck-after)" in worker.get("/ready")[1]
        assert (worker.metric("clf_stuck "), worker.metric("clf_stalls_total")) == (1, 1)
        assert worker.get("/status")[0] == 200
        system.await_settled(101)
        wait_until(lambda: worker.get("/ready")[0] == 200, "it is well again")
        assert (worker.metric("clf_stuck "), worker.metric("clf_stalls_total")) == (0, 1)
        hang(system, 600)
        assert worker.process.wait(30) == 4
        first, second = worker.events("stuck")
        for event in (first, second):
            assert hang_in_the_scorer.__name__ in str(event["stack"])
            assert "Thread processing" in str(event["stack"])
        assert worker.events("fatal")[0]["kind"] == "Stuck"
        assert "private text" not in worker.log()
        assert not (worker.directory / "service.json").exists()
    assert system.settled() == 101
    assert len(system.results()) == 101


def test_markers_are_no_work(system: System) -> None:
    """Transactions of whoever writes the documents leave markers behind them, which nobody can commit."""
    crawler = Producer({"bootstrap.servers": system.kafka.bootstrap_servers, "transactional.id": system.group})
    crawler.init_transactions(10)
    for end in (crawler.commit_transaction, crawler.abort_transaction):
        crawler.begin_transaction()
        for partition in range(4):
            crawler.produce(system.documents, Document(f"u{partition}", "", "", "en").to_json(), partition=partition)
        crawler.flush(10)
        end(10)
    for name in ("worker", "successor"):  # which finds nothing but markers
        with system.worker(*OPTIONS, name=name) as worker:
            worker.await_ready()
            system.await_settled(4)
            wait_until(lambda: LAG in worker.get("/metrics")[1] and worker.metric(LAG) == 0, "the lag is 0")
            assert worker.terminate() == 0
