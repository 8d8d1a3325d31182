"""The tools on a real broker, as processes: send, tail, dead letters, topics."""

import json
import random
import signal
import subprocess
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from integration_tests.broker import Kafka, ToSend
from integration_tests.conftest import Unique
from integration_tests.system import CLF, System, wait_until
from schemas.classification import Classification, ClassProbability, ModelStamp, Source, Status
from schemas.dead_letter import DeadLetter, Reason, Stage
from schemas.document import Document, decode_document

pytestmark = pytest.mark.broker

STAMP = ModelStamp("en", "v1", "0" * 16)


def clf(system: System, *arguments: str | Path, given: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    """Run `clf` on the system's topics to its end."""
    command = [*CLF, *map(str, arguments), *cluster(system)]
    return subprocess.run(command, input=given, capture_output=True, check=False, timeout=60)


def cluster(system: System) -> list[str]:
    """The options that every tool has."""
    return system.options()[: -len(("--group", system.group))]


def documents(count: int) -> list[Document]:
    """Some documents with distinct urls."""
    return [Document(f"https://a.example/{number}", "Title", f"text {number}", "en") for number in range(count)]


def lines(items: Sequence[Document]) -> bytes:
    """A file of them."""
    return b"".join(item.to_json() + b"\n" for item in items)


def noise(size: int) -> str:
    """Letters that do not compress well, the same every time."""
    return random.Random(size).randbytes(size // 2).hex()  # noqa: S311 - nothing secret about it


# --- send -----------------------------------------------------------------------------------------------------


def test_send_delivers_every_document_once_and_by_key(system: System, tmp_path: Path) -> None:
    """All arrive, keyed by url, in the order of their file, in the partition that the Java client's hash gives."""
    sent = documents(3000)
    (tmp_path / "pages.jsonl").write_bytes(lines(sent))
    found = clf(system, "send", tmp_path / "pages.jsonl")
    assert (found.returncode, found.stderr) == (0, b"")
    assert found.stdout.startswith(f"Delivered 3,000 documents to {system.documents} in ".encode())
    records = system.kafka.read(system.documents)
    assert Counter(record.key for record in records) == Counter(item.url.encode() for item in sent)
    for partition in range(4):
        numbers = [int((record.key or b"").rpartition(b"/")[2]) for record in records if record.partition == partition]
        assert numbers == sorted(numbers)
    system.kafka.produce(system.documents, (ToSend(None, item.url.encode()) for item in sent))  # murmur2, as in Java
    places = {(record.key, record.partition) for record in system.kafka.read(system.documents)}
    assert len(places) == len(sent)


def test_send_protobuf_from_standard_input(system: System) -> None:
    """Another encoding, another source of lines."""
    sent = documents(20)
    assert clf(system, "send", "--encoding", "protobuf", "-", given=lines(sent)).returncode == 0
    records = system.kafka.read(system.documents)
    assert {decode_document(record.value or b"", "application/x-protobuf") for record in records} == set(sent)
    assert {record.headers for record in records} == {(("content-type", b"application/x-protobuf"),)}


def test_send_goes_on_after_a_record_that_the_topic_does_not_take(system: System) -> None:
    """A page above the topic's limit is named; its neighbours arrive, also those of the same moment."""
    sent = [*documents(50), Document("https://a.example/huge", "", noise(4_000_000)), *documents(100)[50:]]
    found = clf(system, "send", given=lines(sent))
    assert found.returncode == 1
    assert b"rejected the record with key https://a.example/huge" in found.stderr
    assert found.stdout.startswith(b"Delivered 100 documents")
    assert len(system.kafka.read(system.documents)) == 100


def test_send_batches_no_more_than_the_topic_takes(system: System, unique: Unique) -> None:
    """Where a topic takes small records only, good ones are not refused because they travel together."""
    small = system.kafka.create_topic(unique("small"), partitions=1, config={"max.message.bytes": "20000"})
    sent = [Document(f"https://a.example/{number}", "", noise(6000 + number)) for number in range(200)]
    found = clf(replace(system, documents=small), "send", given=lines(sent))
    assert (found.returncode, found.stderr) == (0, b"")
    assert len(system.kafka.read(small)) == 200
    system.kafka.delete_topics(small)


@pytest.mark.parametrize("command", [("send",), ("tail",), ("dead-letters", "list"), ("topics", "check")])
def test_a_missing_topic_is_named_and_not_created(kafka: Kafka, tmp_path: Path, command: Sequence[str]) -> None:
    """Each tool ends with 3 and says what creates the topics."""
    nothing = System(kafka, tmp_path, "no.documents", "no.results", "no.letters", "")
    found = clf(nothing, *command, given=lines(documents(1)))
    assert found.returncode == 3
    assert b"does not exist" in found.stderr
    assert b"`clf topics create`" in found.stderr
    assert not {"no.documents", "no.results", "no.letters"} & kafka.topics()


def test_topics_create_makes_what_the_tools_need(kafka: Kafka, unique: Unique, tmp_path: Path) -> None:
    """After `create`, `check` agrees, and sending works."""
    fresh = System(kafka, tmp_path, unique("documents"), unique("results"), unique("letters"), "")
    assert clf(fresh, "topics", "check").returncode == 3
    assert clf(fresh, "topics", "create", "--partitions", "2").returncode == 0
    assert clf(fresh, "topics", "check").returncode == 0
    assert clf(fresh, "send", given=lines(documents(5))).returncode == 0
    kafka.delete_topics(fresh.documents, fresh.classifications, fresh.dead_letters)


# --- tail -----------------------------------------------------------------------------------------------------


def result(number: int) -> Classification:
    """A result as a worker publishes it."""
    classes = (ClassProbability("sport", 0.75),)
    source = Source("documents", 0, number)
    return Classification(f"https://a.example/{number}", "en", Status.CLASSIFIED, ("sport",), classes, STAMP, source)


def publish(system: System, numbers: range) -> None:
    """Publish results, keyed by url."""
    results = (result(number) for number in numbers)
    system.kafka.produce(system.classifications, (ToSend(item.to_json(), item.url.encode()) for item in results))


def test_tail_shows_what_is_there_and_stops(system: System) -> None:
    """--no-follow gives every published value, byte for byte, from all partitions, and what is none on stderr."""
    publish(system, range(1000))
    system.kafka.produce(system.classifications, [ToSend(None, b"gone"), ToSend(b"no result", b"x")])
    found = clf(system, "tail", "--no-follow")
    assert found.returncode == 0
    expected = [result(number).to_json() for number in range(1000)]
    assert sorted(found.stdout.splitlines()) == sorted([*expected, b'{"url":"gone","tombstone":true}'])
    assert b" is no classification: " in found.stderr


def test_tail_does_not_show_what_was_aborted(system: System) -> None:
    """Only committed results are read, and the end is found behind the marks that transactions leave."""
    producer = system.kafka.producer(transactional_id=system.group)
    producer.init_transactions(30)
    for number, finish in ((1, producer.commit_transaction), (2, producer.abort_transaction)):
        producer.begin_transaction()
        producer.produce(system.classifications, result(number).to_json(), partition=0)
        producer.flush(30)
        finish(30)
    found = clf(system, "tail", "--no-follow")
    assert found.stdout == result(1).to_json() + b"\n"


def test_tail_follows_until_it_is_interrupted(system: System) -> None:
    """New results appear while it runs; those from before do not; Ctrl-C ends it with 0."""
    publish(system, range(10))
    command = [*CLF, "tail", *cluster(system)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stderr.readline().startswith(b"Following ")
        publish(system, range(10, 12))
        shown = [json.loads(process.stdout.readline())["url"] for _ in range(2)]
        process.send_signal(signal.SIGINT)
        rest, said = process.communicate(timeout=30)
        assert (process.returncode, rest, said) == (0, b"", b"")
    assert sorted(shown) == ["https://a.example/10", "https://a.example/11"]


# --- dead letters ---------------------------------------------------------------------------------------------


def bury(system: System, letters: Sequence[DeadLetter]) -> None:
    """Write dead letters, all into partition 0, in one transaction as a worker does."""
    producer = system.kafka.producer(transactional_id=system.group)
    producer.init_transactions(30)
    producer.begin_transaction()
    for item in letters:
        producer.produce(system.dead_letters, item.value, item.key, 0, headers=list(item.record_headers()))
    producer.commit_transaction(30)


def letters_of(system: System) -> list[DeadLetter]:
    """A dead letter of each kind that matters here."""

    def of(number: int, reason: Reason, value: bytes) -> DeadLetter:
        source = Source(system.documents, number % 4, number)
        return DeadLetter(f"key {number}".encode(), value, (("trace", b"1"),), Stage.DECODE, reason, "detail", source)

    return [
        of(0, Reason.NOT_JSON, b"\x1b[2J\xff"),
        of(1, Reason.SCORE_FAILED, documents(1)[0].to_json()),
        of(2, Reason.NOT_JSON, b"{"),
        of(3, Reason.SCORE_FAILED, b""),
    ]


def test_dead_letters_are_listed_and_shown(system: System) -> None:
    """The list counts all of them, and `show` gives one in full, its value byte for byte."""
    letters = letters_of(system)
    bury(system, letters)
    listed = clf(system, "dead-letters", "list", "--last", "1")
    assert listed.returncode == 0
    assert b"0/3 " in listed.stdout
    assert b"0/2 " not in listed.stdout
    assert b"4 dead letters: 2 not_json, 2 score_failed." in listed.stdout
    assert DeadLetter.from_json(clf(system, "dead-letters", "show", "0/0", "--json").stdout) == letters[0]
    assert clf(system, "dead-letters", "show", "0/0", "--value").stdout == letters[0].value
    marker = clf(system, "dead-letters", "show", "0/4")
    assert marker.returncode == 2
    assert b"There is no record at 0/4" in marker.stderr


def test_dead_letters_go_back_and_count_on(system: System) -> None:
    """A replay sends just what was chosen, as it was, to where it was; a worker counts its attempts on."""
    letters = letters_of(system)
    bury(system, letters)
    found = clf(system, "dead-letters", "replay", "--reason", "score_failed", "--yes")
    assert found.returncode == 0
    assert b"Acknowledged: 2 records." in found.stdout
    back = system.kafka.read(system.documents)
    headers = (("trace", b"1"), ("clf-attempts", b"1"))
    chosen = [(item.source.partition, item.key, item.value, headers) for item in (letters[1], letters[3])]
    assert [(record.partition, record.key, record.value, record.headers) for record in back] == chosen
    with system.worker("--no-scoring") as worker:
        system.await_settled(2)
        assert worker.terminate() == 0
    [again] = [record for record in system.letters() if record.partition != 0]
    assert DeadLetter.from_record(again.key, again.value, again.headers).attempts == 2
    next_time = found.stdout.rpartition(b"next time: ")[2].decode().split()
    listed = clf(system, "dead-letters", "list", "--json", *next_time)
    assert [json.loads(line)["attempts"] for line in listed.stdout.splitlines()] == [2]


def test_a_replay_does_not_run_after_its_own_failures(system: System) -> None:
    """What fails again while a replay runs is not sent once more by it."""
    bury(system, [letters_of(system)[2]] * 50)
    with system.worker("--no-scoring", "--dead-letter-limit", "1") as worker:
        worker.await_ready()
        assert clf(system, "dead-letters", "replay", "--all", "--yes").returncode == 0
        system.await_settled(50)
        assert worker.terminate() == 0
    wait_until(lambda: len(system.letters()) >= 100, "the dead letters are back")
    assert len(system.letters()) == 100
