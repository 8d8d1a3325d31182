"""Every row of the table, on librdkafka's mock cluster: what the adapters raise when a broker answers with it."""

import itertools
from collections.abc import Iterator

import pytest

from worker.kafka.errors import ACTIONS
from worker.stream.errors import (
    AbortableError,
    DeniedError,
    FatalError,
    FencedError,
    RetriableError,
    StreamError,
)
from worker.tests.mock_clients import CLOCK, RECORD, Publishing, Row, deadline, name_of, raised_by
from worker.tests.mock_cluster import Api, MockCluster
from worker.tests.test_reading_errors import COMMITS, PASSING, READING


@pytest.fixture
def publishing(mock_cluster: MockCluster) -> Iterator[Publishing]:
    """An open one."""
    made = Publishing(mock_cluster)
    made.open()
    yield made
    made.close()


@pytest.fixture(scope="module")
def sound(whole_mock_cluster: MockCluster) -> Iterator[Publishing]:
    """One that outlives its test, since nothing bad is to happen to it."""
    made = Publishing(whole_mock_cluster)
    made.open()
    yield made
    made.close()


P, A, Q, T, E = Api.PRODUCE, Api.ADD_PARTITIONS, Api.ADD_OFFSETS, Api.TXN_OFFSET_COMMIT, Api.END_TRANSACTION

# What a transaction gets over, because the client or the adapter asks again.
RETRIED = [
    (A, "COORDINATOR_LOAD_IN_PROGRESS"),
    (E, "COORDINATOR_LOAD_IN_PROGRESS"),
    (Q, "COORDINATOR_NOT_AVAILABLE"),
    (E, "COORDINATOR_NOT_AVAILABLE"),
    (Q, "NOT_COORDINATOR"),
    (E, "NOT_COORDINATOR"),
    (A, "CONCURRENT_TRANSACTIONS"),
    (E, "CONCURRENT_TRANSACTIONS"),
    (P, "LEADER_NOT_AVAILABLE"),
    (P, "NOT_LEADER_FOR_PARTITION"),
    (P, "NOT_ENOUGH_REPLICAS"),
    (P, "NOT_ENOUGH_REPLICAS_AFTER_APPEND"),
    (P, "KAFKA_STORAGE_ERROR"),
    (P, "REQUEST_TIMED_OUT"),
    (P, "UNKNOWN_TOPIC_OR_PART"),
    (E, "_TRANSPORT"),
]
# What it does not get over, but the next one does.
ABORTED = [
    # These are retriable elsewhere. Here the client gave up.
    (A, "REQUEST_TIMED_OUT"),
    (P, "NETWORK_EXCEPTION"),
    (T, "UNSTABLE_OFFSET_COMMIT"),
    (T, "ILLEGAL_GENERATION"),
    (T, "UNKNOWN_MEMBER_ID"),
    (T, "REBALANCE_IN_PROGRESS"),
    (T, "STALE_MEMBER_EPOCH"),
    (T, "FENCED_MEMBER_EPOCH"),
    (P, "UNKNOWN_PRODUCER_ID"),
    (A, "INVALID_PRODUCER_ID_MAPPING"),
    (A, "OUT_OF_ORDER_SEQUENCE_NUMBER"),
    (P, "INVALID_TXN_STATE"),
    (P, "TRANSACTION_ABORTABLE"),
    (E, "TRANSACTION_ABORTABLE"),
    (A, "OPERATION_NOT_ATTEMPTED"),
    (P, "UNKNOWN"),
    (E, "UNKNOWN"),
]
# What ends the worker.
ENDED = [
    Row(T, "INVALID_PRODUCER_ID_MAPPING", FatalError),  # the group's coordinator never says so of a sound producer
    Row(P, "OUT_OF_ORDER_SEQUENCE_NUMBER", FatalError),  # with nothing before it that failed: records are missing
    Row(E, "INVALID_TXN_STATE", FatalError),
    *(Row(api, "INVALID_PRODUCER_EPOCH", FencedError) for api in (P, T, E)),
    *(Row(api, "PRODUCER_FENCED", FencedError) for api in (P, A, E)),
    Row(T, "FENCED_INSTANCE_ID", FencedError),
    Row(A, "TOPIC_AUTHORIZATION_FAILED", DeniedError),
    Row(P, "TOPIC_AUTHORIZATION_FAILED", DeniedError),
    Row(T, "TOPIC_AUTHORIZATION_FAILED", DeniedError),
    Row(Q, "GROUP_AUTHORIZATION_FAILED", DeniedError),
    Row(T, "GROUP_AUTHORIZATION_FAILED", DeniedError),
    *(Row(api, "TRANSACTIONAL_ID_AUTHORIZATION_FAILED", DeniedError) for api in (Q, T, E)),
    Row(P, "CLUSTER_AUTHORIZATION_FAILED", DeniedError),
    Row(P, "MSG_SIZE_TOO_LARGE", FatalError),
    Row(P, "RECORD_LIST_TOO_LARGE", FatalError),
    Row(P, "INVALID_RECORD", FatalError),
    Row(P, "POLICY_VIOLATION", FatalError),
    Row(P, "UNSUPPORTED_VERSION", FatalError),
]


