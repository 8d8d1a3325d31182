"""The table's rows that concern a consumer, on librdkafka's mock cluster: what the source raises, and the start."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
from confluent_kafka import Consumer
from confluent_kafka import TopicPartition as ClientPartition

from worker.clock import SystemClock
from worker.kafka import settings as kafka_settings
from worker.kafka.admin import Cluster, ClusterError
from worker.kafka.consumer import TopicReader
from worker.kafka.producer import AtLeastOncePublisher
from worker.stream.deadline import Deadline
from worker.stream.errors import DeniedError, FatalError
from worker.stream.records import Position
from worker.tests.mock_clients import DOCUMENTS, SOURCE, Reading, Row, base, name_of, raised_by
from worker.tests.mock_cluster import Api, MockCluster


@pytest.fixture
def reading(mock_cluster: MockCluster) -> Iterator[Callable[..., Reading]]:
    """Makes members, and closes them."""
    with ExitStack() as stack:

        def make(**more: str | float) -> Reading:
            made = Reading(mock_cluster, **more)
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
def test_reading_goes_on(mock_cluster: MockCluster, reading: Callable[..., Reading], api: Api) -> None:
    """One such answer after the other only delays the documents."""
    mock_cluster.fail(api, *PASSING[api])
    reading(**{"fetch.error.backoff.ms": 1, "fetch.wait.max.ms": 10}).read()


@pytest.mark.parametrize("row", READING, ids=name_of)
def test_reading_ends(mock_cluster: MockCluster, reading: Callable[..., Reading], row: Row) -> None:
    """What the client does not get over is told, with the right that is missing."""
    mock_cluster.fail(row.api, *[row.error] * 3)  # a client that is just being closed may take one
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


def test_at_least_once_pays_what_it_owes(mock_cluster: MockCluster, reading: Callable[..., Reading]) -> None:
    """Offsets that were refused are committed before their partitions are given up; those of lost ones never are."""
    member = reading()
    member.read()
    publisher = AtLeastOncePublisher(
        kafka_settings.producer(base(mock_cluster, "producer")), member.source.client, SystemClock()
    )
    where = [ClientPartition(*SOURCE)]
    for _ in range(2):
        mock_cluster.fail(Api.OFFSET_COMMIT, "REBALANCE_IN_PROGRESS")
    publisher.acknowledge({SOURCE: Position(1)})
    publisher.release([SOURCE], Deadline(SystemClock(), 5.0))
    assert member.source.client.committed(where, 5.0)[0].offset == 1
    mock_cluster.fail(Api.OFFSET_COMMIT, "REBALANCE_IN_PROGRESS")
    publisher.acknowledge({SOURCE: Position(2)})
    publisher.forget([SOURCE])
    publisher.release([SOURCE], Deadline(SystemClock(), 5.0))
    publisher.close()
    assert member.source.client.committed(where, 5.0)[0].offset == 1


@pytest.mark.parametrize("row", COMMITS, ids=name_of)
def test_at_least_once(mock_cluster: MockCluster, reading: Callable[..., Reading], row: Row) -> None:
    """Offsets that the group refuses because it moved on are left to the next commit; all else is told."""
    member = reading()
    member.read()
    publisher = AtLeastOncePublisher(
        kafka_settings.producer(base(mock_cluster, "producer")), member.source.client, SystemClock()
    )
    mock_cluster.fail(row.api, row.error)
    error = raised_by(lambda: publisher.acknowledge({SOURCE: Position(1)}))
    publisher.close()
    assert type(error) is (row.raised or type(None)), error


def test_a_reader_needs_no_right_on_a_group(mock_cluster: MockCluster) -> None:
    """The client demands a group, and looks for its coordinator; a plain reader has no use for either."""
    mock_cluster.fail(Api.FIND_COORDINATOR, *["GROUP_AUTHORIZATION_FAILED"] * 20)
    reader = TopicReader(base(mock_cluster, "consumer"))
    try:
        ends = reader.assign(DOCUMENTS, 1, from_beginning=True)
        assert sum(map(len, reader.batches_to(ends))) == ends[SOURCE] > 0
    finally:
        reader.close()


# --- the start ----------------------------------------------------------------------------------------------------


def test_a_cluster_that_is_down(mock_cluster: MockCluster) -> None:
    """It is told as such, with the reason and not with its consequence."""
    with mock_cluster.down():
        admin = Cluster(base(mock_cluster, "admin"), timeout_seconds=1.0)
        with pytest.raises(ClusterError, match=r"No Kafka broker answers .*refused"):
            admin.partitions([DOCUMENTS])


def test_a_topic_that_may_not_be_seen(mock_cluster: MockCluster) -> None:
    """A broker leaves it out of its list; that is not told as a topic that does not exist."""
    mock_cluster.create_topic("hidden")
    mock_cluster.forbid("hidden", "TOPIC_AUTHORIZATION_FAILED")
    with pytest.raises(ClusterError, match="the right DESCRIBE on topic hidden"):
        Cluster(base(mock_cluster, "admin")).partitions([DOCUMENTS, "hidden"])


def test_a_topic_that_does_not_exist(mock_cluster: MockCluster) -> None:
    """It is just not among those found."""
    assert Cluster(base(mock_cluster, "admin")).partitions([DOCUMENTS, "nowhere"]) == {DOCUMENTS: 1}


# --- the offsets of a group ----------------------------------------------------------------------------------------


@pytest.fixture
def moved(mock_cluster: MockCluster) -> str:
    """A group that has committed two of three records."""
    settings = {**base(mock_cluster, "consumer"), "group.id": "moved"}
    consumer = Consumer(settings)
    consumer.commit(offsets=[ClientPartition(DOCUMENTS, 0, 2)], asynchronous=False)
    consumer.close()
    return "moved"


@pytest.mark.parametrize("passing", ["NOT_COORDINATOR", "COORDINATOR_LOAD_IN_PROGRESS", "UNSTABLE_OFFSET_COMMIT"])
def test_offsets_of_a_group_that_has_moved(mock_cluster: MockCluster, moved: str, passing: str) -> None:
    """Whoever was asked first is not the one who knows: it is asked again, and nothing crashes."""
    cluster = Cluster(base(mock_cluster, "admin"))
    mock_cluster.fail(G, passing)
    assert cluster.committed_offsets(moved, DOCUMENTS) == {0: 2}
    assert cluster.committed(moved, "nowhere") == 0


def test_offsets_that_may_not_be_seen(mock_cluster: MockCluster, moved: str) -> None:
    """The missing right is named."""
    mock_cluster.fail(G, "GROUP_AUTHORIZATION_FAILED")
    with pytest.raises(ClusterError, match="the right DESCRIBE on group moved"):
        Cluster(base(mock_cluster, "admin")).committed_offsets(moved, DOCUMENTS)


def test_offsets_that_nobody_tells(mock_cluster: MockCluster, moved: str) -> None:
    """It gives up in time."""
    cluster = Cluster(base(mock_cluster, "admin"), timeout_seconds=1.0)
    assert cluster.committed_offsets(moved, DOCUMENTS) == {0: 2}
    mock_cluster.fail(G, *["COORDINATOR_LOAD_IN_PROGRESS"] * 1000)
    with pytest.raises(ClusterError, match="reading the offsets of group moved"):
        cluster.committed_offsets(moved, DOCUMENTS)
