"""The local broker as its users see it: a real Kafka that keeps what it was given and leaves when it is told to."""

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from confluent_kafka import KafkaError, KafkaException, TopicPartition

from integration_tests.broker import Kafka, ToSend
from integration_tests.system import THOROUGH
from worker.clock import SystemClock
from worker.kafka.local_broker import LocalBroker, answers, find_running
from worker.kafka.local_state import read_state

pytestmark = pytest.mark.broker
Unique = Callable[[str], str]

MAX_MEMORY = 400 * 2**20
START_AND_DIE = """
import os, sys, signal
from pathlib import Path
from worker.kafka.local_broker import LocalBroker
print(LocalBroker().start(Path(sys.argv[1]), follow_parent=True).pid, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def clf(cwd: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run `clf kafka` as a user would."""
    command = [sys.executable, "-c", "from worker.cli import main; main()", "kafka", *arguments]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=90, check=False)


def wait_until(condition: Callable[[], bool], timeout_s: float = 20) -> bool:
    """Whether a condition came true before the deadline."""
    clock = SystemClock()
    deadline = clock.monotonic() + timeout_s
    while not condition():
        if clock.monotonic() > deadline:
            return False
        clock.sleep(0.05)
    return True


def produce_in_transaction(kafka: Kafka, topic: str, identity: str, values: list[bytes], *, commit: bool) -> None:
    """Send records in one transaction and end it."""
    producer = kafka.producer(transactional_id=identity, retry_backoff_ms=5)
    producer.init_transactions(30)
    producer.begin_transaction()
    for value in values:
        producer.produce(topic, value)
    producer.flush(30)
    (producer.commit_transaction if commit else producer.abort_transaction)(30)


def values(kafka: Kafka, topic: str, *, committed: bool = True) -> list[bytes | None]:
    """The values of a topic in order of partition and offset."""
    return [record.value for record in kafka.read(topic, committed=committed)]


def test_transactions(kafka: Kafka, unique: Unique) -> None:
    """Committed records are seen, aborted ones only by who asks for them."""
    topic = kafka.create_topic(unique("t"))
    produce_in_transaction(kafka, topic, unique("tx"), [b"a", b"b"], commit=True)
    produce_in_transaction(kafka, topic, unique("tx"), [b"c"], commit=False)
    assert values(kafka, topic) == [b"a", b"b"]
    assert values(kafka, topic, committed=False) == [b"a", b"b", b"c"]


def test_read_does_not_wait_for_an_open_transaction(kafka: Kafka, unique: Unique) -> None:
    """The end of a topic is the last stable offset for a reader of committed records."""
    topic = kafka.create_topic(unique("t"))
    kafka.produce(topic, [b"before"])
    producer = kafka.producer(transactional_id=unique("tx"))
    producer.init_transactions(30)
    producer.begin_transaction()
    producer.produce(topic, b"open")
    producer.flush(30)
    assert values(kafka, topic) == [b"before"]
    assert values(kafka, topic, committed=False) == [b"before", b"open"]
    producer.abort_transaction(30)


def test_records_come_back_whole(kafka: Kafka, unique: Unique) -> None:
    """Key, value, headers (repeated and null ones too) and partition survive; a tombstone stays one."""
    topic = kafka.create_topic(unique("t"), 3)
    headers = (("a", b"1"), ("a", b"2"), ("none", None))
    assert kafka.produce(topic, [ToSend(b"v", b"k", headers, 2), ToSend(None, b"k", (), 1)]) == 2
    tombstone, record = kafka.read(topic)
    assert (tombstone.partition, tombstone.key, tombstone.value, tombstone.headers) == (1, b"k", None, ())
    assert (record.partition, record.key, record.value, record.headers) == (2, b"k", b"v", headers)
    assert kafka.end_offsets(topic) == {0: 0, 1: 1, 2: 1}


@pytest.mark.parametrize("protocol", ["classic", "consumer"])
def test_both_group_protocols(kafka: Kafka, unique: Unique, protocol: str) -> None:
    """A group of either protocol gets its partitions at once, and its offsets are kept."""
    topic = kafka.create_topic(unique("t"))
    kafka.produce(topic, [b"a"])
    group = unique("g")
    consumer = kafka.consumer(group, topic, group_protocol=protocol)
    try:
        message = consumer.poll(15)
        assert message is not None
        assert message.value() == b"a"
        consumer.commit(message=message, asynchronous=False)
    finally:
        consumer.close()
    assert kafka.committed_offsets(group, topic) == {0: 1}


def test_topics_are_not_created_by_accident(kafka: Kafka, unique: Unique) -> None:
    """A typing error in a topic name is an error and no new topic."""
    name = unique("typo")
    failures: list[KafkaError | None] = []
    producer = kafka.producer(topic_metadata_propagation_max_ms=500)
    producer.produce(name, b"x", on_delivery=lambda error, _: failures.append(error))
    producer.flush(20)
    assert [error and error.code() for error in failures] == [KafkaError.UNKNOWN_TOPIC_OR_PART]
    assert name not in kafka.topics()


def test_delete_topics(kafka: Kafka, unique: Unique) -> None:
    """Deleted topics are gone; deleting them once more is no error."""
    topic = kafka.create_topic(unique("t"))
    kafka.delete_topics(topic)
    kafka.delete_topics(topic)
    assert wait_until(lambda: topic not in kafka.topics())


