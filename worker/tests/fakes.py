"""Stand-ins for what the loop is built on: a clock, executors, a scripted source and publisher, an observer."""

import threading
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import Executor, Future
from typing import Any

from models.model import Model
from worker.model_reloads import ReloadOutcome
from worker.stream.deadline import Deadline
from worker.stream.ports import RebalanceEvent, RebalanceListener
from worker.stream.records import Outcome, Outgoing, Part, Position, Record, TopicPartition

P0 = TopicPartition("documents", 0)
P1 = TopicPartition("documents", 1)
MEMBERSHIP = b"member"


class ManualClock:
    """A clock that moves only when told to, or slept on."""

    def __init__(self, now: float = 1000.0) -> None:
        self.now = now
        self.slept: list[float] = []

    def monotonic(self) -> float:
        """The present reading."""
        return self.now

    def time(self) -> float:
        """The same reading, as seconds since the epoch."""
        return self.now

    def sleep(self, seconds: float) -> None:
        """Move on without waiting."""
        self.slept.append(seconds)
        self.now += seconds


class InlineExecutor(Executor):
    """Runs everything at once, on the thread that submits."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:  # noqa: ANN401 - as the base class
        """Run and return the finished future."""
        future: Future[Any] = Future()
        _run(future, lambda: fn(*args, **kwargs))
        return future


class HeldExecutor(Executor):
    """Runs a task only when the test says so."""

    def __init__(self) -> None:
        self.held: list[tuple[Future[Any], Callable[[], Any]]] = []

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:  # noqa: ANN401 - as the base class
        """Keep the task."""
        future: Future[Any] = Future()
        self.held.append((future, lambda: fn(*args, **kwargs)))
        return future

    def release(self) -> bool:
        """Run the oldest task that was kept; returns whether there was one."""
        if not self.held:
            return False
        _run(*self.held.pop(0))
        return True

    def run_all(self) -> None:
        """Run every task that was kept."""
        while self.release():
            pass


def _run(future: Future[Any], call: Callable[[], Any]) -> None:
    try:
        future.set_result(call())
    except BaseException as error:  # noqa: BLE001 - executors hand every exception to the future
        future.set_exception(error)


class ScriptedSource:
    """Delivers what the test puts in, and calls the listener inside `poll` where the test asks for it."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.events: list[Callable[[RebalanceListener], None]] = []
        self.listener: RebalanceListener | None = None
        self.member: bytes | None = MEMBERSHIP
        self.positions: dict[TopicPartition, Position] = {}
        self.unanswered: list[Exception] = []  # raised by the next questions for positions
        self.paused = False
        self.polls: list[tuple[int, float]] = []
        self.pauses = 0
        self.closed = False

    def subscribe(self, listener: RebalanceListener) -> None:
        """Remember whom to tell."""
        self.listener = listener

    def poll(self, max_records: int, timeout: float) -> list[Record]:
        """Run the waiting events, then deliver."""
        self.polls.append((max_records, timeout))
        while self.events:
            assert self.listener is not None
            self.events.pop(0)(self.listener)
        if self.paused:
            return []
        delivered, self.records = self.records[:max_records], self.records[max_records:]
        return delivered

    def membership(self) -> bytes | None:
        """Whatever the test set."""
        return self.member

    def committed(self, partitions: Collection[TopicPartition]) -> dict[TopicPartition, Position]:
        """Whatever the test set."""
        if self.unanswered:
            raise self.unanswered.pop(0)
        return {source: self.positions.get(source, Position(-1)) for source in partitions}

    def pause(self) -> None:
        """Deliver nothing."""
        self.paused = True
        self.pauses += 1

    def resume(self) -> None:
        """Deliver again."""
        self.paused = False

    def close(self) -> None:
        """Note it."""
        self.closed = True


