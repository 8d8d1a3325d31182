"""Every row of the table, on librdkafka's mock cluster: what the adapters raise when a broker answers with it."""

import itertools
import logging
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import NamedTuple

import pytest
from confluent_kafka import Consumer, Producer

from worker.clock import SystemClock
from worker.config import GroupProtocol
from worker.kafka import settings as kafka_settings
from worker.kafka.admin import Cluster, ClusterError
from worker.kafka.consumer import GroupSource
from worker.kafka.errors import ACTIONS
from worker.kafka.producer import AtLeastOncePublisher, TransactionalPublisher
from worker.kafka.settings import Settings
from worker.stream.deadline import Deadline
from worker.stream.errors import (
    AbortableError,
    DeniedError,
    FatalError,
    FencedError,
    RetriableError,
    StreamError,
)
from worker.stream.records import Outgoing, Record, TopicPartition
from worker.tests.mock_cluster import Api, MockCluster

CLOCK = SystemClock()
DOCUMENTS, RESULTS = "documents", "results"
SOURCE = TopicPartition(DOCUMENTS, 0)
RECORD = Outgoing(RESULTS, 0, b"k", b"v", ())
NUMBERS = itertools.count()
PATIENCE = 10.0  # seconds; nothing here comes near


@pytest.fixture(scope="module")
def whole_cluster() -> Iterator[MockCluster]:
    """One broker for all tests, with three documents."""
    made = MockCluster()
    made.create_topic(DOCUMENTS)
    made.create_topic(RESULTS, 2)
    producer = Producer({"bootstrap.servers": made.bootstrap_servers})
    for number in range(3):
        producer.produce(DOCUMENTS, b"%d" % number, partition=0)
    assert producer.flush(PATIENCE) == 0
    yield made
    made.close()


@pytest.fixture
def cluster(whole_cluster: MockCluster) -> Iterator[MockCluster]:
    """The same, with no errors left over."""
    yield whole_cluster
    whole_cluster.relent()


