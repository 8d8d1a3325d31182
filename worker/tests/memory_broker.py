"""A broker in memory: partitions, a cooperative consumer group, transactions with fencing.

It keeps the promises of the ports as Kafka does, no more: as there, a commit proves its membership, but not that it
owns the partitions whose offsets it commits. `integration_tests/test_ports.py` runs one contract here and on Kafka.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field

from worker.stream.deadline import Deadline
from worker.stream.errors import AbortableError, FencedError
from worker.stream.ports import RebalanceListener
from worker.stream.records import Outgoing, Position, Record, TopicPartition


@dataclass(slots=True)
class Entry:
    """One record of a partition. `visible` is None while its transaction is open."""

    outgoing: Outgoing
    visible: bool | None


@dataclass(slots=True)
class Group:
    """A consumer group of one topic. The epoch counts its rebalances."""

    members: list["MemorySource"] = field(default_factory=list)
    owners: dict[TopicPartition, "MemorySource"] = field(default_factory=dict)
    positions: dict[TopicPartition, Position] = field(default_factory=dict)
    epoch: int = 0

    def join(self, member: "MemorySource") -> None:
        """Take a member in: the partitions are dealt anew."""
        self.members.append(member)
        self.epoch += 1

    def remove(self, member: "MemorySource") -> None:
        """Take a member out, whatever it owns."""
        if member in self.members:
            self.members.remove(member)
            self.epoch += 1
        self.owners = {source: owner for source, owner in self.owners.items() if owner is not member}


class MemoryBroker:
    """Topics and groups."""

    def __init__(self, max_message_bytes: int = 100_000) -> None:
        self.max_message_bytes = max_message_bytes
        self.logs: dict[TopicPartition, list[Entry]] = {}
        self.groups: dict[str, Group] = defaultdict(Group)
        self.producers: dict[str, int] = defaultdict(int)

    def create(self, topic: str, partitions: int) -> None:
        """Make an empty topic."""
        for number in range(partitions):
            self.logs[TopicPartition(topic, number)] = []

    def partitions(self, topic: str) -> list[TopicPartition]:
        """All of a topic."""
        return sorted(source for source in self.logs if source.topic == topic)

    def produce(self, source: TopicPartition, value: bytes) -> None:
        """Append one record, visible at once."""
        self.logs[source].append(Entry(Outgoing(*source, None, value, ()), visible=True))

    def visible(self, source: TopicPartition) -> list[bytes | None]:
        """The committed values of a partition, in order."""
        return [entry.outgoing.value for entry in self.logs[source] if entry.visible]

    def committed(self, group: str, source: TopicPartition) -> int:
        """The committed offset, 0 when there is none."""
        return self.groups[group].positions.get(source, Position(0)).offset

    def evict(self, source: "MemorySource") -> None:
        """The session of a member timed out: others may have its partitions before it knows."""
        source.group.remove(source)
        source.evicted = True


class MemorySource:
    """A member of a group."""

    def __init__(self, broker: MemoryBroker, group: str, topic: str) -> None:
        self.group = broker.groups[group]
        self.evicted = False
        self.hidden = False
        self.before_callback: Callable[[], object] | None = None
        self._broker = broker
        self._topic = topic
        self._listener: RebalanceListener | None = None
        self._epoch: int | None = None
        self._positions: dict[TopicPartition, int] = {}
        self._paused: set[TopicPartition] = set()

    def subscribe(self, listener: RebalanceListener) -> None:
        """Join the group."""
        self._listener = listener
        self.group.join(self)

    def poll(self, max_records: int, timeout: float) -> list[Record]:
        """Take part in a rebalance, then deliver. Never waits."""
        del timeout
        if self.evicted:
            self._lose()
        if self not in self.group.members:
            return []
        self._epoch = self.group.epoch
        wanted = self._dealt()
        if gone := self._positions.keys() - wanted:
            self._give_up(gone)
        if new := {source for source in wanted - self._positions.keys() if source not in self.group.owners}:
            self._take(new)
        return self._deliver(max_records)

    def _dealt(self) -> set[TopicPartition]:
        members = self.group.members
        everything = self._broker.partitions(self._topic)
        return {source for n, source in enumerate(everything) if members[n % len(members)] is self}

    def _lose(self) -> None:
        gone = self._forget(self._positions.keys())
        self.evicted, self._epoch = False, None
        self._call("lost", gone)
        self.group.join(self)

    def _give_up(self, gone: Iterable[TopicPartition]) -> None:
        gone = self._forget(gone)
        try:
            self._call("revoked", gone)
        finally:
            for source in gone:
                del self.group.owners[source]

    def _forget(self, gone: Iterable[TopicPartition]) -> set[TopicPartition]:
        gone = set(gone)
        self._positions = {source: offset for source, offset in self._positions.items() if source not in gone}
        self._paused -= gone
        return gone

    def _take(self, new: set[TopicPartition]) -> None:
        for source in sorted(new):
            self.group.owners[source] = self
            self._positions[source] = self.group.positions.get(source, Position(0)).offset
        self._call("assigned", new)

    def _call(self, event: str, partitions: set[TopicPartition]) -> None:
        if self.before_callback is not None and event != "assigned":
            self.before_callback()
        if partitions:
            getattr(self._listener, event)(partitions)

    def _deliver(self, max_records: int) -> list[Record]:
        delivered: list[Record] = []
        for source, position in self._positions.items():
            if source in self._paused:
                continue
            entries = self._broker.logs[source][position : position + max_records - len(delivered)]
            for offset, entry in enumerate(entries, start=position):
                delivered.append(Record(source, offset, 1, entry.outgoing.key, entry.outgoing.value, ()))
            self._positions[source] = position + len(entries)
        return delivered

    def membership(self) -> bytes | None:
        """The epoch this member last heard of; None before it joined and after it was thrown out."""
        if self._epoch is None or self.evicted or self.hidden:
            return None
        return b"%d:%d" % (id(self), self._epoch)

    def committed(self, partitions: Collection[TopicPartition]) -> dict[TopicPartition, Position]:
        """Where the group stands."""
        return {source: self.group.positions.get(source, Position(-1)) for source in partitions}

    def pause(self) -> None:
        """Deliver nothing of what is assigned now."""
        self._paused = set(self._positions)

    def resume(self) -> None:
        """Deliver again."""
        self._paused = set()

    def close(self) -> None:
        """Leave the group."""
        if self.evicted:
            self._call("lost", self._forget(self._positions.keys()))
        elif self._positions:
            self._give_up(list(self._positions))
        self.group.remove(self)
        self._epoch = None

    def is_current(self, membership: bytes) -> bool:
        """Whether a commit with that proof would be taken."""
        return self in self.group.members and membership == b"%d:%d" % (id(self), self.group.epoch)


class MemoryPublisher:
    """Transactions: results and offsets together or not at all; the later of two with one id fences the earlier."""

    def __init__(self, broker: MemoryBroker, group: str, transactional_id: str) -> None:
        self.refusals: list[Exception] = []
        self._broker = broker
        self._group = group
        self._id = transactional_id
        self._epoch = 0
        self._written: list[Entry] = []
        self._too_large = False

    def open(self, deadline: Deadline) -> None:
        """Fence the predecessor and abort what it left open."""
        del deadline
        self._broker.producers[self._id] += 1
        self._epoch = self._broker.producers[self._id]

    def begin(self) -> None:
        """Start a transaction."""
        self._check_fenced()
        self._written, self._too_large = [], False

    def send(self, outgoing: Iterable[Outgoing]) -> None:
        """Write, not visible yet."""
        self._check_fenced()
        for item in outgoing:
            if len(item.value or b"") > self._broker.max_message_bytes:
                self._too_large = True
                continue
            entry = Entry(item, visible=None)
            self._written.append(entry)
            self._broker.logs[TopicPartition(item.topic, item.partition)].append(entry)

    def commit(self, positions: Mapping[TopicPartition, Position], membership: bytes, deadline: Deadline) -> None:
        """Make records and offsets visible."""
        del deadline
        self._check_fenced()
        if self.refusals:
            raise self.refusals.pop(0)
        if self._too_large:
            raise AbortableError("A record is too large.")
        group = self._broker.groups[self._group]
        if not any(member.is_current(membership) for member in group.members):
            raise AbortableError("The membership is stale.")
        self._end(visible=True)
        group.positions.update(positions)

    def acknowledge(self, positions: Mapping[TopicPartition, Position]) -> bool:
        """Nothing: they went with the transaction."""
        del positions
        return True

    def release(self, partitions: Collection[TopicPartition], deadline: Deadline) -> None:
        """Nothing, as before."""

    def forget(self, partitions: Collection[TopicPartition]) -> None:
        """Nothing, as before."""

    def abort(self, deadline: Deadline) -> None:
        """Make the records invisible for good."""
        del deadline
        self._check_fenced()
        self._end(visible=False)

    def close(self) -> None:
        """Nothing to let go of."""

    def _end(self, *, visible: bool) -> None:
        for entry in self._written:
            entry.visible = visible
        self._written = []

    def _check_fenced(self) -> None:
        if self._epoch != self._broker.producers[self._id]:
            raise FencedError("Another producer has this transactional id.")
