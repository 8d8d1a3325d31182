"""The consuming side: the worker's source of records, and a plain reader for the tools."""

from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any, NamedTuple

import structlog
from confluent_kafka import OFFSET_INVALID, Consumer, KafkaError, KafkaException, Message
from confluent_kafka import TopicPartition as ClientPartition

from schemas.headers import Headers
from worker.clock import Clock, SystemClock
from worker.kafka.client_log import LOGGING
from worker.kafka.errors import Needs, on_group, on_topic, translate
from worker.kafka.membership import generation
from worker.kafka.settings import Settings, refused
from worker.kafka.statistics import unread_partitions
from worker.kafka.turns import Turns
from worker.stream.deadline import Deadline
from worker.stream.errors import AbortableError, FatalError, RetriableError
from worker.stream.ports import RebalanceListener
from worker.stream.records import Position, Record, TopicPartition

log = structlog.get_logger(__name__)

OnLag = Callable[[Mapping[TopicPartition, int]], None]

# After the first record of a poll, how long to gather those that are already on their way.
_GATHER_SECONDS = 0.002

# Taken over from the client in one go: few enough to be still in the processor's cache when they become ours.
_MOST_AT_ONCE = 256

# For the group's positions. Nothing is polled meanwhile, so it is rather asked again.
_POSITIONS_SECONDS = 1.0

# For one question about a partition, and for a read that gets no further.
_ANSWER_SECONDS = 10
_STALL_SECONDS = 30.0


class GroupSource:
    """A member of the consumer group. Offsets are committed by the publisher, never here."""

    def __init__(
        self,
        settings: Settings,
        topic: str,
        on_statistics: Callable[[bytes], None],
        has_results: Callable[[int], bool] = lambda _: True,
        clock: Clock | None = None,
    ) -> None:
        """Does not connect yet.

        Args:
            settings: those of the worker's consumer.
            topic: of the documents.
            on_statistics: gets librdkafka's statistics, a JSON object, every interval.
            has_results: whether results of that partition can be published. One that is assigned all the same is
                withheld: nothing of it is read before they can.
            clock: for the turns that partitions take.

        Raises:
            SettingsError: a setting is unknown or has a wrong value.
        """
        self._topic = topic
        self._needs = Needs(on_topic("READ", topic), on_group("READ", str(settings.get("group.id", ""))))
        self._listener: RebalanceListener | None = None
        self._assigned: set[TopicPartition] = set()
        self._given_up: set[TopicPartition] = set()  # while the present poll gathers
        self._has_results = has_results
        self._on_statistics = on_statistics
        self._turns = Turns(clock or SystemClock())
        self._resting: frozenset[TopicPartition] = frozenset()
        self._paused = False
        self.withheld: frozenset[TopicPartition] = frozenset()
        try:
            self._consumer = Consumer(
                {
                    **settings,
                    **LOGGING,
                    "stats_cb": lambda text: self._take_statistics(text.encode()),
                }
            )
        except KafkaException as error:
            raise refused(error.args[0].str()) from error

    @property
    def client(self) -> Consumer:
        """The client itself, for the at-least-once publisher, which commits through it."""
        return self._consumer

    def subscribe(self, listener: RebalanceListener) -> None:
        """Join the group."""
        self._listener = listener
        self._consumer.subscribe(
            [self._topic], on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_lost
        )

    def poll(self, max_records: int, timeout: float) -> list[Record]:
        """Up to `max_records` records; waits `timeout` seconds for the first one. Calls the listener.

        Raises:
            FatalError: the client cannot go on.
        """
        if self.withheld:
            self._release()
        records = self._gather(max_records, timeout)
        if not self._paused:
            self._turns.took(records)
            self._let_rest(self._turns.resting)
        return records

    def _gather(self, max_records: int, timeout: float) -> list[Record]:
        first = self._consume(1, timeout)
        if not first or max_records == 1:
            return first
        self._given_up.clear()
        rest = self._consume(min(max_records, _MOST_AT_ONCE) - 1, _GATHER_SECONDS)
        return [record for record in first if record.source not in self._given_up] + rest

    def _let_rest(self, resting: frozenset[TopicPartition]) -> None:
        before, self._resting = self._resting, resting
        if tired := resting - before:
            self._consumer.pause([ClientPartition(*source) for source in tired])
        if rested := before - resting - self.withheld:
            self._consumer.resume([ClientPartition(*source) for source in rested])

    def _take_statistics(self, statistics: bytes) -> None:
        self._turns.know(unread_partitions(statistics, self._topic))
        self._on_statistics(statistics)

    def _consume(self, max_records: int, timeout: float) -> list[Record]:
        # A revocation in the midst of this call concerns what it gathered before. The client removes that by a mark in
        # its queue, which may still be behind more records than were asked for.
        records = to_records(self._consumer.consume(max_records, timeout), self._needs)
        if self._assigned.issuperset({record.source for record in records}):
            return records
        return [record for record in records if record.source in self._assigned]

    def membership(self) -> bytes | None:
        """The group metadata; None while there is no generation.

        A negative generation must never reach the broker: offsets that carry it are not checked against the group.
        """
        metadata: bytes = self._consumer.consumer_group_metadata()
        return metadata if generation(metadata) >= 0 else None

    def committed(self, partitions: Collection[TopicPartition]) -> dict[TopicPartition, Position]:
        """Where the group stands in these; -1 where it has committed nothing."""
        try:
            found = self._consumer.committed([ClientPartition(*source) for source in partitions], _POSITIONS_SECONDS)
            errors = [place.error for place in found if place.error is not None]
        except KafkaException as error:
            found, errors = [], [error.args[0]]
        if errors:
            raise translate(errors[0], "reading the committed offsets", self._needs)
        return {TopicPartition(place.topic, place.partition): _position(place) for place in found}

    def pause(self) -> None:
        """Deliver nothing more, while polls keep the membership alive."""
        self._paused = True
        self._consumer.pause(self._consumer.assignment())

    def resume(self) -> None:
        """Deliver again."""
        self._paused = False
        self._turns.listen()
        held = self.withheld | self._resting
        self._consumer.resume([p for p in self._consumer.assignment() if not _ours([p]) & held])

    def close(self) -> None:
        """Leave the group."""
        self._consumer.close()

    def _on_assign(self, consumer: Consumer, partitions: list[ClientPartition]) -> None:
        consumer.incremental_assign(partitions)
        self._assigned |= _ours(partitions)
        self._withhold(_ours(partitions))
        if self._listener is not None:
            self._listener.assigned(_ours(partitions))

    def _withhold(self, partitions: Collection[TopicPartition]) -> None:
        if too_new := {source for source in partitions if not self._has_results(source.partition)}:
            self.withheld |= too_new
            self._consumer.pause([ClientPartition(*source) for source in too_new])
            log.warning("partitions_withheld", partitions=_names(too_new), reason="They have no place for results yet.")

    def _release(self) -> None:
        if usable := {source for source in self.withheld if self._has_results(source.partition)}:
            self.withheld -= usable
            if not self._paused:
                self._consumer.resume([ClientPartition(*source) for source in usable])
            log.info("partitions_released", partitions=_names(usable))

    def _on_revoke(self, consumer: Consumer, partitions: list[ClientPartition]) -> None:
        self._give_up(consumer, partitions, self._listener.revoked if self._listener is not None else None)

    def _on_lost(self, consumer: Consumer, partitions: list[ClientPartition]) -> None:
        self._give_up(consumer, partitions, self._listener.lost if self._listener is not None else None)

    def _give_up(
        self,
        consumer: Consumer,
        partitions: list[ClientPartition],
        tell: Callable[[Collection[TopicPartition]], None] | None,
    ) -> None:
        gone = _ours(partitions)
        try:
            if tell is not None:
                tell(gone)
        finally:
            self._assigned -= gone
            self.withheld -= gone
            self._given_up |= gone
            self._turns.forget(gone)
            self._resting -= gone
            consumer.incremental_unassign(partitions)


