"""The runbook's operations: its own command lines, typed on a cluster of their own, and what each of them promises."""

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
from confluent_kafka import TopicPartition

from integration_tests.console import FIRST, GOAL, Console, even, on_cluster, on_own_broker, send
from integration_tests.faults.cluster import LocalCluster
from integration_tests.faults.fleet import Fleet
from integration_tests.faults.generator import Generator, Plan
from integration_tests.runbook import section, sections
from integration_tests.system import CLOCK, THOROUGH, ClfProcess, System, wait_until
from schemas.classification import Source, decode_classification

pytestmark = [pytest.mark.broker, pytest.mark.timeout(600)]

ELSEWHERE = {"Register by hand"}  # in test_consul.py: it needs an agent
TRIED = set(ELSEWHERE)

Test = Callable[..., None]


def operation(heading: str) -> Callable[[Test], Test]:
    """A test that runs all commands of a section; only by `make thorough`."""

    def mark(test: Test) -> Test:
        TRIED.add(heading)
        return THOROUGH(test)

    return mark


@pytest.fixture
def console(tmp_path: Path) -> Iterator[Console]:
    """A cluster where nothing has happened yet."""
    with on_own_broker(tmp_path) as made:
        yield made


def findings(console: Console, verify: str = "clf verify") -> dict[str, int]:
    """What an audit of everything finds, by kind."""
    done = console.try_run(f"{verify} --json --recompute 1")
    assert done.returncode in {0, 1}, done.stderr
    found = {kind: count for kind, count in json.loads(done.stdout)["findings"].items() if count}
    assert done.returncode == bool(found)
    return found


def rows(table: str) -> list[dict[str, str]]:
    """The rows of a table that Kafka's scripts print, by the names of its columns."""
    lines = [line.split() for line in table.splitlines() if line.strip()]
    head = next(words for words in lines if words[0] == "GROUP")
    return [dict(zip(head, words, strict=False)) for words in lines[lines.index(head) + 1 :]]


def members(console: Console) -> dict[str, int]:
    """How many partitions each worker has, by the command of the runbook."""
    look = section("Scale out").commands[0]
    return Counter(row["CONSUMER-ID"] for row in rows(console.run(look)) if row["CONSUMER-ID"] != "-")


def in_order(process: ClfProcess, answer: str) -> list[dict[str, object]]:
    """The events that the runbook shows, as the process logged them, one after the other."""
    shown = [json.loads(re.sub(r", \.\.\.}", "}", line)) for line in answer.splitlines()]
    logged = [json.loads(line) for line in process.log().splitlines() if line.startswith("{")]
    names = [event["event"] for event in shown]
    tail = logged[max(n for n, event in enumerate(logged) if event["event"] == names[0]) :]
    found = [next(event for event in tail if event["event"] == name) for name in names]
    assert sorted(tail.index(event) for event in found) == [tail.index(event) for event in found]
    assert all(shown[n].keys() <= event.keys() for n, event in enumerate(found))
    return found


# --- the operations, as the runbook has them -------------------------------------------------------------------


@operation("Scale out")
def test_scale_out(console: Console) -> None:
    """A second worker gets half of the partitions, and does half of the work."""
    _, second, count = section("Scale out").commands
    system = console.system
    with console.start(FIRST) as first:
        assert sorted(members(console).values()) == [4]
        with console.start(second) as other:
            wait_until(lambda: first.metric("clf_assigned_partitions") == 2, "the first one has given two away")
            wait_until(lambda: other.metric("clf_assigned_partitions") == 2, "the second one has them")
            assert [console.run(count)] == list(section("Scale out").answers)
            assert sorted(members(console).values()) == [2, 2]
            send(system, even(50))
            system.await_settled(200)
            assert [worker.metric("clf_records_total{") for worker in (first, other)] == [100, 100]
            assert [worker.terminate() for worker in (first, other)] == [0, 0]
    assert findings(console) == {}


@operation("Drain and restart a worker")
def test_drain_and_restart(console: Console) -> None:
    """It says what it does and ends with 0; the other one has its partitions soon; its successor is ready again."""
    drain = section("Drain and restart a worker")
    [ready] = drain.inline
    system = console.system
    _, second, _ = section("Scale out").commands
    with console.start(second) as other:
        with console.start(FIRST) as first:
            wait_until(lambda: other.metric("clf_assigned_partitions") == 2, "both have partitions")
            send(system, even(500))
            console.run(f"kill -TERM {first.process.pid}")
            assert first.process.wait(40) == 0
            began = CLOCK.monotonic()
            wait_until(lambda: other.metric("clf_assigned_partitions") == 4, "the other one has all")
            assert CLOCK.monotonic() - began < 5
            draining, rebalanced, _ = in_order(first, drain.answers[0])
            assert draining["seconds"] == 30
            assert (rebalanced["change"], rebalanced["assigned"]) == ("revoked", 0)
        with console.start(FIRST):
            assert console.run(ready) == '{"status":"ready"}'
            system.await_settled(2000)
    assert findings(console) == {}


