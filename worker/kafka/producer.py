"""The publishing side: one transaction per batch, at-least-once as the option, and a plain sender for the tools."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import structlog
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer
from confluent_kafka import TopicPartition as ClientPartition

from worker.clock import Clock
from worker.kafka.client_log import LOGGING
from worker.kafka.errors import Needs, on_group, on_topic, translate
from worker.kafka.membership import group
from worker.kafka.settings import Settings, refused
from worker.stream.deadline import Deadline
from worker.stream.errors import AbortableError, FatalError, RetriableError, StreamError
from worker.stream.records import Outgoing, Position, TopicPartition

log = structlog.get_logger(__name__)

# How long one produce call waits for room in the client's queue before it looks at the failures again.
_ROOM_SECONDS = 0.1

# What a broker holds against one record, or against its neighbours in the same request.
_REJECTIONS = frozenset({"MSG_SIZE_TOO_LARGE", "INVALID_RECORD", "_INVALID_DIFFERENT_RECORD"})

_ANSWER_SECONDS = 10.0

# Between two attempts to commit offsets while the group is being rebalanced.
_AGAIN_SECONDS = 0.02

# A transaction's error that says no more than that: see the delivery reports.
_DELIVERIES_FAILED = "_INCONSISTENT"

# What a call finds that was under way while the transaction failed over something else.
_FAILED_BEFORE = "_STATE"


class _Deliveries:
    """A producer whose delivery callback only records. The first failure is raised by the caller's next call."""

    def __init__(self, settings: Settings) -> None:
        try:
            self.producer = Producer({**settings, **LOGGING, "on_delivery": self._on_delivery})
        except KafkaException as error:
            raise refused(error.args[0].str()) from error
        self.topics: set[str] = set()  # that were written to
        self._failure: KafkaError | None = None
        self._failed_topic = ""

    def _on_delivery(self, error: KafkaError | None, message: Message) -> None:
        if error is not None and self._failure is None:
            self._failure = error
            self._failed_topic = message.topic() or ""

    def forget(self) -> None:
        """Start a new unit: failures of an aborted one do not count."""
        self._failure = None

    def raise_failure(self) -> None:
        """Raise the first failed delivery, if there was one."""
        if self._failure is not None:
            raise self.translated(self._failure, "publishing results", Needs(on_topic("WRITE", self._failed_topic)))

    def translated(self, error: KafkaError, doing: str, needs: Needs) -> StreamError:
        """The error of ours for a client error that came while publishing."""
        return translate(error, doing, needs)

    def partitions_of(self, topic: str) -> int:
        """How many partitions a topic has. The client, which asks every few minutes by itself, knows them then too."""
        needs, doing = Needs(on_topic("DESCRIBE", topic)), f"asking for the partitions of topic {topic}"
        try:
            found = self.producer.list_topics(topic, _ANSWER_SECONDS).topics[topic]
        except KafkaException as error:
            raise translate(error.args[0], doing, needs) from error
        if found.error is not None:
            raise translate(found.error, doing, needs)
        return len(found.partitions)

    def send(self, outgoing: Iterable[Outgoing]) -> None:
        """Hand every record to the client, waiting for room where its queue is full."""
        produce, topics = self.producer.produce, self.topics
        for topic, partition, key, value, headers in outgoing:
            topics.add(topic)
            while True:
                try:
                    if headers:
                        produce(topic, value, key, partition, headers=list(headers))
                    else:
                        produce(topic, value, key, partition)
                    break
                except BufferError:
                    self.producer.poll(_ROOM_SECONDS)
                    self.raise_failure()
                except KafkaException as error:
                    doing, needs = f"handing a record of {topic} to the client", Needs(on_topic("WRITE", topic))
                    raise self.translated(error.args[0], doing, needs) from error
        self.producer.poll(0)
        self.raise_failure()


class _TransactionDeliveries(_Deliveries):
    """Those of a transaction, which may fail as a whole: then every record fails, and only the client knows why."""

    def translated(self, error: KafkaError, doing: str, needs: Needs) -> StreamError:
        """As for the transaction's own error, where it has one."""
        cause = self._cause()
        return (
            translate(error, doing, needs)
            if cause is None
            else translate(cause, doing, Needs(on_topic("WRITE", *self.topics)))
        )

    def translated_call(self, error: KafkaError, doing: str, needs: Needs) -> StreamError:
        """The same for a call of the transaction; only where the client says no more than that it had failed before."""
        cause = self._cause() if error.name() == _FAILED_BEFORE else None
        return translate(cause or error, doing, needs)

    def _cause(self) -> KafkaError | None:
        """Why the transaction failed; None when it did not.

        The client tells whoever asks it to begin another one, which it never does while this one is not at its end.
        """
        try:
            self.producer.begin_transaction()
        except KafkaException as error:
            state: KafkaError = error.args[0]
            if state.name() != _DELIVERIES_FAILED and (state.fatal() or state.txn_requires_abort()):
                return state
        return None


