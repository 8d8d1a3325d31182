"""The status page: what it says, that nothing on it can do harm, and what it costs."""

import base64
import hashlib
import re
from html.parser import HTMLParser
from types import SimpleNamespace
from typing import cast

import pytest
from prometheus_client import CollectorRegistry

from models.content import Fallback
from models.model import Model
from models.scorer import Scorer
from schemas.classification import Classification, Status
from schemas.dead_letter import DeadLetter, Reason, Stage
from schemas.source import Source
from worker.config import Topics
from worker.diagnosis.host import HostReason
from worker.diagnosis.slow_node import Diagnosis, SlowNode
from worker.page.page import NUMBER, SHARE, Column, Fact, Page, Section, StatusPage, answer
from worker.page.parts import duration, number, rate
from worker.page.recent import Recent
from worker.page.server_page import ServerPage
from worker.page.snapshots import Snapshots
from worker.page.worker_page import WorkerPage
from worker.serve.calls import CODE_NAMES
from worker.serve.grpc import METHODS, SERVICE
from worker.serve.metrics import GrpcMetrics, Metrics
from worker.stream.ports import RebalanceEvent
from worker.stream.records import Outcome, Outgoing, Part, TopicPartition
from worker.tests.fakes import P0, P1, ManualClock, records

EVIL = "<script>alert('x')</script>\"'&\ud800"
TOPICS = Topics()
NO_SCORER = cast("Scorer", SimpleNamespace(name="native"))
WELL = Diagnosis(0.002, 0.001, dict.fromkeys(HostReason, 0.25))


class Elements(HTMLParser):
    """What a page is made of."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: set[str] = set()
        self.links: set[str] = set()
        self.words: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note it."""
        self.tags.append(tag)
        self.attributes |= {name for name, _ in attrs}
        self.links |= {str(value) for name, value in attrs if name in {"href", "src"}}

    def handle_data(self, data: str) -> None:
        """Note it."""
        if data.strip():
            self.words.append(data.strip())

    @property
    def text(self) -> str:
        """All of it, as one reads it."""
        return " ".join(self.words)


def shown(page: Page) -> Elements:
    """The page as a browser takes it apart."""
    return Elements(answer(page).body.decode())


def slow_node(diagnosis: Diagnosis = WELL) -> SlowNode:
    """One that found this."""
    return cast("SlowNode", SimpleNamespace(diagnosis=diagnosis))