def test_transaction_timeout_is_bounded(kafka: Kafka, unique: Unique) -> None:
    """Nobody can hold back readers for more than a minute."""
    producer = kafka.producer(transactional_id=unique("tx"), transaction_timeout_ms=61_000)
    with pytest.raises(KafkaException) as caught:
        producer.init_transactions(20)
    assert caught.value.args[0].code() == KafkaError.INVALID_TRANSACTION_TIMEOUT


def test_kill_and_start_again(own_broker: LocalBroker, tmp_path: Path) -> None:
    """After kill -9 the broker comes back on the same port with records, transactions and offsets intact."""
    first = own_broker.start(tmp_path / "kafka", follow_parent=True)
    kafka = Kafka(first.bootstrap_servers)
    kafka.create_topic("t", 2)
    produce_in_transaction(kafka, "t", "tx", [b"%d" % n for n in range(100)], commit=True)
    before = kafka.read("t")
    consumer = kafka.consumer("g")
    consumer.commit(offsets=[TopicPartition("t", 0, 7)], asynchronous=False)
    consumer.close()
    assert own_broker.kill() is True
    assert answers(first.port) is False
    second = own_broker.start(tmp_path / "kafka", port=first.port, follow_parent=True)
    assert second.bootstrap_servers == first.bootstrap_servers
    assert second.pid != first.pid
    assert len(before) == 100
    assert kafka.read("t") == before
    assert kafka.committed_offsets("g", "t")[0] == 7
    produce_in_transaction(kafka, "t", "tx", [b"more"], commit=True)
    assert len(kafka.read("t")) == 101


def test_stop_leaves_nothing(own_broker: LocalBroker, tmp_path: Path) -> None:
    """After stop there is no process, no listener and no broker.json; memory stayed within bounds."""
    running = own_broker.start(tmp_path / "kafka", follow_parent=True)
    kafka = Kafka(running.bootstrap_servers)
    kafka.produce(kafka.create_topic("t", 4), (b"x" * 3000 for _ in range(20_000)))
    assert running.memory_bytes() < MAX_MEMORY
    assert own_broker.stop() is True
    assert not psutil.pid_exists(running.pid)
    assert answers(running.port) is False
    assert find_running(tmp_path / "kafka") is None
    assert not (tmp_path / "kafka/broker.json").exists()


@THOROUGH
def test_data_moves_to_another_port(own_broker: LocalBroker, tmp_path: Path) -> None:
    """A broker that starts on another port still has its topics."""
    first = own_broker.start(tmp_path / "kafka", follow_parent=True)
    Kafka(first.bootstrap_servers).create_topic("t")
    own_broker.stop()
    second = own_broker.start(tmp_path / "kafka", follow_parent=True)
    assert second.port != first.port
    kafka = Kafka(second.bootstrap_servers)
    kafka.produce("t", [b"x"])
    assert values(kafka, "t") == [b"x"]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child that its parent died")
def test_broker_follows_its_parent(tmp_path: Path) -> None:
    """A killed test run or demo leaves no broker behind."""
    command = [sys.executable, "-c", START_AND_DIE, str(tmp_path / "kafka")]
    parent = subprocess.run(command, capture_output=True, text=True, timeout=90, check=False)
    assert parent.returncode == -signal.SIGKILL
    assert wait_until(lambda: find_running(tmp_path / "kafka") is None)
    state = read_state(tmp_path / "kafka")
    assert state is not None
    assert state.pid == int(parent.stdout)


def test_command_line(tmp_path: Path) -> None:
    """Start, start again, status, stop: in a directory whose name Java could misread."""
    home = tmp_path / "größe =#"
    home.mkdir()
    try:
        assert "is ready after" in clf(home, "start").stdout
        address = json.loads(clf(home, "status", "--json").stdout)["bootstrap_servers"]
        again = clf(home, "start")
        assert (again.returncode, "already running" in again.stdout, address in again.stdout) == (0, True, True)
        Kafka(address).create_topic("t")
        stopped = clf(home, "stop", "--delete-data")
        assert (stopped.returncode, stopped.stderr) == (0, "")
        assert clf(home, "status").returncode == 1
        assert list((home / ".clf").iterdir()) == []
    finally:
        clf(home, "stop")


@THOROUGH
def test_two_starts_at_once(tmp_path: Path) -> None:
    """Two people who start a broker in one directory get one broker."""
    command = [sys.executable, "-c", "from worker.cli import main; main()", "kafka", "start"]
    try:
        both = [subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True) for _ in range(2)]
        said = [process.communicate(timeout=90)[0] for process in both]
        assert [process.returncode for process in both] == [0, 0]
        addresses = {line for text in said for line in text.splitlines() if "bootstrap servers" in line}
        assert len(addresses) == 1
    finally:
        clf(tmp_path, "stop", "--delete-data")


@pytest.mark.parametrize("number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=THOROUGH)])
def test_foreground(tmp_path: Path, number: signal.Signals) -> None:
    """In the foreground a signal stops the broker and the command ends cleanly."""
    command = [sys.executable, "-u", "-c", "from worker.cli import main; main()", "kafka", "start", "--foreground"]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True) as process:
        try:
            for line in process.stdout or ():
                if "Ctrl-C" in line:
                    break
            process.send_signal(number)
            assert process.wait(30) == 0
        finally:
            process.kill()
    assert find_running(tmp_path / ".clf/kafka") is None
