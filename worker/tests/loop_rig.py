"""A loop, one `run_once` at a time: no thread, a clock that is turned by hand, stages that end when told to."""

from collections.abc import Callable, Sequence
from concurrent.futures import Executor

from worker.stream.batch import BatchLimits
from worker.stream.breaker import Breaker
from worker.stream.checkpoint import Checkpoint
from worker.stream.loop import LoopLimits, Stages, StreamLoop
from worker.stream.ports import RebalanceListener
from worker.stream.records import Outcome, Record
from worker.stream.suspects import Suspects
from worker.tests.fakes import (
    P0,
    P1,
    HeldExecutor,
    InlineExecutor,
    ManualClock,
    NotingObserver,
    ScriptedPublisher,
    ScriptedSource,
    condemn,
    settle,
)


class Rig:
    """A loop and everything around it. `hold` keeps both stages until they are released."""

    def __init__(
        self,
        publisher: ScriptedPublisher | None = None,
        *,
        hold: bool = False,
        process: Callable[[Sequence[Record]], Outcome] = settle,
        breaker: Breaker | None = None,
        max_bytes: int = 10_000,
        revoke_timeout: float = 0.02,
        max_deaths: int = 0,
    ) -> None:
        self.clock = ManualClock()
        self.source = ScriptedSource()
        self.publisher = publisher or ScriptedPublisher()
        self.observer = NotingObserver()
        self.processing, self.committing = HeldExecutor(), HeldExecutor()
        stages: tuple[Executor, Executor] = (
            (self.processing, self.committing) if hold else (InlineExecutor(), InlineExecutor())
        )
        self.loop = StreamLoop(
            source=self.source,
            process=process,
            condemn=condemn,
            suspects=Suspects(max_deaths, self.observer),
            checkpoint=Checkpoint(self.publisher, self.observer, self.clock, 10.0),
            breaker=breaker or Breaker(1.0, 1),
            stages=Stages(*stages),
            limits=LoopLimits(
                BatchLimits(max_records=3, max_bytes=max_bytes, max_age_seconds=2.0),
                revoke_timeout=revoke_timeout,
                commit_timeout=12.0,
                poll_timeout=0.1,
                busy_poll_timeout=0.005,
                full_wait=0.0,
                max_attempts=3,
            ),
            observer=self.observer,
            clock=self.clock,
        )
        self.source.subscribe(self.loop)
        self.loop.assigned({P0, P1})

    def turn(self, *delivered: Record) -> None:
        """One turn in which the source has these records."""
        self.source.records += delivered
        self.loop.run_once()

    def turns(self, count: int, *delivered: Record) -> None:
        """Several turns; the records come at the first."""
        self.source.records += delivered
        for _ in range(count):
            self.loop.run_once()

    def during_poll(
        self, event: Callable[[RebalanceListener], None], *delivered: Record, commit_ends: bool = False
    ) -> None:
        """One turn in which the assignment changes inside the poll, perhaps just after the running commit ended."""
        if commit_ends:
            self.source.events.append(lambda _: self.committing.run_all())
        self.source.events.append(event)
        self.turn(*delivered)

    def into_commit(self, *batch: Record) -> None:
        """Bring a batch as far as the committing stage, where it is held."""
        self.turn(*batch)
        self.turn()
        self.processing.release()
        self.turn()
        assert self.committing.held

    def settle_all(self) -> None:
        """Let everything end."""
        for _ in range(10):
            self.clock.now += 2
            self.processing.release()
            self.committing.release()
            self.turn()

    @property
    def sent(self) -> list[bytes | None]:
        """The values of all that was committed, in order."""
        return [
            item.value
            for outcome in self.observer.outcomes
            for part in outcome.parts.values()
            for item in part.outgoing
        ]
