"""Documents that take the process down, on the loop and the broker in memory: one worker after the other.

A killer raises what nothing catches, so its worker dies with all that it had in hand. The group throws the dead out,
and another one starts.
"""

from collections.abc import Callable, Sequence
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worker.stream.batch import BatchLimits
from worker.stream.breaker import Breaker
from worker.stream.checkpoint import Checkpoint
from worker.stream.deadline import Deadline
from worker.stream.errors import FatalError
from worker.stream.loop import LoopLimits, Stages, StreamLoop
from worker.stream.records import Outcome, Position, Record, TopicPartition
from worker.stream.suspects import Note, Suspects
from worker.tests.fakes import (
    P0,
    P1,
    InlineExecutor,
    ManualClock,
    NotingObserver,
    condemn,
    settle,
)
from worker.tests.memory_broker import MemoryBroker, MemoryPublisher, MemorySource

PARTITIONS = 3
TURNS = 4000
Place = tuple[int, int]  # partition and offset


class DiedError(BaseException):
    """The process is gone."""


def deadly(killers: set[Place]) -> Callable[[Sequence[Record]], Outcome]:
    """Processing that no process survives when one of these is among the records."""

    def process(batch: Sequence[Record]) -> Outcome:
        if killers & {(item.source.partition, item.offset) for item in batch}:
            raise DiedError
        return settle(batch)

    return process


class World:
    """A broker, and one worker after the other. `publishing` may be made to fail."""

    def __init__(self, documents: Sequence[int], max_deaths: int = 3, max_records: int = 6) -> None:
        """`documents` are how many each partition has."""
        self.clock = ManualClock()
        self.broker = MemoryBroker()
        for topic in ("documents", "results", "dead"):
            self.broker.create(topic, len(documents))
        for partition, count in enumerate(documents):
            for number in range(count):
                self.broker.produce(TopicPartition("documents", partition), b"%d" % number)
        self.documents = documents
        self.max_deaths = max_deaths
        self.max_records = max_records
        self.deaths = 0
        self.observer = NotingObserver()

    def start(self, process: Callable[[Sequence[Record]], Outcome], breaker: Breaker | None = None) -> None:
        """Another worker under the same slot."""
        self.source = MemorySource(self.broker, "group", "documents")
        self.publisher = MemoryPublisher(self.broker, "group", "slot")
        self.publisher.open(Deadline(self.clock, 1))
        self.loop = StreamLoop(
            source=self.source,
            process=process,
            condemn=condemn,
            suspects=Suspects(self.max_deaths, self.observer),
            checkpoint=Checkpoint(self.publisher, self.observer, self.clock, 10.0),
            breaker=breaker or Breaker(1.0, 1),
            stages=Stages(InlineExecutor(), InlineExecutor()),
            limits=LoopLimits(BatchLimits(self.max_records, 10_000, 0.5), 5.0, 60.0, 0.0, 0.001, 0.0),
            observer=self.observer,
            clock=self.clock,
        )
        self.source.subscribe(self.loop)

    def turn(self) -> None:
        """One turn, and some time."""
        self.clock.now += 0.2
        self.loop.run_once()

    def die(self) -> None:
        """The worker is gone, and the group learns of it."""
        self.deaths += 1
        self.broker.evict(self.source)

    def run(self, killers: set[Place]) -> None:
        """Start workers until all is settled."""
        self.start(deadly(killers))
        for _ in range(TURNS):
            if self.settled:
                return
            try:
                self.turn()
            except DiedError:
                self.die()
                self.start(deadly(killers))
        raise AssertionError("It does not come to an end.")

    @property
    def settled(self) -> bool:
        """Whether the group has everything."""
        return all(self.position(n).offset == count for n, count in enumerate(self.documents))

    def position(self, partition: int) -> Position:
        """Where the group stands."""
        return self.broker.groups["group"].positions.get(TopicPartition("documents", partition), Position(0))

    def dead(self) -> set[Place]:
        """What became a dead letter."""
        return {
            (partition, int((value or b"").rpartition(b" ")[2]))
            for partition in range(len(self.documents))
            for value in self.broker.visible(TopicPartition("dead", partition))
        }

    def check(self, killers: set[Place]) -> None:
        """Exactly the killers are dead letters, all others have one result, in order, and no note is left."""
        assert self.dead() == killers
        for partition, count in enumerate(self.documents):
            expected = [b"%d" % offset for offset in range(count) if (partition, offset) not in killers]
            assert self.broker.visible(TopicPartition("results", partition)) == expected
            assert len(self.broker.visible(TopicPartition("dead", partition))) == count - len(expected)
            assert self.position(partition).note == ""


def test_a_killer_is_found_and_put_aside() -> None:
    """One death in a batch, one in a part of it, and as many alone as are allowed; the other documents lose nothing."""
    world = World((20, 20, 20), max_records=60)
    world.run({(1, 4)})
    world.check({(1, 4)})
    assert world.deaths == 1 + 1 + 3


def test_a_killer_after_a_good_batch_costs_one_death_more() -> None:
    """The first death leaves no note: the partition had got on since the worker took it over."""
    world = World((20,))
    world.run({(0, 13)})
    world.check({(0, 13)})
    assert world.deaths == 1 + 1 + 3


