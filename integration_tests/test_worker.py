"""The worker on a real broker: every document exactly once, whatever happens to the process."""

import subprocess
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path

import orjson
import psutil
import pytest

from integration_tests.broker import Record, ToSend
from integration_tests.system import CLF, CLOCK, System, WorkerProcess, numbered, wait_until
from schemas.classification import Status, decode_classification
from schemas.dead_letter import DeadLetter, Reason
from schemas.document import Document

pytestmark = pytest.mark.broker

SMALL_BATCHES = ("--max-records", "100", "--no-scoring")


def urls(records: list[Record]) -> Counter[str]:
    """How often each url came out."""
    return Counter(record.key.decode() for record in records if record.key is not None)


def assert_each_once(system: System, documents: list[Document]) -> None:
    """Every document has exactly one committed result, in its own partition, in the order it was sent."""
    results = system.results()
    assert urls(results) == Counter(document.url for document in documents)
    offsets: dict[int, list[int]] = defaultdict(list)
    for record in results:
        source = decode_classification(record.value or b"").source
        assert source is not None
        assert (source.topic, source.partition) == (system.documents, record.partition)
        offsets[record.partition].append(source.offset)
    for seen in offsets.values():
        assert seen == list(range(len(seen)))


@pytest.mark.parametrize("protocol", ["classic", "consumer"])
def test_documents_come_out_once_as_classify_says(
    system: System, sample: list[Document], model_store: Path, protocol: str
) -> None:
    """Results on Kafka equal those of `clf classify`, byte for byte but for `source`, with either group protocol."""
    documents = system.send(numbered(sample, 600))
    with system.worker("--models", str(model_store), "--group-protocol", protocol) as worker:
        system.await_settled(len(documents))
        assert worker.terminate() == 0
    assert_each_once(system, documents)
    lines = b"".join(document.to_json() + b"\n" for document in documents)
    command = [*CLF, "classify", "--models", str(model_store), "--format", "json"]
    expected = subprocess.run(command, input=lines, capture_output=True, check=True).stdout
    by_url = {record.key: record.value for record in system.results()}
    for line in filter(None, expected.split(b"\n")):
        found = by_url[orjson.loads(line)["url"].encode()]
        assert found is not None
        assert found.partition(b'"source":')[0] == line.partition(b'"source":')[0]
        assert decode_classification(found).status is Status.CLASSIFIED


def test_the_dead_letters_are_exactly_those_planted(system: System, sample: list[Document], model_store: Path) -> None:
    """Bad records leave with their reason, bytes untouched; the good ones of the same batches are unharmed."""
    bad = {
        Reason.NOT_JSON: ToSend(b"{half", b"a", (("trace", b"1"),)),
        Reason.NOT_UTF8: ToSend(b'{"url": "\xff"}', b"b"),
        Reason.NOT_AN_OBJECT: ToSend(b"[1]", b"c"),
        Reason.URL_MISSING: ToSend(b'{"text": "no url"}', None),
        Reason.WRONG_TYPE: ToSend(b'{"url": "u", "text": 7}', b"e"),
        Reason.TOO_LARGE: ToSend(b'{"url":"u","text":"' + b"x" * 200_000 + b'"}', b"f"),
        Reason.NOT_PROTOBUF: ToSend(b"\xff\xff", b"g", (("content-type", b"application/x-protobuf"),)),
        Reason.UNKNOWN_CONTENT_TYPE: ToSend(b"{}", b"h", (("content-type", b"image/png"),)),
    }
    documents = list(numbered(sample, 400))
    good = (ToSend(document.to_json(), document.url.encode()) for document in documents)
    system.kafka.produce(system.documents, interleave(good, list(bad.values()), every=40))
    with system.worker("--models", str(model_store), "--max-document-bytes", "100000") as worker:
        system.await_settled(len(documents) + len(bad))
        assert worker.metric("clf_dead_letters_total") == len(bad)
        assert worker.terminate() == 0
    assert urls(system.results()) == Counter(document.url for document in documents)
    letters = [DeadLetter.from_record(r.key, r.value, r.headers) for r in system.letters()]
    assert {letter.reason: (letter.value, letter.key, letter.headers) for letter in letters} == {
        reason: (sent.value, sent.key, sent.headers) for reason, sent in bad.items()
    }
    assert len(letters) == len(bad)
    sources = {(letter.source.partition, letter.source.offset) for letter in letters}
    assert len(sources) == len(bad)


def interleave(good: Iterator[ToSend], bad: list[ToSend], every: int) -> Iterator[ToSend]:
    """The good ones with a bad one after each `every` of them."""
    for item in bad:
        yield from islice(good, every)
        yield item
    yield from good


