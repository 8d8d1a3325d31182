"""A reader that is there all the time: what became visible, when, and in which order."""

import threading
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import islice, pairwise

from confluent_kafka import OFFSET_BEGINNING, Consumer, Message, TopicPartition

from integration_tests.broker import to_record
from schemas.classification import decode_classification
from schemas.dead_letter import DeadLetter
from worker.clock import Clock

_POLL_SECONDS = 0.05


class Timeline:
    """Reads committed results and dead letters of a whole system."""

    def __init__(self, servers: str, topics: Mapping[str, int], dead_letters: str, clock: Clock) -> None:
        """`topics` are the two with their numbers of partitions."""
        settings: dict[str, str | int | bool] = {
            "bootstrap.servers": servers,
            "group.id": "clf-fault-reader",
            "enable.auto.commit": False,
            "isolation.level": "read_committed",
            "fetch.wait.max.ms": 20,
            "log_level": 2,
        }
        self._consumer = Consumer(settings)
        places = [(topic, partition) for topic, count in topics.items() for partition in range(count)]
        self._consumer.assign([TopicPartition(*place, OFFSET_BEGINNING) for place in places])
        self._dead_letters = dead_letters
        self._clock = clock
        self.seen: dict[tuple[str, int], list[int]] = defaultdict(list)  # offsets, in the order of their arrival
        self.arrivals: dict[int, list[tuple[float, int]]] = defaultdict(list)  # by partition of the documents
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="timeline", daemon=True)

    def start(self) -> None:
        """Begin to read."""
        self._thread.start()

    def grow(self, topic: str, partitions: range) -> None:
        """Read new partitions too."""
        self._consumer.incremental_assign([TopicPartition(topic, number, OFFSET_BEGINNING) for number in partitions])

    def stop(self) -> None:
        """Read no more."""
        self.close()
        self._consumer.close()

    def close(self) -> None:
        """The same, and let the broker find out."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()

    @property
    def total(self) -> int:
        """How many results and dead letters it has seen."""
        return sum(map(len, self.arrivals.values()))

    def longest_gap(self, partitions: Sequence[int], start: float, end: float) -> float:
        """The longest time between two arrivals of one of these partitions, in that time."""
        gaps = [0.0]
        for partition in partitions:
            times = [start, *(t for t, _ in self.arrivals[partition] if start <= t <= end), end]
            gaps.append(max(later - earlier for earlier, later in pairwise(times)))
        return max(gaps)

    def settled(self, start: float, end: float) -> int:
        """How many documents came out in that time."""
        return sum(sum(1 for t, _ in arrivals if start <= t < end) for arrivals in self.arrivals.values())

    def dead_letters(self) -> int:
        """How many there are."""
        return sum(len(offsets) for (topic, _), offsets in list(self.seen.items()) if topic == self._dead_letters)

    def arrived_by(self, sent: Sequence[Sequence[float]], since: float) -> float | None:
        """When each partition had given out a document sent after `since`; None when one has not yet."""
        firsts = [bisect_left(stamps, since) for stamps in sent]  # offsets, which are in order of time
        times = []
        for partition, first in enumerate(firsts):
            arrivals = self.arrivals[partition]
            at = bisect_left(arrivals, since, key=lambda arrival: arrival[0])
            found = next((t for t, offset in islice(arrivals, at, None) if offset >= first), None)
            if found is None:
                return None
            times.append(found)
        return max(times)

    def _run(self) -> None:
        while not self._stopping.is_set():
            for message in self._consumer.consume(500, _POLL_SECONDS):
                if message.error() is None:
                    self._note(message)

    def _note(self, message: Message) -> None:
        record = to_record(message)
        if record.topic == self._dead_letters:
            source = DeadLetter.from_record(record.key, record.value, record.headers).source
        else:
            found = decode_classification(record.value or b"").source
            assert found is not None, "a result of a worker has a source"
            source = found
        self.seen[record.topic, record.partition].append(record.offset)
        self.arrivals[source.partition].append((self._clock.monotonic(), source.offset))