@pytest.mark.parametrize("killers", [{(0, 0), (0, 1), (0, 2)}, {(0, 5), (1, 5), (2, 5)}, {(2, 19)}], ids=str)
def test_several_killers(killers: set[Place]) -> None:
    """Side by side, in several partitions of one batch, or the very last document."""
    world = World((20, 20, 20))
    world.run(killers)
    world.check(killers)


@settings(max_examples=40, deadline=None)
@given(
    killers=st.sets(st.tuples(st.integers(0, PARTITIONS - 1), st.integers(0, 11)), max_size=5),
    max_deaths=st.integers(1, 4),
    max_records=st.integers(1, 9),
)
def test_exactly_the_killers(killers: set[Place], max_deaths: int, max_records: int) -> None:
    """Wherever they are, whatever the limits: nobody else is put aside, and it takes no more deaths than promised."""
    world = World((12,) * PARTITIONS, max_deaths, max_records)
    world.run(killers)
    world.check(killers)
    assert world.deaths <= len(killers) * (2 + max_deaths)


def test_random_deaths_condemn_nobody() -> None:
    """Workers that are killed again and again at no document in particular put nothing aside."""
    random, deaths, found = Random(20_261_126), 0, 0  # noqa: S311 - no secret
    for _ in range(40):
        world = World((40, 40, 40))
        while not world.settled:
            world.start(settle)
            for _ in range(random.randint(1, 40)):
                if not world.settled:
                    world.turn()
            world.die()
        world.check(set())
        deaths, found = deaths + world.deaths, found + world.observer.deaths
    assert (deaths > 50, found > 5) == (True, True), (deaths, found)  # or it would mean little


def test_the_others_of_a_fatal_batch_are_not_charged() -> None:
    """While one partition's documents are tried, nothing is noted against those of another that was in the batch."""
    world = World((20, 20), max_records=24)
    world.broker.logs[P0], world.documents = world.broker.logs[P0][:4], (4, 20)
    world.start(deadly({(0, 3)}))
    for _ in range(4):
        with pytest.raises(DiedError):
            until(world, lambda: False)
        world.die()
        assert Note.read(world.position(1).note) == Note(20)
        world.start(deadly({(0, 3)}))
    assert Note.read(world.position(0).note) == Note(4, 3, 3)
    world.die()
    world.run({(0, 3)})
    world.check({(0, 3)})


# --- what is no death -------------------------------------------------------------------------------------------------


def until(world: World, condition: Callable[[], bool]) -> None:
    """Turns until then."""
    for _ in range(TURNS):
        if condition():
            return
        world.turn()
    raise AssertionError("It never came to that.")


def noted(world: World) -> bool:
    """Whether a note is there."""
    return world.position(0).note != ""


def test_a_clean_stop_is_no_death() -> None:
    """A worker that is stopped before its first commit leaves no note; nor does one amid suspects, but their range."""
    world = World((6,))
    world.start(settle)
    until(world, lambda: noted(world))
    assert world.loop.drain(Deadline(world.clock, 100))
    world.source.close()
    assert world.position(0) == Position(0)

    world.broker.groups["group"].positions[P0] = Position(0, Note(5, 0, 2).text())
    world.start(settle)
    until(world, lambda: Note.read(world.position(0).note) == Note(5, 0, 3))
    assert world.loop.drain(Deadline(world.clock, 100))
    world.source.close()
    assert Note.read(world.position(0).note) in {Note(5, 0, 2), Note(5)}
    world.run(set())
    world.check(set())


def test_a_rebalance_is_no_death() -> None:
    """A partition that moves before its first commit takes no note along."""
    world = World((30, 30))
    world.start(settle)
    until(world, lambda: noted(world))
    other = MemorySource(world.broker, "group", "documents")
    other.subscribe(world.loop)  # never polled: it only makes the group deal anew
    until(world, lambda: len(world.loop.assignment) == 1)
    gone = ({P0, P1} - world.loop.assignment).pop()
    assert world.position(gone.partition).note == ""


@pytest.mark.parametrize("where", ["policy", "breaker"])
def test_who_is_told_to_stop_does_not_die(where: str) -> None:
    """A policy of failing, and a breaker, may end as many workers as they like."""

    def fail(batch: Sequence[Record]) -> Outcome:
        if where == "policy":
            raise FatalError(f"the policy is to fail, at {batch[0].offset}")
        outcome = settle(batch)
        for part in outcome.parts.values():
            part.dead_letters["not_json"] = len(part.timestamps_ms)
        return outcome

    world = World((20,))
    for _ in range(6):
        world.start(fail, Breaker(0.5, 1))
        with pytest.raises(FatalError):
            until(world, lambda: False)
        assert world.position(0) == Position(0)
        world.die()
    world.run(set())
    world.check(set())


def test_trouble_with_publishing_condemns_nobody() -> None:
    """Notes can be committed, results cannot, and every worker ends of that: no document is put aside for it."""
    world = World((20,))
    for _ in range(12):
        world.start(settle)
        send = world.publisher.send

        def refuse(outgoing: Sequence[object], send: Callable[..., None] = send) -> None:
            if outgoing:
                raise FatalError("the results topic takes nothing")
            send(outgoing)

        world.publisher.send = refuse  # type: ignore[assignment,method-assign] # that is the trouble
        with pytest.raises(FatalError):
            until(world, lambda: False)
        world.die()
    world.run(set())
    world.check(set())