def test_protobuf_tombstones_headers_and_languages(system: System, sample: list[Document], model_store: Path) -> None:
    """Each form of input gets the result the contract promises."""
    protobuf = (("content-type", b"application/x-protobuf"), ("trace", b"7"))
    english = next(document for document in sample if document.lang == "en")
    system.kafka.produce(
        system.documents,
        [
            ToSend(Document("p", english.title, english.text, "eng").to_protobuf(), b"p", protobuf),
            ToSend(None, b"gone"),
            ToSend(Document("k", "", "kein Modell", "tlh").to_json(), b"k"),
            ToSend(Document("e", "", "", "en-GB").to_json(), b"e"),
        ],
    )
    with system.worker("--models", str(model_store)) as worker:
        system.await_settled(4)
        assert worker.terminate() == 0
    found = {record.key: record for record in system.results()}
    assert found[b"gone"].value is None
    assert dict(found[b"p"].headers) == {"content-type": b"application/json", "trace": b"7"}
    statuses = {key: decode_classification(r.value).status for key, r in found.items() if r.value is not None}
    assert statuses == {b"p": Status.CLASSIFIED, b"k": Status.UNSUPPORTED_LANGUAGE, b"e": Status.EMPTY}


def test_sigterm_in_mid_batch(system: System, sample: list[Document]) -> None:
    """A worker told to stop while batches are in flight finishes them, exits 0, and its successor does the rest."""
    documents = system.send(numbered(sample, 20_000))
    with system.worker("--max-records", "10", "--no-scoring") as first:
        system.await_settled(500)
        assert first.terminate() == 0
        assert first.events("stopped")
    assert 0 < system.settled() < len(documents)
    with system.worker("--no-scoring", name="second") as second:
        system.await_settled(len(documents))
        assert second.terminate() == 0
    assert_each_once(system, documents)


def test_kill_in_mid_transaction(system: System, sample: list[Document]) -> None:
    """A worker killed with a transaction open leaves nothing visible of it; the next one repeats that batch."""
    documents = system.send(numbered(sample, 10_000))
    for _ in range(2):
        with system.worker(*SMALL_BATCHES) as worker:
            worker.await_ready()
            freeze_in_transaction(system, worker)
            worker.kill()
    assert system.settled() < len(documents)
    started = CLOCK.monotonic()
    with system.worker(*SMALL_BATCHES) as last:
        last.await_ready()
        assert CLOCK.monotonic() - started < 15, "the successor waited for the dead worker's transaction"
        system.await_settled(len(documents))
        assert last.terminate() == 0
    assert_each_once(system, documents)
    assert len(system.kafka.read(system.classifications, committed=False)) > len(documents), "nothing was aborted"


def freeze_in_transaction(system: System, worker: WorkerProcess) -> None:
    """Stop the worker with SIGSTOP at a moment when results of it are written and not committed."""
    process = psutil.Process(worker.process.pid)

    def caught() -> bool:
        process.suspend()
        if has_open_transaction(system):
            return True
        process.resume()
        return False

    wait_until(caught, "a transaction is open")


def has_open_transaction(system: System) -> bool:
    """Whether some partition holds records behind its last stable offset."""
    ends = system.kafka.end_offsets(system.classifications)
    stable = system.kafka.end_offsets(system.classifications, committed=True)
    return any(ends[partition] > stable[partition] for partition in ends)


@pytest.mark.parametrize("protocol", ["classic", "consumer"])
def test_a_second_worker_joins_and_leaves(system: System, sample: list[Document], protocol: str) -> None:
    """Partitions move to a second worker and back under load, and no document is lost, doubled or reordered."""
    supply = numbered(sample, 1_000_000)
    documents = system.send(islice(supply, 5_000))
    options = (*SMALL_BATCHES, "--group-protocol", protocol)
    with system.worker(*options) as first, system.worker(*options, name="second") as second:
        second.await_ready()
        while second.metric("clf_records_total") < 500:
            documents += system.send(islice(supply, 5_000))  # the first is quick; there is to be work for two
        assert second.terminate() == 0
        system.await_settled(len(documents))
        assert first.terminate() == 0
        assert {event["change"] for event in first.events("rebalanced")} == {"assigned", "revoked"}
    assert_each_once(system, documents)


def test_at_least_once_loses_nothing(system: System, sample: list[Document]) -> None:
    """The weaker guarantee still gives every document a result; without a fault, exactly one."""
    documents = system.send(numbered(sample, 3_000))
    with system.worker(*SMALL_BATCHES, "--delivery", "at-least-once") as worker:
        system.await_settled(len(documents))
        assert worker.terminate() == 0
    assert_each_once(system, documents)


def test_the_breaker_stops_the_worker(system: System) -> None:
    """When most of the input is broken, the worker exits 4 with a sentence, and the batch stays unread."""
    system.kafka.produce(system.documents, [ToSend(b"broken", b"k%d" % number) for number in range(2000)])
    with system.worker("--no-scoring", "--max-records", "500", "--dead-letter-window", "1000") as worker:
        assert worker.process.wait(30) == 4
        assert "--dead-letter-limit" in str(worker.events("fatal")[0]["reason"])
    assert system.settled() < 2000
    assert len(system.letters()) == system.settled()
    # Its successor knows, for whoever alerts: the dead one's metrics are gone. It has yet to see a good window.
    with system.worker("--no-scoring", "--dead-letter-window", "5000", name="successor") as worker:
        worker.await_ready()
        assert worker.metric("clf_breaker_open") == 1


