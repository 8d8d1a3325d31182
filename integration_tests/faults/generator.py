"""Documents with a known sequence per partition, at a steady rate, from one thread."""

import random
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from confluent_kafka import Producer

from integration_tests.faults.odd import MAX_RECORD_BYTES, POISON, Odd, odd
from schemas.dead_letter import Reason
from schemas.document import Document
from worker.clock import Clock

_TICK_SECONDS = 0.01
_URLS = 200  # of each partition, so that order per url means something
_FLUSH_SECONDS = 120.0


@dataclass(frozen=True, slots=True)
class Plan:
    """What is sent: documents a second in all, and the share of records that are odd in one way or the other."""

    partitions: int
    rate: float
    odd: float
    seed: int


class Generator:
    """Nobody else writes to the topic, so the offset of a partition's n-th document is n."""

    def __init__(self, servers: str, topic: str, plan: Plan, documents: Sequence[Document], clock: Clock) -> None:
        # The client goes on trying for five minutes: what befalls the broker is no fault of the crawler's.
        settings: dict[str, str | int | bool] = {"enable.idempotence": True, "linger.ms": 5, "log_level": 2}
        settings |= {"message.max.bytes": MAX_RECORD_BYTES, "compression.type": "lz4"}
        self._producer = Producer({"bootstrap.servers": servers, **settings})
        self._topic = topic
        self._plan = plan
        self._documents = documents
        self._clock = clock
        self._random = random.Random(plan.seed)  # noqa: S311 - no secret
        self.sent: list[list[float]] = [[] for _ in range(plan.partitions)]  # monotonic seconds, by offset
        self.to_slip_in: list[str] = []  # urls of documents to send among the others
        self.slipped_in: list[tuple[int, int]] = []  # their partitions and offsets
        self.poisoned: dict[tuple[int, int], Reason] = {}  # by partition and offset: what is no document, and why
        self.only_poison = False
        self._odd_ones = 0
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="generator", daemon=True)

    def start(self) -> None:
        """Begin to send."""
        self._thread.start()

    def grow(self, partitions: int) -> None:
        """Send to new partitions too, which the topic must have."""
        self._producer.list_topics(self._topic, _FLUSH_SECONDS)  # or the client would not know of them for minutes
        self.sent.extend([] for _ in range(len(self.sent), partitions))

    def send_all(self, documents: Iterable[tuple[int, str, str]]) -> None:
        """Send documents at once, given as partition, text and language, without having begun to send others."""
        for partition, text, lang in documents:
            number = len(self.sent[partition])
            url = self._url(partition, number)
            value, key = Document(url, f"{number}", text, lang).to_json(), url.encode()
            while not self._produce(partition, value, key):
                self._producer.poll(0.1)

    def stop(self) -> int:
        """Send no more, wait until the broker has everything; returns how many there are."""
        self._stopping.set()
        if self._thread.ident is not None:
            self._thread.join()
        left = self._producer.flush(_FLUSH_SECONDS)
        assert not left, f"{left} documents could not be sent"
        return sum(map(len, self.sent))

    def close(self) -> None:
        """Send no more, whatever becomes of what was sent."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        began, count = self._clock.monotonic(), 0
        while not self._stopping.is_set():
            now = self._clock.monotonic()
            while count < (now - began) * self._plan.rate and self._send(count):
                count += 1
            self._producer.poll(0)
            self._stopping.wait(_TICK_SECONDS)

    def _send(self, count: int) -> bool:
        partition = count % len(self.sent)
        number = len(self.sent[partition])
        special = self.to_slip_in[0] if self.to_slip_in else None
        url = special or self._url(partition, number)
        value, reason = self._record(url, count)
        if not self._produce(partition, value, url.encode()):
            return False  # the broker is away; what is due is sent when it is back
        if reason is not None:
            self.poisoned[partition, number] = reason
        if special is not None:
            self.slipped_in.append((partition, number))
            self.to_slip_in.pop(0)
        return True

    @staticmethod
    def _url(partition: int, number: int) -> str:
        return f"https://fault.example/{partition}/{number % _URLS}"

    def _produce(self, partition: int, value: bytes, key: bytes) -> bool:
        """Returns whether there was room for it."""
        try:
            self._producer.produce(self._topic, value, key, partition)
        except BufferError:
            return False
        self.sent[partition].append(self._clock.monotonic())
        return True

    def _record(self, url: str, count: int) -> Odd:
        if self.only_poison:
            return self._random.choice(POISON)
        if self._random.random() < self._plan.odd:
            self._odd_ones += 1
            return odd(url, self._odd_ones)
        document = self._documents[count % len(self._documents)]
        return Odd(Document(url, f"{count}", document.text, document.lang).to_json(), None)