class Bounds(NamedTuple):
    """The records of one partition at one moment: offsets from `first` on, before `end`. Equal when there are none."""

    first: int
    end: int


class TopicReader:
    """Reads topics without a group, for `clf tail` and its like. It commits nothing and disturbs nobody.

    Only what was committed is read, and the end of a partition is where its oldest open transaction begins.
    Every call raises one of the errors of `worker.stream.errors` when the cluster does not answer.
    """

    def __init__(self, settings: Settings, clock: Clock | None = None) -> None:
        """`settings` are those common to all clients."""
        own: Settings = {
            "group.id": "clf-reader",  # librdkafka demands one; nothing is ever committed to it
            "enable.auto.commit": False,
            "isolation.level": "read_committed",
            "enable.partition.eof": False,
            # Where retention removed the offset that was asked for, go on with what is left.
            "auto.offset.reset": "earliest",
        }
        self._clock = clock or SystemClock()
        self._topics: set[str] = set()
        try:
            self._consumer = Consumer({**settings, **own, **LOGGING})
        except KafkaException as error:
            raise refused(error.args[0].str()) from error

    def bounds(self, topic: str, partitions: int) -> dict[TopicPartition, Bounds]:
        """What every partition of a topic holds at this moment."""
        return {source: self._bounds(source) for source in (TopicPartition(topic, n) for n in range(partitions))}

    def _bounds(self, source: TopicPartition) -> Bounds:
        try:
            found = self._consumer.get_watermark_offsets(ClientPartition(*source), timeout=_ANSWER_SECONDS)
        except KafkaException as error:
            doing = f"asking for the offsets of {source.topic}/{source.partition}"
            raise translate(error.args[0], doing, Needs(on_topic("READ", source.topic))) from error
        if found is None:
            raise RetriableError(f"No answer in {_ANSWER_SECONDS} s about {source.topic}/{source.partition}.")
        return Bounds(*found)

    def assign_at(self, starts: Mapping[TopicPartition, int]) -> None:
        """Read these partitions, each from the offset given."""
        self._topics = {source.topic for source in starts}
        self._consumer.assign([ClientPartition(*source, offset) for source, offset in starts.items()])

    def assign(self, topic: str, partitions: int, *, from_beginning: bool) -> dict[TopicPartition, int]:
        """Start at the first record or behind the last. Returns the end offset of every partition at this moment."""
        bounds = self.bounds(topic, partitions)
        self.assign_at({source: found.first if from_beginning else found.end for source, found in bounds.items()})
        return {source: found.end if found.end > found.first else 0 for source, found in bounds.items()}

    def poll(self, max_records: int, timeout: float) -> list[Record]:
        """Up to `max_records` records; waits `timeout` seconds at most."""
        messages = [m for m in self._consumer.consume(max_records, timeout) if not _concerns_the_group(m.error())]
        return to_records(messages, Needs(on_topic("READ", *self._topics)))

    def batches_to(self, ends: Mapping[TopicPartition, int]) -> Iterator[list[Record]]:
        """Every record of the assigned partitions before these end offsets; 0 means that there is none.

        A batch comes at least every 0.2 seconds, if only an empty one.

        Raises:
            RetriableError: nothing came for half a minute although the ends are not reached.
        """
        missing = {source for source, end in ends.items() if end > 0}
        patience = Deadline(self._clock, _STALL_SECONDS)
        positions: dict[TopicPartition, int] = {}
        while missing:
            yield [record for record in self.poll(500, 0.2) if record.offset < ends[record.source]]
            before, positions = positions, {source: self._position(source) for source in missing}
            missing = {source for source in missing if positions[source] < ends[source]}
            if positions != before:
                patience = Deadline(self._clock, _STALL_SECONDS)
            elif patience.expired:
                raise RetriableError(f"Nothing could be read for {_STALL_SECONDS:g} s. Is the cluster up?")

    def _position(self, source: TopicPartition) -> int:
        # The position passes transaction markers and aborted records too, which a record's own offset would not.
        [found] = self._consumer.position([ClientPartition(*source)])
        return -1 if found.offset == OFFSET_INVALID else found.offset

    def close(self) -> None:
        """Let go."""
        self._consumer.close()


