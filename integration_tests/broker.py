"""What integration tests need of Kafka: topics, records in, records out. Every wait has a deadline."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple, cast

from confluent_kafka import (
    OFFSET_BEGINNING,
    Consumer,
    IsolationLevel,
    KafkaError,
    KafkaException,
    Message,
    Producer,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient, NewTopic, OffsetSpec

from worker.clock import SystemClock

TIMEOUT_S = 30.0
ANSWER_S = 10.0
_PASSING = frozenset(
    {
        KafkaError.NOT_COORDINATOR,
        KafkaError.COORDINATOR_NOT_AVAILABLE,
        KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
        KafkaError._TIMED_OUT,  # noqa: SLF001 - public, named after librdkafka's
        KafkaError._TRANSPORT,  # noqa: SLF001 - as above
    }
)
Headers = tuple[tuple[str, bytes | None], ...]


class Record(NamedTuple):
    """One record as it came out of a topic."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Headers


class ToSend(NamedTuple):
    """One record to produce; `partition` None leaves the choice to the key."""

    value: bytes | None
    key: bytes | None = None
    headers: Headers = ()
    partition: int | None = None


@dataclass(frozen=True, slots=True)
class Kafka:
    """A cluster as tests see it."""

    bootstrap_servers: str
    replication: int = 1

    def create_topic(self, name: str, partitions: int = 1, config: dict[str, str] | None = None) -> str:
        """Create a topic and return its name once every partition has a leader."""
        topic = NewTopic(name, num_partitions=partitions, replication_factor=self.replication, config=config or {})
        admin = self.admin()  # kept in a variable: a client that is collected takes its answers with it
        admin.create_topics([topic], request_timeout=TIMEOUT_S)[name].result(TIMEOUT_S)
        _wait_for_leaders(admin, name, partitions)
        return name

    def delete_topics(self, *names: str) -> None:
        """Delete topics; those that do not exist are fine."""
        admin = self.admin()
        for future in admin.delete_topics(list(names), request_timeout=TIMEOUT_S).values():
            try:
                future.result(TIMEOUT_S)
            except KafkaException as error:
                if error.args[0].code() != KafkaError.UNKNOWN_TOPIC_OR_PART:
                    raise

    def topics(self) -> set[str]:
        """Names of all topics, internal ones included."""
        return set(self.admin().list_topics(timeout=TIMEOUT_S).topics)

    def admin(self) -> AdminClient:
        """A client for what is not covered here; one for all, since connecting is what takes the time."""
        return _admin(self.bootstrap_servers)

    def producer(self, **config: str | float | bool) -> Producer:
        """A producer; keyword names have underscores for dots (`transactional_id="t"`)."""
        return Producer({**_quiet(self.bootstrap_servers), **_dotted(config)})

    def consumer(self, group: str, *topics: str, **config: str | float | bool) -> Consumer:
        """A consumer subscribed to `topics` from their beginning, committing nothing by itself."""
        settings = {"auto.offset.reset": "earliest", "enable.auto.commit": False, **_dotted(config)}
        consumer = Consumer({**_quiet(self.bootstrap_servers), "group.id": group, **settings})
        if topics:
            consumer.subscribe(list(topics))
        return consumer

    def produce(self, topic: str, records: Iterable[ToSend | bytes]) -> int:
        """Send records and wait until the broker has them all; returns how many."""
        failures: list[KafkaError] = []
        producer = self.producer(linger_ms=5, partitioner="murmur2_random")
        count = 0
        for record in records:
            send(producer, topic, record, failures)
            count += 1
        left = producer.flush(TIMEOUT_S)
        if left or failures:
            raise AssertionError(
                f"{left} records to {topic} were not delivered, {len(failures)} failed: {failures[:3]}"
            )
        return count

    def read(self, topic: str, *, committed: bool = True, timeout_s: float = TIMEOUT_S) -> list[Record]:
        """All records from the beginning of a topic to its present end, by partition and offset; see `stream`."""
        records = self.stream(topic, committed=committed, timeout_s=timeout_s)
        return sorted(records, key=lambda record: (record.partition, record.offset))

    def stream(self, topic: str, *, committed: bool = True, timeout_s: float = TIMEOUT_S) -> Iterator[Record]:
        """All records from the beginning of a topic to its present end, those of one partition in their order.

        Args:
            topic: must exist.
            committed: True reads as `read_committed` up to the last stable offset, so records of an open
                transaction are not waited for; False reads everything, also what was aborted.
            timeout_s: for the whole read.
        """
        isolation = "read_committed" if committed else "read_uncommitted"
        # The end of a partition is reported by a fetch that waited in vain: let it not wait long.
        speed = {"fetch_wait_max_ms": 20, "enable_partition_eof": True}
        consumer = self.consumer("clf-test-reader", isolation_level=isolation, **speed)
        try:
            yield from _read_to_end(consumer, topic, timeout_s)
        finally:
            consumer.close()

    def end_offsets(self, topic: str, *, committed: bool = False) -> dict[int, int]:
        """The end of each partition: the next offset, or with `committed` the last stable one.

        The next offset counts records of open transactions and markers too.
        """
        isolation = IsolationLevel.READ_COMMITTED if committed else IsolationLevel.READ_UNCOMMITTED
        latest = OffsetSpec.latest()  # type: ignore[no-untyped-call] # the client annotates its class, not this method
        wanted = {TopicPartition(topic, number): latest for number in self._partitions(topic)}
        admin = self.admin()
        futures = admin.list_offsets(wanted, isolation_level=isolation, request_timeout=TIMEOUT_S)
        return {where.partition: future.result(TIMEOUT_S).offset for where, future in futures.items()}

    def committed_offsets(self, group: str, topic: str) -> dict[int, int]:
        """The committed offset of each partition; -1001 where the group committed none."""
        consumer = self.consumer(group)
        try:
            wanted = [TopicPartition(topic, partition) for partition in self._partitions(topic)]
            return {found.partition: found.offset for found in _committed(consumer, wanted)}
        finally:
            consumer.close()

    def _partitions(self, topic: str) -> list[int]:
        return sorted(self.admin().list_topics(topic, timeout=TIMEOUT_S).topics[topic].partitions)


