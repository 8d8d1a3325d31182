"""One contract for the ports of the loop, on the broker in memory and on real Kafka, with both group protocols.

What holds here on both is what the unit tests of the loop, which run on memory, may rely on.
"""

from collections.abc import Callable, Collection, Iterator
from typing import Protocol

import pytest

from integration_tests.broker import Kafka, ToSend
from integration_tests.conftest import Unique
from integration_tests.system import wait_until
from worker.clock import SystemClock
from worker.config import GroupProtocol
from worker.kafka import settings
from worker.kafka.consumer import GroupSource
from worker.kafka.producer import AtLeastOncePublisher, TransactionalPublisher
from worker.stream.deadline import Deadline
from worker.stream.errors import AbortableError, FencedError, StreamError
from worker.stream.ports import Publisher, Source
from worker.stream.records import Outgoing, Position, Record, TopicPartition
from worker.tests.memory_broker import MemoryBroker, MemoryPublisher, MemorySource

PARTITIONS = 2
MAX_BYTES = 10_000
TIMEOUT_S = 20.0


class Listener:
    """Keeps the assignment, and what happened to it. `on_revoked` may do more, or raise."""

    def __init__(self) -> None:
        self.assignment: set[TopicPartition] = set()
        self.events: list[str] = []
        self.on_revoked: Callable[[], None] | None = None

    def assigned(self, partitions: Collection[TopicPartition]) -> None:
        """More partitions."""
        self.events.append("assigned")
        self.assignment |= set(partitions)

    def revoked(self, partitions: Collection[TopicPartition]) -> None:
        """Fewer partitions."""
        self.events.append("revoked")
        self.assignment -= set(partitions)
        if self.on_revoked is not None:
            self.on_revoked()

    def lost(self, partitions: Collection[TopicPartition]) -> None:
        """Fewer partitions."""
        self.events.append("lost")
        self.assignment -= set(partitions)


class Bed(Protocol):
    """A broker with a documents and a results topic, and a group that reads the documents."""

    documents: str
    results: str

    def source(self) -> Source:
        """A new member of the group, not yet subscribed."""

    def impatient_source(self) -> Source:
        """A new member that the group throws out when it is not polled for two seconds, or when `evict` is called."""

    def evict(self, source: Source) -> None:
        """Have it thrown out now, where that can be done."""

    def publisher(self, name: str, source: Source) -> Publisher:
        """A new publisher, open; `name` is its transactional id."""

    def write(self, partition: int, *values: bytes) -> None:
        """Put documents in."""

    def visible(self, partition: int) -> list[bytes | None]:
        """The results a committed reader sees."""

    def committed(self, partition: int) -> int:
        """The group's offset, 0 when there is none."""


class MemoryBed:
    """In memory."""

    documents, results = "documents", "results"

    def __init__(self) -> None:
        self._broker = MemoryBroker(MAX_BYTES)
        self._broker.create(self.documents, PARTITIONS)
        self._broker.create(self.results, PARTITIONS)

    def source(self) -> Source:
        """A new member."""
        return MemorySource(self._broker, "group", self.documents)

    def impatient_source(self) -> Source:
        """A new member."""
        return self.source()

    def evict(self, source: Source) -> None:
        """Throw it out."""
        assert isinstance(source, MemorySource)
        self._broker.evict(source)

    def publisher(self, name: str, source: Source) -> Publisher:
        """A new publisher."""
        del source
        made = MemoryPublisher(self._broker, "group", name)
        made.open(deadline())
        return made

    def write(self, partition: int, *values: bytes) -> None:
        """Put documents in."""
        for value in values:
            self._broker.produce(TopicPartition(self.documents, partition), value)

    def visible(self, partition: int) -> list[bytes | None]:
        """Committed results."""
        return self._broker.visible(TopicPartition(self.results, partition))

    def committed(self, partition: int) -> int:
        """The group's offset."""
        return self._broker.committed("group", TopicPartition(self.documents, partition))


