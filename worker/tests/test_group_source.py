"""The adapter's own decisions, on a scripted client: the rest of it is tested on real Kafka."""

from collections.abc import Callable
from typing import Any

import orjson
import pytest
from confluent_kafka import TopicPartition as ClientPartition

from worker.kafka import consumer
from worker.kafka.consumer import GroupSource, to_records
from worker.kafka.errors import NOTHING
from worker.kafka.statistics import lag_by_partition, unread_partitions
from worker.kafka.turns import PATIENCE_SECONDS, TURN_RECORDS
from worker.stream.records import Record, TopicPartition
from worker.tests.fakes import P0, P1, ManualClock


class Told:
    """A message of the client."""

    def __init__(self, source: TopicPartition, offset: int, headers: object = None) -> None:
        self._source, self._offset, self._headers = source, offset, headers

    def error(self) -> None:
        """None: it is a record."""

    def topic(self) -> str:
        """As given."""
        return self._source.topic

    def partition(self) -> int:
        """As given."""
        return self._source.partition

    def offset(self) -> int:
        """As given."""
        return self._offset

    def timestamp(self) -> tuple[int, int]:
        """Written at 1."""
        return 1, 1

    def key(self) -> None:
        """None."""

    def value(self) -> bytes:
        """Something."""
        return b"v"

    def headers(self) -> object:
        """As given; an exception is raised."""
        if isinstance(self._headers, Exception):
            raise self._headers
        return self._headers


Step = Callable[[], list[Told]]


class Client:
    """A consumer that does what the test scripts, one step per call of `consume`."""

    def __init__(self, settings: object) -> None:
        del settings
        self.steps: list[Step] = []
        self.callbacks: dict[str, Callable[[Any, list[ClientPartition]], None]] = {}
        self.assigned: set[TopicPartition] = set()
        self.paused: set[TopicPartition] = set()

    def subscribe(self, topics: object, **callbacks: Callable[[Any, list[ClientPartition]], None]) -> None:
        """Keep the callbacks."""
        del topics
        self.callbacks = callbacks

    def consume(self, count: int, timeout: float) -> list[Told]:
        """The next step."""
        del count, timeout
        return self.steps.pop(0)() if self.steps else []

    def rebalance(self, callback: str, *partitions: TopicPartition) -> None:
        """What the client does in the midst of `consume`."""
        self.callbacks[callback](self, [ClientPartition(*partition) for partition in partitions])

    def incremental_assign(self, partitions: list[ClientPartition]) -> None:
        """More of them."""
        self.assigned |= ours(partitions)

    def incremental_unassign(self, partitions: list[ClientPartition]) -> None:
        """Fewer, and what is assigned again is not paused."""
        self.assigned -= ours(partitions)
        self.paused -= ours(partitions)

    def assignment(self) -> list[ClientPartition]:
        """All of them."""
        return [ClientPartition(*source) for source in self.assigned]

    def pause(self, partitions: list[ClientPartition]) -> None:
        """Note which."""
        self.paused |= ours(partitions)

    def resume(self, partitions: list[ClientPartition]) -> None:
        """Note which."""
        self.paused -= ours(partitions)


def ours(partitions: list[ClientPartition]) -> set[TopicPartition]:
    """The client's partitions as plain values."""
    return {TopicPartition(partition.topic, partition.partition) for partition in partitions}


class Listener:
    """Hears of everything."""

    def __getattr__(self, name: str) -> Callable[[object], None]:
        return lambda _: None


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Client:
    """The scripted client."""
    made = Client({})
    monkeypatch.setattr(consumer, "Consumer", lambda _: made)
    return made


@pytest.fixture
def clock() -> ManualClock:
    """The time."""
    return ManualClock()


@pytest.fixture
def source(client: Client, clock: ManualClock) -> GroupSource:
    """A source on it, with two partitions assigned."""
    made = GroupSource({}, "documents", lambda _: None, clock=clock)
    made.subscribe(Listener())
    client.rebalance("on_assign", P0, P1)
    return made


def places(records: list[Record]) -> list[tuple[TopicPartition, int]]:
    """Where they come from."""
    return [(record.source, record.offset) for record in records]


