"""One system from its first document to the verdict, killed on schedule."""

import os
import random
import signal
import subprocess
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from confluent_kafka import OFFSET_BEGINNING, KafkaError, Message, Producer, TopicPartition

from integration_tests.broker import Kafka
from integration_tests.compare.judge import judge
from integration_tests.compare.systems import Contender, Place
from integration_tests.system import wait_until
from schemas.document import Document
from worker.audit.findings import Finding
from worker.clock import Clock

_URLS = 200  # of each run, in turn; what follows the # tells their visits apart
_RESTART_SECONDS = 0.5
_READY_SECONDS = 300.0
_PROBE_SECONDS = 1.0
_QUIET_SECONDS = 30.0  # without a result, and it has given up on the rest
_STOP_SECONDS = 30.0
_TICK_SECONDS = 0.005
_REST_SECONDS = 0.2
_PROBES = 16  # at a time, so that no partition goes without


@dataclass(frozen=True, slots=True)
class Plan:
    """The same for each system: documents a second, and the numbers of those at which it is killed."""

    documents: int
    rate: float
    partitions: int
    kills: tuple[int, ...]


def plan(documents: int, rate: float, partitions: int, kills: int, seed: int) -> Plan:
    """Kills at random in as many equal parts of the time, the first and the last tenth left in peace."""
    chance = random.Random(seed)  # noqa: S311 - no secret
    first, last = documents // 10, documents * 9 // 10
    part = (last - first) / max(1, kills)
    return Plan(documents, rate, partitions, tuple(first + int(part * (n + chance.random())) for n in range(kills)))


@dataclass(slots=True)
class Outcome:
    """What came of one system.

    Attributes:
        ended: how often it ended by itself.
        gap: seconds of the longest time between two results of one partition, until the last one.
        findings: as `clf verify` counts them.
    """

    title: str
    documents: int
    kills: int
    ended: int = 0
    gap: float = 0.0
    findings: Counter[Finding] = field(default_factory=Counter)


class Supervised:
    """A system's processes, killed together and started again when they end."""

    def __init__(self, command: Sequence[str], directory: Path, clock: Clock) -> None:
        self._command = list(command)
        self._directory = directory
        self._clock = clock
        self._process = self._launch()
        self._again: float | None = None
        self.ended = 0

    def kill(self) -> None:
        """SIGKILL, whatever it is doing."""
        self._signal(signal.SIGKILL)
        self._process.wait()
        self._again = self._clock.monotonic() + _RESTART_SECONDS

    def keep(self) -> None:
        """Start it again, when it ended a while ago."""
        if self._again is None and self._process.poll() is not None:
            self.ended += 1
            self.kill()
        if self._again is not None and self._clock.monotonic() >= self._again:
            self._process, self._again = self._launch(), None

    def stop(self) -> None:
        """As an operator does, and by force if it takes too long."""
        self._signal(signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_STOP_SECONDS)
        self._signal(signal.SIGKILL)
        self._process.wait()

    def _signal(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, number)

    def _launch(self) -> subprocess.Popen[bytes]:
        with (self._directory / "log").open("ab") as log:
            return subprocess.Popen(
                self._command,
                cwd=self._directory,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )


class Crawler:
    """Sends documents, and remembers where the broker put each. Keyed, so that all systems keep to its partitions."""

    def __init__(self, kafka: Kafka, topic: str, contender: Contender, documents: Sequence[Document]) -> None:
        self._producer: Producer = kafka.producer(linger_ms=5, partitioner="murmur2_random")
        self._topic = topic
        self._encode = contender.encode
        self._documents = documents
        self.places: dict[bytes, tuple[int, int]] = {}
        self._count = 0

    def send(self) -> None:
        """The next document."""
        document = self._documents[self._count % len(self._documents)]
        url = f"https://compare.example/{self._count % _URLS}#{self._count}"
        value, headers = self._encode(document._replace(url=url))
        self._producer.produce(self._topic, value, url.encode(), headers=list(headers), on_delivery=self._delivered)
        self._count += 1
        self._producer.poll(0)

    def finish(self) -> None:
        """Wait until the broker has them all."""
        left = self._producer.flush(60)
        assert not left, f"{left} documents could not be sent"

    def next_offsets(self) -> dict[int, int]:
        """Of each partition, once the broker has everything."""
        offsets: dict[int, int] = {}
        for partition, offset in self.places.values():
            offsets[partition] = max(offsets.get(partition, 0), offset + 1)
        return offsets

    def _delivered(self, error: KafkaError | None, message: Message) -> None:
        assert error is None, f"a document was not delivered: {error}"
        self.places[message.key() or b""] = (message.partition() or 0, message.offset() or 0)


