"""Documents that take the worker's process down, on a real broker: found, put aside, and nobody else with them."""

import signal
import sys
from functools import partial

import pytest
from confluent_kafka import TopicPartition

from integration_tests.stuck_worker import DIES
from integration_tests.system import THOROUGH, System, WorkerProcess, numbered, wait_until
from schemas.classification import decode_classification
from schemas.dead_letter import DeadLetter, Reason
from schemas.document import Document

pytestmark = pytest.mark.broker

COUNT = 60


def live(system: System, life: int, *options: str) -> WorkerProcess:
    """Another worker, until it ends or all is settled; returns it."""
    properties = system.directory / "client.properties"
    properties.write_text("consumer.session.timeout.ms=1500\nconsumer.heartbeat.interval.ms=300\n")
    arguments = [*system.options(), "--no-scoring", "--kafka-config", str(properties), *options]
    command = [sys.executable, "-m", "integration_tests.stuck_worker", "worker", *arguments]
    return WorkerProcess(command, system.directory / f"life-{life}")


def deaths_until_settled(system: System, *options: str) -> tuple[int, WorkerProcess]:
    """Start workers until one survives; returns how many did not, and the survivor."""
    for life in range(10):
        worker = live(system, life, *options)
        wait_until(partial(_ended, worker, system), "it has died, or all is settled", 60)
        if worker.process.poll() is None:
            return life, worker
        assert worker.process.returncode == -signal.SIGKILL, worker.log()
    raise AssertionError("The killer was not found.")


def _ended(worker: WorkerProcess, system: System) -> bool:
    return worker.process.poll() is not None or system.settled() == COUNT + 1


def notes(system: System) -> set[str | None]:
    """What is committed beside the offsets."""
    consumer = system.kafka.consumer(system.group)
    try:
        places = [TopicPartition(system.documents, partition) for partition in range(4)]
        return {place.metadata for place in consumer.committed(places, 10)}
    finally:
        consumer.close()


@pytest.mark.parametrize(
    ("delivery", "max_deaths"), [("exactly-once", 2), pytest.param("at-least-once", 1, marks=THOROUGH)]
)
def test_a_killer(system: System, sample: list[Document], delivery: str, max_deaths: int) -> None:
    """It costs one death in its batch and as many alone as are allowed; then it alone is a dead letter."""
    documents = list(numbered(sample, COUNT))
    killer = Document(f"{DIES}1", "", "private text", "en")
    system.send([*documents[: COUNT // 2], killer, *documents[COUNT // 2 :]])
    deaths, survivor = deaths_until_settled(system, "--delivery", delivery, "--max-deaths", str(max_deaths))
    try:
        assert 1 + max_deaths <= deaths <= 1 + 3 + max_deaths  # in parts of parts before it is alone
        [letter] = [DeadLetter.from_record(record.key, record.value, record.headers) for record in system.letters()]
        assert (letter.value, letter.reason, letter.attempts) == (killer.to_json(), Reason.KILLED_WORKER, max_deaths)
        [told] = survivor.events("document_killed_workers")
        place = f"{letter.source.topic}/{letter.source.partition}/{letter.source.offset}"
        assert (told["document"], told["deaths"]) == (place, max_deaths)
        assert survivor.metric('clf_dead_letters_total{reason="killed_worker"}') == 1
        assert survivor.metric("clf_worker_deaths_total") >= 1
        assert survivor.metric("clf_suspected_partitions") == 0
        assert "private text" not in survivor.log()
        assert survivor.terminate() == 0
    finally:
        survivor.kill()
    results = [decode_classification(record.value or b"") for record in system.results()]
    if delivery == "exactly-once":
        assert sorted(result.url for result in results) == sorted(document.url for document in documents)
    assert {result.url for result in results} == {document.url for document in documents}
    assert notes(system) <= {"", None}
