"""Our adapters on a mock cluster, and what they raise."""

import itertools
from collections.abc import Callable
from typing import NamedTuple

from confluent_kafka import Consumer

from worker.clock import SystemClock
from worker.config import GroupProtocol
from worker.kafka import settings as kafka_settings
from worker.kafka.consumer import GroupSource
from worker.kafka.producer import TransactionalPublisher
from worker.kafka.settings import Settings
from worker.stream.deadline import Deadline
from worker.stream.errors import StreamError
from worker.stream.records import Outgoing, Position, Record, TopicPartition
from worker.tests.mock_cluster import Api, MockCluster

CLOCK = SystemClock()
DOCUMENTS, RESULTS = "documents", "results"
SOURCE = TopicPartition(DOCUMENTS, 0)
RECORD = Outgoing(RESULTS, 0, b"k", b"v", ())
PATIENCE = 10.0  # seconds; nothing here comes near
_NUMBERS = itertools.count()


class Row(NamedTuple):
    """A broker answers `api` with `error`; None: the adapter gets over it."""

    api: Api
    error: str
    raised: type[StreamError] | None


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
            kafka_settings.transactional({**settings, **more}, f"slot-{next(_NUMBERS)}", 10)
        )

    def open(self) -> None:
        """Register."""
        self.publisher.open(deadline())

    def transact(self, record: Outgoing = RECORD) -> None:
        """One record, one offset, one commit."""
        self.publisher.begin()
        self.publisher.send([record])
        self.commit()

    def commit(self, seconds: float = PATIENCE) -> None:
        """The last step."""
        self.publisher.commit({SOURCE: Position(1)}, self._member.consumer_group_metadata(), deadline(seconds))

    def abort(self) -> None:
        """The way out."""
        self.publisher.abort(deadline())

    def close(self) -> None:
        """Let go."""
        self.publisher.close()
        self._member.close()


class Reading:
    """A member of a group of its own."""

    def __init__(self, cluster: MockCluster, **more: str | float) -> None:
        self.group = f"group-{next(_NUMBERS)}"
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