def test_it_refuses_to_start_on_wrong_topics(system: System) -> None:
    """Unequal partition counts and a missing topic are named, with the command that helps; exit 3."""
    uneven = system.kafka.create_topic(f"{system.classifications}.uneven", partitions=3)
    with system.worker("--no-scoring", "--classifications", uneven) as worker:
        assert worker.process.wait(30) == 3
        reason = str(worker.events("cannot_start")[0]["reason"])
        assert "has 3 partitions" in reason
        assert "clf topics create" in reason
    system.kafka.delete_topics(uneven)
    with system.worker("--no-scoring", "--dead-letters", "no.such.topic", name="other") as worker:
        assert worker.process.wait(30) == 3
        assert "no.such.topic does not exist" in str(worker.events("cannot_start")[0]["reason"])


def test_it_refuses_to_start_where_it_cannot_tell_its_port(system: System) -> None:
    """A service file in a directory that is not there is named, and the port is not blamed; exit 3."""
    with system.worker("--no-scoring", "--service-file", "nowhere/service.json") as worker:
        assert worker.process.wait(30) == 3
        reason = str(worker.events("cannot_start")[0]["reason"])
    assert reason == (
        "nowhere/service.json cannot be written: No such file or directory. Name another with --service-file."
    )


def test_health_and_metrics_tell_the_truth(system: System, sample: list[Document], model_store: Path) -> None:
    """`/ready` follows the assignment, and the counters equal what is in the topics."""
    documents = system.send(numbered(sample, 300))
    with system.worker("--models", str(model_store)) as worker:
        worker.await_ready()
        assert worker.get("/status") == (200, '{"status":"ok"}')
        assert worker.get("/nothing")[0] == 404
        system.await_settled(len(documents))
        wait_until(lambda: worker.metric("clf_records_total") == len(documents), "all records are counted")
        lag = "clf_consumer_lag_records{"
        wait_until(lambda: lag in worker.get("/metrics")[1] and worker.metric(lag) == 0, "the lag is 0")
        labels = sum(len(decode_classification(record.value or b"").labels) for record in system.results())
        assert worker.metric("clf_predictions_total") == labels
        assert worker.metric("clf_end_to_end_latency_seconds_count") == len(documents)
        assert worker.metric("clf_assigned_partitions") == 4
        assert worker.metric("clf_model_info") == 3
        assert worker.terminate() == 0


def test_two_workers_with_one_slot(system: System) -> None:
    """On one host the second is told at once; it never fences the first."""
    with system.worker("--no-scoring", "--slot", "s") as first:
        first.await_ready()
        with system.worker("--no-scoring", "--slot", "s", name="second") as second:
            assert second.process.wait(30) == 3
            assert "Slot s" in str(second.events("cannot_start")[0]["reason"])
        assert first.get("/ready")[0] == 200
        assert first.terminate() == 0


def test_a_second_signal_forces(system: System, sample: list[Document]) -> None:
    """SIGTERM twice ends the worker at once, with the code that asks for a restart, and nothing is lost."""
    documents = system.send(numbered(sample, 10_000))
    with system.worker(*SMALL_BATCHES) as worker:
        system.await_settled(300)
        psutil.Process(worker.process.pid).terminate()
        wait_until(lambda: worker.events("draining") or worker.process.poll() is not None, "it drains")
        psutil.Process(worker.process.pid).terminate()
        assert worker.process.wait(10) in {0, 4}  # 0: the drain was quicker than the second signal
    with system.worker(*SMALL_BATCHES, name="second") as second:
        second.await_ready()  # the first may have settled them all, and a signal must not meet a worker half started
        system.await_settled(len(documents))
        assert second.terminate() == 0
    assert_each_once(system, documents)


def test_topics_with_small_limits(system: System, sample: list[Document]) -> None:
    """Brokers hold whole batches to a topic's limit; the worker's batches stay below that of its topics."""
    small = replace(
        system,
        documents=f"{system.documents}.small",
        classifications=f"{system.classifications}.small",
        dead_letters=f"{system.dead_letters}.small",
    )
    for topic, size in ((small.documents, 20_000), (small.classifications, 86_000), (small.dead_letters, 86_000)):
        system.kafka.create_topic(topic, partitions=1, config={"max.message.bytes": str(size)})
    documents = list(numbered(sample, 2_000))
    for chunk in range(0, len(documents), 10):  # the test's own producer must respect the limit, too
        system.kafka.produce(
            small.documents, [ToSend(d.to_json(), d.url.encode()) for d in documents[chunk : chunk + 10]]
        )
    with small.worker("--no-scoring") as worker:
        small.await_settled(len(documents))
        assert worker.terminate() == 0
    assert_each_once(small, documents)
    system.kafka.delete_topics(small.documents, small.classifications, small.dead_letters)
