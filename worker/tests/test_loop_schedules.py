"""Two loops, one broker in memory, and events in thousands of random orders.

The oracle: at every moment, the visible results of a partition are exactly those of the records before its committed
offset, each once, in order; and once everything calms down, all of them are there.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

import pytest

from worker.stream.batch import BatchLimits
from worker.stream.breaker import Breaker
from worker.stream.checkpoint import Checkpoint
from worker.stream.deadline import Deadline
from worker.stream.errors import AbortableError, StreamError
from worker.stream.loop import LoopLimits, Stages, StreamLoop
from worker.stream.ports import RebalanceEvent
from worker.stream.records import TopicPartition
from worker.stream.suspects import Suspects
from worker.tests.fakes import HeldExecutor, ManualClock, NotingObserver, condemn, settle
from worker.tests.memory_broker import MemoryBroker, MemoryPublisher, MemorySource

GROUP, DOCUMENTS, RESULTS, PARTITIONS = "group", "documents", "results", 3
# No time to wait for a commit that is held: the loop gives up, as it would after --revoke-timeout.
LIMITS = LoopLimits(
    BatchLimits(max_records=4, max_bytes=10_000, max_age_seconds=0.5),
    revoke_timeout=0.0,
    commit_timeout=60.0,
    poll_timeout=0.0,
    busy_poll_timeout=0.001,
    full_wait=0.0,
    max_attempts=4,
)


@dataclass
class Worker:
    """One process: a loop and what it holds."""

    broker: MemoryBroker
    slot: int
    clock: ManualClock
    processing: HeldExecutor = field(default_factory=HeldExecutor)
    committing: HeldExecutor = field(default_factory=HeldExecutor)

    def __post_init__(self) -> None:
        self.source = MemorySource(self.broker, GROUP, DOCUMENTS)
        self.publisher = MemoryPublisher(self.broker, GROUP, f"slot-{self.slot}")
        self.publisher.open(Deadline(self.clock, 1))
        self.observer = NotingObserver()
        self.loop = StreamLoop(
            source=self.source,
            process=settle,
            condemn=condemn,
            suspects=Suspects(10**6, self.observer),
            checkpoint=Checkpoint(self.publisher, self.observer, self.clock, 10.0),
            breaker=Breaker(1.0, 1),
            stages=Stages(self.processing, self.committing),
            limits=LIMITS,
            observer=self.observer,
            clock=self.clock,
        )
        self.source.subscribe(self.loop)

    def turn(self) -> None:
        """One turn of the loop, in which everything that is held ends first."""
        self.processing.release()
        self.committing.release()
        self.loop.run_once()

    def stop(self) -> bool:
        """Drain and leave; returns whether all that was in hand was committed."""
        for _ in range(20):
            self.processing.release()
            self.committing.release()
            if self.loop.drain(Deadline(self.clock, 0.001)):
                self.source.close()
                return True
        return False


# How often each event comes, beside the others.
WEIGHTS = {
    "turn": 40,
    "process": 20,
    "commit": 16,
    "produce": 10,
    "start": 6,
    "wait": 4,
    "refuse": 2,
    "hide_membership": 1,
    "evict": 1,
    "stop": 1,
    "kill": 1,
}


class Schedule:
    """What can happen, one method each."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)  # noqa: S311 - a schedule, not a secret
        self.clock = ManualClock()
        self.broker = MemoryBroker()
        self.broker.create(DOCUMENTS, PARTITIONS)
        self.broker.create(RESULTS, PARTITIONS)
        self.produced = [0] * PARTITIONS
        self.workers: dict[int, Worker] = {}
        self.happened: list[str] = []

    def step(self) -> None:
        """Let one thing happen, to one of the two slots."""
        [event] = self.random.choices(list(WEIGHTS), list(WEIGHTS.values()))
        slot = self.random.randrange(2)
        self.happened.append(f"{event} {slot}")
        if event in {"produce", "wait", "start"}:
            getattr(self, event)(slot)
        elif slot in self.workers:
            getattr(self, event)(slot, self.workers[slot])

    def produce(self, slot: int) -> None:
        """Documents arrive."""
        del slot
        partition = self.random.randrange(PARTITIONS)
        for _ in range(self.random.randint(1, 6)):
            self.broker.produce(TopicPartition(DOCUMENTS, partition), b"%d" % self.produced[partition])
            self.produced[partition] += 1

    def wait(self, slot: int) -> None:
        """Time passes: open batches grow old."""
        del slot
        self.clock.now += 0.5

    def start(self, slot: int) -> None:
        """A worker starts, where none is."""
        if slot not in self.workers:
            self.workers[slot] = Worker(self.broker, slot, self.clock)

    def turn(self, slot: int, worker: Worker) -> None:
        """One turn of a loop; in a rebalance, the running commit may reach the broker or not."""
        in_time = self.random.random() < 0.8
        worker.source.before_callback = worker.committing.release if in_time else None
        self.or_crash(slot, worker.loop.run_once)

    def process(self, slot: int, worker: Worker) -> None:
        """A batch is processed."""
        del slot
        worker.processing.release()

    def commit(self, slot: int, worker: Worker) -> None:
        """A commit reaches the broker."""
        del slot
        worker.committing.release()

    def refuse(self, slot: int, worker: Worker) -> None:
        """The broker will refuse the next commits."""
        del slot
        worker.publisher.refusals = [AbortableError("not now")] * self.random.randint(1, 4)

    def hide_membership(self, slot: int, worker: Worker) -> None:
        """The client has no membership to show, until it has one again."""
        del slot
        worker.source.hidden = not worker.source.hidden

    def evict(self, slot: int, worker: Worker) -> None:
        """The group throws a member out; it learns of that at its next poll."""
        del slot
        self.broker.evict(worker.source)

    def kill(self, slot: int, worker: Worker) -> None:
        """A process dies, and what it held with it."""
        self.broker.evict(worker.source)
        del self.workers[slot]

    def stop(self, slot: int, worker: Worker) -> None:
        """A worker is told to stop: it drains and leaves."""
        self.or_crash(slot, worker.stop)
        if slot in self.workers:
            self.kill(slot, worker)

    def or_crash(self, slot: int, call: Callable[[], object]) -> None:
        """Do it; an error of the stream ends the process."""
        try:
            call()
        except StreamError:
            self.kill(slot, self.workers[slot])

    def settle_down(self) -> None:
        """No more trouble: the workers are left alone until they had time for everything."""
        for _ in range(sum(self.produced) // 3 + 40):
            self.start(0)
            self.clock.now += 0.5
            for slot, worker in list(self.workers.items()):
                worker.source.hidden = False
                worker.source.before_callback = worker.committing.release
                self.or_crash(slot, worker.turn)
            self.check()

    def check(self) -> None:
        """Each committed record has exactly one visible result, in order, and no other record has any."""
        for partition in range(PARTITIONS):
            results = self.broker.visible(TopicPartition(RESULTS, partition))
            assert results == [b"%d" % offset for offset in range(self.committed(partition))], self.happened[-30:]

    def committed(self, partition: int) -> int:
        """The group's offset."""
        return self.broker.committed(GROUP, TopicPartition(DOCUMENTS, partition))


@pytest.mark.parametrize("seed", range(0, 240, 24))
def test_every_record_is_settled_once_in_order(seed: int) -> None:
    """Whatever happens in whatever order, results and offsets agree at every moment, and nothing is left behind."""
    for number in range(seed, seed + 24):
        schedule = Schedule(number)
        for _ in range(250):
            schedule.step()
            schedule.check()
        schedule.settle_down()
        assert [schedule.committed(partition) for partition in range(PARTITIONS)] == schedule.produced, number


def test_the_schedules_reach_what_they_are_for() -> None:
    """Enough rebalances, aborts and crashes happen in them for the test above to mean something."""
    schedule = Schedule(7)
    seen = {"revoked": 0, "aborted": 0, "committed": 0}
    for _ in range(2000):
        before = dict(schedule.workers)
        schedule.step()
        for slot, worker in schedule.workers.items():
            if before.get(slot) is worker:
                seen["committed"] = max(seen["committed"], len(worker.observer.outcomes))
                seen["aborted"] = max(seen["aborted"], worker.observer.aborts)
                seen["revoked"] += any(event is RebalanceEvent.REVOKED for event, _, _ in worker.observer.rebalances)
    assert min(seen.values()) > 2, seen