def test_records_come_in_order(client: Client, source: GroupSource) -> None:
    """What the two calls of one poll read is one list."""
    client.steps = [lambda: [Told(P0, 1)], lambda: [Told(P1, 7), Told(P0, 2)]]
    assert places(source.poll(10, 0.1)) == [(P0, 1), (P1, 7), (P0, 2)]


@pytest.mark.parametrize("callback", ["on_revoke", "on_lost"])
def test_a_poll_delivers_nothing_of_what_it_gave_up(client: Client, source: GroupSource, callback: str) -> None:
    """A partition that goes while the poll gathers takes along what was gathered of it before.

    The client drops such records itself, but only when its own mark comes by, behind all that is queued.
    """

    def gather() -> list[Told]:
        client.rebalance(callback, P0)
        return [Told(P0, 2), Told(P1, 7)]

    client.steps = [lambda: [Told(P0, 1)], gather]
    assert places(source.poll(10, 0.1)) == [(P1, 7)]


def test_late_records_of_a_given_up_partition_are_dropped(client: Client, source: GroupSource) -> None:
    """Nor does a later poll deliver them; once the partition is ours again it does."""
    client.rebalance("on_revoke", P0)
    client.steps = [lambda: [Told(P0, 1)], lambda: [Told(P1, 7)], lambda: [Told(P0, 2), Told(P1, 8)]]
    assert places(source.poll(10, 0.1)) == []
    assert places(source.poll(10, 0.1)) == [(P1, 7), (P1, 8)]
    client.rebalance("on_assign", P0)
    client.steps = [lambda: [Told(P0, 1)]]
    assert places(source.poll(1, 0.1)) == [(P0, 1)]


def test_given_up_and_assigned_again_within_one_poll(client: Client, source: GroupSource) -> None:
    """What was read before is read again, so it must not be delivered; what was read since must be."""

    def gather() -> list[Told]:
        client.rebalance("on_revoke", P0)
        client.rebalance("on_assign", P0)
        return [Told(P0, 1), Told(P0, 2)]

    client.steps = [lambda: [Told(P0, 1)], gather]
    assert places(source.poll(10, 0.1)) == [(P0, 1), (P0, 2)]


def test_partitions_without_a_place_for_results_are_withheld(client: Client) -> None:
    """They are paused before anything of them is read, whatever the loop resumes, until the results have them too."""
    places_there_are = 1
    source = GroupSource({}, "documents", lambda _: None, lambda partition: partition < places_there_are)
    source.subscribe(Listener())
    client.rebalance("on_assign", P0, P1)
    assert client.paused == source.withheld == {P1}
    source.pause()
    source.resume()
    assert client.paused == {P1}
    source.poll(10, 0.1)
    assert client.paused == {P1}
    places_there_are = 2
    source.poll(10, 0.1)
    assert (client.paused, source.withheld) == (set(), frozenset())


def test_withheld_partitions_and_a_loop_that_holds_back(client: Client) -> None:
    """A partition that becomes usable while the loop wants nothing is delivered when the loop does."""
    places_there_are = 1
    source = GroupSource({}, "documents", lambda _: None, lambda partition: partition < places_there_are)
    source.subscribe(Listener())
    client.rebalance("on_assign", P0, P1)
    source.pause()
    places_there_are = 2
    source.poll(1, 0.1)
    assert client.paused == {P0, P1}
    source.resume()
    assert client.paused == set()


def test_a_withheld_partition_that_is_given_up(client: Client) -> None:
    """It is nobody's business here any more, and withheld again when it comes back too early."""
    source = GroupSource({}, "documents", lambda _: None, lambda partition: partition < 1)
    source.subscribe(Listener())
    client.rebalance("on_assign", P0, P1)
    client.rebalance("on_revoke", P1)
    assert source.withheld == frozenset()
    client.rebalance("on_assign", P1)
    assert source.withheld == client.paused == {P1}


def test_header_names_the_client_cannot_decode() -> None:
    """A record whose header names are no UTF-8 is read without headers: it must not stop its partition for good."""
    broken: Any = [Told(P0, 1, SystemError("returned a result with an exception set")), Told(P0, 2, [("a", b"1")])]
    records = to_records(broken, NOTHING)
    assert places(records) == [(P0, 1), (P0, 2)]
    assert [record.headers for record in records] == [(), (("a", b"1"),)]