class Worker:
    """A worker without anything but its metrics."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.metrics = Metrics(CollectorRegistry(), self.clock, TOPICS, "1.2.3", 300.0)
        self.snapshots = Snapshots(self.metrics.collect, self.clock)

    def page(self, diagnosis: Diagnosis = WELL) -> Page:
        """What it shows."""
        made = WorkerPage(
            "clf",
            lambda: "7",
            lambda: "no partitions are assigned to this worker",
            self.snapshots,
            self.metrics.recent,
            slow_node(diagnosis),
            watched=True,
            clock=self.clock,
        )
        return made()

    def commit(self, count: int, source: TopicPartition = P0) -> None:
        """So many documents, the last of them a dead letter."""
        part = Part()
        for record in records(source, 0, count - 1):
            part.read(record)
        part.outcomes.update({"classified": count - 1, "dead_letter": 1})
        part.dead_letters["not_json"] += 1
        where = Source(source.topic, source.partition, count - 1)
        letter = DeadLetter(
            key=b"https://secret.example/page",
            value=b"secret text",
            headers=(("clf-reason", b"wrong"), ("cookie", b"secret")),
            stage=Stage.DECODE,
            reason=Reason.NOT_JSON,
            detail="secret detail",
            source=where,
            attempts=1,
        )
        part.outgoing = [
            Outgoing(TOPICS.classifications, 0, b"secret", b"secret", ()),
            Outgoing(TOPICS.dead_letters, 0, letter.key, letter.value, letter.record_headers()),
        ]
        self.metrics.committed(Outcome({source: part}), 1.0)


# --- what it says --------------------------------------------------------------------------------------------


def test_a_worker_at_work() -> None:
    """Everything that a person looks for, in words."""
    worker = Worker()
    worker.metrics.serving([Model("en", "v7", "abc", ("a",), NO_SCORER, (0.5,), Fallback.NONE)])
    worker.metrics.rebalanced(RebalanceEvent.ASSIGNED, {P0, P1}, 2)
    worker.metrics.lags({P0: 12_345, P1: 7})
    worker.clock.now += 10
    worker.metrics.stage("score", 2.5)
    worker.commit(1000)
    worker.metrics.lags({P0: 11_345, P1: 7})
    page = worker.page()
    assert Fact("Throughput", "100", "documents per second") in page.facts
    assert Fact("Lag", "11,352", "documents that wait") in page.facts
    assert Fact("Drained", "in 114 s", "work for 1 worker") in page.facts
    text = shown(page).text
    assert "not ready, no partitions are assigned to this worker" in text
    assert "slot 7" in text
    assert "en v7 abc" in text
    assert "score 25 % 25 % 2.5 s" in text
    assert "classified 999 100" in text
    assert "assigned 0, 1 2" in text
    assert "not_json documents/0/999" in text
    assert "1970-01-01 00:16:50 UTC" in text


def test_a_worker_that_has_done_nothing() -> None:
    """No table is empty, no number is made up."""
    text = shown(Worker().page(Diagnosis(None, None, dict.fromkeys(HostReason, 0.0)))).text
    for words in (
        "No batch so far.",
        "None so far.",
        "No model is served.",
        "Too little work to judge by.",
        "Drained now nothing waits",
    ):
        assert words in text


def test_nothing_of_a_document_is_shown() -> None:
    """Neither key nor value, headers or detail of a dead letter."""
    worker = Worker()
    worker.commit(5)
    html = answer(worker.page()).body
    assert b"not_json" in html
    assert b"secret" not in html
    assert b"wrong" not in html


def test_the_last_ones_only() -> None:
    """However many come, ten of each are kept, the latest first, and of many partitions those with the largest lag."""
    worker = Worker()
    for count in range(1, 31):
        worker.commit(count)
        worker.metrics.rebalanced(RebalanceEvent.ASSIGNED, {TopicPartition("documents", n) for n in range(100)}, count)
    worker.metrics.lags({TopicPartition("documents", n): n for n in range(100)})
    assert [letter.source for letter in worker.metrics.recent.letters] == [f"documents/0/{29 - n}" for n in range(10)]
    assert [item.assigned for item in worker.metrics.recent.rebalances] == list(range(30, 20, -1))
    page = worker.page()
    rows = next(section.rows for section in page.sections if section.title == "Partitions of documents")
    assert [row[0] for row in rows] == [str(n) for n in range(60, 100)]
    assert "and 76 more" in shown(page).text
    assert len(answer(page).body) < 40_000


def test_a_slow_host() -> None:
    """The reason is named, beside the shares of all."""
    pressed = dict(WELL.shares) | {HostReason.CPU_THROTTLED: 0.8}
    text = shown(Worker().page(Diagnosis(0.09, 0.01, pressed, frozenset({HostReason.CPU_THROTTLED})))).text
    assert "Slow: cpu_throttled. p99 90 ms, usually 10 ms." in text
    assert "CPU throttled by the quota 80 % 80 % 25 %" in text


def test_a_server() -> None:
    """Calls, their latency, what was refused and why."""
    clock, metrics = ManualClock(), GrpcMetrics(CollectorRegistry(), "1", SERVICE, METHODS, list(CODE_NAMES.values()))
    snapshots = Snapshots(metrics.collect, clock)
    page = ServerPage(
        lambda: "h:1",
        lambda: None,
        snapshots,
        slow_node,
        watched=False,
        clock=clock,
    )
    clock.now += 10
    for _ in range(100):
        metrics.calls.began("Classify")
        metrics.calls.ended("Classify", "OK", 0.0015, 0.05)
    metrics.calls.refused("Classify")
    metrics.answered([Classification("u", "en", Status.EMPTY, (), (), None, None)])
    made = page()
    assert Fact("Calls per second", "10") in made.facts
    assert ("Median", "1.5 ms") in [fact[:2] for fact in made.facts]
    text = shown(made).text
    assert "clf serve: ready" in text
    assert "OK 100 10 " in text
    assert "too_many_calls 1 0.1" in text
    assert "Not watched (--slow-factor 0)." in text


# --- that it does no harm ------------------------------------------------------------------------------------


def evil_page() -> Page:
    """Every text on it is an attack."""
    columns = [Column(EVIL), Column(EVIL, NUMBER), Column(EVIL, SHARE)]
    section = Section(EVIL, columns, [(EVIL, EVIL, 0.5)], EVIL)
    return Page(EVIL, EVIL, EVIL, [Fact(EVIL, EVIL, EVIL)], [section])


def test_everything_is_escaped() -> None:
    """No text becomes an element or an attribute; what is no Unicode does not fail."""
    harmless = shown(
        Page("n", "r", "a", [Fact("f", "v", "m")], [Section("s", [Column("c")] * 3, [("a", "b", "c")], "n")])
    )
    evil = shown(evil_page())
    assert evil.tags.count("script") == harmless.tags.count("script") == 1
    assert evil.attributes - {"value"} <= harmless.attributes
    assert "<script>alert" not in answer(evil_page()).body.decode().replace('<script>"use strict"', "")


def test_the_policy_allows_its_own_style_and_script_only() -> None:
    """By their hashes, over exactly what stands between the tags; nothing is loaded from anywhere."""
    given = answer(evil_page())
    policy, html = given.headers["Content-Security-Policy"], given.body.decode()
    for tag in ("style", "script"):
        [content] = re.findall(rf"<{tag}>(.*?)</{tag}>", html, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    elements = shown(evil_page())
    assert elements.links == {"data:,", "metrics", "ready", "status"}
    assert not {name for name in elements.attributes if name == "style" or name.startswith("on")}


def test_it_can_be_read_by_machines_that_read_to_people() -> None:
    """A language, headings, and headers of columns and rows."""
    html = answer(Worker().page()).body.decode()
    assert '<html lang="en">' in html
    for table in re.findall(r"<table>(.*?)</table>", html, re.DOTALL):
        assert '<th scope="col"' in table
        assert '<th scope="row">' in table
    assert html.count("<h1>") == 1
    assert '<noscript><meta http-equiv="refresh"' in html


# --- what it costs -------------------------------------------------------------------------------------------


def test_many_who_look_get_the_same_page() -> None:
    """It is made twice a second at most."""
    clock, made = ManualClock(), list[int]()

    def page() -> Page:
        made.append(1)
        return evil_page()

    route = StatusPage(page, clock)
    for _ in range(10):
        assert route().status == 200
    clock.now += 0.6
    route()
    assert len(made) == 2


def test_snapshots_look_back_some_seconds() -> None:
    """Neither one second, whose numbers jump, nor for ever."""
    worker = Worker()
    for _ in range(100):
        worker.clock.now += 1
        worker.commit(10)
        worker.snapshots.tick()
    worker.clock.now += 1
    growth = worker.snapshots.growth()
    assert 15 <= growth.seconds <= 21
    assert growth.rate("clf_records_total") == pytest.approx(10, rel=0.1)


def test_no_time_has_passed() -> None:
    """Then nothing has a rate."""
    assert shown(Worker().page()).text


def test_recent_without_our_headers() -> None:
    """A record that is no dead letter of ours is shown without a reason, not raised about."""
    recent = Recent(ManualClock(), "dead")
    part = Part(outgoing=[Outgoing("dead", 0, None, None, (("clf-reason", None),))])
    part.dead_letters["not_json"] += 1
    recent.committed(Outcome({P0: part}))
    assert recent.letters[0][1:] == ("", "")


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (None, "not known"),
        (float("inf"), "never"),
        (0, "0 ms"),
        (0.000_012, "0.012 ms"),
        (0.0042, "4.2 ms"),
        (0.85, "850 ms"),
        (1.25, "1.2 s"),
        (100, "100 s"),
        (150, "2 min"),
        (9000, "2 h"),
        (400_000, "5 d"),
    ],
)
def test_durations(seconds: float | None, words: str) -> None:
    """In the unit that suits them."""
    assert duration(seconds) == words


def test_numbers() -> None:
    """With separators; rates below ten with a digit behind the point."""
    assert (number(1234567.0), rate(1234.5), rate(9.94), rate(0)) == ("1,234,567", "1,234", "9.9", "0.0")