class KafkaBed:
    """On a real broker."""

    def __init__(self, kafka: Kafka, unique: Unique, protocol: GroupProtocol, *, transactional: bool) -> None:
        self._kafka = kafka
        self._protocol = protocol
        self._transactional = transactional
        self._sources: list[GroupSource] = []
        self._publishers: list[Publisher] = []
        self.documents, self.results, self.group = unique("documents"), unique("results"), unique("group")
        self._base = settings.common(kafka.bootstrap_servers, {}, "admin")
        kafka.create_topic(self.documents, PARTITIONS)
        kafka.create_topic(self.results, PARTITIONS, {"max.message.bytes": str(MAX_BYTES)})

    def source(self) -> Source:
        """A new member."""
        return self._source({})

    def impatient_source(self) -> Source:
        """A new member that gives itself up when it is not polled."""
        patience: settings.Settings = {"max.poll.interval.ms": 2000}
        if self._protocol is GroupProtocol.CLASSIC:
            patience["session.timeout.ms"] = 1500
        return self._source(patience)

    def evict(self, source: Source) -> None:
        """It happens by itself."""

    def _source(self, own: settings.Settings) -> Source:
        quick: settings.Settings = {"heartbeat.interval.ms": 300} if self._protocol is GroupProtocol.CLASSIC else {}
        consumer = settings.consumer({**self._base, **quick, **own}, self.group, self._protocol)
        made = GroupSource(consumer, self.documents, lambda _: None)
        self._sources.append(made)
        return made

    def publisher(self, name: str, source: Source) -> Publisher:
        """A new publisher."""
        producer = settings.producer({**self._base, "compression.type": "none"}, MAX_BYTES)
        made: Publisher
        if self._transactional:
            made = transactional = TransactionalPublisher(
                settings.transactional(producer, f"{self.group}-{name}", 10.0)
            )
            transactional.open(deadline())
        else:
            assert isinstance(source, GroupSource)
            made = AtLeastOncePublisher(producer, source.client, SystemClock())
        self._publishers.append(made)
        return made

    def write(self, partition: int, *values: bytes) -> None:
        """Put documents in."""
        self._kafka.produce(self.documents, [ToSend(value, partition=partition) for value in values])

    def visible(self, partition: int) -> list[bytes | None]:
        """Committed results."""
        return [record.value for record in self._kafka.read(self.results) if record.partition == partition]

    def committed(self, partition: int) -> int:
        """The group's offset."""
        return max(0, self._kafka.committed_offsets(self.group, self.documents)[partition])

    def close(self) -> None:
        """Let go of everything."""
        for publisher in self._publishers:
            publisher.close()
        for source in self._sources:
            source.close()
        self._kafka.delete_topics(self.documents, self.results)


def deadline() -> Deadline:
    """Time enough for one call."""
    return Deadline(SystemClock(), TIMEOUT_S)


def poll_until(source: Source, condition: Callable[[], object], what: str) -> list[Record]:
    """Poll until the condition holds; returns all that was delivered."""
    delivered: list[Record] = []

    def look() -> object:
        delivered.extend(source.poll(100, 0.05))
        return condition()

    wait_until(look, what, TIMEOUT_S)
    return delivered


def read(source: Source, count: int) -> list[Record]:
    """Poll until that many records came."""
    delivered: list[Record] = []

    def look() -> bool:
        delivered.extend(source.poll(100, 0.05))
        return len(delivered) >= count

    wait_until(look, f"{count} records come", TIMEOUT_S)
    return delivered


def joined(bed: Bed, source: Source | None = None) -> tuple[Source, Listener]:
    """A member with all partitions assigned."""
    source, listener = source or bed.source(), Listener()
    source.subscribe(listener)
    poll_until(source, lambda: len(listener.assignment) == PARTITIONS, "partitions are assigned")
    return source, listener


def membership(source: Source) -> bytes:
    """The membership, which there must be."""
    found = source.membership()
    assert found is not None
    return found


def outgoing(bed: Bed, *values: bytes, partition: int = 0) -> list[Outgoing]:
    """Results to publish."""
    return [Outgoing(bed.results, partition, b"k", value, (("h", b"1"),)) for value in values]


def commit(
    bed: Bed, publisher: Publisher, offset: int, proof: bytes, *values: bytes, partition: int = 0, note: str = ""
) -> None:
    """One whole unit, on one partition."""
    positions = {TopicPartition(bed.documents, partition): Position(offset, note)}
    publisher.begin()
    publisher.send(outgoing(bed, *values, partition=partition))
    publisher.commit(positions, proof, deadline())
    publisher.acknowledge(positions)