def _concerns_the_group(error: KafkaError | None) -> bool:
    """The client looks for the coordinator of the group that it demands, and may be denied: nothing depends on it."""
    return error is not None and error.code() == KafkaError.GROUP_AUTHORIZATION_FAILED


def to_records(messages: list[Message], needs: Needs) -> list[Record]:
    """The records among what the client delivered. `needs` are the rights it takes.

    Raises:
        FatalError: an error was among them that the client cannot get over by itself.
        FencedError: another member has this one's place.
    """
    records: list[Record] = []
    sources: dict[tuple[Any, Any], TopicPartition] = {}
    for message in messages:
        error = message.error()
        if error is not None:
            _raise_if_severe(error, needs)
            continue
        # The stub allows None throughout, which only a message with an error has.
        where: tuple[Any, Any] = (message.topic(), message.partition())
        offset: Any = message.offset()
        source = sources.get(where)
        if source is None:
            source = sources[where] = TopicPartition(*where)
        records.append(
            Record(
                source,
                offset,
                message.timestamp()[1],
                message.key(),
                message.value(),
                _headers(message),
            )
        )
    return records


def _headers(message: Message) -> Headers:
    try:
        headers: Any = message.headers()
    except SystemError:
        # The client cannot decode names that are no UTF-8. Nothing but Java insists on them, so the record goes on
        # without its headers; to fail would stop its partition for good.
        log.warning("headers_unreadable", topic=message.topic(), partition=message.partition(), offset=message.offset())
        return ()
    return tuple(headers) if headers else ()


# How the client's sentence begins when it has no committed offset to start from. It does not ask again, whatever the
# error was: that partition would stand still, ours and unread.
_STRANDED = "Failed to fetch committed offset"


def _raise_if_severe(error: KafkaError, needs: Needs) -> None:
    """The client gets over what may be retried, and over what makes a member join again: it says so, and goes on."""
    mapped = translate(error, "reading records", needs)
    if not isinstance(mapped, RetriableError | AbortableError):
        raise mapped
    if error.str().startswith(_STRANDED):
        raise FatalError(str(mapped))
    log.warning("consumer_error", error=error.name(), detail=error.str())


def _names(partitions: Collection[TopicPartition]) -> list[str]:
    return [f"{topic}/{partition}" for topic, partition in sorted(partitions)]


def _position(place: ClientPartition) -> Position:
    try:
        note = place.metadata or ""
    except UnicodeDecodeError:  # somebody else's: ours are plain ASCII
        note = ""
    return Position(max(place.offset, -1), note)


def _ours(partitions: list[ClientPartition]) -> set[TopicPartition]:
    return {TopicPartition(partition.topic, partition.partition) for partition in partitions}
