"""Sending dead letters back to the documents topic: first what it would be, then the sending."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from schemas.dead_letter import HEADER_NAMES, DeadLetter, Headers
from worker.clock import Clock
from worker.commands.cluster import ACKNOWLEDGE_SECONDS
from worker.commands.dead_letter_selection import Entry, Range
from worker.commands.output import counted, printable
from worker.kafka.producer import Sender
from worker.stream.deadline import Deadline
from worker.stream.records import Outgoing

ATTEMPTS = HEADER_NAMES[-1]
_ANY_PARTITION = -1  # the client chooses by the key

Batches = Iterable[list[Entry]]


@dataclass(slots=True)
class Plan:
    """What a replay would do.

    Attributes:
        topic: Where to.
        reasons: How many would be sent, by reason.
        ranges: Per partition of the dead-letter topic, the first and the last of them.
        foreign: Records that are no dead letters; they stay.
        elsewhere: Dead letters of other topics; they stay.
    """

    topic: str
    reasons: Counter[str] = field(default_factory=Counter)
    ranges: dict[int, Range] = field(default_factory=dict)
    foreign: int = 0
    elsewhere: Counter[str] = field(default_factory=Counter)

    def sendable(self, entry: Entry) -> DeadLetter | None:
        """The dead letter, if it is one of this topic."""
        letter = entry.letter
        return letter if letter is not None and letter.source.topic == self.topic else None

    def add(self, entry: Entry) -> None:
        """Take one selected record into account."""
        if entry.letter is None:
            self.foreign += 1
        elif self.sendable(entry) is None:
            self.elsewhere[entry.letter.source.topic] += 1
        else:
            self.reasons[entry.letter.reason] += 1
            partition, first, last = entry.position
            before = self.ranges.get(partition)
            self.ranges[partition] = Range(partition, first if before is None else before.first, last)

    @property
    def total(self) -> int:
        """How many would be sent."""
        return self.reasons.total()

    def describe(self) -> Iterator[str]:
        """Sentences for the operator."""
        if self.foreign:
            yield f"{counted(self.foreign, 'record')} left out: no dead letters of clf."
        for topic, count in self.elsewhere.items():
            yield f"{counted(count, 'dead letter')} left out: they came from {printable(topic, 120)}, not {self.topic}."
        if self.total:
            reasons = ", ".join(f"{count:,} {reason}" for reason, count in self.reasons.most_common())
            ranges = " ".join(str(item) for _, item in sorted(self.ranges.items()))
            yield f"{counted(self.total, 'dead letter')} ({reasons}) for {self.topic}, within {ranges}."
        else:
            yield "There is nothing to replay."


def make_plan(topic: str, batches: Batches) -> Plan:
    """What replaying these to `topic` would do."""
    plan = Plan(topic)
    for batch in batches:
        for entry in batch:
            plan.add(entry)
    return plan


def to_record(letter: DeadLetter, topic: str, partitions: int) -> Outgoing:
    """The record as it was, for the partition it came from, so that it stays in order with its url's later ones."""
    came_from = letter.source.partition
    partition = came_from if came_from < partitions else _ANY_PARTITION
    return Outgoing(topic, partition, letter.key, letter.value, _headers(letter))


def _headers(letter: DeadLetter) -> Headers:
    """The original headers and the attempts so far, which the worker counts on from; an earlier replay's give way."""
    headers = letter.headers
    if letter.attempts > 1 and headers and headers[-1] == (ATTEMPTS, str(letter.attempts - 1).encode()):
        headers = headers[:-1]
    return (*headers, (ATTEMPTS, str(letter.attempts).encode()))


class Replay:
    """Sends batch by batch and waits for each, so that it is always known how far it came."""

    def __init__(self, sender: Sender, partitions: int, plan: Plan, clock: Clock) -> None:
        """`partitions` is how many the documents topic has."""
        self._sender = sender
        self._partitions = partitions
        self._plan = plan
        self._clock = clock
        self._reached: dict[int, int] = {}

    def run(self, batches: Batches) -> int:
        """Send them all. Returns how many were acknowledged.

        Raises:
            StreamError: the cluster stopped taking records.
        """
        for batch in batches:
            letters = [letter for entry in batch if (letter := self._plan.sendable(entry)) is not None]
            self._sender.send(to_record(letter, self._plan.topic, self._partitions) for letter in letters)
            self._sender.finish(Deadline(self._clock, ACKNOWLEDGE_SECONDS))
            self._reached |= {entry.position.partition: entry.position.first for entry in batch}
        return self._sender.delivered

    def remaining(self) -> list[Range]:
        """What was not acknowledged yet, as ranges for another replay with the same --reason and --max-attempts."""
        rest = (
            Range(number, max(item.first, self._reached.get(number, -1) + 1), item.last)
            for number, item in sorted(self._plan.ranges.items())
        )
        return [item for item in rest if item.first <= item.last]