class TransactionalPublisher:
    """Exactly once: results and input offsets become visible together or not at all (KIP-98, KIP-447)."""

    def __init__(self, settings: Settings) -> None:
        """`settings` hold a transactional id that only this worker uses."""
        self._deliveries = _TransactionDeliveries(settings)
        self._producer = self._deliveries.producer
        self._id = str(settings["transactional.id"])

    def open(self, deadline: Deadline) -> None:
        """Register the transactional id: fences whoever had it, and aborts what a dead predecessor left open."""
        self._retrying(self._producer.init_transactions, deadline, "registering the transactional id", self._needs())

    def begin(self) -> None:
        """Start a transaction."""
        self._deliveries.forget()
        try:
            self._producer.begin_transaction()
        except KafkaException as error:
            raise translate(error.args[0], "beginning a transaction", self._needs()) from error

    def send(self, outgoing: Iterable[Outgoing]) -> None:
        """Hand records to the client; the first failed delivery is raised here or by `commit`."""
        self._deliveries.send(outgoing)

    def commit(self, positions: Mapping[TopicPartition, Position], membership: bytes, deadline: Deadline) -> None:
        """Add the positions and commit. A commit that does not end in time has an unknown outcome: FatalError."""
        places = _places(positions)
        try:
            self._retrying(
                lambda left: self._producer.send_offsets_to_transaction(places, membership, left),
                deadline,
                "adding the offsets to the transaction",
                self._needs({source.topic for source in positions}, group(membership)),
            )
        except RetriableError as error:
            # It could be aborted and run again, but not by this client: after a broker was gone for some seconds it
            # hangs in this call for good, time limit or not. A new one under the same id is at work in seconds.
            raise FatalError(f"The transaction did not get on in time: {error}") from error
        try:
            self._retrying(self._producer.commit_transaction, deadline, "committing the transaction", self._needs())
        except AbortableError:
            self._deliveries.raise_failure()  # it may say more, and be worse: running the batch again may not help
            raise
        except RetriableError as error:
            raise FatalError(f"The outcome of a transaction is unknown: {error}") from error

    def partitions_of(self, topic: str) -> int:
        """How many partitions a topic has; records for new ones are taken from then on."""
        return self._deliveries.partitions_of(topic)

    def acknowledge(self, positions: Mapping[TopicPartition, Position]) -> bool:
        """Nothing: they went with the transaction."""
        del positions
        return True

    def release(self, partitions: Collection[TopicPartition], deadline: Deadline) -> None:
        """Nothing, as before."""

    def forget(self, partitions: Collection[TopicPartition]) -> None:
        """Nothing, as before."""

    def abort(self, deadline: Deadline) -> None:
        """Abort the transaction."""
        self._retrying(self._producer.abort_transaction, deadline, "aborting the transaction", self._needs())

    def close(self) -> None:
        """Drop what is queued, so that the client does not wait for it."""
        self._producer.purge(in_queue=True, in_flight=True, blocking=False)

    def _retrying(self, call: Callable[[float], object], deadline: Deadline, doing: str, needs: Needs) -> None:
        """Repeat `call` while its error is retriable and time is left; it is handed the seconds that remain."""
        while True:
            try:
                call(deadline.remaining())
            except KafkaException as error:
                mapped = self._deliveries.translated_call(error.args[0], doing, needs)
                if isinstance(mapped, RetriableError) and not deadline.expired:
                    continue
                raise mapped from error
            else:
                return

    def _needs(self, read: Iterable[str] = (), member_of: str = "") -> Needs:
        topics = on_topic("WRITE", *self._deliveries.topics) + on_topic("READ", *read)
        return Needs(topics, on_group("READ", member_of), f"WRITE on transactional-id {self._id}")