@pytest.fixture(autouse=True)
def silent() -> Iterator[None]:
    """What the client has to say about all these errors."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


def base(cluster: MockCluster, scope: str) -> Settings:
    """The settings of a client of this cluster."""
    return kafka_settings.common(cluster.bootstrap_servers, {}, scope)


def deadline(seconds: float = PATIENCE) -> Deadline:
    """That long from now."""
    return Deadline(CLOCK, seconds)


class Publishing:
    """A publisher of one transaction after the other."""

    def __init__(self, cluster: MockCluster, **more: float) -> None:
        self._member = Consumer({**base(cluster, "consumer"), "group.id": "group"})
        settings = kafka_settings.producer(base(cluster, "producer"))
        self.publisher = TransactionalPublisher(
            kafka_settings.transactional({**settings, **more}, f"slot-{next(NUMBERS)}", 10)
        )

    def open(self) -> None:
        """Register."""
        self.publisher.open(deadline())

    def transact(self, record: Outgoing = RECORD) -> None:
        """One record, one offset, one commit."""
        self.publisher.begin()
        self.publisher.send([record])
        self.commit()

    def commit(self) -> None:
        """The last step."""
        self.publisher.commit({SOURCE: 1}, self._member.consumer_group_metadata(), deadline())

    def abort(self) -> None:
        """The way out."""
        self.publisher.abort(deadline())

    def close(self) -> None:
        """Let go."""
        self.publisher.close()
        self._member.close()


@pytest.fixture
def publishing(cluster: MockCluster) -> Iterator[Publishing]:
    """An open one."""
    made = Publishing(cluster)
    made.open()
    yield made
    made.close()


class Row(NamedTuple):
    """A broker answers `api` with `error`; None: the adapter gets over it."""

    api: Api
    error: str
    raised: type[StreamError] | None


P, A, Q, T, E = Api.PRODUCE, Api.ADD_PARTITIONS, Api.ADD_OFFSETS, Api.TXN_OFFSET_COMMIT, Api.END_TRANSACTION

# What one answer with an error does to a transaction. Those that may be retried are, so nothing is raised.
TRANSACTIONS = [
    Row(A, "COORDINATOR_LOAD_IN_PROGRESS", None),
    Row(E, "COORDINATOR_LOAD_IN_PROGRESS", None),
    Row(Q, "COORDINATOR_NOT_AVAILABLE", None),
    Row(E, "COORDINATOR_NOT_AVAILABLE", None),
    Row(Q, "NOT_COORDINATOR", None),
    Row(E, "NOT_COORDINATOR", None),
    Row(A, "CONCURRENT_TRANSACTIONS", None),
    Row(E, "CONCURRENT_TRANSACTIONS", None),
    Row(P, "LEADER_NOT_AVAILABLE", None),
    Row(P, "NOT_LEADER_FOR_PARTITION", None),
    Row(P, "NOT_ENOUGH_REPLICAS", None),
    Row(P, "NOT_ENOUGH_REPLICAS_AFTER_APPEND", None),
    Row(P, "KAFKA_STORAGE_ERROR", None),
    Row(P, "REQUEST_TIMED_OUT", None),
    Row(P, "UNKNOWN_TOPIC_OR_PART", None),
    Row(P, "DUPLICATE_SEQUENCE_NUMBER", None),  # it arrived, only the answer did not
    Row(E, "_TRANSPORT", None),
    # The client does not retry these, so the transaction has to be aborted over an error that is retriable elsewhere.
    Row(A, "REQUEST_TIMED_OUT", AbortableError),
    Row(P, "NETWORK_EXCEPTION", AbortableError),
    Row(T, "UNSTABLE_OFFSET_COMMIT", AbortableError),
    Row(T, "ILLEGAL_GENERATION", AbortableError),
    Row(T, "UNKNOWN_MEMBER_ID", AbortableError),
    Row(T, "REBALANCE_IN_PROGRESS", AbortableError),
    Row(T, "STALE_MEMBER_EPOCH", AbortableError),
    Row(T, "FENCED_MEMBER_EPOCH", AbortableError),
    Row(P, "UNKNOWN_PRODUCER_ID", AbortableError),
    Row(A, "INVALID_PRODUCER_ID_MAPPING", AbortableError),
    Row(T, "INVALID_PRODUCER_ID_MAPPING", FatalError),  # the group's coordinator never says so of a sound producer
    Row(A, "OUT_OF_ORDER_SEQUENCE_NUMBER", AbortableError),
    Row(P, "OUT_OF_ORDER_SEQUENCE_NUMBER", FatalError),  # with nothing before it that failed: records are missing
    Row(P, "INVALID_TXN_STATE", AbortableError),
    Row(E, "INVALID_TXN_STATE", FatalError),
    Row(P, "TRANSACTION_ABORTABLE", AbortableError),
    Row(E, "TRANSACTION_ABORTABLE", AbortableError),
    Row(A, "OPERATION_NOT_ATTEMPTED", AbortableError),
    Row(P, "UNKNOWN", AbortableError),
    Row(E, "UNKNOWN", AbortableError),
    *(Row(api, "INVALID_PRODUCER_EPOCH", FencedError) for api in (P, A, Q, T, E)),
    *(Row(api, "PRODUCER_FENCED", FencedError) for api in (P, A, Q, T, E)),
    Row(T, "FENCED_INSTANCE_ID", FencedError),
    Row(A, "TOPIC_AUTHORIZATION_FAILED", DeniedError),
    Row(P, "TOPIC_AUTHORIZATION_FAILED", DeniedError),
    Row(T, "TOPIC_AUTHORIZATION_FAILED", DeniedError),
    Row(Q, "GROUP_AUTHORIZATION_FAILED", DeniedError),
    Row(T, "GROUP_AUTHORIZATION_FAILED", DeniedError),
    *(Row(api, "TRANSACTIONAL_ID_AUTHORIZATION_FAILED", DeniedError) for api in (A, Q, T, E)),
    Row(P, "CLUSTER_AUTHORIZATION_FAILED", DeniedError),
    Row(P, "MSG_SIZE_TOO_LARGE", FatalError),
    Row(P, "RECORD_LIST_TOO_LARGE", FatalError),
    Row(P, "INVALID_RECORD", FatalError),
    Row(P, "POLICY_VIOLATION", FatalError),
    Row(P, "UNSUPPORTED_VERSION", FatalError),
]


def raised_by(call: Callable[[], object]) -> StreamError | None:
    """What it raises."""
    try:
        call()
    except StreamError as error:
        return error
    return None


def name_of(row: Row) -> str:
    """For the test's name."""
    return f"{row.api.name.lower()}-{row.error}"


@pytest.mark.parametrize("row", TRANSACTIONS, ids=name_of)
def test_a_transaction(cluster: MockCluster, publishing: Publishing, row: Row) -> None:
    """Retry goes unnoticed; after an abort the next transaction, or the one after it, commits."""
    cluster.fail(row.api, row.error)
    error = raised_by(publishing.transact)
    assert type(error) is (row.raised or type(None)), error
    if row.raised is AbortableError:
        publishing.abort()
        # A producer that lost count notices in its next transaction, and has to abort that one too.
        if isinstance(raised_by(publishing.transact), AbortableError):
            publishing.abort()
            publishing.transact()