@operation("Roll out a model, and back")
def test_roll_out_and_back(console: Console) -> None:
    """The running worker takes what is activated; results are told apart by their model."""
    listed, verified, forth, back = section("Roll out a model, and back").commands
    system = console.system
    assert re.search(r"\bv1\b.*\n.*\bv2\b", console.run(listed))
    assert "v2" in console.run(verified)
    with console.start(FIRST) as worker:
        send(system, even(5))
        system.await_settled(20)
        for number, (line, version) in enumerate([(forth, "v2"), (back, "v1")], start=2):
            said = console.run(line)
            if line == forth:
                masked = [re.sub(r"\([0-9a-f]{16}\)", "()", text) for text in (said, *section_answers("Roll out"))]
                assert masked[0] == masked[1]
            serving = re.compile(rf'clf_model_info{{digest="[0-9a-f]+",lang="en",version="{version}"}} 1\.0')
            wait_until(lambda: serving.search(worker.get("/metrics")[1]), f"{version} serves")  # noqa: B023 - called at once
            assert worker.metric("clf_model_info{") == 1
            send(system, even(5))
            system.await_settled(20 * number)
    for partition in range(4):
        stamps = [decode_classification(r.value or b"").model for r in system.results() if r.partition == partition]
        assert [stamp and stamp.version for stamp in stamps] == [*["v1"] * 5, *["v2"] * 5, *["v1"] * 5]
    assert findings(console) == {}


def section_answers(start: str) -> tuple[str, ...]:
    """What the section whose heading begins so shows as printed."""
    [found] = [part for heading, part in sections().items() if heading.startswith(start)]
    return found.answers


@operation("Replay dead letters")
def test_replay_dead_letters(console: Console) -> None:
    """What can succeed now does; with the ranges that were printed nothing is sent twice."""
    listed, dry, replay, again = section("Replay dead letters").commands
    system = console.system
    long = GOAL._replace(text="goal " * 100).to_json()
    short_only = f"{FIRST} --max-document-bytes 300 --max-age 1"
    send(system, {1: 1, 3: 2}, value=long)
    with console.start(short_only) as worker:
        system.await_settled(3)
        assert worker.terminate() == 0
    with console.start(FIRST):
        send(system, even(5))
        system.await_settled(23)
        assert "3 dead letters: 3 too_large." in console.run(listed)
        plan, *rest = section("Replay dead letters").answers[0].splitlines(keepends=True)
        assert console.run(dry).endswith(plan)
        assert sent(system) == 23
        assert console.run(replay) == "".join([plan, *rest])
        system.await_settled(26)
        assert rest[-1].partition("next time: ")[2].strip() in again
        assert console.run(again) == "There is nothing to replay.\n"
        assert sent(system) == 26
    send(system, {0: 1}, value=long)
    with console.start(short_only) as worker:
        system.await_settled(27)
        assert worker.terminate() == 0
    with console.start(FIRST):
        assert "Acknowledged: 1 record." in console.run(again)
        system.await_settled(28)
    assert len(system.letters()) == 4
    assert len(system.results()) == 24
    assert findings(console) == {}


def sent(system: System) -> int:
    """How many documents there are."""
    return sum(system.kafka.end_offsets(system.documents).values())


@operation("Reclassify a range")
@pytest.mark.parametrize("start", ["offset", "time"])
def test_reclassify_a_range(console: Console, start: str) -> None:
    """A second group gives results to that range alone; the audit misses just the documents before it."""
    create, *resets, worker, by_time, verify = section("Reclassify a range").commands
    system = console.system
    moment = (int(CLOCK.time()) - 60) * 1000
    console.stands_for |= {"2026-11-26T00:00:00.000": datetime.fromtimestamp(moment / 1000, UTC).strftime("%FT%T.000")}
    with console.start(FIRST) as first:
        send(system, {0: 10, 1: 10, 2: 7, 3: 3}, moment - 1)
        send(system, {0: 5, 1: 6}, moment)
        system.await_settled(41)
        assert first.terminate() == 0
    before = system.results()
    console.run(create)
    answer = "".join(console.run(line) for line in (resets if start == "offset" else [by_time]))
    if start == "offset":
        wanted = rows(section("Reclassify a range").answers[0])
        assert all(row in rows(answer) for row in wanted)
    again = System(system.kafka, system.directory, "documents", "classifications.v2", "none", "clf-again")
    with console.start(worker) as process:
        again.await_settled(41)
        assert process.metric("clf_records_total{") == 11
        assert process.terminate() == 0
    sources = {decode_classification(record.value or b"").source for record in again.results()}
    assert sources == {Source("documents", p, offset) for p, end in ((0, 15), (1, 16)) for offset in range(10, end)}
    assert len(again.results()) == len(sources)
    assert findings(console, verify) == {"missing": 30}
    console.run(verify, code=1)
    assert system.results() == before
    assert findings(console) == {}