def _committed(consumer: Consumer, wanted: list[TopicPartition]) -> list[TopicPartition]:
    """A new broker may not have the topic of the offsets yet, and one that comes back takes its time."""
    clock = SystemClock()
    deadline = clock.monotonic() + TIMEOUT_S
    while True:
        try:
            return consumer.committed(wanted, ANSWER_S)
        except KafkaException as error:
            if error.args[0].code() not in _PASSING or clock.monotonic() > deadline:
                raise
            clock.sleep(0.05)


def _quiet(bootstrap_servers: str) -> dict[str, str | float | bool]:
    """Where the broker is; a client that outlives it need not say so, twenty times a second."""
    return {"bootstrap.servers": bootstrap_servers, "log_level": 2}


@cache
def _admin(bootstrap_servers: str) -> AdminClient:
    return AdminClient(_quiet(bootstrap_servers))


def _wait_for_leaders(admin: AdminClient, topic: str, partitions: int) -> None:
    clock = SystemClock()
    deadline = clock.monotonic() + TIMEOUT_S
    while clock.monotonic() < deadline:
        metadata = admin.list_topics(topic, timeout=TIMEOUT_S).topics[topic]
        leaders = [partition.leader for partition in metadata.partitions.values()]
        if len(leaders) == partitions and min(leaders) >= 0:
            return
        clock.sleep(0.02)
    raise AssertionError(f"Topic {topic} has no leader for each of its {partitions} partitions.")


def send(producer: Producer, topic: str, record: ToSend | bytes, failures: list[KafkaError]) -> None:
    """Hand one record to a producer, waiting while its queue is full; failed deliveries go to `failures`."""
    record = ToSend(record) if isinstance(record, bytes) else record

    def delivered(error: KafkaError | None, message: Message) -> None:
        del message
        if error is not None:
            failures.append(error)

    partition = -1 if record.partition is None else record.partition  # -1: by key
    while True:
        try:
            producer.produce(
                topic, record.value, record.key, partition, headers=list(record.headers), on_delivery=delivered
            )
        except BufferError:
            producer.poll(0.1)
            continue
        producer.poll(0)
        return


def _read_to_end(consumer: Consumer, topic: str, timeout_s: float) -> Iterable[Record]:
    clock = SystemClock()
    deadline = clock.monotonic() + timeout_s
    partitions = consumer.list_topics(topic, timeout=timeout_s).topics[topic].partitions
    unread = set(partitions)
    trouble: KafkaError | None = None
    consumer.assign([TopicPartition(topic, partition, OFFSET_BEGINNING) for partition in partitions])
    while unread:
        for message in consumer.consume(500, timeout=0.05):
            error = message.error()
            if error is None:
                yield to_record(message)
            elif error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001 - public, named after librdkafka's
                unread.discard(message.partition() or 0)
            else:
                trouble = error  # a broker that restarts is no reason to give up before the deadline
        if unread and clock.monotonic() > deadline:
            raise AssertionError(f"No end of partitions {sorted(unread)} of {topic} in {timeout_s} s: {trouble}")


def to_record(message: Message) -> Record:
    """A client's message as a plain value."""
    topic, partition, offset = message.topic(), message.partition(), message.offset()
    assert topic is not None, "a consumed message has a topic"
    assert partition is not None, "a consumed message has a partition"
    assert offset is not None, "a consumed message has an offset"
    return Record(topic, partition, offset, message.key(), message.value(), _headers(message))


def _headers(message: Message) -> Headers:
    pairs = cast("list[tuple[str, bytes | None]]", message.headers() or [])  # what a consumed message has
    return tuple(pairs)


def _dotted(config: dict[str, str | float | bool]) -> dict[str, str | float | bool]:
    return {name.replace("_", "."): value for name, value in config.items()}