class SourceContract:
    """What the loop relies on of a source. Subclasses provide `bed`."""

    def test_records_come_once_in_order(self, bed: Bed) -> None:
        """Each partition's records come in the order they were written, each once, and no more than asked for."""
        values = [b"%d" % number for number in range(20)]
        bed.write(0, *values)
        bed.write(1, *values)
        source, _ = self.subscribe(bed)
        delivered: list[Record] = []
        sizes: list[int] = []

        def look() -> bool:
            batch = source.poll(7, 0.05)
            sizes.append(len(batch))
            delivered.extend(batch)
            return len(delivered) >= 40

        wait_until(look, "all records come", TIMEOUT_S)
        for partition in range(PARTITIONS):
            mine = [record for record in delivered if record.source.partition == partition]
            assert [record.value for record in mine] == values
            assert [record.offset for record in mine] == list(range(20))
        assert max(sizes) <= 7
        assert {record.source.topic for record in delivered} == {bed.documents}

    def subscribe(self, bed: Bed) -> tuple[Source, Listener]:
        """A member that was not polled yet."""
        source, listener = bed.source(), Listener()
        source.subscribe(listener)
        return source, listener

    def test_membership(self, bed: Bed) -> None:
        """There is none before the group took the member in, and one afterwards."""
        source, listener = self.subscribe(bed)
        assert source.membership() is None
        poll_until(source, lambda: listener.assignment, "partitions are assigned")
        assert source.membership() is not None

    def test_pause_and_resume(self, bed: Bed) -> None:
        """Paused, polls deliver nothing; resumed, nothing is missing or doubled."""
        source, _ = joined(bed)
        bed.write(0, b"0", b"1")
        assert [record.value for record in read(source, 2)] == [b"0", b"1"]
        source.pause()
        bed.write(0, *(b"%d" % number for number in range(2, 10)))
        assert [record for _ in range(5) for record in source.poll(100, 0.1)] == []
        source.resume()
        assert [record.offset for record in read(source, 8)] == list(range(2, 10))

    def test_it_starts_at_the_committed_offset(self, bed: Bed) -> None:
        """A member that takes a partition over goes on where the group is."""
        first, _ = joined(bed)
        bed.write(0, b"0", b"1", b"2")
        read(first, 3)
        commit(bed, bed.publisher("p", first), 2, membership(first), b"r")
        first.close()
        second, _ = self.subscribe(bed)
        assert [record.offset for record in read(second, 1)] == [2]

    def test_a_second_member_takes_its_share(self, bed: Bed) -> None:
        """The first is told before the second has the partition, and afterwards delivers only what is its own."""
        first, kept = joined(bed)
        second, taken = self.subscribe(bed)
        wait_until(
            lambda: [*first.poll(1, 0.05), *second.poll(1, 0.05)] == [] and len(taken.assignment) == 1,
            "the second member has a partition",
            TIMEOUT_S,
        )
        assert len(kept.assignment) == 1
        assert kept.assignment.isdisjoint(taken.assignment)
        assert "revoked" in kept.events
        bed.write(0, b"0")
        bed.write(1, b"1")
        sources = {record.source for record in read(first, 1)}
        assert sources == kept.assignment

    def test_what_a_listener_raises_surfaces(self, bed: Bed) -> None:
        """An exception in a rebalance comes out of the poll that ran it."""
        first, listener = joined(bed)

        def fail() -> None:
            raise AbortableError("from the listener")

        listener.on_revoked = fail
        second, _ = self.subscribe(bed)

        def poll_both() -> bool:
            second.poll(1, 0.05)
            first.poll(1, 0.05)
            return False

        with pytest.raises(AbortableError, match="from the listener"):
            wait_until(poll_both, "the first member has to give up a partition", TIMEOUT_S)
        listener.on_revoked = None

    def test_leaving_revokes(self, bed: Bed) -> None:
        """A member that closes is told to let go, as in any rebalance."""
        source, listener = joined(bed)
        source.close()
        assert (listener.assignment, listener.events[-1]) == (set(), "revoked")