def statistics(**figures: int) -> bytes:
    """What the client tells of partition 0; by default it has read three records of ten, and nothing is committed."""
    told = {"desired": True, "ls_offset": 10, "lo_offset": 0, "committed_offset": -1001, "app_offset": 3, **figures}
    return orjson.dumps({"topics": {"documents": {"partitions": {"0": told}}}})


@pytest.mark.parametrize(
    ("figures", "committed", "lag"),
    [
        ({}, {}, 10),
        ({"committed_offset": 4}, {}, 6),
        ({"committed_offset": 4}, {P0: 7}, 3),
        ({"lo_offset": 8}, {}, 2),
        ({"app_offset": 10}, {P0: 10}, 0),
    ],
)
def test_lag(figures: dict[str, int], committed: dict[TopicPartition, int], lag: int) -> None:
    """What is left between the best known offset and the end."""
    for idle in (True, False):
        assert lag_by_partition(statistics(**figures), "documents", committed, idle=idle) == {P0: lag}


def test_no_lag_behind_the_last_record() -> None:
    """Markers are read past and never delivered; only while something is in hand could records be among them."""
    markers = statistics(app_offset=10)
    assert lag_by_partition(markers, "documents", {P0: 7}, idle=True) == {P0: 0}
    assert lag_by_partition(markers, "documents", {P0: 7}, idle=False) == {P0: 3}


@pytest.mark.parametrize("figures", [{"desired": False}, {"ls_offset": -1001}, {"lo_offset": -1001}])
def test_no_lag_is_made_up(figures: dict[str, int]) -> None:
    """Of partitions that are not ours, or not known yet, nothing is said."""
    assert lag_by_partition(statistics(**figures), "documents", {}, idle=False) == {}
    assert lag_by_partition(b"{}", "documents", {}, idle=False) == {}


def test_partitions_take_turns(client: Client, source: GroupSource, clock: ManualClock) -> None:
    """Who had its turn is paused while another one has waited for long, whatever the loop pauses and resumes."""
    source._take_statistics(unread({0: (9, 90), 1: (0, 90)}))
    clock.now += PATIENCE_SECONDS + 1
    client.steps = [lambda: [Told(P0, 1)], lambda: [Told(P0, n) for n in range(2, TURN_RECORDS + 1)]]
    source.poll(TURN_RECORDS, 0.1)
    assert client.paused == {P0}
    source.pause()
    assert client.paused == {P0, P1}
    source.resume()
    assert client.paused == {P0}
    client.steps = [lambda: [Told(P1, 1)], lambda: [Told(P1, n) for n in range(2, TURN_RECORDS + 1)]]
    source.poll(TURN_RECORDS, 0.1)
    assert client.paused == set()


def test_a_resting_partition_that_is_given_up(client: Client, source: GroupSource, clock: ManualClock) -> None:
    """When it comes back it does not rest."""
    source._take_statistics(unread({0: (9, 90), 1: (0, 90)}))
    clock.now += PATIENCE_SECONDS + 1
    client.steps = [lambda: [Told(P0, 1)], lambda: [Told(P0, n) for n in range(2, TURN_RECORDS + 1)]]
    source.poll(TURN_RECORDS, 0.1)
    client.rebalance("on_revoke", P0)
    client.rebalance("on_assign", P0)
    client.steps = [lambda: [Told(P0, 1)]]
    assert places(source.poll(1, 0.1)) == [(P0, 1)]
    assert client.paused == set()


def test_what_is_unread() -> None:
    """Fetched is not unread, and what is another worker's is not ours; no answer yet is nothing."""
    told = unread({0: (5, 5), 1: (-1001, 7), 2: (0, -1001)})
    assert unread_partitions(told, "documents") == {P1}
    assert unread_partitions(b"{}", "documents") == set()


def unread(partitions: dict[int, tuple[int, int]]) -> bytes:
    """Those of the client, with the next offset to fetch and the last stable one."""
    figures = {f"{n}": {"desired": True, "next_offset": at, "ls_offset": end} for n, (at, end) in partitions.items()}
    return orjson.dumps({"topics": {"documents": {"partitions": figures}}})