@pytest.mark.parametrize(("api", "error"), RETRIED)
def test_what_is_retried(mock_cluster: MockCluster, sound: Publishing, api: Api, error: str) -> None:
    """The transaction is committed all the same."""
    mock_cluster.fail(api, error)
    sound.transact()


@pytest.mark.parametrize(("api", "error"), ABORTED)
def test_what_is_aborted(mock_cluster: MockCluster, sound: Publishing, api: Api, error: str) -> None:
    """After the abort the next transaction commits, or the one after it."""
    mock_cluster.fail(api, error)
    found = raised_by(sound.transact)
    assert type(found) is AbortableError, found
    sound.abort()
    # A producer that lost count notices in its next transaction, and has to abort that one too.
    if isinstance(raised_by(sound.transact), AbortableError):
        sound.abort()
        sound.transact()


@pytest.mark.parametrize("row", ENDED, ids=name_of)
def test_what_ends_the_worker(mock_cluster: MockCluster, publishing: Publishing, row: Row) -> None:
    """It is raised as what it is, at once."""
    mock_cluster.fail(row.api, row.error)
    found = raised_by(publishing.transact)
    assert type(found) is row.raised, found


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
    mock_cluster: MockCluster, publishing: Publishing, api: Api, error: str, right: str
) -> None:
    """It is named."""
    mock_cluster.fail(api, error)
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
    mock_cluster: MockCluster, publishing: Publishing, api: Api, error: str, raised: type[StreamError]
) -> None:
    """The client then takes no more of them, and drops those it has; what counts is why."""
    mock_cluster.fail(api, error)
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


def test_what_the_clients_own_errors_do(mock_cluster: MockCluster) -> None:
    """A record that cannot be delivered in time is run again; one for a partition that is not there cannot be."""
    impatient = Publishing(mock_cluster, **{"message.timeout.ms": 500})
    impatient.open()
    impatient.publisher.begin()
    with mock_cluster.down():
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


def test_a_commit_that_does_not_end(mock_cluster: MockCluster, publishing: Publishing) -> None:
    """Its outcome is unknown: it must not be tried again, nor may the transaction be aborted."""
    mock_cluster.delay(E, 3)
    publishing.publisher.begin()
    publishing.publisher.send([RECORD])
    with pytest.raises(FatalError, match=r"outcome of a transaction is unknown: .*_TIMED_OUT"):
        publishing.commit(0.5)


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
def test_registering(mock_cluster: MockCluster, error: str, raised: type[StreamError] | None, says: str) -> None:
    """What may pass is waited for; what may not is told at once."""
    mock_cluster.fail(Api.INIT_PRODUCER_ID, error)
    made = Publishing(mock_cluster)
    found = raised_by(made.open)
    made.close()
    assert type(found) is (raised or type(None)), found
    assert says in str(found)


def test_registering_for_too_long(mock_cluster: MockCluster) -> None:
    """What does not pass in time may be tried again, by the next start."""
    mock_cluster.fail(Api.INIT_PRODUCER_ID, *["COORDINATOR_LOAD_IN_PROGRESS"] * 20)
    made = Publishing(mock_cluster)
    with pytest.raises(RetriableError):
        made.publisher.open(deadline(0.2))
    made.close()


# --- the whole table ----------------------------------------------------------------------------------------------

# Rows that no answer of a broker brings about, and where else they are shown.
ELSEWHERE = {
    "_ALL_BROKERS_DOWN": "the client tells its error callback only; a consumer of another version might deliver it",
    "_TIMED_OUT": "test_a_commit_that_does_not_end",
    "_WAIT_COORD": "takes ten seconds without a coordinator",
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
    shown = (
        {error for _, error in RETRIED + ABORTED}
        | {row.error for row in [*ENDED, *READING, *COMMITS]}
        | set(itertools.chain(*PASSING.values()))
    )
    assert set(ACTIONS) - shown == set(ELSEWHERE)