class Arrivals:
    """A reader of committed results that is there all the time: when something came, by partition, and what."""

    def __init__(self, kafka: Kafka, topic: str, partitions: int, clock: Clock) -> None:
        self._consumer = kafka.consumer("compare-reader", isolation_level="read_committed", fetch_wait_max_ms=20)
        self._consumer.assign([TopicPartition(topic, number, OFFSET_BEGINNING) for number in range(partitions)])
        self._clock = clock
        self._stopping = threading.Event()
        self.times: dict[int, list[float]] = {number: [] for number in range(partitions)}
        self.keys: set[bytes] = set()

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Read for the time of the block."""
        thread = threading.Thread(target=self._run, name="arrivals", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._stopping.set()
            thread.join()
            self._consumer.close()

    @property
    def last(self) -> float:
        """When the last one came."""
        return max(times[-1] for times in self.times.values())

    def longest_gap(self, start: float, end: float) -> float:
        """The longest time between two results of one partition, in that time."""
        return max(
            later - earlier
            for times in self.times.values()
            for earlier, later in pairwise([start, *(t for t in times if start <= t <= end), end])
        )

    def _run(self) -> None:
        while not self._stopping.is_set():
            for message in self._consumer.consume(500, 0.05):
                if message.error() is None:
                    self.times[message.partition() or 0].append(self._clock.monotonic())
                    self.keys.add(message.key() or b"")


class Trial:
    """One contender at its place."""

    def __init__(
        self,
        contender: Contender,
        command: Sequence[str],
        place: Place,
        kafka: Kafka,
        documents: Sequence[Document],
        clock: Clock,
    ) -> None:
        self._contender = contender
        self._command = command
        self._place = place
        self._kafka = kafka
        self._documents = documents
        self._clock = clock

    def run(self, plan: Plan) -> Outcome:
        """All of it: until it works, the documents and the kills, until it is done."""
        outcome = Outcome(self._contender.title, plan.documents, len(plan.kills))
        crawler = Crawler(self._kafka, self._place.documents, self._contender, self._documents)
        arrivals = Arrivals(self._kafka, self._place.results, plan.partitions, self._clock)
        system = Supervised(self._command, self._place.directory, self._clock)
        try:
            with arrivals.reading():
                self._await_work(system, crawler, arrivals)
                starts = crawler.next_offsets()
                began = self._clock.monotonic()
                self._send(plan, system, crawler)
                sent = self._clock.monotonic()
                self._await_rest(system, crawler, arrivals, sent)
                outcome.gap = arrivals.longest_gap(began, max(sent, arrivals.last))
        finally:
            system.stop()
        outcome.ended = system.ended
        outcome.findings = judge(crawler.places, starts, self._kafka.read(self._place.results, timeout_s=120))
        return outcome

    def _await_work(self, system: Supervised, crawler: Crawler, arrivals: Arrivals) -> None:
        """Send documents that do not count until each partition has given out one."""
        next_probes = 0.0

        def works() -> bool:
            nonlocal next_probes
            system.keep()
            if self._clock.monotonic() >= next_probes:
                next_probes = self._clock.monotonic() + _PROBE_SECONDS
                for _ in range(_PROBES):
                    crawler.send()
                crawler.finish()
            return all(arrivals.times.values())

        try:
            wait_until(works, f"{self._contender.name} works", _READY_SECONDS)
        except AssertionError as error:
            log = (self._place.directory / "log").read_text("utf-8", errors="replace")
            raise AssertionError(f"{error}. The end of its log:\n{log[-2000:]}") from error

    def _send(self, plan: Plan, system: Supervised, crawler: Crawler) -> None:
        """All documents at their rate, and the kills."""
        began, kills = self._clock.monotonic(), list(plan.kills)
        for number in range(plan.documents):
            while self._clock.monotonic() < began + number / plan.rate:
                self._clock.sleep(_TICK_SECONDS)
            system.keep()
            if kills and number >= kills[0]:
                del kills[0]
                system.kill()
            crawler.send()
        crawler.finish()

    def _await_rest(self, system: Supervised, crawler: Crawler, arrivals: Arrivals, sent: float) -> None:
        """Until every document has a result, or nothing has come for long."""
        while crawler.places.keys() - arrivals.keys:
            if self._clock.monotonic() > max(arrivals.last, sent) + _QUIET_SECONDS:
                break
            system.keep()
            self._clock.sleep(_REST_SECONDS)