RIGHTS = [
    (A, "TOPIC_AUTHORIZATION_FAILED", "WRITE on topic results"),
    (P, "TOPIC_AUTHORIZATION_FAILED", "WRITE on topic results"),
    (T, "TOPIC_AUTHORIZATION_FAILED", "READ on topic documents"),
    (T, "GROUP_AUTHORIZATION_FAILED", "READ on group group"),
    (A, "TRANSACTIONAL_ID_AUTHORIZATION_FAILED", "WRITE on transactional-id slot-"),
    (P, "CLUSTER_AUTHORIZATION_FAILED", "IDEMPOTENT_WRITE on the cluster"),
]


@pytest.mark.parametrize(("api", "error", "right"), RIGHTS)
def test_the_right_a_transaction_lacks(
    cluster: MockCluster, publishing: Publishing, api: Api, error: str, right: str
) -> None:
    """It is named."""
    cluster.fail(api, error)
    with pytest.raises(DeniedError, match=f"the right {right}"):
        publishing.transact()


@pytest.mark.parametrize(
    ("api", "error", "raised"),
    [
        (A, "UNKNOWN", AbortableError),
        (P, "UNKNOWN", AbortableError),
        (P, "INVALID_PRODUCER_EPOCH", FencedError),
        (P, "MSG_SIZE_TOO_LARGE", FatalError),
        (A, "TOPIC_AUTHORIZATION_FAILED", DeniedError),
    ],
)
def test_a_transaction_that_fails_while_records_are_handed_over(
    cluster: MockCluster, publishing: Publishing, api: Api, error: str, raised: type[StreamError]
) -> None:
    """The client then takes no more of them, and drops those it has; what counts is why."""
    cluster.fail(api, error)
    publishing.publisher.begin()

    def send_on() -> None:
        end = deadline()
        while not end.expired:
            publishing.publisher.send([RECORD])
            CLOCK.sleep(0.01)

    found = raised_by(send_on)
    assert type(found) is raised, found
    assert error in str(found) or "fenced" in str(found)
    if raised is AbortableError:
        publishing.abort()


def test_what_the_clients_own_errors_do(cluster: MockCluster) -> None:
    """A record that cannot be delivered in time is run again; one for a partition that is not there cannot be."""
    impatient = Publishing(cluster, **{"message.timeout.ms": 500})
    impatient.open()
    impatient.publisher.begin()
    with cluster.down():
        impatient.publisher.send([RECORD])
        wait_for_delivery(impatient)
    error = raised_by(impatient.commit)
    assert type(error) is AbortableError, error
    assert "_MSG_TIMED_OUT" in str(error)
    impatient.abort()
    error = raised_by(lambda: impatient.transact(RECORD._replace(partition=99)))
    assert type(error) is FatalError, error
    assert "_UNKNOWN_PARTITION" in str(error)
    impatient.close()


def wait_for_delivery(publishing: Publishing) -> None:
    """Until the client has given its record up."""
    end = deadline()
    producer = publishing.publisher._producer
    while len(producer) and not end.expired:
        producer.poll(0.05)


@pytest.mark.parametrize(
    ("error", "raised", "says"),
    [
        ("COORDINATOR_LOAD_IN_PROGRESS", None, ""),
        ("CONCURRENT_TRANSACTIONS", None, ""),
        ("PRODUCER_FENCED", FencedError, "--slot"),
        ("TRANSACTIONAL_ID_AUTHORIZATION_FAILED", DeniedError, "the right WRITE on transactional-id slot-"),
        ("CLUSTER_AUTHORIZATION_FAILED", DeniedError, "the right IDEMPOTENT_WRITE on the cluster"),
        ("INVALID_TRANSACTION_TIMEOUT", FatalError, "--transaction-timeout"),
    ],
)
def test_registering(cluster: MockCluster, error: str, raised: type[StreamError] | None, says: str) -> None:
    """What may pass is waited for; what may not is told at once."""
    cluster.fail(Api.INIT_PRODUCER_ID, error)
    made = Publishing(cluster)
    found = raised_by(made.open)
    made.close()
    assert type(found) is (raised or type(None)), found
    assert says in str(found)


def test_registering_for_too_long(cluster: MockCluster) -> None:
    """What does not pass in time may be tried again, by the next start."""
    cluster.fail(Api.INIT_PRODUCER_ID, *["COORDINATOR_LOAD_IN_PROGRESS"] * 20)
    made = Publishing(cluster)
    with pytest.raises(RetriableError):
        made.publisher.open(deadline(0.2))
    made.close()