class AtLeastOncePublisher:
    """At least once: results first, then the offsets. A fault in between repeats results."""

    def __init__(self, settings: Settings, consumer: Consumer, clock: Clock) -> None:
        """Offsets are committed through `consumer`, the member of the group."""
        self._deliveries = _Deliveries(settings)
        self._consumer = consumer
        self._clock = clock
        self._owed: dict[TopicPartition, Position] = {}  # of published results, that the group has not taken yet

    def begin(self) -> None:
        """Start a batch."""
        self._deliveries.forget()

    def send(self, outgoing: Iterable[Outgoing]) -> None:
        """Hand records to the client; the first failed delivery is raised here or by `commit`."""
        self._deliveries.send(outgoing)

    def commit(self, positions: Mapping[TopicPartition, Position], membership: bytes, deadline: Deadline) -> None:
        """Wait for every delivery."""
        del positions, membership
        undelivered = self._deliveries.producer.flush(deadline.remaining())
        self._deliveries.raise_failure()
        if undelivered:
            raise FatalError(f"{undelivered} results were not delivered in time; their outcome is unknown.")

    def partitions_of(self, topic: str) -> int:
        """How many partitions a topic has; records for new ones are taken from then on."""
        return self._deliveries.partitions_of(topic)

    def acknowledge(self, positions: Mapping[TopicPartition, Position]) -> bool:
        """Commit the positions, on the polling thread: the client lets one thread at a time into a consumer.

        A refusal because the group is being rebalanced is no failure. The results are out, and running the batch again
        would only double them: the offsets go with the next ones, or before their partitions are given up.
        """
        self._owed.update(positions)
        refusal = self._commit_owed() if self._owed else None
        if refusal is not None:
            log.warning("offset_commit_refused", reason=str(refusal), consequence="It is made again.")
        return refusal is None

    def release(self, partitions: Collection[TopicPartition], deadline: Deadline) -> None:
        """Commit what is still owed, or the next owner of `partitions` would repeat its results."""
        while not self._owed.keys().isdisjoint(partitions):
            refusal = self._commit_owed()
            if refusal is not None and deadline.expired:
                log.warning("offset_commit_refused", reason=str(refusal), consequence="Results will be repeated.")
                break
            if refusal is not None:
                self._clock.sleep(_AGAIN_SECONDS)
        self.forget(partitions)

    def forget(self, partitions: Collection[TopicPartition]) -> None:
        """Owe nothing of `partitions` any more: an older offset would set their new owner back."""
        for source in partitions:
            self._owed.pop(source, None)

    def _commit_owed(self) -> StreamError | None:
        """Returns why the group did not take them; None when it did, and nothing is owed any more."""
        try:
            committed = self._consumer.commit(offsets=_places(self._owed), asynchronous=False)
            errors = [position.error for position in committed if position.error is not None]
        except KafkaException as error:
            errors = [error.args[0]]
        if not errors:
            self._owed.clear()
            return None
        topics = {source.topic for source in self._owed}
        needs = Needs(on_topic("READ", *topics), on_group("READ", group(self._consumer.consumer_group_metadata())))
        mapped = translate(errors[0], "committing offsets", needs)
        if not isinstance(mapped, RetriableError | AbortableError):
            raise mapped
        return mapped

    def abort(self, deadline: Deadline) -> None:
        """Drop what was not sent yet; what was sent stays, and will be repeated."""
        self._deliveries.producer.purge(in_queue=True, in_flight=True)
        self._deliveries.producer.flush(deadline.remaining())  # their reports come now, not in the midst of the next

    def close(self) -> None:
        """Drop what is queued, so that the client does not wait for it."""
        self._deliveries.producer.purge(in_queue=True, in_flight=True, blocking=False)


def _places(positions: Mapping[TopicPartition, Position]) -> list[ClientPartition]:
    return [ClientPartition(*source, position.offset, position.note) for source, position in positions.items()]


class Rejected(NamedTuple):
    """A record the broker would not take, for a reason that concerns it alone."""

    key: bytes | None
    reason: str


class Sender:
    """Publishes records for the tools: `clf send`, `clf dead-letters replay`."""

    def __init__(self, settings: Settings) -> None:
        """`settings` are those of a producer."""
        self._deliveries = _ToolDeliveries(settings)
        self._handed = 0

    @property
    def rejected(self) -> Sequence[Rejected]:
        """The records that were not taken and will not be."""
        return self._deliveries.rejected

    @property
    def delivered(self) -> int:
        """How many records the broker acknowledged so far."""
        return self._handed - self._deliveries.failures - len(self._deliveries.producer)

    def send(self, outgoing: Iterable[Outgoing]) -> None:
        """Hand records to the client; raises the first failed delivery, unless it concerns that record alone."""
        self._deliveries.send(self._counted(outgoing))

    def _counted(self, outgoing: Iterable[Outgoing]) -> Iterator[Outgoing]:
        for record in outgoing:
            yield record
            self._handed += 1

    def finish(self, deadline: Deadline) -> None:
        """Wait for every delivery.

        Raises:
            AbortableError: not all were delivered in time.
        """
        left = self._deliveries.producer.flush(deadline.remaining())
        self._deliveries.raise_failure()
        if left:
            raise AbortableError(f"{left} records were not acknowledged in time. Is the cluster up?")

    def close(self) -> None:
        """Drop what is queued, so that the client does not wait for it."""
        self._deliveries.producer.purge(in_queue=True, in_flight=True, blocking=False)


class _ToolDeliveries(_Deliveries):
    """Goes on after a record that the broker rejects on its own account."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self.rejected: list[Rejected] = []
        self.failures = 0

    def _on_delivery(self, error: KafkaError | None, message: Message) -> None:
        if error is None:
            return
        self.failures += 1
        if error.name() in _REJECTIONS:
            self.rejected.append(Rejected(message.key(), error.str()))
        else:
            super()._on_delivery(error, message)

    def raise_failure(self) -> None:
        """Raise the first failed delivery, if there was one that concerns more than its own record."""
        if self._failure is not None:
            reason = str(
                translate(self._failure, "publishing records", Needs(on_topic("WRITE", self._failed_topic)))
            ).rstrip(".")
            raise FatalError(
                f"The cluster stopped taking records: {reason}. Is it up, and may you write there? "
                "What was not acknowledged may or may not have arrived."
            )