@operation("Add partitions")
def test_add_partitions(console: Console) -> None:
    """A running worker takes the new ones by itself, and classifies what comes there."""
    add, check = section("Add partitions").commands
    system = console.system
    (console.directory / "client.properties").write_text("topic.metadata.refresh.interval.ms=500\n", "utf-8")
    console.environment["CLF_KAFKA_CONFIG"] = "client.properties"
    with console.start(FIRST) as worker:
        send(system, even(10))
        system.await_settled(40)
        console.run(add)
        assert "A worker can start with these topics." in console.run(check)
        send(system, even(10, partitions=8))
        system.await_settled(120)
        assert worker.metric("clf_assigned_partitions") == 8
        assert worker.terminate() == 0
    assert {record.partition for record in system.results()} == set(range(8))
    assert findings(console) == {}


@operation("End a transaction that hangs")
def test_end_a_transaction_that_hangs(console: Console) -> None:
    """Readers go on; what was in it is named, sent again, and gets its results."""
    look, producers, listed, abort, audit, resend = section("End a transaction that hangs").commands
    system = console.system
    with console.start(FIRST) as worker:
        send(system, even(3))
        system.await_settled(12)
        assert worker.terminate() == 0
    send(system, {1: 3})
    lost = system.kafka.producer(transactional_id="hangs", transaction_timeout_ms=60_000)
    lost.init_transactions()
    lost.begin_transaction()
    for _ in range(3):
        lost.produce(system.classifications, b"{}", GOAL.url.encode(), 1)
    assert lost.flush(30) == 0
    member = system.kafka.consumer(system.group)
    member.commit(offsets=[TopicPartition(system.documents, 1, 6)], asynchronous=False)  # as if half of it was there
    member.close()
    assert "open_transaction" in console.run(f"{look} --patience 1", code=1)
    shown = console.run(producers).splitlines()
    head, wanted = section("End a transaction that hangs").answers[0].splitlines()
    assert shown[0].split() == head.split()
    assert [line.split()[-1] for line in shown[1:]].count(wanted.split()[-1]) == 1
    assert "Ongoing" in console.run(listed)
    console.run(abort)
    assert findings(console) == {"missing": 3}
    assert "documents/1/3" in console.run(audit, code=1)
    console.run(resend)
    with console.start(FIRST):
        system.await_settled(18)
    assert len(system.results()) == 15
    assert findings(console) == {"missing": 3}


@operation("Upgrade Kafka")
def test_upgrade_kafka(tmp_path: Path) -> None:
    """Three brokers are restarted one after the other, under load and by the runbook's looks; then the audit holds."""
    replicated, features = section("Upgrade Kafka").commands
    cluster = LocalCluster(tmp_path)
    try:
        with on_cluster(cluster.start(), tmp_path) as console, under_load(console.system) as generator:
            system = console.system
            for broker in cluster.brokers:
                wait_until(lambda: console.run(replicated) == "", "no partition is under-replicated", 120)
                assert re.search(r"Feature: metadata.version\s.*FinalizedVersionLevel: 4\.", console.run(features))
                assert broker.running is not None
                directory, port = broker.running.directory, broker.running.port
                broker.stop()
                wait_until(lambda: "Topic: documents" in console.run(replicated), "it says what is missing", 120)
                broker.start(directory, port=port, follow_parent=True)
                done = system.settled()
                wait_until(lambda: system.settled() > done + 200, "work goes on", 120)  # noqa: B023 - called at once
            count = generator.stop()
            system.await_settled(count, 120)
            assert findings(console) == {}
    finally:
        cluster.close()


@contextmanager
def under_load(system: System) -> Iterator[Generator]:
    """Two workers that are started again when they end, and documents that come all the time."""
    servers = system.kafka.bootstrap_servers
    generator = Generator(servers, system.documents, Plan(4, rate=100.0, odd=0.0, seed=1), [GOAL], CLOCK)
    fleet = Fleet(system, ("--models", str(system.directory / "model-store")), CLOCK, system.directory)
    try:
        for slot in range(2):
            fleet.start(slot)
        fleet.await_ready(0, 1)
        generator.start()
        yield generator
        assert set(fleet.stop()) == {0}
    finally:
        generator.close()
        fleet.kill()
    assert {ended.code for ended in fleet.exits} <= {0, 4}


def test_every_operation_is_tried() -> None:
    """Each section of operations that has commands has a test that runs them."""
    headings = list(sections())
    operations = headings[headings.index("Operations") :]
    assert {heading for heading in operations if section(heading).commands} <= TRIED <= set(operations)


@THOROUGH
def test_an_open_breaker(console: Console) -> None:
    """ClfBreakerOpen: with the limit that it names a worker gets past what opened it, then another one goes on."""
    [unlimited] = section("ClfBreakerOpen").inline
    system = console.system
    with console.start(FIRST) as worker:
        send(system, even(400), value=b"not json")
        assert worker.process.wait(60) == 4
        assert [event["kind"] for event in worker.events("fatal")] == ["BreakerOpenError"]
    with console.start(FIRST.replace("clf worker", unlimited)) as worker:
        system.await_settled(1600)
        assert worker.terminate() == 0
    with console.start(FIRST) as worker:
        send(system, even(300))
        system.await_settled(2800)
        assert worker.metric("clf_breaker_open") == 0
    assert findings(console) == {}