# --- reading ------------------------------------------------------------------------------------------------------


class Reading:
    """A member of a group of its own."""

    def __init__(self, cluster: MockCluster, **more: str | float) -> None:
        self.group = f"group-{next(NUMBERS)}"
        settings = {**kafka_settings.consumer(base(cluster, "consumer"), self.group, GroupProtocol.CLASSIC), **more}
        self.source = GroupSource(settings, DOCUMENTS, lambda _: None)
        self.changes: list[str] = []
        self.source.subscribe(self)

    def assigned(self, _: object) -> None:
        """Note it."""
        self.changes.append("assigned")

    def revoked(self, _: object) -> None:
        """Note it."""
        self.changes.append("revoked")

    def lost(self, _: object) -> None:
        """Note it."""
        self.changes.append("lost")

    def read(self) -> list[Record]:
        """The three documents."""
        found: list[Record] = []
        end = deadline()
        while len(found) < 3 and not end.expired:
            found += self.source.poll(10, 0.1)
        assert len(found) == 3
        return found


@pytest.fixture
def reading(cluster: MockCluster) -> Iterator[Callable[..., Reading]]:
    """Makes members, and closes them."""
    with ExitStack() as stack:

        def make(**more: str | float) -> Reading:
            made = Reading(cluster, **more)
            stack.callback(made.source.close)
            return made

        yield make


G, J, L, F, M = Api.OFFSET_FETCH, Api.JOIN_GROUP, Api.LIST_OFFSETS, Api.FETCH, Api.FIND_COORDINATOR

# What the client gets over by itself, by what it asked for.
PASSING = {
    M: ["UNKNOWN"],
    J: ["REBALANCE_IN_PROGRESS"],
    G: ["COORDINATOR_LOAD_IN_PROGRESS", "UNSTABLE_OFFSET_COMMIT", "REQUEST_TIMED_OUT"],
    L: ["NOT_LEADER_FOR_PARTITION", "UNKNOWN_TOPIC_OR_PART"],
    F: [
        "NOT_LEADER_FOR_PARTITION",
        "FENCED_LEADER_EPOCH",
        "UNKNOWN_LEADER_EPOCH",
        "REPLICA_NOT_AVAILABLE",
        "OFFSET_NOT_AVAILABLE",
        "KAFKA_STORAGE_ERROR",
        "UNKNOWN_TOPIC_OR_PART",
        "UNKNOWN_TOPIC_ID",
        "INCONSISTENT_TOPIC_ID",
        "REQUEST_TIMED_OUT",
        "UNKNOWN",
        "_TRANSPORT",
    ],
}
READING = [
    # The client does not ask for the offsets again, so these partitions would stand still.
    Row(G, "NOT_COORDINATOR", FatalError),
    Row(G, "UNKNOWN", FatalError),
    Row(J, "INCONSISTENT_GROUP_PROTOCOL", FatalError),
    Row(J, "GROUP_MAX_SIZE_REACHED", FatalError),
    Row(J, "INVALID_SESSION_TIMEOUT", FatalError),
    Row(J, "UNSUPPORTED_VERSION", FatalError),
    Row(F, "INVALID_MSG", FatalError),
    Row(M, "GROUP_AUTHORIZATION_FAILED", DeniedError),
    Row(J, "GROUP_AUTHORIZATION_FAILED", DeniedError),
    Row(G, "TOPIC_AUTHORIZATION_FAILED", DeniedError),
    Row(F, "TOPIC_AUTHORIZATION_FAILED", DeniedError),
]


@pytest.mark.parametrize("api", PASSING, ids=lambda api: api.name.lower())
def test_reading_goes_on(cluster: MockCluster, reading: Callable[..., Reading], api: Api) -> None:
    """One such answer after the other only delays the documents."""
    cluster.fail(api, *PASSING[api])
    reading(**{"fetch.error.backoff.ms": 1, "fetch.wait.max.ms": 10}).read()


@pytest.mark.parametrize("row", READING, ids=name_of)
def test_reading_ends(cluster: MockCluster, reading: Callable[..., Reading], row: Row) -> None:
    """What the client does not get over is told, with the right that is missing."""
    cluster.fail(row.api, *[row.error] * 3)  # a client that is just being closed may take one
    member = reading()
    error = raised_by(member.read)
    assert type(error) is row.raised, error
    if row.raised is DeniedError:
        right = f"READ on group {member.group}" if "GROUP" in row.error else "READ on topic documents"
        assert f"the right {right}." in str(error)


