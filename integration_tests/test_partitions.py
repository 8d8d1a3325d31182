"""Partitions that are added to one topic alone while a worker runs: nothing is lost or out of order, and it is said."""

import subprocess
from collections.abc import Iterable
from pathlib import Path

import pytest

from integration_tests.broker import ToSend
from integration_tests.system import CLF, THOROUGH, System, wait_until
from schemas.classification import decode_classification
from schemas.document import Document
from worker.kafka.admin import Cluster

pytestmark = pytest.mark.broker


@pytest.fixture
def options(tmp_path: Path) -> tuple[str, ...]:
    """Those of a worker that notices new partitions at once."""
    properties = tmp_path / "client.properties"
    properties.write_text("topic.metadata.refresh.interval.ms=500\n")
    return "--no-scoring", "--kafka-config", str(properties)


def grow(system: System, topic: str, partitions: int) -> None:
    """Let somebody add partitions to one topic."""
    Cluster({"bootstrap.servers": system.kafka.bootstrap_servers}).add_partitions(topic, partitions)


def send(system: System, partition: int, numbers: Iterable[int]) -> None:
    """Send numbered documents of one url to one partition."""
    url = f"https://grown.example/{partition}"
    values = (Document(url, str(number), "", "en").to_json() for number in numbers)
    system.kafka.produce(system.documents, (ToSend(value, url.encode(), partition=partition) for value in values))


def clf(system: System, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """Call a command on the system's topics."""
    options = system.options() if arguments[0] == "verify" else system.options()[:-2]
    return subprocess.run([*CLF, *arguments, *options], capture_output=True, text=True, timeout=60, check=False)


def test_partitions_added_to_the_documents_alone(system: System, options: tuple[str, ...]) -> None:
    """Their documents wait and the others go on; the command that the log names helps, without a restart."""
    send(system, 0, range(50))
    with system.worker(*options) as worker:
        system.await_settled(50)
        grow(system, system.documents, 6)
        send(system, 5, range(50))
        wait_until(lambda: worker.metric("clf_withheld_partitions{") == 2, "the new ones are withheld")
        wait_until(lambda: worker.events("partitions_without_results"), "it says so")
        assert "`clf topics add-partitions --partitions 6`" in str(worker.events("partitions_without_results")[0])
        send(system, 0, range(50, 100))
        system.await_settled(100)
        assert system.kafka.committed_offsets(system.group, system.documents)[5] < 0
        assert clf(system, "verify", "--recompute", "0").returncode == 1
        assert clf(system, "topics", "add-partitions").returncode == 0
        system.await_settled(150)
        assert worker.metric("clf_withheld_partitions{") == 0
        assert worker.terminate() == 0
    placed = [(r.partition, r.offset, decode_classification(r.value or b"").source) for r in system.results()]
    assert {partition for partition, *_ in placed} == {0, 5}
    assert all(source is not None and source.partition == partition for partition, _, source in placed)
    assert [s.offset for p, _, s in placed if p == 5 and s is not None] == list(range(50))


@THOROUGH
def test_partitions_added_to_the_results_alone(system: System, options: tuple[str, ...]) -> None:
    """It does no harm and is said, in the log and in the metrics."""
    with system.worker(*options, "--delivery", "at-least-once") as worker:
        worker.await_ready()
        grow(system, system.classifications, 6)
        wait_until(lambda: worker.events("partitions_unequal"), "it says so")
        assert worker.metric('clf_topic_partitions{role="classifications"') == 6
        send(system, 3, range(50))
        system.await_settled(50)
        assert worker.terminate() == 0
    assert {record.partition for record in system.results()} == {3}
    assert clf(system, "verify", "--recompute", "0").returncode == 0