class ScriptedPublisher:
    """Notes every call and raises what the test wants raised by a step; None lets that call pass."""

    def __init__(self, failures: Mapping[str, Sequence[BaseException | None]] | None = None) -> None:
        self.failures = {step: list(errors) for step, errors in (failures or {}).items()}
        self.calls: list[str] = []
        self.sent: list[Outgoing] = []
        self.commits: list[dict[TopicPartition, int]] = []
        self.notes: list[dict[TopicPartition, str]] = []  # of the same commits
        self.acknowledged: list[dict[TopicPartition, int]] = []
        self.refusals = 0  # how many acknowledgements the group will not take
        self.released: list[set[TopicPartition]] = []
        self.forgotten: list[set[TopicPartition]] = []
        self.memberships: list[bytes] = []
        self.time_left: list[float] = []
        self.on_step: dict[str, Callable[[], None]] = {}

    def begin(self) -> None:
        """Step 1."""
        self._step("begin")

    def send(self, outgoing: Iterable[Outgoing]) -> None:
        """Step 2."""
        self._step("send")
        self.sent += outgoing

    def commit(self, positions: Mapping[TopicPartition, Position], membership: bytes, deadline: Deadline) -> None:
        """Step 3."""
        self.time_left.append(deadline.remaining())
        self._step("commit")
        self.commits.append({source: position.offset for source, position in positions.items()})
        self.notes.append({source: position.note for source, position in positions.items()})
        self.memberships.append(membership)

    def acknowledge(self, positions: Mapping[TopicPartition, Position]) -> bool:
        """Step 4."""
        self._step("acknowledge")
        self.acknowledged.append({source: position.offset for source, position in positions.items()})
        refused = self.refusals > 0
        self.refusals -= refused
        return not refused

    def release(self, partitions: Collection[TopicPartition], deadline: Deadline) -> None:
        """Before they are given up."""
        del deadline
        self._step("release")
        self.released.append(set(partitions))

    def forget(self, partitions: Collection[TopicPartition]) -> None:
        """When they are gone."""
        self._step("forget")
        self.forgotten.append(set(partitions))

    def abort(self, deadline: Deadline) -> None:
        """The way out."""
        del deadline
        self._step("abort")

    def close(self) -> None:
        """Note it."""
        self._step("close")

    def _step(self, name: str) -> None:
        self.calls.append(name)
        if name in self.on_step:
            self.on_step[name]()
        waiting = self.failures.get(name)
        error = waiting.pop(0) if waiting else None
        if error is not None:
            raise error


class NotingObserver:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.stages: list[str] = []
        self.batches: list[int] = []
        self.outcomes: list[Outcome] = []
        self.oldest: int | None = None
        self.rebalances: list[tuple[RebalanceEvent, set[TopicPartition], int]] = []
        self.aborts = self.deaths = self.suspects = 0

    def stage(self, stage: str, seconds: float) -> None:
        """Note the stage."""
        assert seconds >= 0
        self.stages.append(stage)

    def batch_closed(self, records: int) -> None:
        """Note the size."""
        self.batches.append(records)

    def committed(self, outcome: Outcome, now_ms: float) -> None:
        """Note the outcome."""
        assert now_ms > 0
        self.outcomes.append(outcome)

    def in_hand(self, oldest_timestamp_ms: int | None) -> None:
        """Note the timestamp."""
        self.oldest = oldest_timestamp_ms

    def rebalanced(self, event: RebalanceEvent, partitions: Collection[TopicPartition], assigned: int) -> None:
        """Note the change."""
        self.rebalances.append((event, set(partitions), assigned))

    def transaction_aborted(self) -> None:
        """Count it."""
        self.aborts += 1

    def death_found(self) -> None:
        """Count it."""
        self.deaths += 1

    def suspected(self, partitions: int) -> None:
        """Note it."""
        self.suspects = partitions


def record(offset: int, source: TopicPartition = P0, *, size: int = 10, timestamp_ms: int = 1_000_000) -> Record:
    """A record whose value has `size` bytes."""
    return Record(source, offset, timestamp_ms, None, b"x" * size, ())


def records(source: TopicPartition, first: int, last: int) -> list[Record]:
    """The records of one partition from offset `first` to `last`, both included."""
    return [record(offset, source) for offset in range(first, last + 1)]


def settle(batch: Sequence[Record]) -> Outcome:
    """The simplest processing: every record becomes one result that tells where it came from."""
    parts: dict[TopicPartition, Part] = {}
    for item in batch:
        part = parts.setdefault(item.source, Part())
        part.read(item)
        part.outgoing.append(Outgoing("results", item.source.partition, None, b"%d" % item.offset, ()))
        part.outcomes["classified"] += 1
    return Outcome(parts)


def condemn(item: Record, deaths: int) -> Outcome:
    """The dead letter of a record, which tells how many died of it."""
    part = Part()
    part.read(item)
    part.outgoing.append(Outgoing("dead", item.source.partition, None, b"%d died of %d" % (deaths, item.offset), ()))
    part.dead_letters["killed_worker"] += 1
    return Outcome({item.source: part})


class NotingBooks:
    """Keeps what reloads of models tell."""

    def __init__(self) -> None:
        self.served: dict[str, str] = {}
        self.outcomes: Counter[tuple[str, ReloadOutcome]] = Counter()
        self.told = threading.Event()
        self.stale_langs: set[str] = set()
        self.gone = False

    def serving(self, models: Iterable[Model]) -> None:
        """Note the versions."""
        self.served = {model.lang: model.version for model in models}

    def reloaded(self, lang: str, outcome: ReloadOutcome) -> None:
        """Count it."""
        self.outcomes[lang, outcome] += 1
        self.told.set()

    def stale(self, lang: str, *, is_so: bool) -> None:
        """Note it."""
        (self.stale_langs.add if is_so else self.stale_langs.discard)(lang)

    def store_gone(self, *, is_so: bool) -> None:
        """Note it."""
        self.gone = is_so