def test_the_end_of_a_partition(reading: Callable[..., Reading]) -> None:
    """Somebody may ask the client to report it; it is no error."""
    member = reading(**{"enable.partition.eof": True})
    member.read()
    assert member.source.poll(10, 0.5) == []


def test_no_offset_to_begin_with(reading: Callable[..., Reading]) -> None:
    """Who asks for an error instead of a reset gets one: going on would be a loss."""
    with pytest.raises(FatalError, match="_AUTO_OFFSET_RESET"):
        reading(**{"auto.offset.reset": "error"}).read()


COMMITS = [
    Row(Api.OFFSET_COMMIT, "REQUEST_TIMED_OUT", None),
    Row(Api.OFFSET_COMMIT, "REBALANCE_IN_PROGRESS", None),
    Row(Api.OFFSET_COMMIT, "ILLEGAL_GENERATION", None),
    Row(Api.OFFSET_COMMIT, "UNKNOWN_MEMBER_ID", None),
    Row(Api.OFFSET_COMMIT, "STALE_MEMBER_EPOCH", None),
    Row(Api.OFFSET_COMMIT, "GROUP_AUTHORIZATION_FAILED", DeniedError),
    Row(Api.OFFSET_COMMIT, "TOPIC_AUTHORIZATION_FAILED", DeniedError),
    Row(Api.OFFSET_COMMIT, "OFFSET_METADATA_TOO_LARGE", FatalError),
]


@pytest.mark.parametrize("row", COMMITS, ids=name_of)
def test_at_least_once(cluster: MockCluster, reading: Callable[..., Reading], row: Row) -> None:
    """Offsets that the group refuses because it moved on are left to the next commit; all else is told."""
    member = reading()
    member.read()
    publisher = AtLeastOncePublisher(kafka_settings.producer(base(cluster, "producer")), member.source.client)
    cluster.fail(row.api, row.error)
    error = raised_by(lambda: publisher.acknowledge({SOURCE: 1}))
    publisher.close()
    assert type(error) is (row.raised or type(None)), error


# --- the start ----------------------------------------------------------------------------------------------------


def test_a_cluster_that_is_down(cluster: MockCluster) -> None:
    """It is told as such, with the reason and not with its consequence."""
    with cluster.down():
        admin = Cluster(base(cluster, "admin"), timeout_seconds=1.0)
        with pytest.raises(ClusterError, match=r"No Kafka broker answers .*refused"):
            admin.partitions([DOCUMENTS])


# --- the whole table ----------------------------------------------------------------------------------------------

# Rows that no answer of a broker brings about, and where else they are shown.
ELSEWHERE = {
    "_ALL_BROKERS_DOWN": "the client tells its error callback only; a consumer of another version might deliver it",
    "_TIMED_OUT": "test_ports.py, a broker that is stopped in mid-commit",
    "_WAIT_COORD": "takes ten seconds without a coordinator",
    "_ASSIGNMENT_LOST": "test_ports.py, a member that is thrown out",
    "_MAX_POLL_EXCEEDED": "test_ports.py, a member that is not polled",
    "_INCONSISTENT": "test_what_the_clients_own_errors_do: the client's error when a delivery failed",
    "_PURGE_QUEUE": "test_a_transaction_that_fails_while_records_are_handed_over: what becomes of them",
    "_PURGE_INFLIGHT": "as the last one",
    "_FENCED": "what becomes of PRODUCER_FENCED",
    "_STATE": "test_a_transaction_that_fails_while_records_are_handed_over: what further ones meet",
    "_FATAL": "as the last one",
    "_AUTHENTICATION": "test_sasl.py",
    "SASL_AUTHENTICATION_FAILED": "test_sasl.py",
    "_BAD_MSG": "a broker with corrupt data",
    "_BAD_COMPRESSION": "a broker with corrupt data",
    "_UNKNOWN_TOPIC": "takes thirty seconds (topic.metadata.propagation.max.ms); as _UNKNOWN_PARTITION",
    "_MSG_TIMED_OUT": "test_what_the_clients_own_errors_do",
    "_UNKNOWN_PARTITION": "test_what_the_clients_own_errors_do",
    "_PARTITION_EOF": "test_the_end_of_a_partition",
    "_AUTO_OFFSET_RESET": "test_no_offset_to_begin_with",
    "INVALID_TRANSACTION_TIMEOUT": "test_registering",
}


def test_every_row_is_shown() -> None:
    """Whoever adds one adds an answer of a broker that brings it about, or says above where it is seen."""
    shown = {row.error for row in [*TRANSACTIONS, *READING, *COMMITS]} | set(itertools.chain(*PASSING.values()))
    assert set(ACTIONS) - shown == set(ELSEWHERE)