class PublisherContract:
    """What the loop relies on of a publisher. Subclasses provide `bed`."""

    def test_a_commit_is_visible(self, bed: Bed) -> None:
        """Results and offsets are both there after the commit, in order, and the note; then the next unit."""
        source, _ = joined(bed)
        where, nowhere = (TopicPartition(bed.documents, partition) for partition in (0, 1))
        publisher = bed.publisher("p", source)
        commit(bed, publisher, 2, membership(source), b"a", b"b", note="note")
        assert source.committed([where, nowhere]) == {where: Position(2, "note"), nowhere: Position(-1)}
        commit(bed, publisher, 3, membership(source), b"c")
        assert source.committed([where]) == {where: Position(3)}
        assert (bed.visible(0), bed.committed(0)) == ([b"a", b"b", b"c"], 3)

    def test_headers_and_nulls_arrive(self, bed: Bed) -> None:
        """A tombstone is published as one."""
        source, _ = joined(bed)
        publisher = bed.publisher("p", source)
        publisher.begin()
        publisher.send([Outgoing(bed.results, 1, b"gone", None, ())])
        publisher.commit({TopicPartition(bed.documents, 1): Position(1)}, membership(source), deadline())
        assert bed.visible(1) == [None]

    def test_nothing_is_visible_after_an_abort(self, bed: Bed) -> None:
        """An aborted unit leaves neither results nor offsets, and the same unit can be run again."""
        source, _ = joined(bed)
        publisher = bed.publisher("p", source)
        publisher.begin()
        publisher.send(outgoing(bed, *(b"x" * 100 for _ in range(200))))
        publisher.abort(deadline())
        assert (bed.visible(0), bed.committed(0)) == ([], 0)

    def test_a_unit_after_an_abort_succeeds(self, bed: Bed) -> None:
        """What was aborted does not fail what comes after it."""
        source, _ = joined(bed)
        publisher = bed.publisher("p", source)
        for _ in range(3):
            publisher.begin()
            publisher.send(outgoing(bed, *(b"x" * 100 for _ in range(50))))
            publisher.abort(deadline())
        commit(bed, publisher, 1, membership(source), b"a")
        assert (bed.visible(0)[-1], bed.committed(0)) == (b"a", 1)

    def test_a_failed_delivery_stops_before_the_offsets(self, bed: Bed) -> None:
        """A record too large for its topic is an error, raised before any offset is committed."""
        source, _ = joined(bed)
        publisher = bed.publisher("p", source)
        with pytest.raises(StreamError):
            commit(bed, publisher, 1, membership(source), b"x" * (MAX_BYTES + 1000))
        publisher.abort(deadline())
        assert (bed.visible(0), bed.committed(0)) == ([], 0)

    def test_the_second_publisher_fences_the_first(self, bed: Bed) -> None:
        """Of two with one transactional id only the later one can commit."""
        source, _ = joined(bed)
        first = bed.publisher("same", source)
        commit(bed, first, 1, membership(source), b"a")
        first.begin()
        first.send(outgoing(bed, b"zombie"))
        second = bed.publisher("same", source)
        with pytest.raises(FencedError):
            first.commit({TopicPartition(bed.documents, 0): Position(9)}, membership(source), deadline())
        commit(bed, second, 2, membership(source), b"b")
        assert (bed.visible(0), bed.committed(0)) == ([b"a", b"b"], 2)

    def test_a_stale_membership_is_refused(self, bed: Bed) -> None:
        """What went to another member in a rebalance cannot be committed with a proof from before; it must be aborted.

        For partitions that stayed the brokers differ: with the consumer protocol they take the older proof (KIP-1251).
        """
        source, listener = joined(bed)
        publisher = bed.publisher("p", source)
        stale = membership(source)
        other, others = bed.source(), Listener()
        other.subscribe(others)
        wait_until(
            lambda: [*source.poll(1, 0.05), *other.poll(1, 0.05)] == [] and others.assignment,
            "the group was rebalanced",
            TIMEOUT_S,
        )
        assert membership(source) != stale
        [kept], [gone] = listener.assignment, others.assignment
        with pytest.raises(AbortableError):
            commit(bed, publisher, 1, stale, b"a", partition=gone.partition)
        publisher.abort(deadline())
        assert (bed.visible(gone.partition), bed.committed(gone.partition)) == ([], 0)
        commit(bed, publisher, 1, membership(source), b"a", partition=kept.partition)
        assert (bed.visible(kept.partition), bed.committed(kept.partition)) == ([b"a"], 1)

    def test_a_member_that_was_thrown_out_cannot_commit(self, bed: Bed) -> None:
        """Its partitions are another's before it knows: no proof it has or asks for now is taken, and it hears of it.

        What it hears first may be a revocation that came just before; a commit then in flight meets the same refusal.
        """
        zombie, listener = joined(bed, bed.impatient_source())
        publisher = bed.publisher("p", zombie)
        proof = membership(zombie)
        bed.evict(zombie)
        joined(bed)
        for tried in {proof, zombie.membership()} - {None}:
            with pytest.raises(AbortableError):
                commit(bed, publisher, 1, tried or b"", b"a")
            publisher.abort(deadline())
        assert (bed.visible(0), bed.committed(0)) == ([], 0)
        poll_until(zombie, lambda: "lost" in listener.events, "the member hears that its partitions are lost")


class TestMemorySource(SourceContract):
    """The source in memory."""

    @pytest.fixture
    def bed(self) -> Bed:
        """In memory."""
        return MemoryBed()


class TestMemoryPublisher(PublisherContract):
    """The publisher in memory."""

    @pytest.fixture
    def bed(self) -> Bed:
        """In memory."""
        return MemoryBed()


@pytest.fixture(params=GroupProtocol)
def protocol(request: pytest.FixtureRequest) -> GroupProtocol:
    """Each group protocol in turn."""
    found: GroupProtocol = request.param
    return found


@pytest.mark.broker
class TestGroupSource(SourceContract):
    """The source on Kafka."""

    @pytest.fixture
    def bed(self, kafka: Kafka, unique: Unique, protocol: GroupProtocol) -> Iterator[Bed]:
        """On Kafka."""
        made = KafkaBed(kafka, unique, protocol, transactional=True)
        yield made
        made.close()


@pytest.mark.broker
class TestTransactionalPublisher(PublisherContract):
    """Exactly once, on Kafka."""

    @pytest.fixture
    def bed(self, kafka: Kafka, unique: Unique, protocol: GroupProtocol) -> Iterator[Bed]:
        """On Kafka."""
        made = KafkaBed(kafka, unique, protocol, transactional=True)
        yield made
        made.close()


@pytest.mark.broker
class TestAtLeastOncePublisher(PublisherContract):
    """At least once, on Kafka: without transactions, so without what only they can do."""

    @pytest.fixture
    def bed(self, kafka: Kafka, unique: Unique, protocol: GroupProtocol) -> Iterator[Bed]:
        """On Kafka."""
        made = KafkaBed(kafka, unique, protocol, transactional=False)
        yield made
        made.close()

    @pytest.mark.xfail(reason="nobody is fenced without a transactional id", strict=True)
    def test_the_second_publisher_fences_the_first(self, bed: Bed) -> None:
        """Of two with one name both can commit."""
        super().test_the_second_publisher_fences_the_first(bed)

    @pytest.mark.xfail(reason="the consumer proves the membership itself, always the present one", strict=True)
    def test_a_stale_membership_is_refused(self, bed: Bed) -> None:
        """The proof that is handed over does not matter."""
        super().test_a_stale_membership_is_refused(bed)

    @pytest.mark.xfail(reason="results go out before the offsets, which alone are checked", strict=True)
    def test_a_member_that_was_thrown_out_cannot_commit(self, bed: Bed) -> None:
        """Its results are visible, and come again from the next owner."""
        super().test_a_member_that_was_thrown_out_cannot_commit(bed)

    def test_nothing_is_visible_after_an_abort(self, bed: Bed) -> None:
        """No offset is; results may be, as far as they were sent already."""
        source, _ = joined(bed)
        publisher = bed.publisher("p", source)
        publisher.begin()
        publisher.send(outgoing(bed, b"a"))
        publisher.abort(deadline())
        assert bed.committed(0) == 0
